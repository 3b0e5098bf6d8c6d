//! A task, what both aggregators hold of it, and reports of it: the same for each input.

use sottovoce_aggregator::{
    config::limits::{Aggregation, Retention},
    helper::Helper,
    keyring::Keyring,
    leader::Leader,
    log::PublicLog,
    metrics::Metrics,
    store::{
        Datastore, KeyRecord, KeyUse, TaskRecord, Timestamp, sealed::DatabaseKeys,
        sqlite::SqliteStore,
    },
    task::{HelperTask, LeaderTask, StoredTask, Task},
};
use sottovoce_dap::{
    aggregate::{AggregationJobInitReq, ReportShare, VerifyInit},
    bearer_token::BearerToken,
    codec::{Decode, Encode, Opaque},
    extension::UncheckedExtensions,
    hpke::{HpkeConfig, native},
    ids::ReportId,
    role::Role,
    task::{BatchMode, TaskConfiguration, Url, VdafConfig},
    time::{Time, TimePrecision},
    upload::{PlaintextInputShare, Report, ReportMetadata, UploadRequest, input_share_info},
    vdaf::{VerifyKey, shard::Measurement, verify::OpenReport},
};
use sottovoce_log::note::KeyName;
use sottovoce_transport::http::HttpClient;
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::sync::watch;

/// Seconds of a window.
pub(crate) const WINDOW: u64 = 3600;
/// The window that the first reports are of: in 2023, so that all is over by the system's clock.
pub(crate) const FIRST: u64 = 470_000;
/// Windows that reports are of.
pub(crate) const WINDOWS: u64 = 4;
pub(crate) const LEAST: u64 = 2;
/// Reports of which each window has as many. The last of a window has a proof that does not hold.
pub(crate) const REPORTS: usize = 16;

pub(crate) const LEADER_TOKEN: &str = "the-token-of-the-leader";
pub(crate) const COLLECTOR_TOKEN: &str = "the-token-of-the-collector";

pub(crate) fn configuration() -> TaskConfiguration {
    TaskConfiguration {
        task_info: vec![1].try_into().expect("short"),
        leader_aggregator_endpoint: Url::new("https://leader.example/").expect("a URL"),
        helper_aggregator_endpoint: Url::new("https://helper.example/").expect("a URL"),
        time_precision: TimePrecision::from_seconds(WINDOW).expect("not zero"),
        min_batch_size: LEAST,
        batch_mode: BatchMode::TimeInterval,
        vdaf: VdafConfig::Prio3Histogram { length: 4, chunk_length: 2 },
        task_interval: None,
    }
}

fn task(role: Role) -> Task {
    let configuration = configuration();
    let mut collector = vec![1, 0, 32, 0, 1, 0, 1, 0, 32];
    collector.extend([7; 32]);
    let collector = HpkeConfig::from_bytes(&collector).expect("a configuration");
    let id = configuration.task_id();
    Task::new(role, id, configuration, collector, None, VerifyKey::new([7; 32])).expect("a task")
}

pub(crate) fn token(text: &str) -> BearerToken {
    BearerToken::new(text.to_owned()).expect("a token")
}

fn helper_task() -> HelperTask {
    HelperTask { task: task(Role::Helper), leader_token: token(LEADER_TOKEN).hash() }
}

fn leader_task() -> LeaderTask {
    LeaderTask {
        task: task(Role::Leader),
        helper_token: token(LEADER_TOKEN),
        collector_token: token(COLLECTOR_TOKEN).hash(),
    }
}

/// What is the same for each input, because making it takes long.
pub(crate) struct Stage {
    pub(crate) helper_task: HelperTask,
    pub(crate) leader_task: LeaderTask,
    pub(crate) keys: DatabaseKeys,
    helper_record: TaskRecord,
    leader_record: TaskRecord,
    hpke_key: KeyRecord,
    log_key: KeyRecord,
    pub(crate) inits: Vec<VerifyInit>,
    pub(crate) reports: Vec<Report>,
    pub(crate) runtime: tokio::runtime::Runtime,
}

pub(crate) static STAGE: LazyLock<Stage> = LazyLock::new(Stage::new);

impl Stage {
    fn new() -> Self {
        let keys = DatabaseKeys::random().expect("randomness");
        let store: Arc<dyn Datastore> = Arc::new(SqliteStore::in_memory().expect("a database"));
        let keyring = Keyring::load(store.as_ref(), &keys, Timestamp(0)).expect("a key");
        let log = PublicLog::new(Arc::clone(&store), keys.clone());
        log.begin(&KeyName::new("log.example/a").expect("a name")).expect("a key of the log");
        let only = |of| store.keys(of).expect("keys").remove(0);
        let (helper_task, leader_task) = (helper_task(), leader_task());
        let config = keyring.keys().config_list().iter().next().expect("a key").clone();
        let made = (0..REPORTS).map(|number| report(&leader_task.task, &config, number));
        let (reports, inits) = made.unzip();
        Self {
            helper_record: helper_task.to_record(&keys).expect("a task"),
            leader_record: leader_task.to_record(&keys).expect("a task"),
            hpke_key: only(KeyUse::Hpke),
            log_key: only(KeyUse::Log),
            helper_task,
            leader_task,
            keys,
            inits,
            reports,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
        }
    }

    /// Puts what an aggregator begins with in a database.
    pub(crate) fn begin(&self, store: &dyn Datastore, role: Role) {
        let task = if role == Role::Helper { &self.helper_record } else { &self.leader_record };
        store.put_task(task).expect("a task");
        store.put_key(KeyUse::Hpke, &self.hpke_key).expect("a key");
        store.put_key(KeyUse::Log, &self.log_key).expect("a key");
    }

    pub(crate) fn helper(&self, store: &Arc<dyn Datastore>) -> Helper {
        Helper::new(
            Arc::clone(store),
            self.keys.clone(),
            self.keyring(store),
            Arc::new(Metrics::new()),
            Arc::new(PublicLog::new(Arc::clone(store), self.keys.clone())),
            Retention::default(),
        )
    }

    /// A leader that stops already, so that it waits for nothing.
    pub(crate) fn leader(&self, store: &Arc<dyn Datastore>) -> Leader {
        self.leader_with(store, Retention::default(), &Aggregation::default())
    }

    pub(crate) fn leader_with(
        &self,
        store: &Arc<dyn Datastore>,
        retention: Retention,
        aggregation: &Aggregation,
    ) -> Leader {
        let _begins_tasks = self.runtime.enter();
        Leader::new(
            Arc::clone(store),
            self.keys.clone(),
            self.keyring(store),
            Arc::new(Metrics::new()),
            Arc::new(PublicLog::new(Arc::clone(store), self.keys.clone())),
            retention,
            HTTP.clone(),
            aggregation,
            STOPPED.subscribe(),
        )
    }

    fn keyring(&self, store: &Arc<dyn Datastore>) -> Arc<Keyring> {
        Arc::new(Keyring::load(store.as_ref(), &self.keys, Timestamp(1)).expect("the key"))
    }

    /// An aggregation job of reports by their numbers.
    pub(crate) fn job(&self, numbers: &[u8]) -> Vec<u8> {
        let init = |number: &u8| self.inits[usize::from(*number) % REPORTS].clone();
        AggregationJobInitReq {
            verification_key_id: 0,
            agg_param: Opaque::default(),
            extensions: UncheckedExtensions::default(),
            verify_inits: numbers.iter().map(init).collect(),
        }
        .to_bytes()
    }

    /// An upload of reports by their numbers.
    pub(crate) fn upload(&self, numbers: &[u8]) -> Vec<u8> {
        let report = |number: &u8| self.reports[usize::from(*number) % REPORTS].clone();
        UploadRequest { reports: numbers.iter().map(report).collect() }.to_bytes()
    }
}

static STOPPED: LazyLock<watch::Sender<bool>> = LazyLock::new(|| watch::channel(true).0);
static HTTP: LazyLock<HttpClient> =
    LazyLock::new(|| HttpClient::new(Duration::from_secs(1)).expect("a client"));

/// Whether the proof of a report holds.
pub(crate) fn holds(number: usize) -> bool {
    number < REPORTS - WINDOWS as usize
}

fn report(task: &Task, key: &HpkeConfig, number: usize) -> (Report, VerifyInit) {
    let report_id = ReportId::new([number as u8; 16]);
    let sharded = task
        .vdaf
        .shard(task.vdaf_context(), &Measurement::Bin(number % 4), &report_id)
        .expect("a measurement");
    let metadata = ReportMetadata {
        report_id,
        time: Time(FIRST + number as u64 % WINDOWS),
        public_extensions: UncheckedExtensions::default(),
    };
    let open = OpenReport {
        report_id,
        public_share: &sharded.public_share,
        input_share: &sharded.leader_input_share,
    };
    let (mut messages, _) = task.vdaf.start_verifying(task.verification(), &[open]);
    let mut message = messages.remove(0).expect("a message");
    if !holds(number) {
        message[0] ^= 1;
    }
    let mut aad = Vec::new();
    task.aad.with(&metadata, &sharded.public_share, &mut aad);
    let seal = |share: &[u8], role| {
        let plaintext = PlaintextInputShare {
            private_extensions: UncheckedExtensions::default(),
            payload: share.to_vec().try_into().expect("short"),
        };
        native::seal(key, &input_share_info(role), &aad, &plaintext.to_bytes()).expect("sealed")
    };
    let helpers = seal(&sharded.helper_input_share, Role::Helper);
    let public_share: Opaque<0, { u32::MAX as usize }> =
        sharded.public_share.clone().try_into().expect("short");
    let init = VerifyInit {
        payload: message.try_into().expect("short"),
        report_share: ReportShare {
            report_metadata: metadata.clone(),
            public_share: public_share.clone(),
            encrypted_input_share: helpers.clone(),
        },
    };
    let report = Report {
        report_metadata: metadata,
        public_share,
        leader_encrypted_input_share: seal(&sharded.leader_input_share, Role::Leader),
        helper_encrypted_input_share: helpers,
    };
    (report, init)
}
