//! Batch buckets (§4.5.4.3): which one a report goes to, and what adds up in it.

use super::store::{BucketKey, BucketShard};
use sottovoce_dap::{
    aggregate::Checksum,
    ids::{BatchId, ReportId},
    time::{Interval, Time},
    vdaf::{Vdaf, merge::MergeError, verify::Sums},
};
use std::collections::BTreeMap;

/// How the reports of one aggregation job find their buckets.
#[derive(Clone, Copy, Debug)]
pub enum Placement {
    /// By their times (§5.1.3).
    ByTime,
    /// All into one batch (§5.2.4).
    Batch(BatchId),
}

impl Placement {
    /// The bucket of a report of this time.
    pub fn key(self, time: Time) -> BucketKey {
        match self {
            Self::ByTime => BucketKey::time(time),
            Self::Batch(id) => BucketKey::batch(&id),
        }
    }
}

/// The buckets that one aggregation job adds to, numbered from zero as they are met.
#[derive(Debug)]
pub struct Buckets {
    placement: Placement,
    numbers: BTreeMap<BucketKey, usize>,
    tallies: Vec<Tally>,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    count: u64,
    checksum: Checksum,
    span: Option<(Time, Time)>,
}

impl Buckets {
    /// No bucket yet.
    pub fn new(placement: Placement) -> Self {
        Self { placement, numbers: BTreeMap::new(), tallies: Vec::new() }
    }

    /// The number of the bucket that a report of this time belongs to.
    pub fn number(&mut self, time: Time) -> usize {
        let next = self.tallies.len();
        let number = *self.numbers.entry(self.placement.key(time)).or_insert(next);
        if number == next {
            self.tallies.push(Tally::default());
        }
        number
    }

    /// How many buckets there are so far.
    pub fn buckets(&self) -> usize {
        self.tallies.len()
    }

    /// Counts a report whose output share was added to bucket `number`.
    pub fn count(&mut self, number: usize, report_id: &ReportId, time: Time) {
        let tally = &mut self.tallies[number];
        tally.count += 1;
        tally.checksum.add(report_id);
        let (first, last) = tally.span.unwrap_or((time, time));
        tally.span = Some((first.min(time), last.max(time)));
    }

    /// What to add to each bucket, given the output shares' sums from each part of the job.
    pub fn into_shards(self, vdaf: &Vdaf, parts: &[Sums]) -> Result<Vec<BucketShard>, MergeError> {
        let mut shards = Vec::with_capacity(self.tallies.len());
        for (key, number) in self.numbers {
            let tally = &self.tallies[number];
            let Some((first, last)) = tally.span else { continue };
            let sums = parts.iter().filter_map(|sums| sums.get(&number).map(Vec::as_slice));
            shards.push(BucketShard {
                key,
                reports: tally.count,
                checksum: *tally.checksum.as_bytes(),
                first,
                last,
                share: vdaf.merge(sums)?.into(),
            });
        }
        Ok(shards)
    }
}

/// A whole batch, put together from its buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchTotal {
    /// Reports in the batch.
    pub count: u64,
    /// Over their IDs.
    pub checksum: Checksum,
    /// The smallest interval with all of their times; `None` if there is no report.
    pub interval: Option<Interval>,
    /// The aggregate share, encoded.
    pub share: Vec<u8>,
    /// Its buckets that have reports: the windows of an interval, or the one bucket of a batch that the leader
    /// selected.
    pub windows: u64,
    /// Its buckets that are too small by themselves.
    pub small: SmallBuckets,
}

/// Buckets with some reports, and fewer than a batch must have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SmallBuckets {
    /// How many there are.
    pub count: u64,
    /// The times of the first of them: no more than a message can name.
    pub first: Vec<Time>,
}

impl SmallBuckets {
    const NAMED: usize = 5;

    fn add(&mut self, time: Time) {
        self.count += 1;
        if self.first.len() < Self::NAMED {
            self.first.push(time);
        }
    }
}

impl BatchTotal {
    /// Adds up the shards of a batch's buckets; of a large batch only one is held at a time.
    ///
    /// A bucket's shards come one after the other. If they did not, it would be taken for several, each
    /// of which must have `least` reports and gets noise.
    pub fn of(
        vdaf: &Vdaf,
        least: u64,
        shards: impl Iterator<Item = BucketShard>,
    ) -> Result<Self, MergeError> {
        let mut merger = vdaf.merger();
        let (mut count, mut checksum) = (0, Checksum::default());
        let mut span: Option<(Time, Time)> = None;
        let (mut windows, mut small) = (0, SmallBuckets::default());
        // The bucket that is being counted, its first time, and its reports so far.
        let mut bucket: Option<(BucketKey, Time, u64)> = None;
        let mut counted = |bucket: Option<(BucketKey, Time, u64)>| {
            let Some((_, time, reports @ 1..)) = bucket else { return };
            windows += 1;
            if reports < least {
                small.add(time);
            }
        };
        for shard in shards {
            merger.add(&shard.share)?;
            // A damaged database may say anything; it never makes few of many.
            count = u64::saturating_add(count, shard.reports);
            checksum.merge(&Checksum::new(shard.checksum));
            let (first, last) = span.unwrap_or((shard.first, shard.last));
            span = Some((first.min(shard.first), last.max(shard.last)));
            match &mut bucket {
                Some((key, _, reports)) if *key == shard.key => {
                    *reports = reports.saturating_add(shard.reports);
                }
                _ => counted(bucket.replace((shard.key, shard.first, shard.reports))),
            }
        }
        counted(bucket);
        let interval = span.and_then(|(first, last)| Interval::spanning(first, last));
        Ok(Self { count, checksum, interval, share: merger.finish(), windows, small })
    }
}
