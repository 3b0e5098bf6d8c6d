//! Status for operators, and deletion of what has expired.

use super::*;
use crate::store::{
    Closing, CollectionId, Expiry, HelperJob, HelperOutcome, KeyRecord, KeyUse, Put, Refusal,
    Secret, Stage, Then,
};
use sottovoce_dap::ids::AggregationJobId;

/// A time so much later that its report IDs lie elsewhere.
const MUCH_LATER: u64 = 1 << 20;

fn key(id: u8) -> KeyRecord {
    let [public, sealed] = [b"public", b"sealed"].map(|b| Blob::from(&b[..]));
    KeyRecord { id, offered: NOW, public, sealed }
}

fn helper_job(store: &dyn Datastore, task: &TaskId, id: u8, report: (u64, u64)) -> HelperOutcome {
    let job = HelperJob {
        task,
        id: &AggregationJobId::new([id; 16]),
        request_digest: &[id; 32],
        reports: &[(report_id(report.0), Time(report.1))],
        shards: &[shard(at(report.1), 1)],
        response: b"response",
        lost: &[],
    };
    store.commit_helper_job(NOW, &job).unwrap()
}

pub(crate) fn forgotten_reports_are_replays_even_if_the_clock_is_put_back(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    upload_singly(&*store, task, &[(1, 5), (2, MUCH_LATER)]);
    let expiry = Expiry { reports: vec![(task, Time(MUCH_LATER))], ..Expiry::default() };
    assert_eq!(store.forget(&expiry).unwrap().reports, 1);
    assert_eq!(store.forget(&expiry).unwrap().reports, 0);
    let earlier = Expiry { reports: vec![(task, Time(0))], ..Expiry::default() };
    store.forget(&earlier).unwrap();
    drop(store);
    let store = bench.open();
    let again = accept(&*store, upload(task, &[(1, 5), (2, MUCH_LATER), (3, 5), (4, MUCH_LATER)]));
    let refused: Vec<_> = again.into_iter().map(Result::err).collect();
    let replayed = Some(Refusal::Replayed);
    assert_eq!(refused, [replayed, replayed, replayed, None]);
}

pub(crate) fn report_ids_are_told_by_time_and_only_if_they_are_few(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    upload_singly(&*store, task, &[(1, 5), (2, 6), (3, MUCH_LATER)]);
    let ids = |time: Option<u64>, limit| {
        let run = store.report_ids(&task, time.map(Time), limit).unwrap()?;
        let mut ids: Vec<_> = run.as_chunks::<16>().0.iter().map(|id| ReportId::new(*id)).collect();
        ids.sort_unstable_by_key(|id| *id.as_bytes());
        Some(ids)
    };
    let [one, two, three] = [1, 2, 3].map(report_id);
    let sorted = |mut ids: Vec<ReportId>| {
        ids.sort_unstable_by_key(|id| *id.as_bytes());
        Some(ids)
    };
    assert_eq!(ids(Some(5), 2), sorted(vec![one, two]));
    assert_eq!(ids(Some(MUCH_LATER), 2), sorted(vec![three]));
    assert_eq!(ids(None, 3), sorted(vec![one, two, three]));
    assert_eq!(ids(None, 2), None);
    assert_eq!(ids(Some(1 << 40), 0), Some(vec![]));
    while store.compact().unwrap() {}
    assert_eq!(ids(None, 3), sorted(vec![one, two, three]));
}

pub(crate) fn large_runs_of_ids_are_compacted_however_few_they_are(bench: &dyn Bench) {
    const REPORTS: u64 = 1 << 14;
    let store = bench.open();
    let modes = [BatchingMode::TimeInterval, BatchingMode::LeaderSelected { target: 3 }];
    for (byte, mode) in (1..).zip(modes) {
        let task = put(&*store, byte, mode);
        let reports: Vec<_> = (0..REPORTS).map(|number| (number, 5)).collect();
        assert!(accept(&*store, upload(task, &reports)).iter().all(Result::is_ok));
        assert_eq!(store.compact(), Ok(true));
        while store.compact().unwrap() {}
        let again = accept(&*store, upload(task, &[(7, 5), (REPORTS, 5)]));
        assert_eq!(again.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
        // A few of little size wait for more.
        assert_eq!(store.compact(), Ok(false));
    }
}

pub(crate) fn a_helper_forgets_reports_too(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    assert!(matches!(helper_job(&*store, &task, 1, (1, 5)), HelperOutcome::Committed(_)));
    let expiry = Expiry { reports: vec![(task, Time(MUCH_LATER))], ..Expiry::default() };
    assert_eq!(store.forget(&expiry).unwrap().reports, 1);
    let outcome = helper_job(&*store, &task, 2, (1, 5));
    let replayed = vec![report_id(1)];
    assert_eq!(outcome, HelperOutcome::Conflict { replayed, collected: vec![] });
    assert!(matches!(helper_job(&*store, &task, 3, (2, MUCH_LATER)), HelperOutcome::Committed(_)));
}

pub(crate) fn old_answers_are_forgotten_and_what_they_closed_is_not(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    assert!(matches!(helper_job(&*store, &task, 1, (1, 12)), HelperOutcome::Committed(_)));
    let range = range(10, 5);
    let id = CollectionId([1; 16]);
    let closing =
        Closing { task: &task, id, request: b"request", range: &range, then: Then::Finish };
    let closed = store.close_batch(NOW, &closing, &mut |_| Some(Blob::from(&b"share"[..]).into()));
    assert!(matches!(closed.unwrap(), crate::store::Closed::Kept(_)));
    let expiry = |responses| Expiry { responses, ..Expiry::default() };
    assert_eq!(store.forget(&expiry(NOW)).unwrap().responses, 0);
    assert_eq!(store.forget(&expiry(seconds_later(1))).unwrap().responses, 2);
    assert!(store.replay_job(&task, &AggregationJobId::new([1; 16])).unwrap().is_none());
    assert_eq!(store.collections(&task).unwrap()[0].stage, Stage::Deleted);
    let late = helper_job(&*store, &task, 2, (2, 12));
    assert_eq!(late, HelperOutcome::Conflict { replayed: vec![], collected: vec![at(12)] });
}

pub(crate) fn lists_show_what_is_there(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    upload_singly(&*store, task, &[(1, 12), (2, 20), (3, 20)]);
    assert_eq!(store.counts(&task).unwrap().oldest, Some(NOW));
    for job in lease(&*store, NOW) {
        let shards = [shard(at(12), 1), shard(at(20), 1), shard(at(20), 1)];
        let commit = LeaderCommit {
            job: job.job,
            lease: job.lease,
            shards: &shards,
            again: None,
            lost: &[],
        };
        store.commit_leader_job(&commit).unwrap();
    }
    assert_eq!(store.counts(&task).unwrap().oldest, None);
    let batches = store.batches(&task).unwrap();
    let found: Vec<_> = batches.iter().map(|batch| (batch.key.clone(), batch.reports)).collect();
    assert_eq!(found, [(at(12), 1), (at(20), 2)]);
    // Two that are the same cancel out.
    assert_eq!([batches[0].checksum, batches[1].checksum], [[9; 32], [0; 32]]);

    let range = range(10, 5);
    let id = CollectionId([1; 16]);
    let closing =
        Closing { task: &task, id, request: b"request", range: &range, then: Then::AwaitPeer };
    let closed =
        store.close_batch(seconds_later(5), &closing, &mut |_| Some(Blob::default().into()));
    assert!(matches!(closed.unwrap(), crate::store::Closed::Kept(_)));
    assert_eq!(store.batches(&task).unwrap().len(), 1);
    let collections = store.collections(&task).unwrap();
    assert_eq!(collections.len(), 1);
    assert_eq!((collections[0].id, collections[0].stage), (id, Stage::Closed));
    assert_eq!(collections[0].range, Some((at(10), at(15))));
    assert_eq!(collections[0].closed_at, Some(seconds_later(5)));
    assert_eq!(collections[0].asked_at, Some(seconds_later(5)));
}

pub(crate) fn a_sealed_secret_is_replaced_only_if_it_is_still_the_same(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    assert_eq!(store.put_key(KeyUse::Hpke, &key(7)).unwrap(), Put::Added);
    for secret in [Secret::Task(&task), Secret::Key(KeyUse::Hpke, 7)] {
        assert!(!store.replace_sealed(secret, b"other", b"anew").unwrap());
        assert!(store.replace_sealed(secret, b"sealed", b"anew").unwrap());
        assert!(!store.replace_sealed(secret, b"sealed", b"again").unwrap());
    }
    assert!(!store.replace_sealed(Secret::Key(KeyUse::Hpke, 8), b"sealed", b"anew").unwrap());
    assert_eq!(&*store.task(&task).unwrap().unwrap().sealed, b"anew");
    assert_eq!(&*store.keys(KeyUse::Hpke).unwrap()[0].sealed, b"anew");
}

pub(crate) fn a_deleted_key_is_gone_and_its_id_free(bench: &dyn Bench) {
    let store = bench.open();
    store.ping().unwrap();
    store.put_key(KeyUse::Hpke, &key(7)).unwrap();
    store.delete_key(KeyUse::Hpke, 7).unwrap();
    store.delete_key(KeyUse::Hpke, 7).unwrap();
    assert!(store.keys(KeyUse::Hpke).unwrap().is_empty());
    assert_eq!(store.put_key(KeyUse::Hpke, &key(7)).unwrap(), Put::Added);
    store.give_back().unwrap();
}
