//! Whether a user agreed to take part. Nothing is recorded or sent before.

use serde::{Deserialize, Serialize};

/// Whether a user agreed to take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// The user was not asked, or has not answered.
    NotAsked,
    /// The user agreed.
    Given {
        /// When, in seconds since the Epoch.
        since: u64,
    },
    /// The user changed their mind.
    Withdrawn {
        /// When, in seconds since the Epoch.
        since: u64,
    },
}

impl Consent {
    /// Whether the device takes part.
    pub fn is_given(self) -> bool {
        matches!(self, Self::Given { .. })
    }
}
