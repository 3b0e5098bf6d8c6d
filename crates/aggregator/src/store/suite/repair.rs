//! Repair of batches, and what is set aside until then.

use super::*;
use crate::store::{
    Closed, Closing, CollectionId, HelperJob, HelperOutcome, Holding, LogEntry, NewCollection,
    Outcome, Refusal, Repair, Repaired, ShardName, Then, Wanted,
};
use sottovoce_dap::ids::{AggregationJobId, BatchId};

fn name(number: u8) -> ShardName {
    ShardName { reports: u64::from(number), checksum: [number; 32] }
}

/// A helper's job with one report of time 12 in a bucket, whose shard says that it has `number`.
fn add(store: &dyn Datastore, task: &TaskId, key: &BucketKey, number: u8) {
    let job = HelperJob {
        task,
        id: &AggregationJobId::new([number; 16]),
        request_digest: &[number; 32],
        reports: &[(report_id(number.into()), Time(12))],
        shards: &[BucketShard { checksum: [number; 32], ..shard(key.clone(), number.into()) }],
        response: b"",
        lost: &[],
    };
    assert!(matches!(store.commit_helper_job(NOW, &job), Ok(HelperOutcome::Committed(_))));
}

fn repair(
    store: &dyn Datastore,
    task: &TaskId,
    bucket: &BucketKey,
    [found, keep]: [&[u8]; 2],
) -> Repaired {
    let names = |numbers: &[u8]| numbers.iter().map(|number| name(*number)).collect::<Vec<_>>();
    let (found, keep) = (names(found), names(keep));
    let entry = LogEntry { key: [5; 32], bytes: Blob::from(&b"repaired"[..]) };
    let (found, keep, entry) = (&found[..], &keep[..], &entry);
    store.repair_batch(&Repair { task, bucket, found, keep, entry }).unwrap()
}

fn close(store: &dyn Datastore, task: &TaskId, byte: u8, range: &BucketRange) -> Closed {
    let id = CollectionId([byte; 16]);
    let closing = Closing { task, id, request: b"", range, then: Then::AwaitPeer };
    let mut count = |shards: &mut dyn Iterator<Item = BucketShard>| {
        let reports: u64 = shards.map(|shard| shard.reports).sum();
        Some(Blob::from(reports.to_string().into_bytes()).into())
    };
    store.close_batch(NOW, &closing, &mut count).unwrap()
}

pub(crate) fn a_repair_drops_what_only_one_side_has_and_happens_once(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let other = put(&*store, 2, BatchingMode::TimeInterval);
    (1..5).for_each(|number| add(&*store, &task, &at(12), number));
    add(&*store, &task, &at(13), 9);
    add(&*store, &other, &at(12), 1);
    let shards = (1..5).map(name).collect();
    let held = Holding { collected: false, busy: false, shards };
    assert_eq!(store.holding(&task, &at(12)), Ok(held));
    let agreed: [&[u8]; 2] = [&[1, 2, 3, 4], &[1, 4]];
    assert_eq!(repair(&*store, &task, &at(12), agreed), Repaired::Dropped(2));
    assert_eq!(store.log_head().unwrap().waiting, 1);
    drop(store);
    let store = bench.open();
    assert_eq!(repair(&*store, &task, &at(12), agreed), Repaired::Nothing);
    assert_eq!(store.log_head().unwrap().waiting, 1);
    // What was dropped stays a replay, and no other batch has changed.
    let job = HelperJob {
        task: &task,
        id: &AggregationJobId::new([99; 16]),
        request_digest: &[0; 32],
        reports: &[(report_id(2), Time(12)), (report_id(3), Time(700))],
        shards: &[],
        response: b"",
        lost: &[],
    };
    let replayed = vec![report_id(2), report_id(3)];
    let conflict = HelperOutcome::Conflict { replayed, collected: vec![] };
    assert_eq!(store.commit_helper_job(NOW, &job), Ok(conflict));
    assert_eq!(store.holding(&task, &at(13)).unwrap().shards, [name(9)]);
    assert_eq!(store.holding(&other, &at(12)).unwrap().shards, [name(1)]);
    assert_eq!(close(&*store, &task, 1, &range(12, 1)), Closed::Kept(Blob::from(&b"5"[..])));
}

pub(crate) fn a_repair_is_refused_unless_the_batch_is_as_it_was_agreed_on(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    (1..4).for_each(|number| add(&*store, &task, &at(12), number));
    let agreed: [&[u8]; 2] = [&[1, 2, 3], &[1]];
    add(&*store, &task, &at(12), 4);
    assert_eq!(repair(&*store, &task, &at(12), agreed), Repaired::Changed);
    let agreed: [&[u8]; 2] = [&[1, 2, 3, 4], &[1]];
    // A job in flight may add to it.
    accept(&*store, upload(task, &[(50, 11), (51, 13)]));
    let job = lease(&*store, NOW).remove(0);
    assert!(store.holding(&task, &at(12)).unwrap().busy);
    assert!(!store.holding(&task, &at(14)).unwrap().busy);
    assert_eq!(repair(&*store, &task, &at(12), agreed), Repaired::Changed);
    commit(&*store, &job, at(11));
    assert!(matches!(close(&*store, &task, 1, &range(10, 5)), Closed::Kept(_)));
    assert_eq!(repair(&*store, &task, &at(12), agreed), Repaired::Collected);
    assert!(store.holding(&task, &at(12)).unwrap().collected);
    assert_eq!(store.holding(&task, &at(12)).unwrap().shards.len(), 4);
    assert_eq!(store.log_head().unwrap().waiting, 0);
}

fn next_batch_of(store: &dyn Datastore, task: TaskId, reports: std::ops::Range<u64>) -> BatchId {
    accept(store, upload(task, &reports.map(|number| (number, 1)).collect::<Vec<_>>()));
    let job = lease(store, NOW).remove(0);
    commit(store, &job, BucketKey::batch(&job.batch.unwrap()));
    job.batch.unwrap()
}

pub(crate) fn a_batch_that_is_set_aside_blocks_no_other_and_a_repair_puts_it_back(
    bench: &dyn Bench,
) {
    let (store, task) = with_batches_of(2, bench);
    let [one, two] = [0, 2].map(|first| next_batch_of(&*store, task, first..first + 2));
    let ask = |byte: u8| {
        let new = NewCollection { task: &task, request: b"", wanted: &Wanted::NextBatch };
        store.start_collection(NOW, &new, &|_| CollectionId([byte; 16])).unwrap()
    };
    ask(1);
    assert_eq!(store.next_batch(&task), Ok(Some(one)));
    assert!(matches!(close(&*store, &task, 1, &BucketRange::batch(&one)), Closed::Kept(_)));
    let refused = Outcome::FailedAside(Blob::from(&b"mismatch"[..]));
    store.finish_collection(&task, CollectionId([1; 16]), &refused).unwrap();
    let aside = |batch: BatchId| {
        let key = BucketKey::batch(&batch);
        store.batches(&task).unwrap().iter().any(|found| found.key == key && found.set_aside)
    };
    assert_eq!((aside(one), aside(two)), (true, false));
    assert_eq!(store.counts(&task).unwrap().set_aside_batches, 1);
    // The same request goes on to the next batch, and new reports to others.
    assert!(matches!(ask(1), crate::store::Started::New(_)));
    assert_eq!(bench.open().next_batch(&task), Ok(Some(two)));
    assert!(matches!(close(&*store, &task, 1, &BucketRange::batch(&two)), Closed::Kept(_)));
    assert_eq!(store.next_batch(&task), Ok(None));
    let three = next_batch_of(&*store, task, 4..6);
    assert_ne!(three, one);
    // With nothing to drop, the batch is as full as before.
    let key = BucketKey::batch(&one);
    let held = store.holding(&task, &key).unwrap().shards;
    let entry = LogEntry { key: [5; 32], bytes: Blob::default() };
    let repair = |found: &[ShardName], keep: &[ShardName]| {
        let repair = Repair { task: &task, bucket: &key, found, keep, entry: &entry };
        store.repair_batch(&repair).unwrap()
    };
    assert_eq!(repair(&held, &held), Repaired::Nothing);
    assert_eq!((aside(one), store.next_batch(&task)), (false, Ok(Some(one))));
    // With too little left, it takes reports again, or is never next.
    assert_eq!(repair(&held, &[]), Repaired::Dropped(1));
    assert_eq!(store.next_batch(&task), Ok(Some(three)));
}

/// Only reports that were accepted again could be: there are none.
pub(crate) fn what_a_leader_dropped_is_not_uploaded_again(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    accept(&*store, upload(task, &[(1, 12), (2, 12)]));
    let job = lease(&*store, NOW).remove(0);
    commit(&*store, &job, at(12));
    let held = store.holding(&task, &at(12)).unwrap().shards;
    let entry = LogEntry { key: [5; 32], bytes: Blob::default() };
    let (bucket, entry) = (&at(12), &entry);
    let repair = Repair { task: &task, bucket, found: &held, keep: &[], entry };
    assert_eq!(store.repair_batch(&repair), Ok(Repaired::Dropped(1)));
    let again = accept(&*store, upload(task, &[(1, 12), (2, 900)]));
    assert!(again.iter().all(|ruling| *ruling == Err(Refusal::Replayed)));
}
