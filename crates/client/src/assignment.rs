//! What a device is assigned of public dimensions, and from which window on.
//!
//! The task of a window is fixed when the window begins, before anything is said in it: otherwise the leader
//! could tell from the task that there was an answer. So a change holds from the next window on, whether or not
//! something was said; only a first assignment holds at once, as nothing can have been said before it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The values of all dimensions that any was assigned of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Assignments(BTreeMap<String, Vec<Assigned>>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Assigned {
    /// The first window that it holds in.
    from: u64,
    value: String,
}

/// The value of the window that waits to be closed, the one of this window, and one to come.
const MOST: usize = 3;

impl Assignments {
    /// What was assigned at once, and nothing since.
    pub(super) fn at_once(values: BTreeMap<String, String>) -> Self {
        let first = |value| vec![Assigned { from: 0, value }];
        Self(values.into_iter().map(|(name, value)| (name, first(value))).collect())
    }

    /// Assigns a value in window `current`, while `open` waits to be closed. Returns the window from which
    /// it holds, or nothing if it holds already.
    pub(super) fn assign(
        &mut self,
        dimension: &str,
        value: &str,
        current: u64,
        open: u64,
    ) -> Option<u64> {
        self.set_clock(current);
        let values = self.0.entry(dimension.to_owned()).or_default();
        let next = current.saturating_add(1);
        // What was assigned in this window, and never held.
        values.retain(|assigned| assigned.from < next);
        let from = match values.last() {
            None => 0,
            Some(last) if last.value == value => return None,
            Some(_) => next,
        };
        values.push(Assigned { from, value: value.to_owned() });
        while values.len() > 1 && values[1].from <= open.min(current) {
            values.remove(0);
        }
        // Windows between the open one and this one are never reported.
        while values.len() > MOST {
            values.remove(1);
        }
        (from > current).then_some(from)
    }

    /// Nothing begins later than in the next window: what does was assigned by a clock that was ahead.
    pub(super) fn set_clock(&mut self, current: u64) {
        let next = current.saturating_add(1);
        for values in self.0.values_mut() {
            for assigned in values.iter_mut() {
                assigned.from = assigned.from.min(next);
            }
            // Of two that would begin together the later one counts.
            values.reverse();
            values.dedup_by_key(|assigned| assigned.from);
            values.reverse();
        }
    }

    /// Forgets what is not known any more, the dimension with its last value; and if windows are counted
    /// anew, all but the last values.
    pub(super) fn retain(&mut self, known: impl Fn(&str, &str) -> bool, counted_anew: bool) {
        self.0.retain(|dimension, values| {
            if counted_anew {
                values.drain(..values.len().saturating_sub(1));
                for assigned in values.iter_mut() {
                    assigned.from = 0;
                }
            }
            values.retain(|assigned| known(dimension, &assigned.value));
            if let Some(first) = values.first_mut() {
                first.from = 0;
            }
            !values.is_empty()
        });
    }

    /// The value that was assigned last; it may hold from the next window on.
    pub(super) fn latest(&self, dimension: &str) -> Option<&str> {
        Some(&self.0.get(dimension)?.last()?.value)
    }

    /// The value that holds in a window.
    pub(super) fn at(&self, dimension: &str, window: u64) -> Option<&str> {
        let values = self.0.get(dimension)?;
        Some(&values.iter().rev().find(|assigned| assigned.from <= window)?.value)
    }

    /// Each dimension's last value, and the window that it holds from.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.0.iter().filter_map(|(name, values)| {
            let last = values.last()?;
            Some((name.as_str(), last.value.as_str(), last.from))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_first_value_holds_at_once_and_a_change_from_the_next_window_on() {
        let mut assigned = Assignments::default();
        assert_eq!(assigned.at("arm", 7), None);
        assert_eq!(assigned.assign("arm", "control", 7, 7), None);
        assert_eq!(
            (assigned.at("arm", 7), assigned.latest("arm")),
            (Some("control"), Some("control"))
        );
        assert_eq!(assigned.assign("arm", "candidate", 7, 7), Some(8));
        assert_eq!(assigned.assign("arm", "candidate", 7, 7), Some(8), "said twice");
        assert_eq!(
            (assigned.at("arm", 7), assigned.at("arm", 8)),
            (Some("control"), Some("candidate"))
        );
        assert_eq!(assigned.latest("arm"), Some("candidate"));
        assert_eq!(assigned.assign("arm", "control", 7, 7), None, "as it was");
        assert_eq!(assigned.at("arm", 8), Some("control"));
    }

    #[test]
    fn the_window_that_waits_keeps_its_value_however_often_it_changes_since() {
        let mut assigned = Assignments::default();
        assigned.assign("arm", "a", 10, 10);
        for (window, value) in (11..40).zip(["b", "c", "d"].into_iter().cycle()) {
            assigned.assign("arm", value, window, 10);
            assert_eq!(assigned.at("arm", 10), Some("a"));
            assert!(assigned.0["arm"].len() <= MOST);
        }
        // Of 29 values the last but one holds in the last window, and the last in the next.
        assert_eq!((assigned.at("arm", 39), assigned.at("arm", 40)), (Some("b"), Some("c")));
    }

    #[test]
    fn a_clock_that_was_ahead_puts_nothing_off_for_years() {
        let mut assigned = Assignments::default();
        assigned.assign("arm", "a", 10, 10);
        assigned.assign("arm", "b", 5000, 10);
        assigned.assign("arm", "c", 6000, 10);
        assigned.set_clock(11);
        assert_eq!((assigned.at("arm", 11), assigned.at("arm", 12)), (Some("a"), Some("c")));
    }
}
