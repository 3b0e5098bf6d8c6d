//! What a server does now and then: turns its keys, forgets what is over, gives room back.

use crate::aggregator::{
    blocking, clock,
    config::limits::{HpkeKeys, Retention},
    keyring::{Keyring, KeyringError},
    log::{LogError, PublicLog},
    metrics::Metrics,
    open::horizon,
    store::{Datastore, Expiry, StoreError, Timestamp, sealed::DatabaseKeys},
    task::StoredTask,
    tasks::{Tasks, TasksError},
};
use std::{sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{sync::watch, time::sleep};

/// What is kept up.
#[derive(Clone)]
pub(in crate::aggregator) struct Upkeep {
    pub(in crate::aggregator) store: Arc<dyn Datastore>,
    pub(in crate::aggregator) keys: DatabaseKeys,
    pub(in crate::aggregator) keyring: Arc<Keyring>,
    pub(in crate::aggregator) metrics: Arc<Metrics>,
    pub(in crate::aggregator) log: Arc<PublicLog>,
    pub(in crate::aggregator) hpke: HpkeKeys,
    pub(in crate::aggregator) retention: Retention,
}

/// Keeps up until `stop`, beginning at once.
pub(in crate::aggregator) async fn run<T: StoredTask>(
    upkeep: Upkeep,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        let round = upkeep.clone();
        let more = match blocking::spawn(move || round.round::<T>(clock::now())).await {
            Ok(Ok(more)) => more,
            Ok(Err(error)) => {
                tracing::warn!(%error, "the server's upkeep is put off");
                false
            }
            Err(error) => {
                tracing::error!(%error, "the server's upkeep stopped");
                false
            }
        };
        let wait = if more { SOON } else { USUALLY };
        tokio::select! {
            biased;
            () = sleep(wait) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Between rounds; and between parts of one that has much to do, so that it holds nobody up.
const USUALLY: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_millis(200);

#[derive(Debug, Error)]
enum UpkeepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Tasks(#[from] TasksError),
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    #[error(transparent)]
    Log(#[from] LogError),
}

impl Upkeep {
    /// One round; says whether there is more to do.
    fn round<T: StoredTask>(&self, now: Timestamp) -> Result<bool, UpkeepError> {
        let tasks = Tasks::<T>::new(Arc::clone(&self.store), self.keys.clone()).all()?;
        let (mut reports, mut needed_since) = (Vec::new(), None::<Timestamp>);
        for task in &tasks {
            let task = task.task();
            self.metrics.watch(task);
            let oldest = self.store.counts(&task.id)?.oldest;
            needed_since = [needed_since, oldest].into_iter().flatten().min();
            if !self.retention.reports.is_zero() {
                reports.push((task.id, horizon(task, now, self.retention.reports)));
            }
        }
        self.keyring.turn(self.store.as_ref(), &self.keys, &self.hpke, now, needed_since)?;
        self.log.publish()?;
        let responses = Timestamp(now.0.saturating_sub(milliseconds(self.retention.responses)));
        let forgotten = self.store.forget(&Expiry { reports, responses })?;
        let more = self.store.compact()?;
        self.store.give_back()?;
        Ok(forgotten.more || more)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
