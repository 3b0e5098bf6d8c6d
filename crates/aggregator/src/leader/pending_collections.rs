//! Pending collections: why each waits, in the metrics, and in the log when it takes long.

use crate::{clock, metrics::Metrics, store::CollectionId};
use sottovoce_dap::ids::TaskId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Why a collection is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Reason {
    /// Reports of its batch are still to be aggregated.
    NotAggregated,
    /// No batch that the leader could select is full.
    NoFullBatch,
    /// The helper works on others.
    HelperBusy,
    /// The helper does not answer, or not with its share.
    HelperFails,
    /// Something here failed, such as the database.
    OurFault,
}

impl Reason {
    pub(super) const ALL: [Self; 5] = [
        Self::NotAggregated,
        Self::NoFullBatch,
        Self::HelperBusy,
        Self::HelperFails,
        Self::OurFault,
    ];

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::NotAggregated => "not_aggregated",
            Self::NoFullBatch => "no_full_batch",
            Self::HelperBusy => "helper_busy",
            Self::HelperFails => "helper_fails",
            Self::OurFault => "our_fault",
        }
    }
}

/// A collection, by its task and ID.
type Name = (TaskId, CollectionId);

/// The collections that are not over, with what they wait for. In memory only: after a start, waiting times
/// begin again.
pub(super) struct PendingCollections {
    metrics: Arc<Metrics>,
    all: Mutex<HashMap<Name, Wait>>,
}

struct Wait {
    since: Instant,
    seen: Instant,
    reason: Reason,
    /// After how long the log says it next.
    next: Duration,
}

/// A collection that has waited for so long is logged; then each time that it has waited twice as long.
const LONG: Duration = Duration::from_secs(30);
/// A collection that was not looked at for so long is another replica's, or gone.
const FORGOTTEN: Duration = Duration::from_secs(120);

impl PendingCollections {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        for reason in Reason::ALL {
            metrics.collections_wait(reason.word(), 0, 0);
        }
        Self { metrics, all: Mutex::default() }
    }

    /// A collection is over.
    pub(super) fn ended(&self, name: &Name) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(name);
        self.count(&all, clock::instant());
    }

    /// A collection waits on.
    pub(super) fn still_waits(
        &self,
        name: Name,
        reason: Reason,
        error: Option<String>,
        now: Instant,
    ) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, wait| now.saturating_duration_since(wait.seen) < FORGOTTEN);
        let is_new = !all.contains_key(&name);
        let wait = all.entry(name).or_insert(Wait { since: now, seen: now, reason, next: LONG });
        let changed = std::mem::replace(&mut wait.reason, reason) != reason;
        wait.seen = now;
        let waited = now.saturating_duration_since(wait.since);
        let task = name.0;
        if let Some(error) = error.filter(|_| is_new || changed) {
            tracing::warn!(%task, %error, "retrying a collection job later");
        }
        if waited >= wait.next {
            wait.next = waited * 2;
            let (reason, seconds) = (reason.word(), waited.as_secs());
            tracing::warn!(%task, reason, seconds, "a collection has been waiting for long; see `collections list`");
        }
        self.count(&all, now);
    }

    fn count(&self, all: &HashMap<Name, Wait>, now: Instant) {
        for reason in Reason::ALL {
            let waits = all.values().filter(|wait| wait.reason == reason);
            let ages = waits.map(|wait| now.saturating_duration_since(wait.since).as_secs());
            let (count, oldest) =
                ages.fold((0, 0), |(count, oldest), age| (count + 1, age.max(oldest)));
            self.metrics.collections_wait(reason.word(), count, oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Format;
    use sottovoce_dap::ids::CollectionJobId;

    #[test]
    fn waits_are_counted_by_their_reason_until_they_are_over() {
        let metrics = Arc::new(Metrics::new());
        let (pending, now) = (PendingCollections::new(Arc::clone(&metrics)), Instant::now());
        let name = |byte| (TaskId::new([byte; 32]), CollectionJobId::new([byte; 16]).into());
        let later = |seconds| now + Duration::from_secs(seconds);
        pending.still_waits(name(1), Reason::NotAggregated, None, now);
        pending.still_waits(name(2), Reason::HelperFails, None, now);
        pending.still_waits(name(1), Reason::HelperFails, None, later(40));
        let text = metrics.text(Format::Prometheus);
        for line in [
            "sottovoce_pending_collections{reason=\"helper_fails\"} 2",
            "sottovoce_pending_collections{reason=\"not_aggregated\"} 0",
            "sottovoce_oldest_pending_collection_age_seconds{reason=\"helper_fails\"} 40",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        pending.ended(&name(1));
        // One that nobody looked at any more is no longer counted.
        pending.still_waits(name(3), Reason::NoFullBatch, None, later(200));
        let text = metrics.text(Format::Prometheus);
        assert!(
            text.contains("sottovoce_pending_collections{reason=\"helper_fails\"} 0"),
            "{text}"
        );
        assert!(
            text.contains("sottovoce_pending_collections{reason=\"no_full_batch\"} 1"),
            "{text}"
        );
    }
}
