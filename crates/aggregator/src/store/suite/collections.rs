//! Collections.

use super::*;
use crate::store::{
    Again, Closed, Closing, CollectionId, CollectionState, Expiry, LogEntry, MOST_PENDING,
    NewCollection, Outcome, Refusal, Started, StoreError, Then, Wanted,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

const REQUEST: &[u8] = b"request";

fn id(byte: u8) -> CollectionId {
    CollectionId([byte; 16])
}

fn blob(text: &str) -> Blob {
    Blob::from(text.as_bytes())
}

/// Asks for a range under ID `byte`, or the ID that many further on.
fn start(store: &dyn Datastore, task: &TaskId, byte: u8, wanted: &Wanted) -> Started {
    let new = NewCollection { task, request: REQUEST, wanted };
    store.start_collection(NOW, &new, &|deleted| id(byte + u8::try_from(deleted).unwrap())).unwrap()
}

fn start_range(store: &dyn Datastore, task: &TaskId, byte: u8, batch: &BucketRange) -> Started {
    start(store, task, byte, &Wanted::Range(batch.clone()))
}

/// Closes a batch as the leader does; the blob kept is how many reports it has.
fn close(store: &dyn Datastore, task: &TaskId, id: CollectionId, batch: &BucketRange) -> Closed {
    close_then(Then::AwaitPeer, store, task, id, batch)
}

fn close_then(
    then: Then,
    store: &dyn Datastore,
    task: &TaskId,
    id: CollectionId,
    range: &BucketRange,
) -> Closed {
    let closing = Closing { task, id, request: REQUEST, range, then };
    let mut count = |shards: &mut dyn Iterator<Item = BucketShard>| {
        Some(kept(shards.map(|shard| shard.reports).sum()).into())
    };
    store.close_batch(NOW, &closing, &mut count).unwrap()
}

fn finished_with(text: &str) -> Outcome {
    let entry = LogEntry { key: [1; 32], bytes: blob(text) };
    Outcome::Finished { response: blob(text), entry }
}

fn kept(reports: u64) -> Blob {
    blob(&format!("{reports} reports"))
}

/// Puts verified reports in the bucket of a time.
fn aggregate(store: &dyn Datastore, task: TaskId, reports: std::ops::Range<u64>, time: u64) {
    let reports: Vec<_> = reports.map(|number| (number, time)).collect();
    assert!(accept(store, upload(task, &reports)).iter().all(Result::is_ok));
    for job in lease(store, NOW) {
        commit(store, &job, at(time));
    }
}

pub(crate) fn an_overlapping_batch_is_refused_even_where_it_is_empty(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..3, 12);
    aggregate(&*store, task, 3..5, 15);
    assert_eq!(close(&*store, &task, id(1), &range(10, 5)), Closed::Kept(kept(3)));
    drop(store);
    let store = bench.open();
    for (start, duration) in [(10, 5), (14, 1), (10, 1), (8, 3), (14, 5), (0, 100), (12, 1)] {
        let closed = close(&*store, &task, id(2), &range(start, duration));
        assert_eq!(closed, Closed::Overlap, "{start}+{duration}");
    }
    assert_eq!(close(&*store, &task, id(3), &range(0, 10)), Closed::Kept(kept(0)));
    assert_eq!(close(&*store, &task, id(4), &range(15, 1)), Closed::Kept(kept(2)));
    let other = put(&*store, 2, BatchingMode::TimeInterval);
    assert_eq!(close(&*store, &other, id(1), &range(10, 5)), Closed::Kept(kept(0)));
}

pub(crate) fn a_batch_is_not_closed_while_its_reports_wait_or_are_in_flight(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 5), (2, 9)]));
    start_range(&*store, &task, 1, &range(9, 3));
    for (start, duration) in [(9, 3), (0, 6), (7, 1)] {
        let closed = close(&*store, &task, id(1), &range(start, duration));
        assert_eq!(closed, Closed::Busy, "{start}+{duration}");
    }
    // The pending collection hurries the reports on, before they have lingered.
    let job = store.lease_jobs(NOW, &POLICY).unwrap().remove(0);
    assert_eq!(close(&*store, &task, id(1), &range(9, 3)), Closed::Busy);
    store.release_job(job.job, job.lease, seconds_later(60)).unwrap();
    assert_eq!(close(&*store, &task, id(1), &range(9, 3)), Closed::Busy);
    assert_eq!(close(&*store, &task, id(2), &range(10, 3)), Closed::Kept(kept(0)));
    commit(&*store, &lease(&*store, seconds_later(60))[0], at(9));
    assert_eq!(close(&*store, &task, id(1), &range(9, 1)), Closed::Kept(kept(2)));
}

pub(crate) fn reports_that_arrive_late_do_not_hold_up_a_collection(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    start_range(&*store, &task, 1, &range(5, 1));
    // One upload for the batch and for another; held, or the batch might grow for ever.
    accept(&*store, upload(task, &[(10, 5), (11, 8), (12, 5)]));
    assert_eq!(lease(&*store, NOW), []);
    // What is not of the batch goes on.
    accept(&*store, upload(task, &[(20, 6)]));
    assert_eq!(lease(&*store, NOW).iter().map(numbers).collect::<Vec<_>>(), [[20]]);
    assert_eq!(close(&*store, &task, id(1), &range(5, 1)), Closed::Kept(kept(2)));
    // Once it is closed, no job may contain its reports.
    assert_eq!(lease(&*store, NOW).iter().map(numbers).collect::<Vec<_>>(), [[11]]);
    let counts = bench.open().counts(&task).unwrap();
    assert_eq!((counts.dropped_reports, counts.waiting_reports), (2, 0));
    // They were accepted once all the same.
    assert_eq!(accept(&*store, upload(task, &[(10, 5)])), [Err(Refusal::Replayed)]);
}

pub(crate) fn a_report_that_is_put_off_holds_up_a_collection_that_came_after_it(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    upload_singly(&*store, task, &[(1, 10), (2, 11)]);
    let job = lease(&*store, NOW).remove(0);
    let batch = range(10, 5);
    assert_eq!(start_range(&*store, &task, 1, &batch), Started::New(id(1)));
    // Too early for the helper: one of them is to be tried again.
    let again = upload(task, &[(2, 11)]);
    let shards = [shard(at(10), 1)];
    let end = LeaderCommit {
        job: job.job,
        lease: job.lease,
        shards: &shards,
        again: Some(Again { reports: &again, from: seconds_later(5) }),
        lost: &[],
    };
    store.commit_leader_job(&end).unwrap();
    // It has waited since it arrived, however often it is put off.
    assert_eq!(store.counts(&task).unwrap().oldest, Some(NOW));
    // Urgent as it is, it would be too early once more.
    assert_eq!(lease(&*store, seconds_later(4)), []);
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Busy);
    let job = lease(&*store, seconds_later(5)).remove(0);
    assert_eq!(numbers(&job), [2]);
    commit(&*store, &job, at(11));
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(2)));
}

/// Accepted, cut off from its job, asked for, and only then too early for the helper.
pub(crate) fn a_piece_that_is_put_off_holds_up_a_collection_that_came_after_it(bench: &dyn Bench) {
    for (byte, mode) in (1..).zip(MODES) {
        let store = bench.open();
        let task = put(&*store, byte, mode);
        let (batch, asked) = (range(10, 5), id(byte));
        accept(&*store, upload(task, &[(1, 10), (2, 10)]));
        let job = lease(&*store, NOW).remove(0);
        assert_eq!(store.split_job(job.job, job.lease), Ok(true));
        start_range(&*store, &task, byte, &batch);
        let pieces = lease(&*store, NOW);
        assert_eq!(pieces.iter().map(numbers).collect::<Vec<_>>(), [[1], [2]]);
        for piece in &pieces {
            let number = numbers(piece)[0];
            let again = upload(task, &[(number, 10)]);
            let end = LeaderCommit {
                job: piece.job,
                lease: piece.lease,
                shards: &[],
                again: Some(Again { reports: &again, from: seconds_later(5) }),
                lost: &[],
            };
            store.commit_leader_job(&end).unwrap();
        }
        if mode == BatchingMode::TimeInterval {
            assert_eq!(close(&*store, &task, asked, &batch), Closed::Busy);
        }
        // They leave alone, as pieces do, and are waited for one after the other.
        let jobs = lease(&*store, seconds_later(5));
        assert_eq!(jobs.iter().map(numbers).collect::<Vec<_>>(), [[1], [2]]);
        for job in &jobs {
            assert_eq!(job.cuts, pieces[0].cuts);
            if mode == BatchingMode::TimeInterval {
                assert_eq!(close(&*store, &task, asked, &batch), Closed::Busy);
            }
            commit(&*store, job, job.batch.map_or(at(10), |batch| BucketKey::batch(&batch)));
        }
        let batch = pieces[0].batch.map_or(batch, |_| BucketRange::batch(&jobs[0].batch.unwrap()));
        assert_eq!(close(&*store, &task, asked, &batch), Closed::Kept(kept(2)));
    }
}

pub(crate) fn a_stuck_report_does_not_hold_up_a_collection(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 5)]));
    start_range(&*store, &task, 1, &range(5, 1));
    let job = lease(&*store, NOW).remove(0);
    assert_eq!(close(&*store, &task, id(1), &range(5, 1)), Closed::Busy);
    store.abandon_job(job.job, job.lease).unwrap();
    assert_eq!(close(&*store, &task, id(1), &range(5, 1)), Closed::Kept(kept(0)));
    assert_eq!(store.counts(&task).unwrap().stuck_reports, 1);
}

pub(crate) fn a_refusal_changes_nothing_but_lets_in_what_arrived_since(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    let batch = range(5, 1);
    start_range(&*store, &task, 1, &batch);
    accept(&*store, upload(task, &[(10, 5)]));
    let before = store.counts(&task).unwrap();
    let closing =
        Closing { task: &task, id: id(1), request: REQUEST, range: &batch, then: Then::Finish };
    let mut seen = 0;
    let closed = store.close_batch(NOW, &closing, &mut |shards| {
        seen = shards.map(|shard| shard.reports).sum();
        None
    });
    assert_eq!((closed, seen), (Ok(Closed::Refused), 2));
    assert_eq!(store.counts(&task), Ok(before));
    assert_eq!(store.collection(&task, id(1)), Ok(Some(CollectionState::Pending)));
    assert!(accept(&*store, upload(task, &[(11, 5)]))[0].is_ok());
    let job = lease(&*store, NOW).remove(0);
    assert_eq!(numbers(&job), [10]);
    commit(&*store, &job, at(5));
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(3)));
}

pub(crate) fn a_panic_while_deciding_changes_nothing(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    let batch = range(5, 1);
    let closing =
        Closing { task: &task, id: id(1), request: REQUEST, range: &batch, then: Then::Finish };
    let closed = catch_unwind(AssertUnwindSafe(|| {
        store.close_batch(NOW, &closing, &mut |_| std::panic::resume_unwind(Box::new(())))
    }));
    assert!(closed.is_err());
    assert_eq!(store.collection(&task, id(1)), Ok(None));
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(2)));
}

pub(crate) fn a_closed_batch_stays_closed_and_is_decided_once(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    let batch = range(5, 1);
    start_range(&*store, &task, 1, &batch);
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(2)));
    // Killed here: closed and not finished, so the same blob must come again.
    drop(store);
    let store = bench.open();
    let closing =
        Closing { task: &task, id: id(1), request: REQUEST, range: &batch, then: Then::AwaitPeer };
    let mut never = |_: &mut dyn Iterator<Item = BucketShard>| panic!("decided twice");
    assert_eq!(store.close_batch(NOW, &closing, &mut never), Ok(Closed::Kept(kept(2))));
    assert_eq!(store.collection(&task, id(1)), Ok(Some(CollectionState::Closed(kept(2)))));
    let finished = CollectionState::Finished(blob("result"));
    let outcome = finished_with("result");
    assert_eq!(store.finish_collection(&task, id(1), &outcome), Ok(finished.clone()));
    assert_eq!(store.close_batch(NOW, &closing, &mut never), Ok(Closed::Over(finished)));
    let counts = store.counts(&task).unwrap();
    assert_eq!((counts.buckets, counts.collected_batches), (0, 1));
}

pub(crate) fn a_collection_that_failed_and_reopened_can_be_tried_again(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    let batch = range(5, 1);
    start_range(&*store, &task, 1, &batch);
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(2)));
    let failed = CollectionState::Failed(blob("mismatch"));
    let outcome = Outcome::FailedReopened(blob("mismatch"));
    assert_eq!(store.finish_collection(&task, id(1), &outcome), Ok(failed.clone()));
    drop(store);
    let store = bench.open();
    assert_eq!(store.collection(&task, id(1)), Ok(Some(failed)));
    aggregate(&*store, task, 2..3, 5);
    assert_eq!(start_range(&*store, &task, 1, &batch), Started::New(id(1)));
    assert_eq!(store.collection(&task, id(1)), Ok(Some(CollectionState::Pending)));
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(3)));
}

pub(crate) fn a_collection_that_failed_for_good_keeps_its_batch(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    let batch = range(5, 1);
    start_range(&*store, &task, 1, &batch);
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(2)));
    let failed = CollectionState::Failed(blob("lost"));
    let outcome = Outcome::Failed(blob("lost"));
    assert_eq!(store.finish_collection(&task, id(1), &outcome), Ok(failed.clone()));
    let again = start_range(&*store, &task, 1, &batch);
    assert_eq!(again, Started::Existing(id(1), failed));
    assert_eq!(close(&*store, &task, id(2), &batch), Closed::Overlap);
    assert_eq!(store.counts(&task).unwrap().buckets, 0);
}

pub(crate) fn an_identical_request_is_the_same_collection_until_it_is_deleted(bench: &dyn Bench) {
    let (store, task) = with_batches_of(2, bench);
    assert_eq!(start(&*store, &task, 1, &Wanted::NextBatch), Started::New(id(1)));
    drop(store);
    let store = bench.open();
    let existing = Started::Existing(id(1), CollectionState::Pending);
    assert_eq!(start(&*store, &task, 1, &Wanted::NextBatch), existing);
    store.delete_collection(&task, id(1)).unwrap();
    assert_eq!(start(&*store, &task, 1, &Wanted::NextBatch), Started::New(id(2)));
    let other = NewCollection { task: &task, request: b"other", wanted: &Wanted::NextBatch };
    let taken = store.start_collection(NOW, &other, &|_| id(2));
    assert_eq!(taken, Err(StoreError::CollectionIdTaken));
}

pub(crate) fn no_more_collections_of_a_task_are_pending_than_bounded(bench: &dyn Bench) {
    for (byte, mode) in (1..).zip(MODES) {
        let store = bench.open();
        let (task, other) = (put(&*store, byte, mode), put(&*store, 10 + byte, mode));
        let ask = |task: &TaskId, number: u8| {
            let wanted = match mode {
                BatchingMode::TimeInterval => Wanted::Range(range(u64::from(number), 1)),
                _ => Wanted::NextBatch,
            };
            let new = NewCollection { task, request: &[number], wanted: &wanted };
            store.start_collection(NOW, &new, &|deleted| {
                CollectionId([number; 16].map(|byte| byte ^ u8::try_from(deleted << 7).unwrap()))
            })
        };
        let most = u8::try_from(MOST_PENDING).unwrap();
        for number in 0..most {
            assert_eq!(ask(&task, number), Ok(Started::New(id(number))));
        }
        assert_eq!(ask(&task, most), Err(StoreError::TooManyCollections));
        assert_eq!(ask(&other, most), Ok(Started::New(id(most))));
        // Those that are there are found, and one that is over makes room.
        let there = Started::Existing(id(0), CollectionState::Pending);
        assert_eq!(ask(&task, 0), Ok(there));
        let failed = Outcome::FailedReopened(blob("no"));
        store.finish_collection(&task, id(0), &failed).unwrap();
        assert_eq!(ask(&task, most), Ok(Started::New(id(most))));
        assert_eq!(ask(&task, 0), Err(StoreError::TooManyCollections));
        store.delete_collection(&task, id(1)).unwrap();
        assert_eq!(ask(&task, 0), Ok(Started::New(id(0))));
    }
}

pub(crate) fn a_collection_that_failed_and_closed_nothing_is_forgotten(bench: &dyn Bench) {
    for (byte, mode) in (1..).zip(MODES) {
        let store = bench.open();
        let task = put(&*store, byte, mode);
        let wanted = Wanted::Range(range(5, 1));
        let ask = || start(&*store, &task, 1, &wanted);
        assert_eq!(ask(), Started::New(id(1)));
        let forget = |responses| {
            let expiry = Expiry { responses, ..Expiry::default() };
            store.forget(&expiry).unwrap().responses
        };
        // As long as it is pending it stays.
        assert_eq!(forget(seconds_later(9)), 0);
        store.finish_collection(&task, id(1), &Outcome::FailedReopened(blob("no"))).unwrap();
        assert_eq!(forget(NOW), 0);
        assert_eq!(forget(seconds_later(1)), 1);
        assert_eq!(store.collection(&task, id(1)), Ok(None));
        assert!(store.collections(&task).unwrap().is_empty());
        assert_eq!(ask(), Started::New(id(1)));
    }
}

const MODES: [BatchingMode; 2] =
    [BatchingMode::TimeInterval, BatchingMode::LeaderSelected { target: 3 }];

pub(crate) fn a_deleted_collection_never_gives_back_its_batch(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    let batch = range(5, 1);
    start_range(&*store, &task, 1, &batch);
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Kept(kept(2)));
    for _ in 0..2 {
        store.delete_collection(&task, id(1)).unwrap();
        assert_eq!(store.collection(&task, id(1)), Ok(Some(CollectionState::Deleted)));
    }
    store.delete_collection(&task, id(77)).unwrap();
    assert_eq!(close(&*store, &task, id(1), &batch), Closed::Over(CollectionState::Deleted));
    assert_eq!(start_range(&*store, &task, 1, &batch), Started::New(id(2)));
    assert_eq!(close(&*store, &task, id(2), &batch), Closed::Overlap);
    let late = accept(&*store, upload(task, &[(9, 5)]));
    assert_eq!(late, [Err(Refusal::BatchCollected)]);
    assert_eq!(store.counts(&task).unwrap().buckets, 0);
}

pub(crate) fn the_first_end_of_a_collection_stands(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let finished = finished_with("result");
    let unknown = Err(StoreError::UnknownCollection);
    assert_eq!(store.finish_collection(&task, id(1), &finished), unknown);
    start_range(&*store, &task, 1, &range(5, 1));
    assert_eq!(store.finish_collection(&task, id(1), &finished), Err(StoreError::NotClosed));
    assert_eq!(close(&*store, &task, id(1), &range(5, 1)), Closed::Kept(kept(0)));
    let state = CollectionState::Finished(blob("result"));
    assert_eq!(store.finish_collection(&task, id(1), &finished), Ok(state.clone()));
    for late in [finished_with("other"), Outcome::FailedReopened(blob("error"))] {
        assert_eq!(store.finish_collection(&task, id(1), &late), Ok(state.clone()));
    }
    assert_eq!(store.collection(&task, id(1)), Ok(Some(state)));
    assert_eq!(store.counts(&task).unwrap().collected_batches, 1);
}

pub(crate) fn pending_and_closed_collections_are_found_after_a_restart(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    start_range(&*store, &task, 1, &range(5, 1));
    drop(store);
    let store = bench.open();
    let due = |now| store.pending_collections(now, now.after(Duration::from_secs(5)), 10).unwrap();
    let found = due(NOW);
    assert_eq!((found.len(), found[0].task, found[0].id, found[0].attempt), (1, task, id(1), 1));
    assert_eq!((&*found[0].request, &found[0].state), (REQUEST, &CollectionState::Pending));
    assert_eq!(due(seconds_later(4)), []);
    assert_eq!(close(&*store, &task, id(1), &range(5, 1)), Closed::Kept(kept(0)));
    let found = due(seconds_later(5));
    assert_eq!((found[0].attempt, &found[0].state), (2, &CollectionState::Closed(kept(0))));
    assert_eq!(store.pending_collections(seconds_later(60), NOW, 0), Ok(vec![]));
    let outcome = finished_with("result");
    store.finish_collection(&task, id(1), &outcome).unwrap();
    assert_eq!(due(seconds_later(60)), []);
}

pub(crate) fn a_clock_that_was_put_back_holds_up_no_collection(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    start_range(&*store, &task, 1, &range(5, 1));
    let due = |now| store.pending_collections(now, now.after(Duration::from_secs(5)), 10).unwrap();
    assert_eq!(due(seconds_later(86_400)).len(), 1);
    assert_eq!(due(NOW).len(), 1);
    assert_eq!(due(seconds_later(4)), []);
}

pub(crate) fn a_helpers_batch_is_finished_when_it_is_closed(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    aggregate(&*store, task, 0..2, 5);
    let closed = close_then(Then::Finish, &*store, &task, id(1), &range(5, 1));
    assert_eq!(closed, Closed::Kept(kept(2)));
    drop(store);
    let store = bench.open();
    // The second time there is no shard left: the count shows that nothing was decided anew.
    let closed = close_then(Then::Finish, &*store, &task, id(1), &range(5, 1));
    assert_eq!(closed, Closed::Kept(kept(2)));
    assert_eq!(store.collection(&task, id(1)), Ok(Some(CollectionState::Finished(kept(2)))));
    assert_eq!(store.counts(&task).unwrap().buckets, 0);
    assert_eq!(store.pending_collections(seconds_later(9), NOW, 10), Ok(vec![]));
}

pub(crate) fn a_leader_selected_batch_is_closed_once(bench: &dyn Bench) {
    let (store, task) = with_batches_of(2, bench);
    start(&*store, &task, 1, &Wanted::NextBatch);
    accept(&*store, upload(task, &[(1, 1), (2, 1)]));
    // A pending query hurries reports on.
    let job = store.lease_jobs(NOW, &POLICY).unwrap().remove(0);
    let batch = job.batch.unwrap();
    let batch_range = BucketRange::batch(&batch);
    assert_eq!(close(&*store, &task, id(1), &batch_range), Closed::Busy);
    commit(&*store, &job, BucketKey::batch(&batch));
    // Waiting reports have no batch yet: they hold up none.
    accept(&*store, upload(task, &[(3, 1)]));
    assert_eq!(store.next_batch(&task), Ok(Some(batch)));
    assert_eq!(close(&*store, &task, id(1), &batch_range), Closed::Kept(kept(2)));
    assert_eq!(store.next_batch(&task), Ok(None));
    assert_eq!(close(&*store, &task, id(9), &batch_range), Closed::Overlap);
    assert_ne!(lease(&*store, NOW)[0].batch, Some(batch));
    // Refused by the helper, it is next again, and full as before.
    store.finish_collection(&task, id(1), &Outcome::FailedReopened(blob("no"))).unwrap();
    assert_eq!(store.next_batch(&task), Ok(Some(batch)));
}
