//! What has been released of a task, small enough to be kept: spans of seconds, and batches.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::{BTreeMap, BTreeSet};

/// Spans of seconds that neither overlap nor touch, and batches by their IDs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ranges {
    /// Start and end of each span.
    spans: BTreeMap<u64, u64>,
    /// Beginnings of batch IDs.
    batches: BTreeSet<Mark>,
}

impl Ranges {
    /// Adds a span. Returns a part of it that was there before.
    pub(super) fn add(&mut self, start: u64, end: u64) -> Option<(u64, u64)> {
        let (mut from, mut to, mut before) = (start, end, None);
        // Whatever it overlaps or touches becomes one span with it.
        while let Some((&first, &last)) = self.spans.range(..=to).next_back()
            && last >= from
        {
            self.spans.remove(&first);
            let (overlaps, ends) = (first.max(start), last.min(end));
            if overlaps < ends {
                before = Some((overlaps, ends));
            }
            (from, to) = (from.min(first), to.max(last));
        }
        self.spans.insert(from, to);
        before
    }

    /// Adds a batch; whether it is new.
    pub(super) fn add_batch(&mut self, id: Mark) -> bool {
        self.batches.insert(id)
    }

    /// About how many bytes they take.
    pub(super) fn bytes(&self) -> usize {
        self.spans.len() * 32 + self.batches.len() * 48
    }

    /// All spans, in order.
    pub(super) fn spans(&self) -> impl Iterator<Item = (u64, u64)> {
        self.spans.iter().map(|(start, end)| (*start, *end))
    }

    /// The parts of spans within a span, the last first.
    pub(super) fn within(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> {
        let before = self.spans.range(..end).rev();
        let within = before.take_while(move |(_, to)| **to > start);
        within.map(move |(from, to)| ((*from).max(start), (*to).min(end)))
    }

    /// What people call a span.
    pub(super) fn label(start: u64, end: u64) -> String {
        use sottovoce_program::format_moment;
        format!("{} to {}", format_moment(start), format_moment(end))
    }
}

/// The beginning of something as long as a hash: enough to know it again, of millions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark([u8; 16]);

impl Mark {
    pub(super) fn of(bytes: &[u8; 32]) -> Self {
        let mut mark = [0; 16];
        mark.copy_from_slice(&bytes[..16]);
        Self(mark)
    }
}

impl Serialize for Mark {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for Mark {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = URL_SAFE_NO_PAD.decode(String::deserialize(deserializer)?).ok();
        let mark = bytes.and_then(|bytes| bytes.try_into().ok());
        mark.map(Self).ok_or_else(|| serde::de::Error::custom("16 bytes in base64url are expected"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn spans_are_joined_and_told_if_they_overlap_whatever_their_order(
            spans in proptest::collection::vec((0u64..40, 1u64..6), 1..25),
            from in 0u64..46,
            length in 0u64..46,
        ) {
            let (mut ranges, mut seconds) = (Ranges::default(), BTreeSet::new());
            for (start, length) in spans {
                let known: BTreeSet<_> =
                    (start..start + length).filter(|second| seconds.contains(second)).collect();
                match ranges.add(start, start + length) {
                    None => prop_assert!(known.is_empty()),
                    Some((from, to)) => prop_assert!(from < to && (from..to).all(|s| known.contains(&s))),
                }
                seconds.extend(start..start + length);
            }
            let listed: Vec<_> = ranges.spans().flat_map(|(from, to)| from..to).collect();
            prop_assert_eq!(&listed, &seconds.iter().copied().collect::<Vec<_>>());
            let apart = ranges.spans().zip(ranges.spans().skip(1)).all(|(one, next)| one.1 < next.0);
            prop_assert!(apart, "{ranges:?}");
            let within: BTreeSet<_> =
                ranges.within(from, from + length).flat_map(|(from, to)| from..to).collect();
            let expected = seconds.range(from..from + length).copied().collect();
            prop_assert_eq!(within, expected);
        }
    }
}
