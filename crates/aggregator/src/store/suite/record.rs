//! The public log's place in the store.

use super::*;
use crate::store::{
    Closed, Closing, CollectionId, Edition, Kept, KeyRecord, KeyUse, LogEntry, LogHead, LogPage,
    LogState, NewCollection, Outcome, PUBLISH_AT_ONCE, Published, StoreError, Then, Wanted,
};
use std::thread;

const PAGE: LogPage = LogPage { content: 255, index: 0 };

fn entry(number: u64) -> LogEntry {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    LogEntry { key, bytes: number.to_be_bytes().to_vec().into() }
}

fn entries(numbers: std::ops::Range<u64>) -> Vec<LogEntry> {
    numbers.map(entry).collect()
}

/// A log whose page is all entries end to end, and whose checkpoint is its size.
fn appended(state: &mut LogState<'_>) -> Result<Option<Edition>, StoreError> {
    let mut page = (state.page)(PAGE)?.unwrap_or_default().into_bytes();
    assert_eq!(page.len() as u64, 8 * state.head.size);
    state.waiting.iter().for_each(|entry| page.extend_from_slice(&entry.bytes));
    let checkpoint = Blob::from((page.len() as u64 / 8).to_be_bytes().to_vec());
    Ok(Some(Edition { checkpoint, pages: vec![(PAGE, page.into())] }))
}

fn publish(store: &dyn Datastore) -> Published {
    store.publish(&mut appended).unwrap()
}

fn published(store: &dyn Datastore) -> Vec<u64> {
    let page = store.log_page(PAGE).unwrap().unwrap_or_default();
    page.chunks(8).map(|number| u64::from_be_bytes(number.try_into().unwrap())).collect()
}

pub(crate) fn entries_wait_until_they_are_published_and_get_their_indices_for_good(
    bench: &dyn Bench,
) {
    let store = bench.open();
    assert_eq!(store.log_head(), Ok(LogHead::default()));
    assert_eq!(store.log(&entries(0..3)), Ok(3));
    assert_eq!(store.log_head().unwrap().waiting, 3);
    assert_eq!(store.log_index(&entry(1).key), Ok(None));
    assert_eq!(publish(&*store), Published::Done { size: 3, more: false });
    assert_eq!(publish(&*store), Published::Nothing);
    let before = published(&*store);
    drop(store);
    let store = bench.open();
    assert_eq!(store.log(&entries(2..5)), Ok(2), "2 is known");
    assert_eq!(publish(&*store), Published::Done { size: 5, more: false });
    let after = published(&*store);
    assert_eq!(after[..3], before);
    for (index, number) in after.iter().enumerate() {
        assert_eq!(store.log_index(&entry(*number).key), Ok(Some(index as u64)));
    }
    let checkpoint = Some(Blob::from(5_u64.to_be_bytes().to_vec()));
    assert_eq!(store.log_head(), Ok(LogHead { size: 5, checkpoint, waiting: 0 }));
}

pub(crate) fn a_log_without_entries_gets_its_first_checkpoint_once(bench: &dyn Bench) {
    let store = bench.open();
    assert_eq!(publish(&*store), Published::Done { size: 0, more: false });
    assert_eq!(publish(&*store), Published::Nothing);
}

pub(crate) fn a_refused_or_failed_publication_changes_nothing(bench: &dyn Bench) {
    let store = bench.open();
    store.log(&entries(0..2)).unwrap();
    assert_eq!(store.publish(&mut |_| Ok(None)), Ok(Published::Refused));
    let error = StoreError::Corrupt { what: "a page".to_owned() };
    let failed = store.publish(&mut |_| Err(error.clone()));
    assert_eq!(failed, Err(error));
    assert_eq!(store.log_head(), Ok(LogHead { waiting: 2, ..LogHead::default() }));
    assert_eq!(publish(&*store), Published::Done { size: 2, more: false });
}

pub(crate) fn more_entries_than_one_publication_takes_are_left_for_the_next(bench: &dyn Bench) {
    let store = bench.open();
    let most = PUBLISH_AT_ONCE as u64;
    store.log(&entries(0..most + 5)).unwrap();
    assert_eq!(publish(&*store), Published::Done { size: most, more: true });
    assert_eq!(publish(&*store), Published::Done { size: most + 5, more: false });
}

pub(crate) fn each_entry_gets_one_index_whoever_publishes(bench: &dyn Bench) {
    let store = bench.open();
    thread::scope(|scope| {
        for writer in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for number in 0..25 {
                    // Two of the four write the same entries.
                    store.log(&[entry(1000 * (writer / 2) + number)]).unwrap();
                    publish(&**store);
                }
            });
        }
    });
    let mut all = published(&*store);
    assert_eq!(store.log_head().unwrap().waiting, 0);
    all.sort_unstable();
    let expected: Vec<_> = (0..25).chain(1000..1025).collect();
    assert_eq!(all, expected);
}

pub(crate) fn a_checkpoint_is_replaced_only_if_it_is_still_the_newest(bench: &dyn Bench) {
    let store = bench.open();
    publish(&*store);
    let first = store.log_head().unwrap().checkpoint.unwrap();
    assert_eq!(store.replace_checkpoint(&first, b"signed by more"), Ok(true));
    assert_eq!(store.replace_checkpoint(&first, b"signed by others"), Ok(false));
    assert_eq!(&*store.log_head().unwrap().checkpoint.unwrap(), b"signed by more");
}

pub(crate) fn what_is_released_is_in_the_log_and_what_is_not_is_not(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let close = |byte: u8, start: u64, kept: Option<Kept>, then| {
        let (id, range) = (CollectionId([byte; 16]), range(start, 1));
        let closing = Closing { task: &task, id, request: &[byte], range: &range, then };
        store.close_batch(NOW, &closing, &mut |_| kept.clone()).unwrap()
    };
    let waiting = || store.log_head().unwrap().waiting;
    let kept = Kept { blob: Blob::default(), entry: Some(entry(7)) };
    assert_eq!(close(1, 10, None, Then::Finish), Closed::Refused);
    assert_eq!(waiting(), 0);
    assert!(matches!(close(1, 10, Some(kept.clone()), Then::Finish), Closed::Kept(_)));
    assert_eq!(waiting(), 1);
    // Asked again, or for what overlaps: nothing is released anew.
    let other = Kept { entry: Some(entry(8)), ..kept };
    assert!(matches!(close(1, 10, Some(other.clone()), Then::Finish), Closed::Kept(_)));
    assert_eq!(close(2, 10, Some(other), Then::Finish), Closed::Overlap);
    assert_eq!(waiting(), 1);
}

pub(crate) fn the_end_of_a_collection_is_in_the_log_once(bench: &dyn Bench) {
    let (store, task) = with_intervals(bench);
    let id = CollectionId([1; 16]);
    let range = range(10, 1);
    let wanted = Wanted::Range(range.clone());
    let new = NewCollection { task: &task, request: b"", wanted: &wanted };
    store.start_collection(NOW, &new, &|_| id).unwrap();
    let finish = |number| {
        let outcome = Outcome::Finished { response: Blob::default(), entry: entry(number) };
        store.finish_collection(&task, id, &outcome)
    };
    assert_eq!(finish(1), Err(StoreError::NotClosed));
    assert_eq!(store.log_head().unwrap().waiting, 0);
    let then = Then::AwaitPeer;
    let closing = Closing { task: &task, id, request: b"", range: &range, then };
    let closed = store.close_batch(NOW, &closing, &mut |_| Some(Blob::default().into())).unwrap();
    assert!(matches!(closed, Closed::Kept(_)));
    finish(1).unwrap();
    finish(2).unwrap();
    publish(&*store);
    assert_eq!(published(&*store), [1]);
}

pub(crate) fn keys_of_the_log_are_apart_from_those_of_hpke(bench: &dyn Bench) {
    let store = bench.open();
    let key = |byte| KeyRecord {
        id: 1,
        offered: NOW,
        public: vec![byte].into(),
        sealed: vec![byte].into(),
    };
    store.put_key(KeyUse::Hpke, &key(1)).unwrap();
    store.put_key(KeyUse::Log, &key(2)).unwrap();
    store.delete_key(KeyUse::Hpke, 1).unwrap();
    assert_eq!(store.keys(KeyUse::Hpke), Ok(vec![]));
    assert_eq!(store.keys(KeyUse::Log), Ok(vec![key(2)]));
}
