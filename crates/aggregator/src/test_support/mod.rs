//! What tests and measurements of several crates need, and no server.

pub mod postgres;
