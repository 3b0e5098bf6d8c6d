//! The helper's jobs.

use super::*;
use crate::store::{
    Closed, Closing, CollectionId, Counts, HelperJob, HelperOutcome, LostReports, StoredJob, Then,
};
use sottovoce_dap::ids::AggregationJobId;

fn job_id(byte: u8) -> AggregationJobId {
    AggregationJobId::new([byte; 16])
}

/// Commits reports, given by number, to the bucket of time 1.
fn run(store: &dyn Datastore, task: &TaskId, job: u8, reports: &[u64]) -> HelperOutcome {
    run_in(store, task, job, reports, &[shard(at(1), reports.len() as u64)])
}

fn run_in(
    store: &dyn Datastore,
    task: &TaskId,
    job: u8,
    reports: &[u64],
    shards: &[BucketShard],
) -> HelperOutcome {
    let reports: Vec<_> = reports.iter().map(|number| (report_id(*number), Time(1))).collect();
    let job = HelperJob {
        task,
        id: &job_id(job),
        request_digest: &[job; 32],
        reports: &reports,
        shards,
        response: &[job; 5],
        lost: &[],
    };
    store.commit_helper_job(NOW, &job).unwrap()
}

fn is_committed(outcome: &HelperOutcome) -> bool {
    matches!(outcome, HelperOutcome::Committed(_))
}

pub(crate) fn what_a_helper_loses_is_counted_once_however_often_the_job_comes(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let lost = [LostReports { reason: 4, reports: 2 }];
    let (id, request_digest) = (&job_id(1), &[1; 32]);
    let job = HelperJob {
        task: &task,
        id,
        request_digest,
        reports: &[],
        shards: &[],
        response: b"",
        lost: &lost,
    };
    assert!(is_committed(&store.commit_helper_job(NOW, &job).unwrap()));
    let again = store.commit_helper_job(NOW, &job).unwrap();
    assert!(matches!(again, HelperOutcome::AlreadyDone(_)), "{again:?}");
    assert_eq!(bench.open().lost(&task), Ok(lost.to_vec()));
}

pub(crate) fn a_conflict_names_every_report_and_bucket_and_changes_nothing(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    assert!(is_committed(&run(&*store, &task, 1, &[1, 2, 3])));
    let batch = range(10, 5);
    let id = CollectionId([1; 16]);
    let closing = Closing { task: &task, id, request: b"", range: &batch, then: Then::Finish };
    let closed = store.close_batch(NOW, &closing, &mut |_| Some(Blob::default().into())).unwrap();
    assert!(matches!(closed, Closed::Kept(_)));
    let before = store.counts(&task).unwrap();

    let shards = [shard(at(1), 2), shard(at(10), 1), shard(at(14), 1), shard(at(15), 1)];
    let outcome = run_in(&*store, &task, 2, &[4, 3, 5, 1], &shards);
    let HelperOutcome::Conflict { mut replayed, collected } = outcome else {
        panic!("{outcome:?}")
    };
    replayed.sort_unstable();
    let mut expected = [report_id(1), report_id(3)];
    expected.sort_unstable();
    assert_eq!(replayed, expected);
    assert_eq!(collected, [at(10), at(14)]);
    assert_eq!(store.counts(&task), Ok(before));
    assert_eq!(store.replay_job(&task, &job_id(2)), Ok(None));
    // A collected bucket alone is enough.
    let outcome = run_in(&*store, &task, 2, &[4], &[shard(at(12), 1)]);
    assert_eq!(outcome, HelperOutcome::Conflict { replayed: vec![], collected: vec![at(12)] });
    assert_eq!(store.counts(&task), Ok(before));
    // The rest goes through: none of it was used up by the conflict.
    assert!(is_committed(&run(&*store, &task, 2, &[4, 5])));
}

pub(crate) fn a_report_twice_in_one_job_is_a_conflict(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let outcome = run(&*store, &task, 1, &[1, 2, 1]);
    let replayed = vec![report_id(1)];
    assert_eq!(outcome, HelperOutcome::Conflict { replayed, collected: vec![] });
    assert_eq!(store.counts(&task), Ok(Counts::default()));
}

pub(crate) fn an_id_is_aggregated_once_whatever_its_time(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let commit = |job: u8, reports: &[(ReportId, Time)]| {
        let job = HelperJob {
            task: &task,
            id: &job_id(job),
            request_digest: &[job; 32],
            reports,
            shards: &[shard(at(1), reports.len() as u64)],
            response: b"",
            lost: &[],
        };
        store.commit_helper_job(NOW, &job).unwrap()
    };
    let [one, two] = [1, 2].map(report_id);
    let conflict = HelperOutcome::Conflict { replayed: vec![one], collected: vec![] };
    assert_eq!(commit(1, &[(one, Time(5)), (two, Time(5)), (one, Time(69))]), conflict);
    assert!(is_committed(&commit(2, &[(one, Time(5)), (two, Time(5))])));
    assert_eq!(commit(3, &[(report_id(3), Time(5)), (one, Time(1 << 30))]), conflict);
    assert!(is_committed(&commit(4, &[(report_id(3), Time(5))])));
}

pub(crate) fn a_job_is_committed_once_and_answered_again_after_a_restart(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let other = put(&*store, 2, BatchingMode::TimeInterval);
    assert!(is_committed(&run(&*store, &task, 1, &[1, 2])));
    // Killed here: committed and not answered, so the leader sends its request again.
    drop(store);
    let store = bench.open();
    let stored = StoredJob { request_digest: [1; 32], response: Blob::from(vec![1; 5]) };
    assert_eq!(store.replay_job(&task, &job_id(1)), Ok(Some(stored.clone())));
    assert_eq!(run(&*store, &task, 1, &[1, 2]), HelperOutcome::AlreadyDone(stored));
    assert_eq!(store.counts(&task).unwrap().verified_reports, 2);
    // Another task has its own jobs and its own replays.
    assert_eq!(store.replay_job(&other, &job_id(1)), Ok(None));
    assert!(is_committed(&run(&*store, &other, 1, &[1, 2])));
}

pub(crate) fn a_deleted_job_keeps_its_report_ids(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    assert!(is_committed(&run(&*store, &task, 1, &[1])));
    for _ in 0..2 {
        store.delete_job(&task, &job_id(1)).unwrap();
        assert_eq!(store.replay_job(&task, &job_id(1)), Ok(None));
    }
    let replayed = vec![report_id(1)];
    let outcome = run(&*store, &task, 1, &[1]);
    assert_eq!(outcome, HelperOutcome::Conflict { replayed, collected: vec![] });
    assert_eq!(store.counts(&task).unwrap().verified_reports, 1);
}

pub(crate) fn of_two_jobs_with_a_common_report_one_is_committed(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let race = |job: u8| {
        let store = store.clone();
        std::thread::spawn(move || run(&*store, &task, job, &[7, 100 + u64::from(job)]))
    };
    let threads = (1..=4).map(race).collect::<Vec<_>>();
    let outcomes = threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>();
    assert_eq!(outcomes.iter().filter(|outcome| is_committed(outcome)).count(), 1);
    assert_eq!(store.counts(&task).unwrap().verified_reports, 2);
}

/// Commits one report, given by number, to a batch.
fn run_at(
    store: &dyn Datastore,
    task: &TaskId,
    job: u8,
    batch: &BucketKey,
    times: [u64; 2],
) -> HelperOutcome {
    let [first, last] = times.map(Time);
    let shards = [BucketShard { first, last, ..shard(batch.clone(), 1) }];
    run_in(store, task, job, &[u64::from(job)], &shards)
}

pub(crate) fn a_batch_of_one_time_takes_no_job_of_another(bench: &dyn Bench) {
    let (store, task) = with_batches_of(3, bench);
    let [one, other] =
        [1, 2].map(|byte| BucketKey::batch(&sottovoce_dap::ids::BatchId::new([byte; 32])));
    assert!(is_committed(&run_at(&*store, &task, 1, &one, [7, 7])));
    let before = store.counts(&task).unwrap();
    for times in [[8, 8], [7, 8], [6, 7]] {
        let outcome = run_at(&*store, &task, 2, &one, times);
        assert_eq!(outcome, HelperOutcome::OtherTime(one.clone()));
    }
    assert_eq!(run_at(&*store, &task, 2, &other, [7, 8]), HelperOutcome::OtherTime(other.clone()));
    assert_eq!(store.counts(&task), Ok(before));
    // Nothing of it was used up: neither the job nor its report.
    assert!(is_committed(&run_at(&*store, &task, 2, &other, [8, 8])));
    assert!(is_committed(&run_at(&*store, &task, 3, &one, [7, 7])));
    let mixed = put(&*store, 2, BatchingMode::LeaderSelectedAnyTime { target: 3 });
    assert!(is_committed(&run_at(&*store, &mixed, 1, &one, [7, 8])));
}

pub(crate) fn of_two_jobs_of_two_times_for_one_batch_one_is_committed(bench: &dyn Bench) {
    let (store, task) = with_batches_of(3, bench);
    let batch = BucketKey::batch(&sottovoce_dap::ids::BatchId::new([5; 32]));
    let race = |job: u8| {
        let (store, batch) = (store.clone(), batch.clone());
        let time = u64::from(job);
        std::thread::spawn(move || run_at(&*store, &task, job, &batch, [time, time]))
    };
    let threads = (1..=6).map(race).collect::<Vec<_>>();
    let outcomes = threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>();
    assert_eq!(outcomes.iter().filter(|outcome| is_committed(outcome)).count(), 1);
    assert_eq!(store.counts(&task).unwrap().verified_reports, 1);
}
