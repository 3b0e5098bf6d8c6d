//! Faults that a probe finds in a client.

use serde::Serialize;

/// What was found wrong.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fault {
    /// The rule's name.
    pub rule: &'static str,
    /// What was found, with its numbers.
    pub message: String,
}
