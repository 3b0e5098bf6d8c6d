//! Batch buckets (§4.5.4.3) by opaque keys, so that one rule serves both batch modes: a batch is
//! a range of keys, a collected batch is a stored range, and two batches overlap if their ranges
//! do. An interval with empty buckets is closed as a whole and nothing ever lists buckets.

use super::Blob;
use sottovoce_dap::{
    ids::BatchId,
    time::{Interval, Time},
};
use std::fmt;

/// Names a bucket within its task; ordered as its bytes are.
///
/// A task has one batch mode, so times and batch IDs never meet in one task.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BucketKey(Vec<u8>);

impl BucketKey {
    /// The bucket of a time-interval task that reports of this time fall in (§5.1.3).
    pub fn time(time: Time) -> Self {
        Self(time_key(time).to_vec())
    }

    /// The only bucket of a leader-selected batch (§5.2.4).
    pub fn batch(batch: &BatchId) -> Self {
        Self(batch.as_bytes().to_vec())
    }

    /// The key as the database holds it.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn from_stored(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

/// Public by nature (a time or a batch ID), so shown whole.
impl fmt::Debug for BucketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A batch: the buckets from `low` up to but without `high`; never empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BucketRange {
    low: BucketKey,
    high: BucketKey,
}

impl BucketRange {
    /// The buckets of a batch interval.
    pub fn interval(interval: &Interval) -> Self {
        Self { low: BucketKey::time(interval.start()), high: BucketKey::time(interval.end()) }
    }

    /// The one bucket of a leader-selected batch.
    pub fn batch(batch: &BatchId) -> Self {
        let low = BucketKey::batch(batch);
        // The next longer key: right even for a batch ID of all ones.
        let mut high = low.clone();
        high.0.push(0);
        Self { low, high }
    }

    /// First bucket inside.
    pub fn low(&self) -> &BucketKey {
        &self.low
    }

    /// First bucket after.
    pub fn high(&self) -> &BucketKey {
        &self.high
    }

    /// Whether the bucket is inside.
    pub fn contains(&self, key: &BucketKey) -> bool {
        self.low <= *key && *key < self.high
    }
}

/// What one aggregation job adds to a bucket. Shards are only ever added: a bucket's aggregate
/// is the merge of its shards, so that no two commits wait for one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketShard {
    /// The bucket.
    pub key: BucketKey,
    /// Encoded aggregate share of the reports below.
    pub share: Blob,
    /// Number of reports.
    pub reports: u64,
    /// XOR of the SHA-256 of each report's ID.
    pub checksum: [u8; 32],
    /// Earliest time of a report.
    pub first: Time,
    /// Latest time of a report.
    pub last: Time,
}

/// Big-endian, so that bytes sort as times do.
pub(super) fn time_key(time: Time) -> [u8; 8] {
    time.0.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_exactly_one_key_even_at_the_largest_id() {
        for byte in [0, 7, 0xff] {
            let batch = BucketRange::batch(&BatchId::new([byte; 32]));
            assert!(batch.contains(&BucketKey::batch(&BatchId::new([byte; 32]))));
            let mut other = [byte; 32];
            other[31] ^= 1;
            assert!(!batch.contains(&BucketKey::batch(&BatchId::new(other))));
        }
    }

    #[test]
    fn keys_sort_as_their_times_do() {
        let interval = BucketRange::interval(&Interval::new(Time(255), 2).unwrap());
        let inside =
            (254..258).map(|t| interval.contains(&BucketKey::time(Time(t)))).collect::<Vec<_>>();
        assert_eq!(inside, [false, true, true, false]);
    }
}
