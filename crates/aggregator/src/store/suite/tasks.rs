//! Tasks and keys.

use super::*;
use crate::store::{KeyRecord, KeyUse, Put, StoreError};

pub(crate) fn a_changed_task_under_the_same_id_is_refused(bench: &dyn Bench) {
    let (store, id) = with_intervals(bench);
    let first = store.task(&id).unwrap().unwrap();
    // Sealed anew, the same secret is other bytes: no reason to refuse.
    let sealed_anew = TaskRecord { sealed: Blob::from(vec![1]), ..first.clone() };
    assert_eq!(store.put_task(&sealed_anew), Ok(Put::AlreadyThere));
    for other in [
        TaskRecord { public: Blob::from(vec![1]), ..first.clone() },
        TaskRecord { mode: BatchingMode::LeaderSelected { target: 5 }, ..first.clone() },
    ] {
        assert_eq!(store.put_task(&other), Err(StoreError::TaskConflict(id)));
    }
    assert_eq!(store.task(&id), Ok(Some(first)));
}

pub(crate) fn a_task_is_changed_only_if_it_is_still_the_same(bench: &dyn Bench) {
    let (store, id) = with_batches_of(5, bench);
    let first = store.task(&id).unwrap().unwrap();
    let mode = BatchingMode::LeaderSelectedAnyTime { target: 5 };
    let second =
        TaskRecord { mode, public: vec![1].into(), sealed: vec![9].into(), ..first.clone() };
    assert_eq!(store.change_task(&first, &second), Ok(true));
    let kept = TaskRecord { sealed: first.sealed.clone(), ..second.clone() };
    assert_eq!(bench.open().task(&id), Ok(Some(kept.clone())), "its secrets stay");
    assert_eq!(store.change_task(&first, &second), Ok(false));
    let other_mode = TaskRecord { mode: first.mode, ..kept.clone() };
    assert_eq!(store.change_task(&other_mode, &first), Ok(false));
    assert_eq!(store.change_task(&kept, &first), Ok(true));
    assert_eq!(store.task(&id), Ok(Some(first)));
}

/// A batch begun while times could be mixed, partly verified and partly on its way.
pub(crate) fn a_batch_begun_before_batches_are_of_one_time_is_filled_up(bench: &dyn Bench) {
    let store = bench.open();
    let task = put(&*store, 1, BatchingMode::LeaderSelectedAnyTime { target: 8 });
    upload_singly(&*store, task, &(0..7).map(|number| (number, 1)).collect::<Vec<_>>());
    let jobs = lease(&*store, NOW);
    let batch = jobs[0].batch.unwrap();
    let key = || BucketKey::batch(&batch);
    assert_eq!(jobs.iter().map(|job| job.batch).collect::<Vec<_>>(), [Some(batch); 2]);
    commit(&*store, &jobs[0], key());
    let before = store.task(&task).unwrap().unwrap();
    let mode = BatchingMode::LeaderSelected { target: 8 };
    assert_eq!(store.change_task(&before, &TaskRecord { mode, ..before.clone() }), Ok(true));
    commit(&*store, &jobs[1], key());
    assert_eq!(store.next_batch(&task), Ok(None), "7 of 8 are verified");
    upload_singly(&*store, task, &[(8, 2), (9, 1)]);
    let rest = lease(&*store, NOW);
    let of_time = |time| {
        let is_of = |job: &&LeasedJob| job.reports().all(|(of, _)| of == Time(time));
        rest.iter().find(is_of).unwrap()
    };
    assert_ne!(of_time(2).batch, Some(batch));
    assert_eq!(of_time(1).batch, Some(batch));
    commit(&*store, of_time(1), key());
    assert_eq!(store.next_batch(&task), Ok(Some(batch)));
}

pub(crate) fn a_changed_key_under_the_same_id_is_refused(bench: &dyn Bench) {
    let store = bench.open();
    let key = KeyRecord { id: 7, offered: NOW, public: vec![1].into(), sealed: vec![2].into() };
    assert_eq!(store.put_key(KeyUse::Hpke, &key), Ok(Put::Added));
    let sealed_anew = KeyRecord { sealed: vec![3].into(), ..key.clone() };
    assert_eq!(store.put_key(KeyUse::Hpke, &sealed_anew), Ok(Put::AlreadyThere));
    let other = KeyRecord { public: vec![4].into(), ..key.clone() };
    assert_eq!(store.put_key(KeyUse::Hpke, &other), Err(StoreError::KeyConflict(7)));
    assert_eq!(store.keys(KeyUse::Hpke), Ok(vec![key]));
}

pub(crate) fn tasks_and_keys_survive_a_restart_in_their_order(bench: &dyn Bench) {
    let store = bench.open();
    put(&*store, 9, BatchingMode::LeaderSelected { target: 100 });
    put(&*store, 1, BatchingMode::TimeInterval);
    for (id, offered) in [(1, seconds_later(5)), (200, NOW)] {
        let key = KeyRecord { id, offered, public: vec![id].into(), sealed: vec![].into() };
        assert_eq!(store.put_key(KeyUse::Hpke, &key), Ok(Put::Added));
    }
    drop(store);
    let store = bench.open();
    let tasks = store.tasks().unwrap();
    assert_eq!(tasks.iter().map(|task| task.id).collect::<Vec<_>>(), [task_id(9), task_id(1)]);
    assert_eq!(tasks[0].mode, BatchingMode::LeaderSelected { target: 100 });
    assert_eq!(tasks[1].mode, BatchingMode::TimeInterval);
    assert_eq!((&*tasks[0].public, &*tasks[0].sealed), (&b"public"[..], &b"sealed"[..]));
    assert_eq!(
        store.keys(KeyUse::Hpke).unwrap().iter().map(|key| key.id).collect::<Vec<_>>(),
        [200, 1]
    );
}

pub(crate) fn an_unknown_task_is_named(bench: &dyn Bench) {
    let store = bench.open();
    let unknown = Err(StoreError::UnknownTask(task_id(3)));
    assert_eq!(store.task(&task_id(3)), Ok(None));
    assert_eq!(store.counts(&task_id(3)).map(drop), unknown);
    assert_eq!(store.next_batch(&task_id(3)).map(drop), unknown);
    let uploads = [upload(task_id(3), &[(1, 1)])];
    assert_eq!(store.accept_reports(NOW, &uploads).map(drop), unknown);
}
