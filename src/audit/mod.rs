//! What outsiders hold aggregators to.
//!
//! [`witness`] remembers logs, so that they cannot become others. [`command`] is the command line.

pub mod command;
pub mod witness;
