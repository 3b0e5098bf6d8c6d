//! Tasks whose aggregates name each honest report that was counted: a histogram with a bin for each.

use super::plan::{EACH, Kind, WINDOW, WINDOWS};
use crate::{
    clock::seconds,
    store::Timestamp,
    task::{HelperTask, LeaderTask, Task, Terms},
};
use sottovoce_dap::{
    bearer_token::BearerToken,
    codec::Encode,
    extension::{Extension, UncheckedExtensions},
    hpke::{HpkeCiphertext, HpkeConfig, HpkeConfigId, HpkeKeypair, Suite, native},
    ids::{ReportId, TaskId},
    role::Role,
    task::{BatchMode, TaskConfiguration, Url, VdafConfig},
    time::{Time, TimePrecision},
    upload::{PlaintextInputShare, Report, ReportMetadata, input_share_info, vdaf_context},
    vdaf::{VerifyKey, shard::Measurement},
};

pub(super) const LEADER: &str = "https://leader.example/";
pub(super) const HELPERS: [&str; 2] =
    ["https://one.helper.example/", "https://two.helper.example/"];
/// Reports that a batch needs.
pub(super) const LEAST: u64 = 3;
/// Where the first window starts: at the start of an hour.
pub(super) const BEGIN: Timestamp = Timestamp(1_800_000_000_000);

/// One for each honest report, and one that none should be in.
const BINS: u32 = 22;
const _: () = assert!(BINS as u64 == WINDOWS * EACH + 1);

/// A task with the secrets of all parties.
pub(super) struct SimulatedTask {
    pub(super) id: TaskId,
    pub(super) configuration: TaskConfiguration,
    pub(super) collector: HpkeKeypair,
    pub(super) collector_token: BearerToken,
    pub(super) helper: &'static str,
    helper_token: BearerToken,
}

/// What devices seal to.
pub(super) struct Keys {
    pub(super) leader: HpkeConfig,
    pub(super) helper: HpkeConfig,
}

impl SimulatedTask {
    pub(super) fn new(number: u8, batch_mode: BatchMode, helper: &'static str) -> Self {
        let token = |of: &str| BearerToken::new(format!("the-token-of-the-{of}")).unwrap();
        Self {
            id: TaskId::new([number; 32]),
            configuration: TaskConfiguration {
                task_info: b"a simulation".to_vec().try_into().unwrap(),
                leader_aggregator_endpoint: Url::new(LEADER).unwrap(),
                helper_aggregator_endpoint: Url::new(helper).unwrap(),
                time_precision: TimePrecision::from_seconds(WINDOW / 1000).unwrap(),
                min_batch_size: LEAST,
                batch_mode,
                vdaf: VdafConfig::Prio3Histogram { length: BINS, chunk_length: 5 },
                task_interval: None,
            },
            collector: native::generate(HpkeConfigId(9), Suite::DEFAULT).unwrap(),
            collector_token: token("collector"),
            helper_token: token("leader"),
            helper,
        }
    }

    fn task(&self, role: Role) -> Task {
        let (configuration, collector) =
            (self.configuration.clone(), self.collector.config.clone());
        let key = VerifyKey::new([7; 32]);
        let task = Task::new(role, self.id, configuration, collector, None, key).unwrap();
        task.under(Terms { grace: 30, ..Terms::default() })
    }

    pub(super) fn at_leader(&self) -> LeaderTask {
        LeaderTask {
            task: self.task(Role::Leader),
            helper_token: self.helper_token.clone(),
            collector_token: self.collector_token.hash(),
        }
    }

    pub(super) fn at_helper(&self) -> HelperTask {
        HelperTask { task: self.task(Role::Helper), leader_token: self.helper_token.hash() }
    }

    /// A report; `number` makes its ID another one than those of others of the task.
    pub(super) fn report(&self, kind: Kind, number: u64, keys: &Keys) -> Report {
        let (time, bin) = match kind {
            Kind::Honest { window, number } => (window_start(window), bin(window, number)),
            Kind::Future => (Time(window_start(0).0 + 500), BINS as usize - 1),
            Kind::Ancient => (Time(3), BINS as usize - 1),
            Kind::Repeated => (window_start(1), BINS as usize - 1),
            _ => (window_start(0), BINS as usize - 1),
        };
        let task = self.task(Role::Leader);
        let report_id = report_id(kind, number);
        let measurement = Measurement::Bin(bin);
        let shares = task.vdaf.shard(&vdaf_context(&self.id), &measurement, &report_id).unwrap();
        let mut leader = shares.leader_input_share.to_vec();
        match kind {
            // An element of the share of the proof.
            Kind::Forged => leader[BINS as usize * 16] ^= 1,
            Kind::TooLong => leader.extend([0; 4096]),
            _ => {}
        }
        let extensions = if kind == Kind::Extended { vec![unknown()] } else { Vec::new() };
        let public_extensions = UncheckedExtensions::new(extensions).unwrap();
        let metadata = ReportMetadata { report_id, time, public_extensions };
        let mut aad = Vec::new();
        task.aad.with(&metadata, &shares.public_share, &mut aad);
        let mut report = Report {
            leader_encrypted_input_share: seal(Role::Leader, &keys.leader, &aad, leader),
            helper_encrypted_input_share: seal(
                Role::Helper,
                &keys.helper,
                &aad,
                shares.helper_input_share.to_vec(),
            ),
            report_metadata: metadata,
            public_share: shares.public_share.try_into().unwrap(),
        };
        match kind {
            Kind::SealedToNobody { at_helper: true } => {
                spoil(&mut report.helper_encrypted_input_share);
            }
            Kind::SealedToNobody { at_helper: false } => {
                spoil(&mut report.leader_encrypted_input_share);
            }
            _ => {}
        }
        report
    }
}

/// The time of reports of a window.
pub(super) fn window_start(window: u64) -> Time {
    Time((seconds(BEGIN) * 1000 / WINDOW) + window)
}

/// The bin of an honest report.
pub(super) fn bin(window: u64, number: u64) -> usize {
    usize::try_from(window * EACH + number).unwrap()
}

/// The window that a bin's report is of, if it is an honest one's.
pub(super) fn window_of(bin: usize) -> Option<u64> {
    let window = bin as u64 / EACH;
    (window < WINDOWS).then_some(window)
}

fn report_id(kind: Kind, number: u64) -> ReportId {
    let mut id = [0; 16];
    let number = match kind {
        Kind::Honest { window, number } => bin(window, number) as u64,
        // Of the task's first honest report.
        Kind::Repeated => 0,
        _ => 1000 + number,
    };
    id[..8].copy_from_slice(&number.to_be_bytes());
    ReportId::new(id)
}

fn unknown() -> Extension {
    Extension { extension_type: 0xff01, extension_data: Vec::new().try_into().unwrap() }
}

fn seal(role: Role, key: &HpkeConfig, aad: &[u8], share: Vec<u8>) -> HpkeCiphertext {
    let plaintext = PlaintextInputShare {
        private_extensions: UncheckedExtensions::default(),
        payload: share.try_into().unwrap(),
    };
    native::seal(key, &input_share_info(role), aad, &plaintext.to_bytes()).unwrap()
}

fn spoil(sealed: &mut HpkeCiphertext) {
    let mut payload = sealed.payload.as_bytes().to_vec();
    *payload.last_mut().unwrap() ^= 1;
    sealed.payload = payload.try_into().unwrap();
}
