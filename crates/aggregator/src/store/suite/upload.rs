//! Uploads.

use super::*;
use crate::store::{Closing, CollectionId, Refusal, StoreError, Then, segment::SEGMENT_REPORTS};

fn collect(store: &dyn Datastore, task: &TaskId, batch: &BucketRange) {
    let closing = Closing {
        task,
        id: CollectionId([1; 16]),
        request: b"",
        range: batch,
        then: Then::AwaitPeer,
    };
    let closed = store.close_batch(NOW, &closing, &mut |_| Some(Blob::default().into())).unwrap();
    assert_eq!(closed, crate::store::Closed::Kept(Blob::default()));
}

pub(crate) fn a_report_is_accepted_once_whatever_call_or_process_it_comes_in(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let other = put(&*store, 2, BatchingMode::TimeInterval);
    let uploads = [
        upload(task, &[(1, 5), (2, 5), (1, 5)]),
        upload(task, &[(2, 6), (3, 5)]),
        upload(other, &[(1, 5)]),
    ];
    let accepted = |rulings: Vec<Vec<Acceptance>>| {
        rulings.iter().map(|r| r.iter().map(Result::is_ok).collect()).collect::<Vec<Vec<_>>>()
    };
    let rulings = store.accept_reports(NOW, &uploads).unwrap();
    assert_eq!(rulings[0][2], Err(Refusal::Replayed));
    assert_eq!(accepted(rulings), [vec![true, true, false], vec![false, true], vec![true]]);
    drop(store);
    let rulings = bench.open().accept_reports(NOW, &uploads).unwrap();
    assert!(rulings.iter().flatten().all(|ruling| *ruling == Err(Refusal::Replayed)));
    let counts = bench.open().counts(&task).unwrap();
    assert_eq!(counts.waiting_reports, 3);
}

pub(crate) fn an_id_is_accepted_once_whatever_its_time(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let times = [5, 69, 5 + (64 << 20), 0, u64::MAX];
    let one = |times: &[u64]| times.iter().map(|time| (1, *time)).collect::<Vec<_>>();
    let rulings = accept(&*store, upload(task, &one(&times)));
    assert_eq!(rulings.iter().filter(|ruling| ruling.is_ok()).count(), 1);
    assert!(rulings[0].is_ok(), "the first is not the one");
    // Many others come, and what is known is packed.
    for number in 0..70 {
        accept(&*store, upload(task, &[(100 + number, number << 10)]));
    }
    while store.compact().unwrap() {}
    drop(store);
    let store = bench.open();
    let again = accept(&*store, upload(task, &one(&[7, 71, 1 << 30])));
    assert!(again.iter().all(|ruling| *ruling == Err(Refusal::Replayed)));
    let known = store.report_ids(&task, None, 1000).unwrap().unwrap();
    assert_eq!(known.len(), 16 * 71);
}

pub(crate) fn a_report_of_a_collected_interval_is_refused(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    assert!(accept(&*store, upload(task, &[(1, 12)]))[0].is_ok());
    for job in lease(&*store, NOW) {
        commit(&*store, &job, at(12));
    }
    collect(&*store, &task, &range(10, 5));
    drop(store);
    let store = bench.open();
    let late = upload(task, &[(2, 9), (3, 10), (4, 14), (5, 15), (1, 12)]);
    let rulings = accept(&*store, late).into_iter().map(Result::err).collect::<Vec<_>>();
    let refused = Some(Refusal::BatchCollected);
    assert_eq!(rulings, [None, refused, refused, None, Some(Refusal::Replayed)]);
    // A refused report was not used up: its ID is free.
    assert!(accept(&*store, upload(task, &[(3, 20)]))[0].is_ok());
}

pub(crate) fn an_upload_of_very_many_distant_times_is_one_like_any_other(bench: &dyn Bench) {
    const REPORTS: u64 = 40_000;
    let distant = |number| (number, 64 * number);
    let reports: Vec<_> = (0..REPORTS).map(distant).collect();
    let store = bench.open();
    let modes = [BatchingMode::TimeInterval, BatchingMode::LeaderSelected { target: 3 }];
    for (byte, mode) in (1..).zip(modes) {
        let task = put(&*store, byte, mode);
        let first = accept(&*store, upload(task, &reports));
        assert!(first.iter().all(Result::is_ok));
        assert_eq!(store.counts(&task).unwrap().waiting_reports, REPORTS);
        let again = accept(&*store, upload(task, &reports[..500]));
        assert!(again.iter().all(|ruling| *ruling == Err(Refusal::Replayed)));
        // A report that comes after them does not wait for them all.
        accept(&*store, upload(task, &(1..=4).map(|n| (REPORTS + n, 7)).collect::<Vec<_>>()));
        if mode != BatchingMode::TimeInterval {
            let jobs = lease(&*store, NOW);
            let theirs = jobs.iter().filter(|job| job.reports().all(|(time, _)| time == Time(7)));
            assert_eq!(theirs.count(), 1);
        }
    }
    let task = task_id(1);
    collect(&*store, &task, &range(64 * REPORTS, 64));
    let others: Vec<_> = (REPORTS..REPORTS + 3).map(|n| (2 * n, 64 * n)).collect();
    let rulings = accept(&*store, upload(task, &others)).into_iter().map(Result::err);
    assert_eq!(rulings.collect::<Vec<_>>(), [Some(Refusal::BatchCollected), None, None]);
}

pub(crate) fn a_failed_call_accepts_nothing(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let uploads = [upload(task, &[(1, 1)]), upload(task_id(9), &[(2, 1)])];
    let error = store.accept_reports(NOW, &uploads).unwrap_err();
    assert_eq!(error, StoreError::UnknownTask(task_id(9)));
    assert!(accept(&*store, upload(task, &[(1, 1)]))[0].is_ok());
}

pub(crate) fn the_same_report_from_many_threads_is_accepted_once(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let reports: Vec<_> = (0..50).map(|number| (number, 1)).collect();
    let send = |store: Arc<dyn Datastore>| {
        let reports = reports.clone();
        move || accept(&*store, upload(task, &reports)).iter().filter(|r| r.is_ok()).count()
    };
    let threads = (0..4).map(|_| std::thread::spawn(send(store.clone()))).collect::<Vec<_>>();
    let accepted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(accepted, 50);
    assert_eq!(store.counts(&task).unwrap().waiting_reports, 50);
}

pub(crate) fn reports_come_out_whole_and_in_order(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let count = SEGMENT_REPORTS as u64 + 10;
    let reports: Vec<_> = (0..count).map(|number| (number, number % 7)).collect();
    let (one, two) = reports.split_at(300);
    store.accept_reports(NOW, &[upload(task, one), upload(task, two)]).unwrap();
    let policy = LeasePolicy { max_reports: 10_000, linger: Duration::ZERO, ..POLICY };
    let jobs = store.lease_jobs(NOW, &policy).unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0].segments.len(), 2);
    assert_eq!(numbers(&jobs[0]), (0..count).collect::<Vec<_>>());
    let times = jobs[0].reports().map(|(time, _)| time.0).collect::<Vec<_>>();
    assert_eq!(times, (0..count).map(|number| number % 7).collect::<Vec<_>>());
}
