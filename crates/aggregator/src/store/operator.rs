//! What operators did, for whoever has to account for it.

use super::Timestamp;

/// A command that an operator gave, written before it takes effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorCommand {
    /// When.
    pub time: Timestamp,
    /// Who, as the operating system knows them.
    pub who: String,
    /// What: the command's words, which hold no secret.
    pub what: String,
}
