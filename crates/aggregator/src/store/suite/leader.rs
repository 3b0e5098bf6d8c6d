//! The leader's jobs.

use super::*;
use crate::store::{
    Closed, Closing, CollectionId, Counts, JobId, LeaseToken, LostReports, MOST_PIECES,
    NewCollection, StoreError, Then, Wanted,
};
use sottovoce_dap::ids::BatchId;

pub(crate) fn a_job_is_lent_to_one_worker_at_a_time(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 1), (2, 1)]));
    assert_eq!(lease(&*store, NOW).len(), 1);
    assert_eq!(lease(&*store, NOW), []);
    // Another process over the same database sees the lease too.
    assert_eq!(lease(&*bench.open(), seconds_later(9)), []);
    let counts = store.counts(&task).unwrap();
    assert_eq!((counts.waiting_reports, counts.in_flight_reports), (0, 2));
}

pub(crate) fn an_expired_job_comes_back_byte_for_byte_and_fences_off_its_first_worker(
    bench: &dyn Bench,
) {
    let (store, task) = with_batches_of(100, bench);
    upload_singly(&*store, task, &[(5, 1), (3, 1), (4, 1)]);
    let first = lease(&*store, NOW).remove(0);
    // More reports must not change the job.
    upload_singly(&*store, task, &[(1, 1)]);
    drop(store);
    let store = bench.open();
    let again = lease(&*store, seconds_later(10)).remove(0);
    assert_eq!((first.attempt, again.attempt), (1, 2));
    assert_eq!(numbers(&first), [5, 3, 4]);
    assert_ne!(first.lease, again.lease);
    assert_eq!(
        LeasedJob { attempt: 1, lease: first.lease, ..again.clone() },
        first,
        "the job changed"
    );
    let counts = store.counts(&task).unwrap();
    let stale = Err(StoreError::StaleLease(first.job));
    let key = BucketKey::batch(&first.batch.unwrap());
    let late = LeaderCommit {
        job: first.job,
        lease: first.lease,
        shards: &[shard(key.clone(), 3)],
        again: None,
        lost: &[],
    };
    assert_eq!(store.commit_leader_job(&late), stale);
    assert_eq!(store.release_job(first.job, first.lease, NOW), stale);
    assert_eq!(store.abandon_job(first.job, first.lease), stale);
    assert_eq!(store.counts(&task), Ok(counts));
    commit(&*store, &again, key);
}

pub(crate) fn a_killed_worker_loses_no_report(bench: &dyn Bench) {
    let (mut store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 1), (2, 1)]));
    for crash in 0..3 {
        // Killed here: leased and uncommitted, so the lease must run out.
        assert_eq!(numbers(&lease(&*store, seconds_later(10 * crash))[0]), [1, 2]);
        drop(store);
        store = bench.open();
        assert_eq!(lease(&*store, seconds_later(10 * crash + 9)), []);
    }
    // An expired lease that nobody took over is still good.
    let job = lease(&*store, seconds_later(30)).remove(0);
    commit(&*store, &job, at(1));
    assert_eq!(lease(&*store, seconds_later(100)), []);
    assert_eq!(store.counts(&task).unwrap().verified_reports, 2);
}

pub(crate) fn a_young_report_waits_for_company_and_no_longer_than_linger(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 1)]));
    let almost = Timestamp(seconds_later(1).0 - 1);
    assert_eq!(store.lease_jobs(almost, &POLICY), Ok(vec![]));
    let later = store.accept_reports(almost, &[upload(task, &[(2, 1)])]).unwrap();
    assert!(later[0][0].is_ok());
    let jobs = store.lease_jobs(seconds_later(1), &POLICY).unwrap();
    assert_eq!(jobs.iter().map(numbers).collect::<Vec<_>>(), [[1, 2]]);
}

pub(crate) fn a_clock_that_was_put_back_holds_up_no_report(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let day_later = seconds_later(86_400);
    store.accept_reports(day_later, &[upload(task, &[(1, 1)])]).unwrap();
    let job = store.lease_jobs(NOW, &POLICY).unwrap().remove(0);
    store.release_job(job.job, job.lease, day_later).unwrap();
    let again = store.lease_jobs(NOW, &POLICY).unwrap().remove(0);
    assert_eq!((numbers(&again), again.attempt), (vec![1], 2));
    // Put off by a clock that is right, a job waits as long as that is usual.
    store.release_job(again.job, again.lease, seconds_later(300)).unwrap();
    assert_eq!(store.lease_jobs(NOW, &POLICY), Ok(vec![]));
}

pub(crate) fn a_full_job_leaves_at_once_and_is_bounded_both_ways(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    upload_singly(&*store, task, &(0..9).map(|number| (number, 1)).collect::<Vec<_>>());
    let jobs = store.lease_jobs(NOW, &LeasePolicy { limit: 1, ..POLICY }).unwrap();
    assert_eq!(jobs.iter().map(numbers).collect::<Vec<_>>(), [[0, 1, 2, 3]]);
    // A report of 8 bytes takes 20.
    let jobs = store.lease_jobs(NOW, &LeasePolicy { max_bytes: 59, ..POLICY }).unwrap();
    assert_eq!(jobs.iter().map(numbers).collect::<Vec<_>>(), [[4, 5], [6, 7]]);
    // One that is larger than a job may be still travels.
    let jobs = lease(&*store, NOW);
    assert_eq!(jobs.iter().map(numbers).collect::<Vec<_>>(), [[8]]);
    accept(&*store, upload(task, &(10..16).map(|number| (number, 1)).collect::<Vec<_>>()));
    let jobs = store.lease_jobs(NOW, &POLICY).unwrap();
    assert_eq!(jobs.iter().map(|job| numbers(job).len()).collect::<Vec<_>>(), [6]);
}

pub(crate) fn a_commit_replaces_reports_by_shards_and_happens_once(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 1), (2, 2), (3, 2)]));
    let job = lease(&*store, NOW).remove(0);
    let shards = [shard(at(1), 1), shard(at(2), 2)];
    let done =
        LeaderCommit { job: job.job, lease: job.lease, shards: &shards, again: None, lost: &[] };
    assert_eq!(store.commit_leader_job(&done), Ok(()));
    assert_eq!(store.commit_leader_job(&done), Err(StoreError::StaleLease(job.job)));
    let expected = Counts { verified_reports: 3, buckets: 2, ..Counts::default() };
    assert_eq!(bench.open().counts(&task), Ok(expected));
    let unknown = LeaderCommit {
        job: JobId(99),
        lease: LeaseToken([0; 16]),
        shards: &shards,
        again: None,
        lost: &[],
    };
    assert_eq!(store.commit_leader_job(&unknown), Err(StoreError::StaleLease(JobId(99))));
}

pub(crate) fn a_commit_to_a_collected_bucket_changes_nothing(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 1)]));
    let job = lease(&*store, NOW).remove(0);
    let id = CollectionId([1; 16]);
    let batch = range(10, 1);
    let closing = Closing { task: &task, id, request: b"", range: &batch, then: Then::AwaitPeer };
    let closed = store.close_batch(NOW, &closing, &mut |_| Some(Blob::default().into())).unwrap();
    assert!(matches!(closed, Closed::Kept(_)));
    let before = store.counts(&task).unwrap();
    let shards = [shard(at(1), 1), shard(at(10), 1)];
    let error = store.commit_leader_job(&LeaderCommit {
        job: job.job,
        lease: job.lease,
        shards: &shards,
        again: None,
        lost: &[],
    });
    assert_eq!(error, Err(StoreError::Collected(vec![at(10)])));
    assert_eq!(store.counts(&task), Ok(before));
    commit(&*store, &job, at(1));
}

pub(crate) fn what_is_lost_is_added_up_by_its_reason_once_for_each_job(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    assert_eq!(store.lost(&task), Ok(Vec::new()));
    let of = |lost: &[(u8, u64)]| -> Vec<_> {
        lost.iter().map(|&(reason, reports)| LostReports { reason, reports }).collect()
    };
    for (number, lost) in [(1, of(&[(4, 2)])), (2, of(&[(4, 1), (6, 1)]))] {
        upload_singly(&*store, task, &[(number, 1)]);
        let LeasedJob { job, lease, .. } = lease(&*store, NOW).remove(0);
        let commit = LeaderCommit { job, lease, shards: &[], again: None, lost: &lost };
        store.commit_leader_job(&commit).unwrap();
        assert_eq!(store.commit_leader_job(&commit), Err(StoreError::StaleLease(job)));
    }
    assert_eq!(bench.open().lost(&task), Ok(of(&[(4, 3), (6, 1)])));
    let nobody = TaskId::new([99; 32]);
    assert_eq!(store.lost(&nobody), Err(StoreError::UnknownTask(nobody)));
}

pub(crate) fn a_released_job_comes_back_when_it_may_and_not_before(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 1)]));
    let job = lease(&*store, NOW).remove(0);
    store.release_job(job.job, job.lease, seconds_later(60)).unwrap();
    let stale = Err(StoreError::StaleLease(job.job));
    assert_eq!(store.release_job(job.job, job.lease, NOW), stale);
    assert_eq!(lease(&*store, seconds_later(59)), []);
    let again = lease(&*store, seconds_later(60)).remove(0);
    assert_eq!((again.job, again.attempt, &again.segments), (job.job, 2, &job.segments));
}

/// A helper that refuses any job with report 5.
pub(crate) fn a_refused_job_is_halved_down_to_single_reports(bench: &dyn Bench) {
    let (mut store, task) = with_intervals(bench);
    upload_singly(&*store, task, &[(0, 1), (1, 1), (2, 2)]);
    accept(&*store, upload(task, &(3..11).map(|number| (number, number % 3)).collect::<Vec<_>>()));
    let policy = LeasePolicy { max_reports: 100, linger: Duration::ZERO, ..POLICY };
    let (mut verified, mut asked) = (Vec::new(), 0);
    loop {
        let jobs = store.lease_jobs(NOW, &policy).unwrap();
        asked += jobs.len();
        for job in &jobs {
            if !numbers(job).contains(&5) {
                verified.extend(numbers(job));
                commit(&*store, job, at(1));
            } else if !store.split_job(job.job, job.lease).unwrap() {
                assert_eq!(numbers(job), [5]);
                store.abandon_job(job.job, job.lease).unwrap();
            }
            assert_eq!(store.split_job(job.job, job.lease), Err(StoreError::StaleLease(job.job)));
        }
        if jobs.is_empty() {
            break;
        }
        drop(store);
        store = bench.open();
    }
    verified.sort_unstable();
    assert_eq!(verified, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10]);
    assert!(asked <= 9, "{asked} jobs for 11 reports");
    let counts = store.counts(&task).unwrap();
    assert_eq!((counts.stuck_reports, counts.waiting_reports, counts.verified_reports), (1, 0, 10));
}

pub(crate) fn pieces_of_a_job_keep_its_place(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 12), (2, 12), (3, 12)]));
    let job = lease(&*store, NOW).remove(0);
    let (id, batch) = (CollectionId([1; 16]), range(10, 5));
    let wanted = Wanted::Range(batch.clone());
    let new = NewCollection { task: &task, request: b"", wanted: &wanted };
    store.start_collection(NOW, &new, &|_| id).unwrap();
    accept(&*store, upload(task, &[(9, 12)]));
    assert_eq!(store.split_job(job.job, job.lease), Ok(true));
    assert_eq!(store.counts(&task).unwrap().waiting_reports, 4);
    // The collection waits for both halves, however they are cut up, and not for what came later.
    let close = || {
        let closing =
            Closing { task: &task, id, request: b"", range: &batch, then: Then::AwaitPeer };
        store.close_batch(NOW, &closing, &mut |_| Some(Blob::default().into())).unwrap()
    };
    let mut done = Vec::new();
    while done.len() < 3 {
        assert_eq!(close(), Closed::Busy, "after {done:?}");
        let jobs = lease(&*store, NOW);
        assert!(!jobs.is_empty(), "after {done:?}");
        for job in jobs {
            assert_eq!(job.attempt, 1);
            assert!(job.cuts > 0);
            if numbers(&job).len() > 1 {
                assert_eq!(store.split_job(job.job, job.lease), Ok(true));
            } else {
                done.extend(numbers(&job));
                commit(&*store, &job, at(12));
            }
        }
    }
    done.sort_unstable();
    assert_eq!(done, [1, 2, 3]);
    assert!(matches!(close(), Closed::Kept(_)));
}

/// A helper that refuses everything, however small.
pub(crate) fn no_more_jobs_are_cut_up_than_bounded(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let all = 4 * MOST_PIECES;
    for some in (0..all).collect::<Vec<_>>().chunks(512) {
        accept(&*store, upload(task, &some.iter().map(|n| (*n, 1)).collect::<Vec<_>>()));
    }
    let policy = LeasePolicy { max_reports: 512, linger: Duration::ZERO, limit: 5000, ..POLICY };
    let mut kept = 0;
    loop {
        let jobs = store.lease_jobs(NOW, &policy).unwrap();
        if jobs.is_empty() {
            break;
        }
        for job in jobs {
            if !store.split_job(job.job, job.lease).unwrap() {
                kept += 1;
                store.release_job(job.job, job.lease, seconds_later(300)).unwrap();
            }
        }
    }
    assert!(kept <= MOST_PIECES + 10, "{kept} jobs");
    assert_eq!(store.counts(&task).unwrap().stuck_reports, 0);
    let jobs = store.lease_jobs(seconds_later(300), &policy).unwrap();
    let mut again: Vec<_> = jobs.iter().flat_map(numbers).collect();
    again.sort_unstable();
    assert_eq!(again, (0..all).collect::<Vec<_>>());
    assert!(jobs.iter().all(|job| job.attempt == 2));
}

pub(crate) fn reports_of_an_abandoned_job_are_stuck_until_they_are_tried_again(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    upload_singly(&*store, task, &[(1, 1), (2, 1)]);
    let job = lease(&*store, NOW).remove(0);
    store.abandon_job(job.job, job.lease).unwrap();
    assert_eq!(store.abandon_job(job.job, job.lease), Err(StoreError::StaleLease(job.job)));
    assert_eq!(lease(&*store, seconds_later(100)), []);
    let counts = bench.open().counts(&task).unwrap();
    assert_eq!((counts.stuck_reports, counts.waiting_reports), (2, 0));
    assert_eq!(store.retry_stuck(&task), Ok(2));
    let again = lease(&*store, seconds_later(100)).remove(0);
    assert_eq!((numbers(&again), again.cuts), (vec![1, 2], 0));
}

pub(crate) fn tasks_take_turns(bench: &dyn Bench) {
    let (store, busy) = with_intervals(bench);
    let quiet = put(&*store, 2, BatchingMode::TimeInterval);
    upload_singly(&*store, busy, &(0..20).map(|number| (number, 1)).collect::<Vec<_>>());
    upload_singly(&*store, quiet, &[(1, 1)]);
    let leave = |limit| LeasePolicy { limit, linger: Duration::ZERO, ..POLICY };
    assert_eq!(store.lease_jobs(NOW, &leave(1)).unwrap().len(), 1);
    let jobs = store.lease_jobs(NOW, &leave(3)).unwrap();
    assert_eq!(jobs.iter().map(|job| job.task).collect::<Vec<_>>(), [busy, quiet, busy]);
}

pub(crate) fn jobs_go_in_the_oldest_batch_with_room(bench: &dyn Bench) {
    let (store, task) = with_batches_of(6, bench);
    upload_singly(&*store, task, &(0..16).map(|number| (number, 1)).collect::<Vec<_>>());
    let jobs = lease(&*store, NOW);
    let batches = jobs.iter().map(|job| job.batch.unwrap()).collect::<Vec<_>>();
    // Jobs of 4: a batch takes a second one at 4 of 6, and is full at 8.
    assert_eq!((batches[0], batches[2]), (batches[1], batches[3]));
    assert_ne!(batches[0], batches[2]);
    // Few reports of the first batch were valid, so the next job goes there again.
    for job in &jobs {
        let key = BucketKey::batch(&job.batch.unwrap());
        let valid = if job.batch == Some(batches[0]) { 1 } else { 4 };
        let shards = [shard(key, valid)];
        let commit = LeaderCommit {
            job: job.job,
            lease: job.lease,
            shards: &shards,
            again: None,
            lost: &[],
        };
        store.commit_leader_job(&commit).unwrap();
    }
    assert_eq!(store.next_batch(&task), Ok(Some(batches[2])), "the older one is not full");
    upload_singly(&*store, task, &(20..24).map(|number| (number, 1)).collect::<Vec<_>>());
    assert_eq!(lease(&*store, NOW)[0].batch, Some(batches[0]));
}

pub(crate) fn a_batch_is_next_when_it_is_full_and_nothing_is_in_flight(bench: &dyn Bench) {
    let (store, task) = with_batches_of(4, bench);
    let in_batch = |batch: BatchId| BucketKey::batch(&batch);
    let policy = LeasePolicy { max_reports: 3, linger: Duration::ZERO, ..POLICY };
    upload_singly(&*store, task, &(0..6).map(|number| (number, 1)).collect::<Vec<_>>());
    let jobs = store.lease_jobs(NOW, &policy).unwrap();
    let batch = jobs[0].batch.unwrap();
    assert_eq!(jobs[1].batch, Some(batch));
    assert_eq!(store.next_batch(&task), Ok(None));
    commit(&*store, &jobs[0], in_batch(batch));
    assert_eq!(store.next_batch(&task), Ok(None), "3 of 4 are verified");
    commit(&*store, &jobs[1], in_batch(batch));
    assert_eq!(bench.open().next_batch(&task), Ok(Some(batch)));
}

/// The times of a job's reports.
fn times(job: &LeasedJob) -> std::collections::BTreeSet<u64> {
    job.reports().map(|(time, _)| time.0).collect()
}

/// Commits a job to its batch, as if all its reports, of one time, were valid.
fn commit_to_batch(store: &dyn Datastore, job: &LeasedJob) {
    let time = Time(*times(job).first().unwrap());
    let key = BucketKey::batch(&job.batch.unwrap());
    let reports = job.reports().count() as u64;
    let shards = [BucketShard { first: time, last: time, ..shard(key, reports) }];
    let commit =
        LeaderCommit { job: job.job, lease: job.lease, shards: &shards, again: None, lost: &[] };
    store.commit_leader_job(&commit).unwrap();
}

pub(crate) fn reports_of_two_times_never_share_a_batch(bench: &dyn Bench) {
    let (store, task) = with_batches_of(3, bench);
    // In one upload, and in many; a tail of time 9 is left over for good.
    accept(&*store, upload(task, &[(1, 7), (2, 8), (3, 7), (4, 9)]));
    upload_singly(&*store, task, &[(5, 8), (6, 7), (7, 8), (8, 8)]);
    let mut batches = std::collections::BTreeMap::new();
    for round in 0..2 {
        for job in lease(&*store, NOW) {
            let of_job = times(&job);
            assert_eq!(of_job.len(), 1, "round {round}: {of_job:?}");
            let of_batch: &mut std::collections::BTreeSet<u64> =
                batches.entry(job.batch.unwrap()).or_default();
            of_batch.extend(of_job);
            assert_eq!(of_batch.len(), 1, "round {round}: {of_batch:?}");
            commit_to_batch(&*store, &job);
        }
        upload_singly(&*store, task, &[(20 + round, 8), (30 + round, 7)]);
    }
    let next = store.next_batch(&task).unwrap().unwrap();
    assert_ne!(batches[&next].first(), Some(&9), "what is never full holds up nobody");
    // Where times may be mixed, they are.
    let mixed = put(&*store, 2, BatchingMode::LeaderSelectedAnyTime { target: 3 });
    accept(&*store, upload(mixed, &[(1, 7), (2, 8), (3, 9)]));
    let jobs = lease(&*store, NOW);
    let of_mixed = jobs.iter().filter(|job| job.task == mixed).collect::<Vec<_>>();
    assert_eq!((of_mixed.len(), times(of_mixed[0]).len()), (1, 3));
}

pub(crate) fn a_time_with_many_reports_does_not_wait_for_very_many_others(bench: &dyn Bench) {
    const TIMES: u64 = 700;
    let (store, task) = with_batches_of(4, bench);
    accept(&*store, upload(task, &(0..TIMES).map(|n| (n, 1000 + n)).collect::<Vec<_>>()));
    accept(&*store, upload(task, &(TIMES..TIMES + 4).map(|n| (n, 7)).collect::<Vec<_>>()));
    let policy = |limit| LeasePolicy { limit, linger: Duration::ZERO, ..POLICY };
    let (mut jobs, mut found) = (store.lease_jobs(NOW, &policy(2)).unwrap(), Vec::new());
    let full = jobs.iter().find(|job| times(job) == [7].into()).unwrap().batch;
    while !jobs.is_empty() {
        for job in &jobs {
            assert_eq!(times(job).len(), 1);
            found.extend(numbers(job));
            if job.batch == full {
                commit_to_batch(&*store, job);
            } else {
                // Not one of its reports is valid.
                let commit = LeaderCommit {
                    job: job.job,
                    lease: job.lease,
                    shards: &[],
                    again: None,
                    lost: &[],
                };
                store.commit_leader_job(&commit).unwrap();
            }
        }
        jobs = store.lease_jobs(NOW, &policy(400)).unwrap();
    }
    found.sort_unstable();
    assert_eq!(found, (0..TIMES + 4).collect::<Vec<_>>());
    assert_eq!(store.next_batch(&task), Ok(full));
}

pub(crate) fn a_job_goes_in_a_batch_of_its_time_however_many_there_are(bench: &dyn Bench) {
    let (store, task) = with_batches_of(3, bench);
    let mut batches = std::collections::BTreeMap::new();
    for round in 0..2 {
        let reports: Vec<_> = (0..50).map(|n| (100 * round + n, 1000 + n)).collect();
        accept(&*store, upload(task, &reports));
        let policy = LeasePolicy { limit: 100, linger: Duration::ZERO, ..POLICY };
        let jobs = store.lease_jobs(NOW, &policy).unwrap();
        assert_eq!(jobs.len(), 50);
        for job in &jobs {
            commit_to_batch(&*store, job);
            let before = batches.insert(times(job), job.batch);
            assert!(before.is_none_or(|before| before == job.batch), "round {round}");
        }
    }
    assert_eq!(store.next_batch(&task), Ok(None), "2 of 3 in each");
}

pub(crate) fn a_batch_that_was_left_empty_is_not_used_again(bench: &dyn Bench) {
    let (store, task) = with_batches_of(3, bench);
    upload_singly(&*store, task, &[(1, 7)]);
    let job = lease(&*store, NOW).remove(0);
    let commit =
        LeaderCommit { job: job.job, lease: job.lease, shards: &[], again: None, lost: &[] };
    store.commit_leader_job(&commit).unwrap();
    // The helper may hold a report of time 7 there, which a job of time 8 must not meet.
    upload_singly(&*store, task, &[(2, 8)]);
    let next = lease(&*store, NOW).remove(0);
    assert_ne!(next.batch, job.batch);
}

pub(crate) fn segments_packed_before_batches_were_of_one_time_are_parted(bench: &dyn Bench) {
    let (store, task) = with_batches_of(3, bench);
    let one_time = store.task(&task).unwrap().unwrap();
    let mode = BatchingMode::LeaderSelectedAnyTime { target: 3 };
    let mixed = TaskRecord { mode, ..one_time.clone() };
    assert_eq!(store.change_task(&one_time, &mixed), Ok(true));
    accept(&*store, upload(task, &[(1, 7), (2, 8), (3, 7), (4, 8)]));
    upload_singly(&*store, task, &[(5, 8)]);
    let full = lease(&*store, NOW).remove(0);
    let shards = [BucketShard {
        first: Time(7),
        last: Time(8),
        ..shard(BucketKey::batch(&full.batch.unwrap()), 5)
    }];
    accept(&*store, upload(task, &[(11, 7), (12, 8), (13, 7), (14, 8)]));
    assert_eq!(store.change_task(&mixed, &one_time), Ok(true));
    let mut found: Vec<_> =
        lease(&*store, NOW).iter().map(|job| (times(job), numbers(job))).collect();
    found.sort();
    assert_eq!(found, [([7].into(), vec![11, 13]), ([8].into(), vec![12, 14])]);
    // What was mixed before is never next, and so holds up nobody.
    let commit =
        LeaderCommit { job: full.job, lease: full.lease, shards: &shards, again: None, lost: &[] };
    store.commit_leader_job(&commit).unwrap();
    assert_eq!(store.next_batch(&task), Ok(None));
    assert_eq!(store.change_task(&one_time, &mixed), Ok(true));
    assert_eq!(store.next_batch(&task), Ok(full.batch));
}

pub(crate) fn tasks_of_one_peer_share_its_room_in_new_jobs_and_old_ones(bench: &dyn Bench) {
    let store = bench.open();
    let tasks = [1, 2, 3].map(|byte| put(&*store, byte, BatchingMode::TimeInterval));
    for (at, task) in tasks.iter().enumerate() {
        let first = 100 * at as u64;
        upload_singly(&*store, *task, &(first..first + 12).map(|n| (n, 1)).collect::<Vec<_>>());
    }
    let policy =
        |room| LeasePolicy { quotas: vec![Quota { tasks: tasks[..2].to_vec(), room }], ..POLICY };
    let of =
        |jobs: &[LeasedJob], task: &TaskId| jobs.iter().filter(|job| job.task == *task).count();
    let jobs = store.lease_jobs(NOW, &policy(0)).unwrap();
    assert_eq!(tasks.map(|task| of(&jobs, &task)), [0, 0, 3]);
    let jobs = store.lease_jobs(NOW, &policy(2)).unwrap();
    assert_eq!(tasks.map(|task| of(&jobs, &task)), [1, 1, 0]);
    // All leases run out: the peer without room gets none of them back, the other one all.
    let jobs = store.lease_jobs(seconds_later(11), &policy(0)).unwrap();
    assert_eq!(tasks.map(|task| of(&jobs, &task)), [0, 0, 3]);
    let jobs = store.lease_jobs(seconds_later(12), &policy(1)).unwrap();
    assert_eq!((jobs.len(), jobs[0].attempt), (1, 2));
}

pub(crate) fn new_jobs_come_first_if_that_is_asked_for(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    upload_singly(&*store, task, &(0..8).map(|number| (number, 1)).collect::<Vec<_>>());
    let one = LeasePolicy { limit: 1, ..POLICY };
    let first = store.lease_jobs(NOW, &one).unwrap().remove(0);
    store.release_job(first.job, first.lease, NOW).unwrap();
    let new_first = LeasePolicy { new_first: true, ..one.clone() };
    let jobs = store.lease_jobs(NOW, &new_first).unwrap();
    assert_eq!((jobs.len(), numbers(&jobs[0])), (1, vec![4, 5, 6, 7]));
    let jobs = store.lease_jobs(NOW, &new_first).unwrap();
    assert_eq!((jobs.len(), numbers(&jobs[0])), (1, vec![0, 1, 2, 3]));
}
