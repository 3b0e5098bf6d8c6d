//! What was said and not drawn yet: kept on the device until a window of its own closes.
//!
//! A window contributes one answer per metric, each of those that waited as likely as the others. Every response has a
//! rank, a keyed hash of what it is called, and the lowest rank is taken: the same choice whatever
//! the order of events, and one that changed answers, withdrawn answers and a bounded memory leave
//! uniform.

use serde::{Deserialize, Serialize};
use sottovoce_program::answer::Given;
use std::collections::BTreeMap;

use super::event::Said;

/// Responses of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// In order of rank.
    items: Vec<Item>,
}

impl From<Vec<Item>> for Pending {
    /// From items in order of rank.
    fn from(items: Vec<Item>) -> Self {
        Self { items }
    }
}

/// What was said of one response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    /// The response.
    pub(super) response: ResponseMark,
    pub(super) rank: u64,
    /// The window in which something was said of it first.
    pub(super) window: u64,
    /// The task that public dimensions select, by name.
    pub(super) task: String,
    pub(super) given: Given,
    /// Values of private dimensions.
    pub(super) segments: BTreeMap<String, String>,
    /// Whether the user's habits were learnt from it.
    pub(super) is_learnt: bool,
}

/// A response, as the device remembers it: a keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ResponseMark(pub(super) u64);

/// What of a response's place is known before anything is said of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) response: ResponseMark,
    pub(super) rank: u64,
}

/// Responses that are remembered for a task and for the window that closes next, and as many that were said
/// since it was over: enough that withdrawn ones hardly ever leave none, few enough that the state stays small.
const MOST_ITEMS: usize = 16;

impl Pending {
    /// What the answer becomes if this is said on top of what was.
    pub(super) fn merged(&self, response: ResponseMark, said: &Said) -> Given {
        let before = self.items.iter().find(|item| item.response == response);
        let before = before.map(|item| &item.given);
        match said {
            Said::Answer(given) => given.clone(),
            Said::Signal(signal) => {
                let observed = before.and_then(Given::signals);
                Given::Signals(observed.into_iter().flatten().chain([signal]).cloned().collect())
            }
            Said::More(times) => {
                let count = before.and_then(Given::count).unwrap_or_default();
                Given::Count(count.saturating_add(*times))
            }
        }
    }

    /// Puts a response in its place, over what was there; it keeps the window in which it was said first.
    /// `open` is the window that closes next.
    pub(super) fn put(&mut self, item: Item, open: u64) {
        let before = self.items.iter().find(|other| other.response == item.response);
        let (window, is_learnt) = before.map_or((item.window, item.is_learnt), |before| {
            (before.window.min(item.window), before.is_learnt)
        });
        self.remove(item.response);
        let at = self.items.partition_point(|other| other.rank <= item.rank);
        self.items.insert(at, Item { window, is_learnt, ..item });
        self.trim(open);
    }

    /// Forgets the highest ranks where there are too many. What was said since a window was over takes no
    /// place from what was said before.
    pub(super) fn trim(&mut self, open: u64) {
        let mut counts: BTreeMap<(String, bool), usize> = BTreeMap::new();
        self.items.retain(|item| {
            let count = counts.entry((item.task.clone(), item.window <= open)).or_default();
            *count += 1;
            *count <= MOST_ITEMS
        });
    }

    /// Nothing was said later than in this window: what was, was said under a clock that was ahead.
    pub(super) fn set_clock(&mut self, current: u64) {
        for item in &mut self.items {
            item.window = item.window.min(current);
        }
    }

    /// Those that habits were not learnt from yet, of windows that are over; they count as learnt from now on.
    pub(super) fn learn(&mut self, current: u64) -> Vec<Item> {
        let new = self.items.iter_mut().filter(|item| !item.is_learnt && item.window < current);
        new.map(|item| {
            item.is_learnt = true;
            item.clone()
        })
        .collect()
    }

    /// Whether something was said of a response.
    pub(super) fn has(&self, response: ResponseMark) -> bool {
        self.items.iter().any(|item| item.response == response)
    }

    /// Takes back what was said of a response; whether there was anything.
    pub(super) fn remove(&mut self, response: ResponseMark) -> bool {
        let before = self.items.len();
        self.items.retain(|item| item.response != response);
        self.items.len() < before
    }

    /// All that are remembered, in order of rank: of those that belong to a window, the first is taken.
    pub(super) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Forgets those that the condition does not hold for.
    pub(super) fn retain(&mut self, condition: impl FnMut(&Item) -> bool) {
        self.items.retain(condition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sottovoce_program::answer::Thumb;
    use std::collections::BTreeSet;

    fn item(rank: u64, given: Given) -> Item {
        Item {
            response: ResponseMark(rank),
            rank,
            window: 7,
            task: "helpful".into(),
            given,
            segments: BTreeMap::new(),
            is_learnt: false,
        }
    }

    fn put(pending: &mut Pending, rank: u64, thumb: Thumb) {
        pending.put(item(rank, Given::Thumbs(thumb)), 7);
    }

    #[test]
    fn a_changed_answer_is_there_once_and_a_withdrawn_one_not_at_all() {
        let mut pending = Pending::default();
        put(&mut pending, 7, Thumb::Up);
        put(&mut pending, 7, Thumb::Down);
        assert_eq!(pending.items().len(), 1);
        assert_eq!(pending.items()[0].given, Given::Thumbs(Thumb::Down));
        assert!(pending.remove(ResponseMark(7)));
        assert!(!pending.remove(ResponseMark(7)));
        assert_eq!(pending.items(), []);
    }

    #[test]
    fn signals_and_counts_of_a_response_add_up() {
        let mut pending = Pending::default();
        for said in [Said::Signal("copied".into()), Said::Signal("edited".into())] {
            let given = pending.merged(ResponseMark(1), &said);
            pending.put(item(1, given), 7);
        }
        let both = BTreeSet::from(["copied".to_owned(), "edited".to_owned()]);
        assert_eq!(pending.items()[0].given, Given::Signals(both));
        let mut pending = Pending::default();
        for times in [2, u64::MAX] {
            let given = pending.merged(ResponseMark(1), &Said::More(times));
            pending.put(item(1, given), 7);
        }
        assert_eq!(pending.items()[0].given, Given::Count(u64::MAX));
    }

    #[test]
    fn what_is_said_after_a_window_takes_no_place_in_it() {
        let mut pending = Pending::default();
        put(&mut pending, 1_000_000, Thumb::Up);
        for rank in 0..100 {
            let later = Item { window: 8, ..item(rank, Given::Thumbs(Thumb::Down)) };
            pending.put(later, 7);
        }
        assert_eq!(pending.items().len(), MOST_ITEMS + 1);
        assert_eq!(pending.items().iter().filter(|item| item.window == 7).count(), 1);
        // A change of it is still of the window that it was said in.
        let again = Item { window: 8, ..item(1_000_000, Given::Thumbs(Thumb::Down)) };
        pending.put(again, 7);
        assert_eq!(pending.items().last().unwrap().window, 7);
        pending.trim(8);
        assert_eq!(pending.items().len(), MOST_ITEMS, "once all belong to one window");
    }

    #[test]
    fn habits_are_learnt_once_from_each_and_from_none_of_a_window_that_is_open() {
        let mut pending = Pending::default();
        put(&mut pending, 1, Thumb::Up);
        assert_eq!(pending.learn(7).len(), 0);
        assert_eq!((pending.learn(8).len(), pending.learn(9).len()), (1, 0));
    }

    proptest! {
        #[test]
        fn the_lowest_rank_is_taken_in_whatever_order_responses_come(
            ranks in prop::collection::vec(any::<u64>(), 1..60),
        ) {
            let mut pending = Pending::default();
            for rank in &ranks {
                put(&mut pending, *rank, Thumb::Up);
            }
            prop_assert_eq!(pending.items()[0].rank, *ranks.iter().min().unwrap());
            prop_assert!(pending.items().len() <= MOST_ITEMS);
        }
    }
}
