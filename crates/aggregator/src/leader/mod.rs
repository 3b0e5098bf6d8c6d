//! The leader: takes reports, aggregates them with the helper, answers the collector.
//!
//! A report's way: [`upload`] checks it, [`group_commit`] makes it durable with others,
//! [`schedule`] leases it out in a job, [`aggregate`] verifies the job with the helper,
//! [`collect`] hands its batch to the collector. [`routes`] is where requests come in.

mod aggregate;
mod collect;
mod group_commit;
mod pending_collections;
mod quotas;
mod refusals;
mod routes;
mod schedule;
mod upload;

use super::{
    config::limits::{Aggregation, Retention},
    http::Failure,
    keyring::Keyring,
    log::PublicLog,
    metrics::Metrics,
    outages::Outages,
    serve::memory::MemoryPermit,
    store::{Datastore, Timestamp, sealed::DatabaseKeys},
    task::LeaderTask,
    tasks::Tasks,
};
use group_commit::GroupCommit;
use pending_collections::PendingCollections;
use quotas::Quotas;
use refusals::Refusals;
use sottovoce_dap::{
    ids::CollectionJobId,
    upload::{UploadErrors, UploadRequest},
};
use sottovoce_transport::http::HttpClient;
use std::{sync::Arc, time::Duration};
use tokio::sync::{Notify, Semaphore, watch};

pub use collect::Progress;
pub use routes::router;
pub use schedule::run;

/// What a running leader holds.
pub struct Leader {
    store: Arc<dyn Datastore>,
    tasks: Tasks<LeaderTask>,
    keyring: Arc<Keyring>,
    metrics: Arc<Metrics>,
    log: Arc<PublicLog>,
    retention: Retention,
    /// How long a job is ours.
    lease: Duration,
    commits: GroupCommit,
    http: HttpClient,
    refusals: Refusals,
    outages: JobOutages,
    quotas: Quotas,
    pending_collections: PendingCollections,
    /// Whether the server stops.
    stop: watch::Receiver<bool>,
    /// Collectors that wait with their request for its result.
    waiting: Semaphore,
    /// A collection is over.
    ended: Notify,
    /// There may be reports to aggregate.
    reports: Notify,
    /// There may be a collection to advance.
    collections: Notify,
}

/// What fails for a while, so that the log has a line for it and not for each job.
struct JobOutages {
    /// By helper.
    helpers: Outages,
    /// By task: what only its jobs fail by.
    tasks: Outages,
    /// Of our database.
    leases: Outages,
}

impl Default for JobOutages {
    fn default() -> Self {
        Self {
            helpers: Outages::new("the helper fails; aggregation jobs and collections are retried"),
            tasks: Outages::new("an aggregation job fails"),
            leases: Outages::new("cannot lease aggregation jobs from the database"),
        }
    }
}

impl Leader {
    /// A leader over a database, which reaches the helper through `http`, until `stop`. Only in a Tokio
    /// runtime, where it begins to wait for uploads.
    #[allow(clippy::too_many_arguments, reason = "each is a part of a leader, named by its type")]
    pub fn new(
        store: Arc<dyn Datastore>,
        key: DatabaseKeys,
        keyring: Arc<Keyring>,
        metrics: Arc<Metrics>,
        log: Arc<PublicLog>,
        retention: Retention,
        http: HttpClient,
        aggregation: &Aggregation,
        stop: watch::Receiver<bool>,
    ) -> Self {
        Self {
            tasks: Tasks::new(Arc::clone(&store), key),
            commits: GroupCommit::start(Arc::clone(&store)),
            store,
            keyring,
            pending_collections: PendingCollections::new(Arc::clone(&metrics)),
            metrics,
            log,
            retention,
            lease: aggregation.lease,
            http,
            refusals: Refusals::default(),
            outages: JobOutages::default(),
            quotas: Quotas::new(aggregation.jobs),
            stop,
            waiting: Semaphore::new(routes::WAITING),
            ended: Notify::new(),
            reports: Notify::new(),
            collections: Notify::new(),
        }
    }

    /// Checks and stores the reports of an upload; gives those that failed, in their order. `memory` is
    /// what they take of the server's memory.
    pub async fn upload(
        &self,
        task: &LeaderTask,
        request: UploadRequest,
        memory: MemoryPermit,
        now: Timestamp,
    ) -> Result<UploadErrors, Failure> {
        upload::upload(self, task, request, memory, now).await
    }

    /// Takes on a collection job, or finds it again: `body` is an encoded `CollectionJobReq`. Gives the
    /// job's ID, and the encoded response if there is one already. Blocks.
    pub fn collect(
        &self,
        task: &LeaderTask,
        body: &[u8],
        now: Timestamp,
    ) -> Result<(CollectionJobId, Progress), Failure> {
        collect::create(self, task, body, now)
    }

    /// How a collection job stands. Blocks.
    pub fn collected(&self, task: &LeaderTask, job: CollectionJobId) -> Result<Progress, Failure> {
        collect::poll(self, task, job)
    }

    /// Abandons a collection job; what was collected stays collected. Blocks.
    pub fn forget_collection(
        &self,
        task: &LeaderTask,
        job: CollectionJobId,
    ) -> Result<(), Failure> {
        collect::delete(self, task, job)
    }
}
