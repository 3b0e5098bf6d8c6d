//! Tasks as the parties agree on them out of band, in plain DAP task files.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{RngExt, rngs::StdRng};
use serde_json::json;
use sottovoce_dap::{
    bearer_token::BearerToken,
    codec::Encode,
    hpke::{HpkeConfigId, HpkeKeypair, Suite, native},
    ids::TaskId,
    task::{BatchMode, TaskConfiguration, Url, VdafConfig},
    time::{Interval, Time, TimePrecision},
    vdaf::{Vdaf, VerifyKey, shard::Measurement, unshard::AggregateResult},
};
use std::time::{SystemTime, UNIX_EPOCH};

/// What a story wants of a task.
#[derive(Clone)]
pub(crate) struct TaskSpec {
    pub(crate) vdaf: VdafConfig,
    pub(crate) mode: BatchMode,
    pub(crate) min_batch_size: u64,
    pub(crate) task_info: &'static [u8],
    pub(crate) task_interval: Option<Interval>,
    /// As the task file has it.
    pub(crate) noise: Option<serde_json::Value>,
    /// As the task file has it.
    pub(crate) windows: Option<&'static str>,
    /// The port where this task's helper is, if it is not the world's.
    pub(crate) helper_port: Option<u16>,
}

impl TaskSpec {
    pub(crate) fn new(vdaf: VdafConfig, mode: BatchMode) -> Self {
        Self {
            vdaf,
            mode,
            min_batch_size: 5,
            task_info: b"a story",
            task_interval: None,
            noise: None,
            windows: None,
            helper_port: None,
        }
    }
}

impl Default for TaskSpec {
    fn default() -> Self {
        Self::new(HISTOGRAM, BatchMode::TimeInterval)
    }
}

pub(crate) const HISTOGRAM: VdafConfig = VdafConfig::Prio3Histogram { length: 6, chunk_length: 3 };

/// One of each kind.
pub(crate) const VDAFS: [VdafConfig; 5] = [
    VdafConfig::Prio3Count,
    VdafConfig::Prio3Sum { max_measurement: 1000 },
    VdafConfig::Prio3SumVec { length: 5, max_measurement: 15, chunk_length: 4 },
    HISTOGRAM,
    VdafConfig::Prio3MultihotCountVec { length: 7, chunk_length: 3, max_weight: 3 },
];

/// Seconds in one unit of all tasks' times.
pub(crate) const PRECISION: u64 = 60;

/// Now, in units of [`PRECISION`].
pub(crate) fn now() -> Time {
    Time(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / PRECISION)
}

/// A task with all parties' secrets.
pub(crate) struct Task {
    pub(crate) id: TaskId,
    pub(crate) configuration: TaskConfiguration,
    pub(crate) vdaf: Vdaf,
    pub(crate) verify_key: VerifyKey,
    pub(crate) collector: HpkeKeypair,
    pub(crate) leader_token: String,
    pub(crate) collector_token: String,
    noise: Option<serde_json::Value>,
    windows: Option<&'static str>,
}

impl Task {
    pub(crate) fn new(spec: &TaskSpec, leader: &str, helper: &str) -> Self {
        let configuration = TaskConfiguration {
            task_info: spec.task_info.to_vec().try_into().unwrap(),
            leader_aggregator_endpoint: Url::new(leader).unwrap(),
            helper_aggregator_endpoint: Url::new(helper).unwrap(),
            time_precision: TimePrecision::from_seconds(PRECISION).unwrap(),
            min_batch_size: spec.min_batch_size,
            batch_mode: spec.mode,
            vdaf: spec.vdaf,
            task_interval: spec.task_interval,
        };
        Self {
            // Not the hash of the configuration: others choose IDs as they like.
            id: TaskId::new(rand::random()),
            vdaf: Vdaf::new(&configuration.vdaf).unwrap(),
            verify_key: VerifyKey::new(rand::random()),
            collector: native::generate(HpkeConfigId(9), Suite::DEFAULT).unwrap(),
            leader_token: BearerToken::random().unwrap().secret().to_owned(),
            collector_token: BearerToken::random().unwrap().secret().to_owned(),
            configuration,
            noise: spec.noise.clone(),
            windows: spec.windows,
        }
    }

    /// The task file of the helper, or of the leader, who also knows the collector's token.
    pub(crate) fn file(&self, for_leader: bool) -> String {
        let mut file = json!({
            "task_id": self.id,
            "task_configuration": URL_SAFE_NO_PAD.encode(self.configuration.to_bytes()),
            "vdaf_verify_key": URL_SAFE_NO_PAD.encode(self.verify_key.secret_bytes()),
            "collector_hpke_config": URL_SAFE_NO_PAD.encode(self.collector.config.to_bytes()),
            "leader_token": self.leader_token,
        });
        if for_leader {
            file["collector_token"] = json!(self.collector_token);
        }
        if let Some(noise) = &self.noise {
            file["aggregator_noise"] = noise.clone();
        }
        if let Some(windows) = self.windows {
            file["windows"] = json!(windows);
        }
        file.to_string()
    }

    /// A resource at the leader.
    pub(crate) fn at_leader(&self, path: &str) -> String {
        at(&self.configuration.leader_aggregator_endpoint, self.id, path)
    }

    /// A resource at the helper.
    pub(crate) fn at_helper(&self, path: &str) -> String {
        at(&self.configuration.helper_aggregator_endpoint, self.id, path)
    }
}

fn at(endpoint: &Url, task: TaskId, path: &str) -> String {
    format!("{}/tasks/{task}/{path}", endpoint.as_str().trim_end_matches('/'))
}

/// Draws valid measurements.
pub(crate) fn sample(vdaf: &VdafConfig, count: usize, rng: &mut StdRng) -> Vec<Measurement> {
    let mut one = || match *vdaf {
        VdafConfig::Prio3Count => Measurement::Bool(rng.random()),
        VdafConfig::Prio3Sum { max_measurement } => {
            Measurement::Integer(rng.random_range(0..=max_measurement))
        }
        VdafConfig::Prio3SumVec { length, max_measurement, .. } => {
            let max = u128::from(max_measurement);
            Measurement::Vector((0..length).map(|_| rng.random_range(0..=max)).collect())
        }
        VdafConfig::Prio3Histogram { length, .. } => {
            Measurement::Bin(rng.random_range(0..length as usize))
        }
        VdafConfig::Prio3MultihotCountVec { length, max_weight, .. } => {
            let mut bits = vec![false; length as usize];
            (0..max_weight).for_each(|_| bits[rng.random_range(0..length as usize)] = true);
            Measurement::Bits(bits)
        }
    };
    (0..count).map(|_| one()).collect()
}

/// What the aggregate of measurements must be, added up in the open.
pub(crate) fn total(vdaf: &VdafConfig, measurements: &[Measurement]) -> AggregateResult {
    let length = match *vdaf {
        VdafConfig::Prio3Count | VdafConfig::Prio3Sum { .. } => 1,
        VdafConfig::Prio3SumVec { length, .. }
        | VdafConfig::Prio3Histogram { length, .. }
        | VdafConfig::Prio3MultihotCountVec { length, .. } => length as usize,
    };
    let mut sums = vec![0; length];
    for measurement in measurements {
        match measurement {
            Measurement::Bool(value) => sums[0] += u128::from(*value),
            Measurement::Integer(value) => sums[0] += u128::from(*value),
            Measurement::Vector(values) => add(&mut sums, values.iter().copied()),
            Measurement::Bin(bin) => sums[*bin] += 1,
            Measurement::Bits(bits) => add(&mut sums, bits.iter().map(|bit| u128::from(*bit))),
        }
    }
    match vdaf {
        VdafConfig::Prio3Count | VdafConfig::Prio3Sum { .. } => {
            AggregateResult::Integer(u64::try_from(sums[0]).unwrap())
        }
        _ => AggregateResult::Vector(sums),
    }
}

fn add(sums: &mut [u128], values: impl Iterator<Item = u128>) {
    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
}
