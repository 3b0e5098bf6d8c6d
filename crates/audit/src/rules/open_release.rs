//! What is kept of a release until the other log has it too.

use super::ranges::Mark;
use crate::dap::ids::TaskId;
use serde::{Deserialize, Serialize};

/// A release that the other log has to have too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRelease {
    pub(in crate::audit) entry: u64,
    pub(in crate::audit) time: u64,
    pub(in crate::audit) task: TaskId,
    pub(in crate::audit) report_count: u64,
    pub(in crate::audit) checksum: Mark,
    /// In windows.
    pub(in crate::audit) interval: (u64, u64),
}
