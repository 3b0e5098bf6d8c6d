//! What is kept of a release until the other log has it too.

use super::ranges::Mark;
use serde::{Deserialize, Serialize};
use sottovoce_dap::ids::TaskId;

/// A release that the other log has to have too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenRelease {
    pub(crate) entry: u64,
    pub(crate) time: u64,
    pub(crate) task: TaskId,
    pub(crate) report_count: u64,
    pub(crate) checksum: Mark,
    /// In windows.
    pub(crate) interval: (u64, u64),
}
