//! Periodic maintenance: rotates keys, deletes what has expired, and returns free space to the disk.

use crate::{
    blocking, clock,
    config::limits::{HpkeKeys, Retention},
    keyring::{Keyring, KeyringError},
    log::{LogError, PublicLog},
    metrics::Metrics,
    open::horizon,
    outages::Outages,
    store::{Datastore, Expiry, StoreError, TaskRecord, Timestamp, sealed::DatabaseKeys},
    task::StoredTask,
    tasks::{Tasks, TasksError},
};
use sottovoce_dap::{ids::TaskId, time::Time};
use std::{sync::Arc, time::Duration};
use thiserror::Error;
use tokio::{sync::watch, time::sleep};

/// What is kept up.
#[derive(Clone)]
pub struct Upkeep {
    /// Where everything is.
    pub store: Arc<dyn Datastore>,
    /// What secrets are sealed under.
    pub keys: DatabaseKeys,
    /// The keys that devices seal to.
    pub keyring: Arc<Keyring>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is said in public.
    pub log: Arc<PublicLog>,
    /// When keys are rotated.
    pub hpke: HpkeKeys,
    /// For how long what is over is kept.
    pub retention: Retention,
}

/// Keeps up until `stop`, beginning at once.
pub async fn run<T: StoredTask>(upkeep: Upkeep, mut stop: watch::Receiver<bool>) {
    let outages = Outages::new("a maintenance step fails");
    loop {
        let round = upkeep.clone();
        let more = match blocking::spawn(move || round.round::<T>(clock::now())).await {
            Ok(Round { more, failed }) => {
                for part in PARTS {
                    match failed.iter().find(|(failed, _)| *failed == part) {
                        Some((_, error)) => {
                            outages.fails(part, error);
                        }
                        None => outages.ends(part),
                    }
                }
                more
            }
            Err(error) => {
                tracing::error!(%error, "the maintenance worker failed");
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

/// What is done in a round.
const PARTS: [&str; 7] =
    ["tasks", "counts", "HPKE keys", "the log", "retention", "compaction", "vacuum"];

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
    /// One round. What fails, of a damaged task or of the log for example, keeps no other part from being done.
    fn round<T: StoredTask>(&self, now: Timestamp) -> Round {
        let mut failed = Failures::default();
        let (reports, needed_since) = self.survey::<T>(now, &mut failed);
        let store = self.store.as_ref();
        let rotated = self.keyring.rotate(store, &self.keys, &self.hpke, now, needed_since);
        failed.note("HPKE keys", rotated);
        failed.note("the log", self.log.publish());
        let responses = Timestamp(now.0.saturating_sub(milliseconds(self.retention.responses)));
        let forgotten = failed.note("retention", store.forget(&Expiry { reports, responses }));
        let compacted = failed.note("compaction", store.compact());
        failed.note("vacuum", store.give_back());
        let more = forgotten.is_some_and(|forgotten| forgotten.more) || compacted == Some(true);
        Round { more, failed: failed.0 }
    }

    /// Which reports of each task may be forgotten, and since when HPKE keys are needed.
    fn survey<T: StoredTask>(
        &self,
        now: Timestamp,
        failed: &mut Failures,
    ) -> (Vec<(TaskId, Time)>, Option<Timestamp>) {
        let tasks = Tasks::<T>::new(Arc::clone(&self.store), self.keys.clone());
        // While it is not known what waits, no key may be destroyed.
        let since_ever = Some(Timestamp(0));
        let (mut reports, mut needed_since) = (Vec::new(), None);
        let Some(records) = failed.note("tasks", self.store.tasks()) else {
            return (reports, since_ever);
        };
        for TaskRecord { id, .. } in records {
            let oldest =
                failed.note("counts", self.store.counts(&id)).map_or(since_ever, |c| c.oldest);
            needed_since = [needed_since, oldest].into_iter().flatten().min();
            let Some(Some(task)) = failed.note("tasks", tasks.find(&id)) else { continue };
            self.metrics.watch(task.task());
            if !self.retention.reports.is_zero() {
                reports.push((id, horizon(task.task(), now, self.retention.reports)));
            }
        }
        (reports, needed_since)
    }
}

/// What became of a round.
struct Round {
    /// Whether there is more to do.
    more: bool,
    /// The parts that failed.
    failed: Vec<(&'static str, UpkeepError)>,
}

/// The first error of each part: of very many damaged tasks, one is logged.
#[derive(Default)]
struct Failures(Vec<(&'static str, UpkeepError)>);

impl Failures {
    fn note<V, E: Into<UpkeepError>>(
        &mut self,
        part: &'static str,
        done: Result<V, E>,
    ) -> Option<V> {
        let is_new = self.0.iter().all(|(failed, _)| *failed != part);
        done.map_err(|error| is_new.then(|| self.0.push((part, error.into())))).ok()
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::{
        store::{BatchingMode, Blob, UploadBatch, sqlite::SqliteStore},
        task::LeaderTask,
    };
    use sottovoce_dap::ids::ReportId;

    #[test]
    fn a_damaged_task_keeps_nothing_else_from_being_kept_up() {
        let store: Arc<dyn Datastore> = Arc::new(SqliteStore::in_memory().unwrap());
        let keys = DatabaseKeys::random().unwrap();
        let [public, sealed] = [b"damaged", b"damaged"].map(|bytes| Blob::from(&bytes[..]));
        let id = TaskId::new([1; 32]);
        let mode = BatchingMode::TimeInterval;
        store.put_task(&TaskRecord { id, mode, public, sealed }).unwrap();
        for number in 0..100_u8 {
            let mut upload = UploadBatch::new(id);
            upload.push(ReportId::new([number; 16]), Time(1), b"report").unwrap();
            assert!(store.accept_reports(Timestamp(1), &[upload]).unwrap()[0][0].is_ok());
        }
        let upkeep = Upkeep {
            keyring: Arc::new(Keyring::load(store.as_ref(), &keys, Timestamp(1)).unwrap()),
            metrics: Arc::new(Metrics::new()),
            log: Arc::new(PublicLog::new(Arc::clone(&store), keys.clone())),
            hpke: HpkeKeys::default(),
            retention: Retention::default(),
            store,
            keys,
        };
        let round = upkeep.round::<LeaderTask>(Timestamp(2));
        let parts: Vec<_> = round.failed.iter().map(|(part, _)| *part).collect();
        assert_eq!(parts, ["tasks", "the log"], "there is no key for the log");
        assert!(matches!(round.failed[0].1, UpkeepError::Tasks(_)), "{:?}", round.failed);
        assert!(round.more, "the runs of 100 uploads are compacted");
        assert!(!upkeep.store.compact().unwrap());
    }
}
