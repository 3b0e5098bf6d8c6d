//! Which waiting segments travel together: the same in every backend.

use super::{
    LeasePolicy, Timestamp,
    job::{LONGEST_WAIT, last_wait},
};
use sottovoce_dap::time::Time;
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

/// Groups segments into jobs that are ready to leave, in the order in which they do.
pub(super) fn plan(heads: Vec<Head>, now: Timestamp, policy: &LeasePolicy) -> VecDeque<Vec<Head>> {
    let mut jobs = Vec::new();
    let mut loads = BTreeMap::<Option<Time>, Load>::new();
    let latest = last_wait(now, LONGEST_WAIT);
    for head in heads {
        if head.arrived > now && head.arrived <= latest {
            // Put off: however urgent it is, it would be refused once more.
            continue;
        }
        if head.cuts > 0 {
            // Alone, so that what made its job fail cannot fail others with it.
            jobs.push(Load::of(head));
            continue;
        }
        let open = loads.entry(head.apart).or_default();
        if !open.fits(&head, policy) {
            jobs.push(std::mem::take(open));
        }
        open.add(head);
    }
    let mut ready: Vec<_> = loads.into_values().filter(|load| load.is_ready(now, policy)).collect();
    // The longest waiting first.
    ready.sort_by_key(Load::oldest);
    jobs.extend(ready);
    if jobs.iter().any(Load::is_apart) {
        by_turns(jobs)
    } else {
        jobs.into_iter().map(|load| load.heads).collect()
    }
}

/// By turns the time with the most reports and the one that waits for longest: reports of very many times,
/// of which anybody can make some, do not hold up a time that has many, nor the other way round. Jobs of one
/// time stay in their order.
fn by_turns(mut jobs: Vec<Load>) -> VecDeque<Vec<Head>> {
    jobs.sort_by_key(Load::oldest);
    let oldest: Vec<_> = jobs.iter().map(Load::time).collect();
    let mut times = BTreeMap::<Option<Time>, (u64, VecDeque<Load>)>::new();
    for job in jobs {
        let (reports, queue) = times.entry(job.time()).or_default();
        *reports = reports.saturating_add(job.reports);
        queue.push_back(job);
    }
    let mut largest: Vec<_> =
        times.iter().map(|(time, (n, queue))| (*n, queue.len(), *time)).collect();
    largest.sort_by_key(|(reports, ..)| std::cmp::Reverse(*reports));
    let largest = largest.into_iter().flat_map(|(_, jobs, time)| std::iter::repeat_n(time, jobs));
    let turns = largest.zip(oldest).flat_map(|(large, old)| [large, old]);
    let next = |time| Some(times.get_mut(&time)?.1.pop_front()?.heads);
    turns.filter_map(next).collect()
}

/// A pending collection, as far as segments are concerned: there are few of a task, and in here they are
/// compared with each segment in less time than in the database.
pub(super) struct Pending {
    /// The first and the last key of its batch, the last exclusive; none for the next batch.
    pub(super) range: Option<[Vec<u8>; 2]>,
    /// Segments after this place arrived when it had been asked for.
    pub(super) cut: i64,
}

impl Pending {
    /// Whether a segment with reports from the first to the last time is urgent for these; `None` if it
    /// arrived too late for one of them, and waits for its end.
    pub(super) fn urge(all: &[Self], times: &[[u8; 8]; 2], place: i64) -> Option<bool> {
        if all.iter().any(|one| one.asks_for(times) && one.cut < place) {
            return None;
        }
        Some(all.iter().any(|one| one.range.is_none() || one.asks_for(times)))
    }

    /// Whether its batch may have reports of times from the first to the last.
    fn asks_for(&self, [first, last]: &[[u8; 8]; 2]) -> bool {
        let within = |[low, high]: &[Vec<u8>; 2]| low[..] <= last[..] && first[..] < high[..];
        self.range.as_ref().is_some_and(within)
    }
}

/// A job being put together.
#[derive(Default)]
struct Load {
    heads: Vec<Head>,
    reports: u64,
    bytes: u64,
}

impl Load {
    fn of(head: Head) -> Self {
        let mut load = Self::default();
        load.add(head);
        load
    }

    fn add(&mut self, head: Head) {
        self.reports = self.reports.saturating_add(head.reports);
        self.bytes = self.bytes.saturating_add(head.bytes);
        self.heads.push(head);
    }

    fn fits(&self, head: &Head, policy: &LeasePolicy) -> bool {
        let reports = self.reports + head.reports <= policy.max_reports;
        self.heads.is_empty() || (reports && self.bytes + head.bytes <= policy.max_bytes)
    }

    fn oldest(&self) -> i64 {
        self.heads.first().map_or(i64::MAX, |head| head.key)
    }

    /// What all of it is of, if it is of one time.
    fn time(&self) -> Option<Time> {
        self.heads.first().and_then(|head| head.apart)
    }

    fn is_apart(&self) -> bool {
        self.heads.iter().any(|head| head.apart.is_some())
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
/// up while the helper was away. Where batches are of one time, half of them are the oldest, and half
/// those of the latest times.
pub(super) const MAX_HEADS: i64 = 4096;
/// Waiting segments of one time below which one of several times is parted, for a task whose batches are
/// of one time. Otherwise it is if all parts of others have gone: so there are never many, and each gets
/// its turn.
pub(super) const PART_BELOW: i64 = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn head(key: i64, reports: u64, time: u64) -> Head {
        let (arrived, apart) = (Timestamp(0), Some(Time(time)));
        Head { key, reports, bytes: reports, arrived, cuts: 0, urgent: false, apart }
    }

    fn policy() -> LeasePolicy {
        LeasePolicy {
            lease_for: Duration::ZERO,
            max_reports: 100,
            max_bytes: 1 << 20,
            linger: Duration::ZERO,
            limit: 10,
            new_first: false,
            quotas: Vec::new(),
        }
    }

    fn keys(heads: &[Head]) -> Vec<i64> {
        heads.iter().map(|head| head.key).collect()
    }

    #[test]
    fn a_segment_is_urgent_for_a_collection_it_came_before_and_waits_for_one_it_came_after() {
        let time = |time: u64| time.to_be_bytes();
        let range = Some([time(5).to_vec(), time(8).to_vec()]);
        let of_range = [Pending { range, cut: 10 }];
        let urge = |first, last, place| Pending::urge(&of_range, &[time(first), time(last)], place);
        assert_eq!([urge(5, 5, 10), urge(2, 5, 1), urge(7, 9, 10)], [Some(true); 3]);
        assert_eq!([urge(5, 5, 11), urge(7, 9, 11)], [None; 2]);
        assert_eq!([urge(8, 9, 11), urge(2, 4, 11), urge(8, 9, 1)], [Some(false); 3]);
        let of_next = [Pending { range: None, cut: 10 }];
        assert_eq!(Pending::urge(&of_next, &[time(1), time(1)], 11), Some(true));
        assert_eq!(Pending::urge(&[], &[time(1), time(1)], 1), Some(false));
    }

    #[test]
    fn jobs_of_one_time_leave_in_their_order_however_large_they_are() {
        let heads = [10, 99, 500, 20].into_iter().zip(1..);
        let heads = heads.map(|(reports, key)| head(key, reports, 7)).collect();
        let planned = plan(heads, Timestamp(1), &policy());
        let planned: Vec<_> = planned.iter().map(|heads| keys(heads)).collect();
        assert_eq!(planned, [[1], [2], [3], [4]]);
    }

    #[test]
    fn a_time_with_many_reports_and_the_oldest_take_turns() {
        let mut heads: Vec<_> =
            (1..1000_u32).map(|key| head(key.into(), 1, 10_000 + u64::from(key))).collect();
        heads.extend([head(1000, 60, 7), head(1001, 30, 7), head(1002, 50, 8)]);
        let planned = plan(heads, Timestamp(1), &policy());
        let first: Vec<_> = planned.iter().take(4).map(|heads| keys(heads)).collect();
        assert_eq!(first, [vec![1000, 1001], vec![1], vec![1002], vec![2]]);
        let mut all: Vec<_> = planned.iter().flat_map(|heads| keys(heads)).collect();
        all.sort_unstable();
        assert_eq!(all, (1..=1002).collect::<Vec<_>>());
    }
}
