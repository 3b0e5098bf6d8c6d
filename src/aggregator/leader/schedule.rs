//! Who works when: leases jobs and collections out of the database as they are due.
//!
//! The database is the only list of what there is to do. A server that starts again finds in it
//! what a killed one left; a wake-up that gets lost costs a moment, never a report.

use super::{Leader, aggregate, collect};
use crate::aggregator::{
    clock,
    config::limits::Aggregation,
    store::{LeasePolicy, LeasedJob},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Works until `stop` says so; then finishes what was begun, or gives it back for others.
pub async fn run(leader: Arc<Leader>, policy: Aggregation, stop: watch::Receiver<bool>) {
    tokio::join!(aggregation(&leader, policy, stop.clone()), collection(&leader, policy, stop));
}

async fn aggregation(leader: &Arc<Leader>, policy: Aggregation, mut stop: watch::Receiver<bool>) {
    let mut jobs = JoinSet::new();
    while !*stop.borrow() {
        let free = policy.jobs - jobs.len();
        let leased = lease(leader, policy, free).await;
        let more_may_wait = leased.len() == free;
        for job in leased {
            let (leader, patience) = (Arc::clone(leader), patience(stop.clone()));
            jobs.spawn(async move { aggregate::aggregate(&leader, job, patience).await });
        }
        tokio::select! {
            _ = stop.changed() => {}
            Some(_) = jobs.join_next() => {
                // A job that is over may be the last one a collection waits for.
                leader.collections.notify_one();
            }
            () = idle(&leader.reports, policy.linger), if !more_may_wait => {}
        }
    }
    while jobs.join_next().await.is_some() {}
}

/// How long a job may go on when the server stops: ends that long after `stop`.
async fn patience(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    sleep(FINISH).await;
}

/// Less than what a service manager waits before it kills.
const FINISH: Duration = Duration::from_secs(8);

async fn collection(leader: &Arc<Leader>, policy: Aggregation, mut stop: watch::Receiver<bool>) {
    while !*stop.borrow() {
        collect::advance(leader).await;
        tokio::select! {
            _ = stop.changed() => {}
            () = idle(&leader.collections, policy.linger) => {}
        }
    }
}

/// Waits for a sign of work; looks without one now and then, since a lease may have run out.
async fn idle(sign: &Notify, linger: Duration) {
    if timeout(LOOK_ANYWAY.max(linger), sign.notified()).await.is_ok() {
        // What came first may have company in a moment.
        sleep(GATHER.min(linger)).await;
    }
}

const LOOK_ANYWAY: Duration = Duration::from_millis(250);
const GATHER: Duration = Duration::from_millis(20);

async fn lease(leader: &Arc<Leader>, policy: Aggregation, limit: usize) -> Vec<LeasedJob> {
    if limit == 0 {
        return Vec::new();
    }
    let leader = Arc::clone(leader);
    let leased = tokio::task::spawn_blocking(move || {
        let policy = LeasePolicy {
            lease_for: policy.lease,
            max_reports: policy.job_reports,
            max_bytes: policy.job_bytes,
            linger: policy.linger,
            limit,
        };
        leader.store.lease_jobs(clock::now(), &policy)
    });
    match leased.await {
        Ok(Ok(jobs)) => jobs,
        Ok(Err(error)) => {
            tracing::error!(%error, "aggregation jobs cannot be read from the database");
            Vec::new()
        }
        Err(error) => {
            tracing::error!(%error, "leasing aggregation jobs stopped");
            Vec::new()
        }
    }
}
