//! All parties of a run, and what is known of them.

use super::{
    network::{Connection, Gone, Network},
    plan::{Link, Plan, Server},
    server::{Host, LEADERS},
    tally::Tally,
    task::{HELPERS, Keys, LEADER, SimulatedTask},
};
use crate::{
    clock::simulated,
    store::{Datastore, sealed::DatabaseKeys, sqlite::SqliteStore},
};
use sottovoce_dap::{collect::CollectionJobResp, task::BatchMode};
use sottovoce_log::entry::{EntryKey, ShareDigest};
use sottovoce_transport::http::HttpClient;
use std::{
    ops::Range,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

const CLIENT_TIMEOUT: Duration = Duration::from_secs(20);

/// All parties of a run.
pub(super) struct World {
    pub(super) tasks: Vec<SimulatedTask>,
    pub(super) devices: HttpClient,
    pub(super) collector: HttpClient,
    pub(super) network: Arc<Network>,
    pub(super) leaders: Vec<Arc<Host>>,
    helpers: Vec<Arc<Host>>,
    tallies: Vec<Mutex<Tally>>,
    pub(super) asked: Mutex<Vec<(usize, Range<u64>)>>,
    numbers: Mutex<u64>,
    pub(super) trace: Mutex<Vec<String>>,
    pub(super) unspent: Mutex<usize>,
    failures: Mutex<Vec<String>>,
}

impl World {
    pub(super) fn new(plan: &Plan) -> Arc<Self> {
        let network = Arc::new(Network::new(plan.seed));
        let client = |link| {
            let (network, gone) = (Arc::clone(&network), Gone::default());
            HttpClient::over(Arc::new(Connection { network, link, gone }), CLIENT_TIMEOUT)
        };
        let mut tasks = vec![
            SimulatedTask::new(1, BatchMode::TimeInterval, HELPERS[0]),
            SimulatedTask::new(2, BatchMode::LeaderSelected, HELPERS[0]),
        ];
        if let Some(fault) = plan.bad_partner {
            tasks.push(SimulatedTask::new(3, BatchMode::TimeInterval, HELPERS[1]));
            network.add(Link::Helper(1), fault, u64::MAX);
        }
        let keys = DatabaseKeys::random().unwrap();
        let host = |name: &str, ids, disk: &_, alone| {
            let host = Host::new(name, ids, disk, &keys, &network, (alone, plan.rotates));
            host.add(&tasks);
            Arc::new(host)
        };
        let disk = || Arc::new(SqliteStore::in_memory().unwrap());
        let leaders_disk = disk();
        let leaders = (0..plan.replicas)
            .map(|replica| host(LEADER, (replica, LEADERS), &leaders_disk, plan.replicas == 1));
        let helpers = HELPERS
            .iter()
            .enumerate()
            .take(if plan.bad_partner.is_some() { 2 } else { 1 })
            .map(|(at, name)| host(name, (100 + at, 1 + at), &disk(), true));
        let (leaders, helpers) = (leaders.collect(), helpers.collect());
        Arc::new(Self {
            devices: client(|_| Link::Devices),
            collector: client(|_| Link::Collector),
            tallies: tasks.iter().map(|_| Mutex::default()).collect(),
            tasks,
            network,
            leaders,
            helpers,
            asked: Mutex::default(),
            numbers: Mutex::default(),
            trace: Mutex::default(),
            unspent: Mutex::default(),
            failures: Mutex::default(),
        })
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.leaders.iter().chain(&self.helpers)
    }

    pub(super) fn host(&self, server: Server) -> &Arc<Host> {
        match server {
            Server::Leader(replica) => &self.leaders[replica],
            Server::Helper(at) => &self.helpers[at],
        }
    }

    /// What devices of a task seal to, once both aggregators are up to tell.
    pub(super) fn keys(&self, task: usize) -> Option<Keys> {
        let first = |host: &Arc<Host>| {
            let keys = host.keyring()?.keys();
            keys.config_list().iter().next().cloned()
        };
        let helper = self.helpers.iter().find(|host| host.name == self.tasks[task].helper)?;
        Some(Keys { leader: self.leaders.iter().find_map(first)?, helper: first(helper)? })
    }

    /// A number that nobody has yet.
    pub(super) fn number(&self) -> u64 {
        let mut next = self.numbers.lock().unwrap();
        *next += 1;
        *next
    }

    pub(super) fn tally(&self, task: usize) -> MutexGuard<'_, Tally> {
        self.tallies[task].lock().unwrap()
    }

    pub(super) fn note(&self, said: &str) {
        self.trace.lock().unwrap().push(format!("{:>9} {said}", simulated::elapsed()));
    }

    pub(super) fn fail(&self, said: String) {
        self.failures.lock().unwrap().push(said);
    }

    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = self.failures.lock().unwrap().clone();
        for (number, tally) in self.tallies.iter().enumerate() {
            let tally = tally.lock().unwrap();
            wrong.extend(tally.wrong.iter().map(|said| format!("task {number}: {said}")));
        }
        wrong
    }

    /// No share leaves an aggregator before its log has said so.
    pub(super) fn check_published(&self, task: usize, result: &CollectionJobResp) {
        let helper = self.helpers.iter().find(|host| host.name == self.tasks[task].helper);
        let shares = [&result.leader_encrypted_agg_share, &result.helper_encrypted_agg_share];
        for (host, share) in self.leaders.first().into_iter().chain(helper).zip(shares) {
            let key = EntryKey::release(&ShareDigest::of(share));
            if host.disk.log_index(&key.0).unwrap().is_none() {
                self.fail(format!("{} has not said in its log what it released", host.name));
            }
        }
    }

    pub(super) fn are_aggregated(&self, tasks: &[usize]) -> bool {
        tasks.iter().all(|task| {
            let counts = self.leaders[0].disk.counts(&self.tasks[*task].id).unwrap();
            counts.waiting_reports == 0 && counts.in_flight_reports == 0
        })
    }

    pub(super) fn waiting(&self) -> String {
        let counts = |task: &SimulatedTask| self.leaders[0].disk.counts(&task.id).unwrap();
        format!("{:?}", self.tasks.iter().map(counts).collect::<Vec<_>>())
    }

    /// What has to be true of all tasks, and more of those whose partners are good.
    pub(super) fn check(&self) {
        for (at, task) in self.tasks.iter().enumerate() {
            let counts = self.leaders[0].disk.counts(&task.id).unwrap();
            let by_time = task.configuration.batch_mode == BatchMode::TimeInterval;
            self.tally(at).check(by_time.then_some(counts.dropped_reports));
            // Hostile reports alone are given up.
            if at < 2 && counts.set_aside_batches > 0 {
                self.fail(format!("batches of task {at} are set aside: {counts:?}"));
            }
        }
    }
}
