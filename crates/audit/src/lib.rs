//! What outsiders hold aggregators to.
//!
//! [`verify`] reads both aggregators' logs from a [`source`], and judges what they say by [`rules`];
//! each [`finding`] names its rule and its entry, and [`report`] makes documents of it. [`probe`] puts a client to the test, and [`prove`] gathers proofs for devices. [`witness`] remembers logs, so that they cannot become
//! others. [`command`] is the command line.

pub mod command;
pub mod finding;
pub mod probe;
pub mod prove;
pub mod report;
pub mod rules;
pub mod source;
pub mod verify;
pub mod witness;
