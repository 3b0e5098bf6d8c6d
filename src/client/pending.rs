//! What was said in a window that is still open: kept on the device until one of it is drawn.
//!
//! A window contributes one answer per metric, each as likely as the others. Every response has a
//! rank, a keyed hash of what it is called, and the lowest rank is taken: the same choice whatever
//! the order of events, and one that changed answers, withdrawn answers and a bounded memory leave
//! uniform.

use crate::program::answer::Given;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::event::Said;

/// Responses of one metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// In order of rank.
    items: Vec<Item>,
}

/// What was said of one response.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Item {
    /// The response.
    pub(super) response: ResponseMark,
    rank: u64,
    /// The task that public dimensions select, by name.
    pub(super) task: String,
    pub(super) given: Given,
    /// Values of private dimensions.
    pub(super) segments: BTreeMap<String, String>,
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

/// Responses that are remembered for a metric: enough that withdrawn ones hardly ever leave none,
/// few enough that the state stays small.
const MOST_ITEMS: usize = 16;

impl Item {
    /// The lowest is taken.
    pub(super) fn rank(&self) -> u64 {
        self.rank
    }
}

impl Pending {
    /// What the answer becomes if this is said on top of what was.
    pub(super) fn merged(&self, response: ResponseMark, said: &Said) -> Given {
        let before = self.items.iter().find(|item| item.response == response);
        match (said, before.map(|item| &item.given)) {
            (Said::Answer(given), _) => given.clone(),
            (Said::Signal(signal), Some(Given::Signals(observed))) => {
                Given::Signals(observed.iter().chain([signal]).cloned().collect())
            }
            (Said::Signal(signal), _) => Given::Signals(BTreeSet::from([signal.clone()])),
            (Said::More(times), Some(Given::Count(count))) => {
                Given::Count(count.saturating_add(*times))
            }
            (Said::More(times), _) => Given::Count(*times),
        }
    }

    /// Puts a response in its place, over what was there.
    pub(super) fn put(
        &mut self,
        place: Place,
        task: &str,
        given: Given,
        segments: BTreeMap<String, String>,
    ) {
        self.remove(place.response);
        let Place { response, rank } = place;
        let item = Item { response, rank, task: task.to_owned(), given, segments };
        let at = self.items.partition_point(|other| other.rank <= rank);
        self.items.insert(at, item);
        self.items.truncate(MOST_ITEMS);
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

    /// The response that is taken.
    pub(super) fn first(&self) -> Option<&Item> {
        self.items.first()
    }

    /// All that are remembered, the one that is taken first.
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
    use crate::program::answer::Thumb;
    use proptest::prelude::*;

    fn place(rank: u64) -> Place {
        Place { response: ResponseMark(rank), rank }
    }

    fn put(pending: &mut Pending, rank: u64, thumb: Thumb) {
        pending.put(place(rank), "helpful", Given::Thumbs(thumb), BTreeMap::new());
    }

    #[test]
    fn a_changed_answer_is_there_once_and_a_withdrawn_one_not_at_all() {
        let mut pending = Pending::default();
        put(&mut pending, 7, Thumb::Up);
        put(&mut pending, 7, Thumb::Down);
        assert_eq!(pending.items().len(), 1);
        assert_eq!(pending.first().unwrap().given, Given::Thumbs(Thumb::Down));
        assert!(pending.remove(ResponseMark(7)));
        assert!(!pending.remove(ResponseMark(7)));
        assert_eq!(pending.first(), None);
    }

    #[test]
    fn signals_and_counts_of_a_response_add_up() {
        let mut pending = Pending::default();
        for said in [Said::Signal("copied".into()), Said::Signal("edited".into())] {
            let given = pending.merged(ResponseMark(1), &said);
            pending.put(place(1), "behaviour", given, BTreeMap::new());
        }
        let both = BTreeSet::from(["copied".to_owned(), "edited".to_owned()]);
        assert_eq!(pending.first().unwrap().given, Given::Signals(both));
        let mut pending = Pending::default();
        for times in [2, u64::MAX] {
            let given = pending.merged(ResponseMark(1), &Said::More(times));
            pending.put(place(1), "turns", given, BTreeMap::new());
        }
        assert_eq!(pending.first().unwrap().given, Given::Count(u64::MAX));
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
            prop_assert_eq!(pending.first().unwrap().rank, *ranks.iter().min().unwrap());
            prop_assert!(pending.items().len() <= MOST_ITEMS);
        }
    }
}
