//! The scheduler: leases jobs and collections from the database when they are due.
//!
//! The database is the only list of what there is to do. A server that starts again finds in it
//! what a killed one left; a wake-up that gets lost costs a moment, never a report.

use super::{Leader, aggregate, collect};
use crate::{
    blocking, clock,
    config::limits::Aggregation,
    store::{LeasePolicy, LeasedJob},
};
use sottovoce_transport::peers::origin;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout, timeout_at},
};

/// Works until `stop` says so; then finishes what was begun, or gives it back for others.
pub async fn run(leader: Arc<Leader>, policy: Aggregation, stop: watch::Receiver<bool>) {
    tokio::join!(aggregation(&leader, policy, stop.clone()), collection(&leader, policy, stop));
}

async fn aggregation(leader: &Arc<Leader>, policy: Aggregation, mut stop: watch::Receiver<bool>) {
    let mut jobs = JoinSet::new();
    let mut wakeups = Wakeups::new(policy.linger);
    let mut new_first = false;
    register_tasks(leader).await;
    while !*stop.borrow() {
        let free = policy.jobs.saturating_mul(HELPERS).saturating_sub(jobs.len());
        new_first = !new_first;
        let leased = lease(leader, policy, free, new_first).await;
        let more_may_wait = leased.len() == free;
        for job in leased {
            let (leader, patience) = (Arc::clone(leader), patience(stop.clone()));
            jobs.spawn(async move { aggregate::aggregate(&leader, job, patience).await });
        }
        tokio::select! {
            biased;
            _ = stop.changed() => {}
            Some(_) = jobs.join_next() => {
                // A job that is over may be the last one a collection waits for.
                leader.collections.notify_one();
            }
            () = wakeups.idle(&leader.reports), if !more_may_wait => {}
        }
    }
    while jobs.join_next().await.is_some() {}
}

/// Helpers that may have all their jobs at the same time. Each has as many as are configured, so that a
/// few that do not answer take nothing from the others; those that keep failing are in backoff.
const HELPERS: usize = 8;

/// Finds out whose the tasks are that there are. Those that are added later are learnt with their first job.
async fn register_tasks(leader: &Arc<Leader>) {
    let all = {
        let leader = Arc::clone(leader);
        blocking::spawn(move || leader.tasks.all())
    };
    match all.await {
        Ok(Ok(tasks)) => tasks.iter().for_each(|task| {
            leader.metrics.watch(&task.task);
            leader.quotas.add_task(&task.task);
            let helper = task.task.configuration.helper_aggregator_endpoint.as_str();
            leader.metrics.peer_fails(origin(helper), Duration::ZERO);
        }),
        Ok(Err(error)) => {
            tracing::warn!(%error, "cannot load tasks at start; each is loaded with its first job");
        }
        Err(error) => {
            tracing::warn!(%error, "cannot load tasks at start; each is loaded with its first job");
        }
    }
}

/// How long a job may go on when the server stops: ends that long after `stop`.
async fn patience(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
    sleep(FINISH).await;
}

/// Less than what a service manager waits before it kills.
const FINISH: Duration = Duration::from_secs(5);

async fn collection(leader: &Arc<Leader>, policy: Aggregation, mut stop: watch::Receiver<bool>) {
    let mut in_progress = collect::InProgress::default();
    let mut pause = SHORTEST_PAUSE;
    while !*stop.borrow() {
        let any = collect::advance(leader, &mut in_progress, pause).await;
        let wait = if any { pause } else { POLL_EVERY.max(policy.linger) };
        pause = tokio::select! {
            biased;
            _ = stop.changed() => SHORTEST_PAUSE,
            () = leader.collections.notified() => SHORTEST_PAUSE,
            () = sleep(wait) => (pause * 2).min(LONGEST_PAUSE),
        };
        while in_progress.work.try_join_next().is_some() {}
    }
    // What is dropped unfinished is in the database, and is asked for again.
    let finish = async { while in_progress.work.join_next().await.is_some() {} };
    let _ = timeout(COLLECTIONS_FINISH, finish).await;
}

/// How soon a collection that is not over is looked at again: at first, and at last.
const SHORTEST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_millis(400);
/// How long collections may go on when the server stops.
const COLLECTIONS_FINISH: Duration = Duration::from_secs(2);

/// When to look for reports: at a sign, when those of the last sign have lingered for as long as they may,
/// and now and then without one, since a lease may have run out.
struct Wakeups {
    linger: Duration,
    due: Option<Instant>,
}

impl Wakeups {
    fn new(linger: Duration) -> Self {
        Self { linger, due: None }
    }

    async fn idle(&mut self, sign: &Notify) {
        let now = Instant::now();
        let anyway = now + POLL_EVERY.max(self.linger);
        let until = self.due.map_or(anyway, |due| due.min(anyway));
        if timeout_at(until, sign.notified()).await.is_ok() {
            // What came last is ripe a little later than what came first, which takes it along.
            self.due.get_or_insert(Instant::now() + self.linger);
            // What came first may have company in a moment.
            sleep(GATHER.min(self.linger)).await;
        }
        self.due = self.due.filter(|due| *due > Instant::now());
    }
}

const POLL_EVERY: Duration = Duration::from_millis(250);
const GATHER: Duration = Duration::from_millis(20);

async fn lease(
    leader: &Arc<Leader>,
    policy: Aggregation,
    limit: usize,
    new_first: bool,
) -> Vec<LeasedJob> {
    if limit == 0 {
        return Vec::new();
    }
    let outages = &leader.outages.leases;
    let leader = Arc::clone(leader);
    let leased = blocking::spawn(move || {
        let policy = LeasePolicy {
            lease_for: policy.lease,
            max_reports: policy.job_reports,
            max_bytes: policy.job_bytes,
            linger: policy.linger,
            limit,
            new_first,
            quotas: leader.quotas.for_jobs(clock::instant()),
        };
        leader.store.lease_jobs(clock::now(), &policy)
    });
    match leased.await {
        Ok(Ok(jobs)) => {
            outages.ends("database");
            jobs
        }
        Ok(Err(error)) => {
            outages.fails("database", &error);
            Vec::new()
        }
        Err(error) => {
            tracing::error!(%error, "the worker that leases aggregation jobs failed");
            Vec::new()
        }
    }
}
