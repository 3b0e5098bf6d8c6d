//! How many jobs and collections each helper has at the same time, so that none takes them all.

use super::Leader;
use crate::{clock, store::Quota, task::Task};
use sottovoce_dap::{exchange::ExchangeError, ids::TaskId};
use sottovoce_transport::{
    error::TransportError,
    exchange::IncompleteError,
    peers::{Peers, Permit, origin},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The helpers, and the tasks that are theirs.
pub(super) struct Quotas {
    pub(super) jobs: Peers,
    pub(super) collections: Peers,
    origins: Mutex<HashMap<TaskId, String>>,
}

/// Collections at the same time with one helper.
const COLLECTIONS: usize = 8;

impl Quotas {
    pub(super) fn new(jobs: usize) -> Self {
        Self {
            jobs: Peers::new(jobs),
            collections: Peers::new(COLLECTIONS),
            origins: Mutex::default(),
        }
    }

    /// Notes whose a task is. One that nobody has noted yet counts as a helper of its own.
    pub(super) fn add_task(&self, task: &Task) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.entry(task.id).or_insert_with(|| {
            origin(task.configuration.helper_aggregator_endpoint.as_str()).to_owned()
        });
    }

    /// How many jobs each helper has room for now.
    pub(super) fn for_jobs(&self, now: Instant) -> Vec<Quota> {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut quotas = BTreeMap::<&str, Vec<TaskId>>::new();
        for (task, origin) in &*origins {
            quotas.entry(origin).or_default().push(*task);
        }
        let quota = |(origin, tasks)| Quota { tasks, room: self.jobs.room(origin, now) };
        quotas.into_iter().map(quota).collect()
    }
}

impl Leader {
    /// Notes how a helper answered, if it did.
    pub(super) fn record_answer(
        &self,
        permit: &Permit,
        task: &TaskId,
        error: Option<&IncompleteError>,
    ) {
        let (helper, outages) = (permit.origin(), &self.outages.helpers);
        match error {
            Some(error) if is_down(error) => {
                self.metrics.peer_fails(helper, outages.fails(helper, error));
                if let Some(backoff) = permit.failed(clock::instant()) {
                    tracing::debug!(%task, %error, ?backoff, "backing off from a helper that failed several times in a row");
                }
            }
            Some(error) if error.is_peer_failure() => {
                self.metrics.peer_fails(helper, outages.fails(helper, error));
                permit.answered_busy();
            }
            _ => {
                outages.ends(helper);
                self.metrics.peer_fails(helper, Duration::ZERO);
                permit.succeeded();
            }
        }
        let backed_off = self.quotas.jobs.backed_off().max(self.quotas.collections.backed_off());
        self.metrics.helpers_left_alone(backed_off);
    }
}

/// Whether what failed is the helper, and not only this request of it.
fn is_down(error: &IncompleteError) -> bool {
    let IncompleteError::Transport(error) = error else { return true };
    let TransportError::Exchange { source, .. } = error else {
        return matches!(
            error,
            TransportError::NoResponse { .. } | TransportError::Certificate { .. }
        );
    };
    let (ExchangeError::Problem { status, .. } | ExchangeError::Status { status, .. }) = source
    else {
        return false;
    };
    matches!(status, 500 | 502 | 504)
}
