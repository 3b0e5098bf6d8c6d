//! Repair of a batch that the two aggregators hold differently: both keep what both have.
//!
//! A batch is the shards of its jobs, and of one job both have the same shard, named by how many
//! reports it holds and by their checksum. So each can tell which of its shards the other lacks, and
//! drop those. The IDs of the reports in them stay: what is dropped is never counted again.

use super::{BucketKey, LogEntry};
use sottovoce_dap::ids::TaskId;
use std::collections::BTreeMap;

/// Names a shard within its bucket, alike at both aggregators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardName {
    /// Number of reports.
    pub reports: u64,
    /// XOR of the SHA-256 of each report's ID.
    pub checksum: [u8; 32],
}

/// What is held of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Whether the bucket counts as collected.
    pub collected: bool,
    /// Whether a job in flight may add to it.
    pub busy: bool,
    /// Its shards, in their order.
    pub shards: Vec<ShardName>,
}

/// A repair that was agreed on.
#[derive(Clone, Copy, Debug)]
pub struct Repair<'a> {
    /// The task.
    pub task: &'a TaskId,
    /// The bucket.
    pub bucket: &'a BucketKey,
    /// The shards that it had when the repair was agreed on, in their order.
    pub found: &'a [ShardName],
    /// Those of them that stay, in their order.
    pub keep: &'a [ShardName],
    /// What the log says of it.
    pub entry: &'a LogEntry,
}

/// What became of a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Repaired {
    /// So many shards were dropped.
    Dropped(u64),
    /// Nothing was to be dropped, or all of it was before.
    Nothing,
    /// The bucket has changed since the repair was agreed on, or a job in flight may change it.
    Changed,
    /// The bucket has been collected.
    Collected,
}

/// What a repair does to the shards that there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Drops these, by their keys.
    Drop(Vec<i64>),
    Nothing,
    Changed,
}

/// Judges by the shards that there are, each with its key.
pub(super) fn judge(shards: &[(i64, ShardName)], repair: &Repair<'_>) -> Verdict {
    let names = sorted(shards.iter().map(|(_, name)| *name));
    if names == repair.keep {
        return Verdict::Nothing;
    }
    if names != repair.found {
        return Verdict::Changed;
    }
    let mut kept = BTreeMap::<ShardName, usize>::new();
    for name in repair.keep {
        *kept.entry(*name).or_default() += 1;
    }
    let mut dropped = Vec::new();
    for (key, name) in shards {
        match kept.get_mut(name).filter(|left| **left > 0) {
            Some(left) => *left -= 1,
            None => dropped.push(*key),
        }
    }
    // All that is to stay was there.
    if kept.values().any(|left| *left > 0) { Verdict::Changed } else { Verdict::Drop(dropped) }
}

pub(super) fn sorted(names: impl Iterator<Item = ShardName>) -> Vec<ShardName> {
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u8) -> ShardName {
        ShardName { reports: u64::from(number), checksum: [number; 32] }
    }

    #[test]
    fn what_stays_stays_as_often_as_it_was_agreed_on() {
        let entry = LogEntry { key: [0; 32], bytes: crate::store::Blob::default() };
        let (task, bucket) = (TaskId::new([1; 32]), BucketKey::time(sottovoce_dap::time::Time(1)));
        let judge = |shards: &[u8], found: &[u8], keep: &[u8]| {
            let shards: Vec<_> = shards.iter().zip(10..).map(|(n, key)| (key, name(*n))).collect();
            let [found, keep] = [found, keep].map(|names| sorted(names.iter().map(|n| name(*n))));
            let (found, keep) = (&found[..], &keep[..]);
            super::judge(
                &shards,
                &Repair { task: &task, bucket: &bucket, found, keep, entry: &entry },
            )
        };
        assert_eq!(judge(&[3, 1, 2], &[1, 2, 3], &[1, 3]), Verdict::Drop(vec![12]));
        assert_eq!(judge(&[1, 1, 2], &[1, 1, 2], &[1]), Verdict::Drop(vec![11, 12]));
        assert_eq!(judge(&[1, 3], &[1, 2, 3], &[1, 3]), Verdict::Nothing);
        assert_eq!(judge(&[1, 2], &[1, 2], &[1, 2]), Verdict::Nothing);
        assert_eq!(judge(&[1, 2, 3, 4], &[1, 2, 3], &[1, 3]), Verdict::Changed);
        assert_eq!(judge(&[1, 2], &[1, 2, 3], &[1, 3]), Verdict::Changed);
        assert_eq!(judge(&[1, 2], &[1, 2], &[1, 5]), Verdict::Changed);
        assert_eq!(judge(&[1, 2], &[1, 2], &[]), Verdict::Drop(vec![10, 11]));
    }
}
