//! The suite on PostgreSQL, and what is this backend's own.
