//! The helper: answers the leader, and nobody else (§4.5, §4.6.4).
//!
//! [`aggregate`] verifies an aggregation job and [`share`] gives out an aggregate share once.
//! [`routes`] is where requests come in. There is no upload path here and no way to send.

mod aggregate;
mod routes;
mod share;

use super::{
    config::limits::Retention,
    http::Failure,
    keyring::Keyring,
    log::{Covered, PublicLog},
    metrics::Metrics,
    skew::Skew,
    store::{Datastore, Timestamp, sealed::DatabaseKeys},
    task::HelperTask,
    tasks::Tasks,
};
use sottovoce_dap::ids::{AggregateShareId, AggregationJobId};
use std::sync::Arc;

pub use routes::router;

/// What a running helper holds.
pub struct Helper {
    store: Arc<dyn Datastore>,
    tasks: Tasks<HelperTask>,
    keyring: Arc<Keyring>,
    metrics: Arc<Metrics>,
    log: Arc<PublicLog>,
    retention: Retention,
    skew: Skew,
}

impl Helper {
    /// A helper over a database.
    pub fn new(
        store: Arc<dyn Datastore>,
        key: DatabaseKeys,
        keyring: Arc<Keyring>,
        metrics: Arc<Metrics>,
        log: Arc<PublicLog>,
        retention: Retention,
    ) -> Self {
        let (tasks, skew) = (Tasks::new(Arc::clone(&store), key), Skew::new(Arc::clone(&metrics)));
        Self { store, tasks, keyring, metrics, log, retention, skew }
    }

    /// What reports of this helper's tasks are sealed to.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// Takes on an aggregation job, or finds it again: `body` is an encoded
    /// `AggregationJobInitReq`. Gives the job's ID and the encoded response. Blocks.
    pub fn aggregate(
        &self,
        task: &HelperTask,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(AggregationJobId, Vec<u8>), Failure> {
        aggregate::create(self, task, body, now)
    }

    /// The encoded response of an aggregation job that was taken on before. Blocks.
    pub fn aggregated(&self, task: &HelperTask, job: AggregationJobId) -> Result<Vec<u8>, Failure> {
        aggregate::poll(self, task, job)
    }

    /// Forgets an aggregation job's response, but none of what was aggregated. Blocks.
    pub fn forget_job(&self, task: &HelperTask, job: AggregationJobId) -> Result<(), Failure> {
        aggregate::delete(self, task, job)
    }

    /// Releases the aggregate share of a batch, or finds it again: `body` is an encoded
    /// `AggregateShareReq`. Gives the share's ID and the encoded response. Blocks.
    pub fn release(
        &self,
        task: &HelperTask,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(AggregateShareId, Covered<Vec<u8>>), Failure> {
        share::create(self, task, body, now)
    }

    /// The encoded aggregate share that was released before. Blocks.
    pub fn released(
        &self,
        task: &HelperTask,
        share: AggregateShareId,
    ) -> Result<Covered<Vec<u8>>, Failure> {
        share::poll(self, task, share)
    }

    /// Forgets an aggregate share, but never that its batch was collected. Blocks.
    pub fn forget_share(&self, task: &HelperTask, share: AggregateShareId) -> Result<(), Failure> {
        share::delete(self, task, share)
    }
}
