//! What leader and helper do alike when a batch is collected (§4.6).
//!
//! Each checks by itself that the batch is over and that each window in it is full: what a device's
//! reports of several windows reveal is composed of full batches only then.

use super::{
    batch::BatchTotal,
    clock,
    http::Failure,
    noise::{self, NotDrawn},
    store::{BucketShard, Timestamp},
    task::{Task, Windows},
};
use sottovoce_dap::{
    collect::{CollectionJobReq, Query, aggregate_share_aad, aggregate_share_info},
    hpke::{HpkeCiphertext, HpkeError, native},
    problem::{ProblemDocument, ProblemType},
    role::Role,
    task::BatchMode,
    time::{Interval, Time},
    vdaf::merge::MergeError,
};
use sottovoce_program::format_moment;
use thiserror::Error;

/// Checks a collector's request by itself, in the order of §4.6.1: batch mode, aggregation
/// parameter, extensions.
pub fn check_request(task: &Task, request: &CollectionJobReq) -> Result<(), Failure> {
    let refuse = |kind, detail: &str| Err(Failure::problem(kind, Some(&task.id), detail));
    match (&request.query, task.configuration.batch_mode) {
        (Query::TimeInterval(_), BatchMode::TimeInterval)
        | (Query::LeaderSelected, BatchMode::LeaderSelected) => {}
        _ => {
            let detail = "the query's batch mode is not the task's";
            return refuse(ProblemType::InvalidMessage, detail);
        }
    }
    if !request.agg_param.as_bytes().is_empty() {
        let detail = "the aggregation parameter must be empty for Prio3";
        return refuse(ProblemType::InvalidAggregationParameter, detail);
    }
    let extensions = request
        .extensions
        .check()
        .map_err(|error| Failure::problem(ProblemType::InvalidExtension, Some(&task.id), error))?;
    let unsupported: Vec<u16> = extensions.iter().map(|e| e.extension_type).collect();
    if !unsupported.is_empty() {
        return Err(Failure::unsupported_extensions(&task.id, unsupported));
    }
    Ok(())
}

/// Seconds until an interval may be collected: the end of its last window and the task's grace, by our clock.
/// Nothing if it may be now.
pub fn until_over(task: &Task, interval: &Interval, now: Timestamp) -> Option<u64> {
    let end = task.window.start_of(interval.end());
    let over = end.saturating_add(task.terms.grace);
    let left = over.saturating_sub(clock::seconds(now));
    (left > 0).then_some(left)
}

/// Why an interval that is not over is not collected.
pub fn not_over(task: &Task, interval: &Interval, left: u64) -> ProblemDocument {
    let end = task.window.start_of(interval.end());
    let grace = task.terms.grace;
    let over = end.saturating_add(grace);
    let now = format_moment(over.saturating_sub(left));
    let (end, over) = (format_moment(end), format_moment(over));
    let detail = format!(
        "the interval ends at {end}, and its grace for late reports is {grace} seconds: it can be collected from \
         {over}, and by this server's clock it is {now} now"
    );
    ProblemDocument::new(ProblemType::BatchInvalid, Some(&task.id), &detail)
}

fn moment(task: &Task, time: Time) -> String {
    format_moment(task.window.start_of(time))
}

/// A batch that may be released.
pub struct FullBatch {
    /// What it adds up to.
    pub total: BatchTotal,
    /// The smallest interval with the times of all its reports.
    pub interval: Interval,
}

/// A batch that is not released.
#[derive(Debug)]
pub enum NotReleased {
    /// It has too few reports, as yet.
    TooFew(Box<ProblemDocument>),
    /// It mixes windows that must not be mixed.
    Mixed(Box<ProblemDocument>),
    /// Its sums do not add up.
    Broken(MergeError),
}

/// Adds a batch up, if it has enough reports: in each of its windows, unless the operator has switched
/// that off.
pub fn full_batch(
    task: &Task,
    shards: &mut dyn Iterator<Item = BucketShard>,
) -> Result<FullBatch, NotReleased> {
    let least = task.configuration.min_batch_size;
    let problem =
        |kind, detail: String| Box::new(ProblemDocument::new(kind, Some(&task.id), &detail));
    let total = BatchTotal::of(&task.vdaf, least, shards).map_err(NotReleased::Broken)?;
    let (true, Some(interval)) = (total.count >= least, total.interval) else {
        // No count: it would tell how many took part in what is too small to be released.
        let detail = format!("the batch has fewer reports than the minimum of {least}");
        return Err(NotReleased::TooFew(problem(ProblemType::InvalidBatchSize, detail)));
    };
    match (task.terms.windows, task.configuration.batch_mode) {
        (Windows::Full, BatchMode::TimeInterval) if total.small.count > 0 => {
            Err(NotReleased::Mixed(problem(ProblemType::InvalidBatchSize, small(task, &total))))
        }
        (Windows::Full, BatchMode::LeaderSelected) if interval.duration() > 1 => {
            let detail = "the batch has reports of several windows, and a leader-selected batch must be of one: an \
                          older version of the leader filled it; it stays uncollected";
            Err(NotReleased::Mixed(problem(ProblemType::BatchInvalid, detail.to_owned())))
        }
        _ => Ok(FullBatch { total, interval }),
    }
}

/// Names windows, not counts.
fn small(task: &Task, total: &BatchTotal) -> String {
    let (least, small) = (task.configuration.min_batch_size, &total.small);
    let named: Vec<_> = small.first.iter().map(|time| moment(task, *time)).collect();
    let more = match small.count - named.len() as u64 {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "each window with reports needs at least {least}, and those that start at {}{more} have fewer: collect the \
         windows one by one, or an interval without these",
        named.join(", ")
    )
}

/// Our share of a batch with our noise, if the task has some.
///
/// The noise of each window in it, since a device may have a report in each. Drawn once for a batch: within
/// the transaction that closes it, and stored with the share or the seal around it. Two draws for one batch
/// could be averaged. A batch that is opened again without its share having left gets new noise, which nobody
/// can compare with the old.
pub fn noisy_share(task: &Task, share: Vec<u8>, windows: u64) -> Result<Vec<u8>, ShareError> {
    let Some(noise) = task.noise else { return Ok(share) };
    let mut failed = None;
    let noisy = task.vdaf.offset(&share, &mut || {
        noise::draw(noise, windows).unwrap_or_else(|error| {
            failed = Some(error);
            0
        })
    })?;
    failed.map_or(Ok(noisy), |error| Err(error.into()))
}

/// A share of a batch that cannot be given out.
#[derive(Debug, Error)]
pub enum ShareError {
    /// The batch's sums do not add up.
    #[error("the aggregate shares of the batch cannot be merged: {0}")]
    Merge(#[from] MergeError),
    /// There is no noise.
    #[error(transparent)]
    Noise(#[from] NotDrawn),
}

/// Seals an aggregate share to the collector (§4.6.7).
pub fn seal_aggregate_share(
    task: &Task,
    role: Role,
    request: &CollectionJobReq,
    share: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    let aad = aggregate_share_aad(&task.id, &task.configuration, request);
    native::seal(&task.collector_hpke_config, &aggregate_share_info(role), &aad, share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{store::BucketKey, task::Terms};
    use proptest::prelude::*;
    use sottovoce_dap::{
        hpke::{HpkeConfigId, Suite},
        ids::{BatchId, TaskId},
        task::{TaskConfiguration, Url, VdafConfig},
        time::TimePrecision,
        vdaf::VerifyKey,
    };
    use sottovoce_program::Weekday;

    const LEAST: u64 = 10;

    fn task(batch_mode: BatchMode, terms: Terms) -> Task {
        task_of(3600, batch_mode, terms)
    }

    fn task_of(window: u64, batch_mode: BatchMode, terms: Terms) -> Task {
        let configuration = TaskConfiguration {
            task_info: vec![1].try_into().unwrap(),
            leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
            helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
            time_precision: TimePrecision::from_seconds(window).unwrap(),
            min_batch_size: LEAST,
            batch_mode,
            vdaf: VdafConfig::Prio3Count,
            task_interval: None,
        };
        let collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        let (id, key) = (TaskId::new([3; 32]), VerifyKey::new([1; 32]));
        Task::new(Role::Helper, id, configuration, collector, None, key).unwrap().under(terms)
    }

    fn shard(key: BucketKey, time: u64, reports: u64) -> BucketShard {
        let (first, last) = (Time(time), Time(time));
        BucketShard { key, share: vec![0; 8].into(), reports, checksum: [0; 32], first, last }
    }

    fn by_time(shards: &[(u64, u64)]) -> Vec<BucketShard> {
        let shard =
            |(time, reports): &(u64, u64)| shard(BucketKey::time(Time(*time)), *time, *reports);
        shards.iter().map(shard).collect()
    }

    fn judge(task: &Task, shards: Vec<BucketShard>) -> Result<u64, String> {
        match full_batch(task, &mut shards.into_iter()) {
            Ok(full) => Ok(full.total.count),
            Err(NotReleased::TooFew(problem)) => Err(format!("few: {problem}")),
            Err(NotReleased::Mixed(problem)) => Err(format!("mixed: {problem}")),
            Err(NotReleased::Broken(error)) => panic!("{error}"),
        }
    }

    proptest! {
        #[test]
        fn an_interval_is_released_exactly_if_each_window_in_it_is_empty_or_full(
            mut shards in prop::collection::vec((0u64..4, 0u64..8), 0..12)
        ) {
            shards.sort_unstable();
            let task = task(BatchMode::TimeInterval, Terms::default());
            let mut windows = std::collections::BTreeMap::<u64, u64>::new();
            for (time, reports) in &shards {
                *windows.entry(*time).or_default() += reports;
            }
            let total: u64 = windows.values().sum();
            let full = total >= LEAST && windows.values().all(|reports| *reports == 0 || *reports >= LEAST);
            let judged = judge(&task, by_time(&shards));
            prop_assert_eq!(judged.is_ok(), full, "{:?}", judged);
            if full {
                prop_assert_eq!(judged, Ok(total));
            }
            let unchecked = Terms { windows: Windows::Unchecked, ..Terms::default() };
            let judged = judge(&task.under(unchecked), by_time(&shards));
            prop_assert_eq!(judged.is_ok(), total >= LEAST, "{:?}", judged);
        }
    }

    #[test]
    fn a_refusal_names_windows_and_no_counts_and_stays_short() {
        let task = task(BatchMode::TimeInterval, Terms::default());
        let shards: Vec<_> = (0..40).map(|time| (time, if time == 0 { 77 } else { 3 })).collect();
        let refusal = judge(&task, by_time(&shards)).unwrap_err();
        assert!(refusal.starts_with("mixed: invalidBatchSize: "), "{refusal}");
        for part in
            ["needs at least 10", "1970-01-01T01:00:00Z", "and 34 more have fewer", "one by one"]
        {
            assert!(refusal.contains(part), "{part}: {refusal}");
        }
        assert!(refusal.ends_with("without these"), "not cut off: {refusal}");
        assert!(!refusal.contains("77") && !refusal.contains(" 3 "), "{refusal}");
    }

    #[test]
    fn a_leader_selected_batch_is_of_one_window() {
        let key = BucketKey::batch(&BatchId::new([1; 32]));
        let batch = |times: [u64; 2]| times.map(|time| shard(key.clone(), time, 5)).to_vec();
        let checked = task(BatchMode::LeaderSelected, Terms::default());
        assert_eq!(judge(&checked, batch([7, 7])), Ok(10));
        let refusal = judge(&checked, batch([7, 8])).unwrap_err();
        assert!(refusal.starts_with("mixed: batchInvalid: "), "{refusal}");
        let unchecked = Terms { windows: Windows::Unchecked, ..Terms::default() };
        assert_eq!(judge(&checked.under(unchecked), batch([7, 8])), Ok(10));
    }

    #[test]
    fn a_week_is_over_at_its_real_end_and_grace_whatever_day_it_begins_on() {
        const DAY: u64 = 86_400;
        for (days_before_thursday, day) in [
            (0, Weekday::Thursday),
            (1, Weekday::Wednesday),
            (3, Weekday::Monday),
            (4, Weekday::Sunday),
            (6, Weekday::Friday),
        ] {
            let terms = Terms { grace: 600, ..Terms::default() };
            let task = task_of(7 * DAY, BatchMode::TimeInterval, terms).beginning(day);
            // Two weeks: DAP's end of them is a Thursday, theirs is some days before.
            let interval = Interval::new(Time(2960), 2).unwrap();
            let end = (2962 * 7 - days_before_thursday) * DAY;
            let over = end + 600;
            let left = |now| until_over(&task, &interval, Timestamp(now * 1000));
            for now in [over, over + 1, end + DAY, over + 7 * DAY] {
                assert_eq!(left(now), None, "{day}");
            }
            for now in [over - 1, end, end - 1, end - 7 * DAY, 0] {
                assert_eq!(left(now), Some(over - now), "{day}");
            }
            let refusal = not_over(&task, &interval, 1).to_string();
            assert!(refusal.contains(&format_moment(end)), "its real end: {refusal}");
            let small = [(2960, 12), (2961, 3)];
            let refusal = judge(&task, by_time(&small)).unwrap_err();
            let real = format_moment(end - 7 * DAY);
            assert!(refusal.contains(&format!("start at {real} have fewer")), "{refusal}");
        }
    }

    #[test]
    fn an_interval_is_over_at_its_end_and_grace_and_not_a_moment_before() {
        let task = task(BatchMode::TimeInterval, Terms { grace: 600, ..Terms::default() });
        let interval = Interval::new(Time(1), 2).unwrap();
        let over = (3 * 3600 + 600) * 1000;
        assert_eq!(until_over(&task, &interval, Timestamp(over)), None);
        assert_eq!(until_over(&task, &interval, Timestamp(over - 1)), Some(1));
        assert_eq!(until_over(&task, &interval, Timestamp(0)), Some(3 * 3600 + 600));
        for duration in [1 << 62, u64::MAX] {
            let endless = Interval::new(Time(0), duration).unwrap();
            let left = until_over(&task, &endless, Timestamp(u64::MAX)).unwrap();
            assert!(not_over(&task, &endless, left).to_string().starts_with("batchInvalid: "));
        }
    }
}
