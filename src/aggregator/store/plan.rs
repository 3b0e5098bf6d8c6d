//! Which waiting segments travel together: the same in every backend.

use super::{
    LeasePolicy, Timestamp,
    job::{LONGEST_WAIT, last_wait},
};
use crate::dap::time::Time;
use std::collections::{BTreeMap, VecDeque};

/// A waiting segment without its reports.
#[derive(Clone, Copy)]
pub(super) struct Head {
    pub(super) key: i64,
    pub(super) reports: u64,
    pub(super) bytes: u64,
    pub(super) arrived: Timestamp,
    /// How often jobs with its reports were cut up.
    pub(super) cuts: u32,
    /// A pending collection waits for it.
    pub(super) urgent: bool,
    /// What it may share a job with: other segments of this time, or, without one, of any.
    pub(super) apart: Option<Time>,
}

/// Groups segments into jobs that are ready to leave.
pub(super) fn plan(heads: Vec<Head>, now: Timestamp, policy: &LeasePolicy) -> VecDeque<Vec<Head>> {
    let mut jobs = VecDeque::new();
    let mut loads = BTreeMap::<Option<Time>, Load>::new();
    let latest = last_wait(now, LONGEST_WAIT);
    for head in heads {
        if head.arrived > now && head.arrived <= latest {
            // Put off: however urgent it is, it would be refused once more.
            continue;
        }
        if head.cuts > 0 {
            // Alone, so that what made its job fail cannot fail others with it.
            jobs.push_back(vec![head]);
            continue;
        }
        let open = loads.entry(head.apart).or_default();
        if !open.fits(&head, policy) {
            jobs.push_back(std::mem::take(open).heads);
        }
        open.add(head);
    }
    let mut ready: Vec<_> = loads.into_values().filter(|load| load.is_ready(now, policy)).collect();
    // The longest waiting first.
    ready.sort_by_key(|load| load.heads[0].key);
    jobs.extend(ready.into_iter().map(|load| load.heads));
    jobs
}

/// A job being put together.
#[derive(Default)]
struct Load {
    heads: Vec<Head>,
    reports: u64,
    bytes: u64,
}

impl Load {
    fn add(&mut self, head: Head) {
        self.reports += head.reports;
        self.bytes += head.bytes;
        self.heads.push(head);
    }

    fn fits(&self, head: &Head, policy: &LeasePolicy) -> bool {
        let reports = self.reports + head.reports <= policy.max_reports;
        self.heads.is_empty() || (reports && self.bytes + head.bytes <= policy.max_bytes)
    }

    fn is_ready(&self, now: Timestamp, policy: &LeasePolicy) -> bool {
        let full = self.reports >= policy.max_reports || self.bytes >= policy.max_bytes;
        let waited = |head: &Head| {
            let put_back = head.arrived > now;
            head.urgent || put_back || head.arrived.after(policy.linger) <= now
        };
        !self.heads.is_empty() && (full || self.heads.iter().any(waited))
    }
}

/// Segments of one task looked at in one call: bounds the work when a backlog of tiny ones built
/// up while the helper was away.
pub(super) const MAX_HEADS: i64 = 4096;
/// Segments of several times that one call parts by time, for a task whose batches are of one time.
/// There are none but those of before, and those of reports that wait again after a job of before.
pub(super) const PARTED_AT_ONCE: usize = 16;
