//! Which helper has how much of us: fair shares of jobs and collections for each.

use super::Leader;
use crate::{clock, store::Share, task::Task};
use sottovoce_dap::{exchange::ExchangeError, ids::TaskId};
use sottovoce_transport::{
    error::TransportError,
    exchange::IncompleteError,
    peers::{Peers, Place, origin},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
    time::Instant,
};

/// The helpers, and the tasks that are theirs.
pub(super) struct Shares {
    pub(super) jobs: Peers,
    pub(super) collections: Peers,
    origins: Mutex<HashMap<TaskId, String>>,
}

/// Collections at the same time with one helper.
const COLLECTIONS: usize = 8;

impl Shares {
    pub(super) fn new(jobs: usize) -> Self {
        Self {
            jobs: Peers::new(jobs),
            collections: Peers::new(COLLECTIONS),
            origins: Mutex::default(),
        }
    }

    /// Notes whose a task is. One that nobody has noted yet counts as a helper of its own.
    pub(super) fn learn(&self, task: &Task) {
        let mut origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        origins.entry(task.id).or_insert_with(|| {
            origin(task.configuration.helper_aggregator_endpoint.as_str()).to_owned()
        });
    }

    /// How many jobs each helper has room for now.
    pub(super) fn of_jobs(&self, now: Instant) -> Vec<Share> {
        let origins = self.origins.lock().unwrap_or_else(PoisonError::into_inner);
        let mut shares = BTreeMap::<&str, Vec<TaskId>>::new();
        for (task, origin) in &*origins {
            shares.entry(origin).or_default().push(*task);
        }
        let share = |(origin, tasks)| Share { tasks, room: self.jobs.room(origin, now) };
        shares.into_iter().map(share).collect()
    }
}

impl Leader {
    /// Notes how a helper answered, if it did.
    pub(super) fn heard(&self, place: &Place, task: &TaskId, error: Option<&IncompleteError>) {
        match error {
            Some(error) if is_ill(error) => {
                if let Some(rest) = place.failed(clock::instant()) {
                    tracing::warn!(%task, %error, ?rest, "a helper is left alone for a while");
                }
            }
            Some(error) if error.is_trouble() => place.busy(),
            _ => place.went_well(),
        }
        let resting = self.shares.jobs.resting().max(self.shares.collections.resting());
        self.metrics.helpers_left_alone(resting);
    }
}

/// Whether what failed is the helper, and not only this request of it.
fn is_ill(error: &IncompleteError) -> bool {
    let IncompleteError::Transport(error) = error else { return true };
    let TransportError::Exchange { source, .. } = error else {
        return matches!(error, TransportError::NoResponse { .. });
    };
    let (ExchangeError::Problem { status, .. } | ExchangeError::Status { status, .. }) = source
    else {
        return false;
    };
    matches!(status, 500 | 502 | 504)
}
