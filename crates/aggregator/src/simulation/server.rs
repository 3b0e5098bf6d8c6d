//! Leaders and helpers that start, end at any moment, and start again over the same database.

use super::{
    network::{Connection, Gone, Network, Node},
    plan::Link,
    task::SimulatedTask,
};
use crate::{
    clock::{self, simulated::by},
    config::{
        Config,
        limits::{Aggregation, HpkeKeys, Retention},
    },
    helper::{self, Helper},
    keyring::Keyring,
    leader::{self, Leader},
    log::{PublicLog, entries},
    metrics::Metrics,
    serve::edge::Edge,
    store::{Datastore, LogEntry, faulty::FaultyStore, sealed::DatabaseKeys, sqlite::SqliteStore},
    task::{HelperTask, LeaderTask, StoredTask},
    tasks::Tasks,
    upkeep::{self, Upkeep},
};
use axum::Router;
use sottovoce_log::note::KeyName;
use sottovoce_transport::http::HttpClient;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::watch, task::JoinHandle};

/// Whose clock it is: all leaders have one, each helper has its own.
pub(super) const LEADERS: usize = 0;

/// How often a process that cannot start is started again.
const RESTART: Duration = Duration::from_secs(1);
/// As in production.
const HELPER_TIMEOUT: Duration = Duration::from_secs(30);

/// What outlives a process, and the process that is there, if one is.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) disk: Arc<SqliteStore>,
    /// Whether this process alone has the database.
    pub(super) alone: bool,
    pub(super) party: usize,
    /// Whether HPKE keys come and go within minutes.
    rotates: bool,
    /// Tells processes apart.
    pub(super) id: usize,
    keys: DatabaseKeys,
    network: Arc<Network>,
    process: Mutex<Option<Process>>,
}

struct Process {
    store: Arc<FaultyStore>,
    keyring: Arc<Keyring>,
    gone: Gone,
    /// Nobody tells a process that is to end in the middle of its work to stop.
    _stop: watch::Sender<bool>,
    work: Vec<JoinHandle<()>>,
}

/// What a role is made of.
struct Parts {
    store: Arc<FaultyStore>,
    keyring: Arc<Keyring>,
    metrics: Arc<Metrics>,
    log: Arc<PublicLog>,
    config: Config,
}

/// A role that has begun.
struct Started {
    router: Router,
    work: Vec<JoinHandle<()>>,
    keyring: Arc<Keyring>,
}

type Failed = Box<dyn std::error::Error>;

impl Host {
    pub(super) fn new(
        name: &str,
        (id, party): (usize, usize),
        disk: &Arc<SqliteStore>,
        keys: &DatabaseKeys,
        network: &Arc<Network>,
        (alone, rotates): (bool, bool),
    ) -> Self {
        Self {
            name: name.to_owned(),
            disk: Arc::clone(disk),
            alone,
            rotates,
            party,
            id,
            keys: keys.clone(),
            network: Arc::clone(network),
            process: Mutex::new(None),
        }
    }

    /// Adds tasks to the database, as an operator does.
    pub(super) fn add(&self, tasks: &[SimulatedTask]) {
        let keys = || self.keys.clone();
        let store = || Arc::clone(&self.disk) as Arc<dyn Datastore>;
        for task in tasks {
            if self.party == LEADERS {
                Tasks::new(store(), keys()).add(&task.at_leader()).unwrap();
            } else if task.helper == self.name {
                Tasks::new(store(), keys()).add(&task.at_helper()).unwrap();
            }
        }
    }

    /// Starts a process, if none is there; tries again until one stands.
    pub(super) async fn start(self: &Arc<Self>) {
        loop {
            if self.process.lock().unwrap().is_some() || self.try_start().is_ok() {
                return;
            }
            tokio::time::sleep(RESTART).await;
        }
    }

    fn try_start(self: &Arc<Self>) -> Result<(), Failed> {
        let store = Arc::new(FaultyStore::new(Arc::clone(&self.disk) as _));
        if self.alone {
            self.disk.end_leases()?;
        }
        let (gone, (never, stop)) = (Gone::default(), watch::channel(false));
        let Started { router, work, keyring } = if self.party == LEADERS {
            self.leader(&store, &gone, &stop)?
        } else {
            self.helper(&store, &stop)?
        };
        let host = self.name.clone();
        self.network.join(Node {
            host,
            id: self.id,
            party: self.party,
            router,
            gone: gone.clone(),
        });
        *self.process.lock().unwrap() = Some(Process { store, keyring, gone, _stop: never, work });
        Ok(())
    }

    /// What is made at each start, as [`sottovoce::servers`] does.
    fn parts<T: StoredTask>(&self, store: &Arc<FaultyStore>) -> Result<Parts, Failed> {
        let config = config(self.rotates);
        let keyring = Arc::new(Keyring::load(store.as_ref(), &self.keys, clock::now())?);
        let log = PublicLog::new(Arc::clone(store) as _, self.keys.clone());
        let name = self.name.trim_start_matches("https://").trim_end_matches('/');
        log.begin(&KeyName::new(&format!("{name}/log"))?)?;
        let now = clock::now();
        let mut said: Vec<LogEntry> = entries::start(T::ROLE, &config, now)?.to_vec();
        for task in Tasks::<T>::new(Arc::clone(store) as _, self.keys.clone()).all()? {
            said.push(entries::task(task.task(), now)?);
        }
        log.write(&said)?;
        let (metrics, log) = (Arc::new(Metrics::new()), Arc::new(log));
        Ok(Parts { store: Arc::clone(store), keyring, metrics, log, config })
    }

    /// In the runs where it has keys to rotate: it asks the database for much.
    fn upkeep<T: StoredTask>(
        &self,
        parts: &Parts,
        stop: &watch::Receiver<bool>,
    ) -> Option<JoinHandle<()>> {
        if !self.rotates {
            return None;
        }
        let upkeep = Upkeep {
            store: Arc::clone(&parts.store) as _,
            keys: self.keys.clone(),
            keyring: Arc::clone(&parts.keyring),
            metrics: Arc::clone(&parts.metrics),
            log: Arc::clone(&parts.log),
            hpke: parts.config.hpke,
            retention: parts.config.retention,
        };
        Some(tokio::spawn(by(self.party, upkeep::run::<T>(upkeep, stop.clone()))))
    }

    fn leader(
        &self,
        store: &Arc<FaultyStore>,
        gone: &Gone,
        stop: &watch::Receiver<bool>,
    ) -> Result<Started, Failed> {
        let parts = self.parts::<LeaderTask>(store)?;
        let upkeep = self.upkeep::<LeaderTask>(&parts, stop);
        let wire = Connection {
            network: Arc::clone(&self.network),
            link: |url| Link::Helper(usize::from(url.starts_with(super::task::HELPERS[1]))),
            gone: gone.clone(),
        };
        let http = HttpClient::over(Arc::new(wire), HELPER_TIMEOUT);
        let edge = Edge::new(&parts.config, &parts.metrics);
        let aggregation = parts.config.aggregation;
        let leader = Arc::new(Leader::new(
            parts.store,
            self.keys.clone(),
            Arc::clone(&parts.keyring),
            parts.metrics,
            parts.log,
            parts.config.retention,
            http,
            &aggregation,
            stop.clone(),
        ));
        let router = leader::router(Arc::clone(&leader), edge);
        let work = tokio::spawn(leader::run(leader, aggregation, stop.clone()));
        let work = upkeep.into_iter().chain([work]).collect();
        Ok(Started { router, work, keyring: parts.keyring })
    }

    fn helper(
        &self,
        store: &Arc<FaultyStore>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Started, Failed> {
        let parts = self.parts::<HelperTask>(store)?;
        let upkeep = self.upkeep::<HelperTask>(&parts, stop);
        let edge = Edge::new(&parts.config, &parts.metrics);
        let helper = Helper::new(
            parts.store,
            self.keys.clone(),
            Arc::clone(&parts.keyring),
            parts.metrics,
            parts.log,
            parts.config.retention,
        );
        let (router, work) = (helper::router(Arc::new(helper), edge), upkeep.into_iter().collect());
        Ok(Started { router, work, keyring: parts.keyring })
    }

    /// Ends the process that is there, wherever it is in its work.
    pub(super) fn end(&self) {
        let Some(process) = self.process.lock().unwrap().take() else { return };
        self.network.leave(self.id);
        process.store.end_after(0);
        process.work.iter().for_each(JoinHandle::abort);
        process.gone.now();
    }

    /// The database as the process that is there sees it.
    pub(super) fn store(&self) -> Option<Arc<FaultyStore>> {
        self.process.lock().unwrap().as_ref().map(|process| Arc::clone(&process.store))
    }

    /// What devices seal to, if a process is there to tell them.
    pub(super) fn keyring(&self) -> Option<Arc<Keyring>> {
        self.process.lock().unwrap().as_ref().map(|process| Arc::clone(&process.keyring))
    }
}

fn config(rotates: bool) -> Config {
    let mut config: Config = toml::from_str(
        "listen = \"127.0.0.1:0\"\ndatabase = \"simulated.sqlite\"\ndatabase_key = \"key\"",
    )
    .unwrap();
    config.aggregation = Aggregation {
        // Few enough for one part, so that the cores do not decide an order.
        job_reports: 12,
        linger: Duration::from_secs(2),
        ..Aggregation::default()
    };
    if rotates {
        let (rotate_after, pending) = (Duration::from_secs(90), Duration::from_secs(25));
        config.hpke = HpkeKeys { rotate_after, pending, ..HpkeKeys::default() };
    }
    config.retention = Retention { reports: Duration::from_secs(86_400), ..Retention::default() };
    config
}
