//! The servers: what the leader and the helper share.

pub mod store;
