//! From a metric to DAP tasks: one, or one for each combination of its public dimensions' values.

use super::{
    Calendar, Program,
    dimension::Dimension,
    encoding::Encoding,
    manifest::Manifest,
    metric::Metric,
    randomizer::{self, Chosen},
};
use sottovoce_dap::{
    ids::TaskId,
    task::{TaskConfiguration, VdafConfig},
};
use sottovoce_privacy::{
    self as privacy,
    guarantee::{GuaranteeError, Mechanism, MechanismKind},
    noise::AggregatorNoise,
    randomizer::RandomizerError,
    shown::at_most,
    units::{Epsilon, Guarantee, TrustModel},
};
use thiserror::Error;

/// The digest of the manifest that a task is bound to; none if no program of ours made the task.
pub fn manifest_digest(configuration: &TaskConfiguration) -> Option<[u8; 32]> {
    configuration.task_info.as_bytes().strip_prefix(TASK_INFO_TAG)?.try_into().ok()
}

/// One DAP task of a program.
#[derive(Clone, Debug)]
pub struct CompiledTask {
    /// The metric's name, with the values of public dimensions if there are any:
    /// `quality/arm=control`.
    pub name: String,
    /// The metric.
    pub metric: Metric,
    /// The values of public dimensions.
    pub public: Vec<(String, String)>,
    /// What the task promises.
    pub manifest: Manifest,
    /// What every DAP party sees.
    pub configuration: TaskConfiguration,
    /// SHA-256 of the configuration.
    pub task_id: TaskId,
    window: Calendar,
    encoding: Encoding,
    randomizer: Chosen,
    noise: Option<AggregatorNoise>,
    guarantees: Vec<Guarantee>,
}

impl CompiledTask {
    /// When its windows begin and end.
    pub fn window(&self) -> Calendar {
        self.window
    }

    /// How answers become bins.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// What each bin means, in their order.
    pub fn labels(&self) -> Vec<String> {
        self.encoding.labels()
    }

    /// What randomizes answers, and why it is this.
    pub fn randomizer(&self) -> &Chosen {
        &self.randomizer
    }

    /// The noise that each aggregator adds to each count. Default: none.
    pub fn noise(&self) -> Option<AggregatorNoise> {
        self.noise
    }

    /// What one report in one batch guarantees, per trust model.
    pub fn guarantees(&self) -> &[Guarantee] {
        &self.guarantees
    }
}

/// A metric that makes no task.
#[derive(Clone, Debug, Error, PartialEq)]
pub(super) enum CompileError {
    #[error(
        "the metric has {bins} bins, and more than {most} give wide intervals; use fewer labels or dimensions, \
         make dimensions public, or set allow_many_bins = true"
    )]
    ManyBins { bins: u32, most: u32 },
    #[error(transparent)]
    Randomizer(#[from] RandomizerError),
    #[error(transparent)]
    Unbounded(#[from] GuaranteeError),
    #[error(
        "epsilon0 = {epsilon0} in batches of {min_batch_size} gives epsilon = {} at delta = {delta}, above the \
         declared {declared}; {cure}",
        at_most(*certified, 3)
    )]
    Guarantee {
        epsilon0: f64,
        min_batch_size: u64,
        certified: f64,
        delta: f64,
        declared: f64,
        cure: String,
    },
    #[error("the task's configuration is too long; shorten the endpoints' URLs")]
    TooLong,
}

/// Bins that one histogram carries well at the usual budget: about 20 joint cells.
const MANY_BINS: u32 = 21;
/// Begins `task_info`; the digest of the manifest follows.
const TASK_INFO_TAG: &[u8] = b"sottovoce/1 sha256:";

/// The tasks of a metric. `certify` has its guarantees.
pub(super) fn compile(
    program: &Program,
    metric: &Metric,
    certify: &mut impl FnMut(&Program, &Mechanism) -> Result<Vec<Guarantee>, CompileError>,
) -> Result<Vec<CompiledTask>, CompileError> {
    let encoding = Encoding::of(metric);
    let bins = encoding.bins();
    if bins > MANY_BINS && !metric.allow_many_bins {
        return Err(CompileError::ManyBins { bins, most: MANY_BINS });
    }
    let epsilon0 = metric.epsilon0.unwrap_or(program.privacy.epsilon0);
    let randomizer = randomizer_of(metric, &encoding, epsilon0)?;
    let vdaf = randomizer::vdaf(&randomizer.mechanism, program.privacy.delta)?;
    let guarantees = certify(program, &randomizer.mechanism)?;
    let task = |public: Vec<(String, String)>| {
        let mechanism = &randomizer.mechanism;
        let manifest = Manifest::new(program, metric, &public, &encoding, mechanism, &guarantees);
        let configuration = configuration(program, &manifest, vdaf)?;
        Ok(CompiledTask {
            name: task_name(&metric.name, &public),
            metric: metric.clone(),
            task_id: configuration.task_id(),
            manifest,
            configuration,
            public,
            window: program.window,
            encoding: encoding.clone(),
            randomizer: randomizer.clone(),
            noise: program.privacy.aggregator_noise,
            guarantees: guarantees.clone(),
        })
    };
    combinations(&metric.dimensions).into_iter().map(task).collect()
}

impl Metric {
    /// What a device would do if a report of this metric had so much to spend.
    pub fn randomizer_with(&self, epsilon0: Epsilon) -> Result<Chosen, RandomizerError> {
        randomizer_of(self, &Encoding::of(self), epsilon0)
    }
}

fn randomizer_of(
    metric: &Metric,
    encoding: &Encoding,
    epsilon0: Epsilon,
) -> Result<Chosen, RandomizerError> {
    let wanted =
        if encoding.is_vector() { Some(MechanismKind::Signals) } else { metric.randomizer };
    randomizer::choose(encoding.bins(), epsilon0, wanted)
}

/// The guarantees of the smallest batch, if they meet what the program declares.
pub(super) fn certify(
    program: &Program,
    mechanism: &Mechanism,
) -> Result<Vec<Guarantee>, CompileError> {
    let privacy = program.privacy;
    let at = |min_batch_size| {
        let noise = privacy.aggregator_noise;
        privacy::guarantees(mechanism, noise, min_batch_size, privacy.reserve, privacy.delta)
    };
    let guarantees = at(program.min_batch_size)?;
    let certified = amplified(&guarantees);
    if certified <= privacy.epsilon.get() {
        return Ok(guarantees);
    }
    let enough = |size: &u64| at(*size).is_ok_and(|at| amplified(&at) <= privacy.epsilon.get());
    let doubled = (1..40).map(|i| program.min_batch_size.saturating_mul(1 << i));
    let cure = match doubled.take_while(|size| *size <= LARGEST_TRIED).find(enough) {
        Some(high) => {
            let least = bisect(program.min_batch_size, high, |size| enough(&size));
            format!("use min_batch_size = {least}, or a larger privacy.epsilon")
        }
        None => "use a smaller epsilon0, or a larger privacy.epsilon".to_owned(),
    };
    Err(CompileError::Guarantee {
        epsilon0: mechanism.local_epsilon().get(),
        min_batch_size: program.min_batch_size,
        certified,
        delta: privacy.delta.get(),
        declared: privacy.epsilon.get(),
        cure,
    })
}

/// The search for a batch size that works stops here.
const LARGEST_TRIED: u64 = 1_000_000;

fn amplified(guarantees: &[Guarantee]) -> f64 {
    let oamc = guarantees.iter().find(|guarantee| guarantee.trust == TrustModel::Oamc);
    oamc.map_or(f64::INFINITY, |guarantee| guarantee.epsilon.get())
}

/// The least number above `low`, to a hundredth of itself, for which `holds`; it does for `high`.
fn bisect(mut low: u64, mut high: u64, holds: impl Fn(u64) -> bool) -> u64 {
    while high - low > (high / 100).max(1) {
        let middle = low + (high - low) / 2;
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

fn configuration(
    program: &Program,
    manifest: &Manifest,
    vdaf: VdafConfig,
) -> Result<TaskConfiguration, CompileError> {
    let task_info = [TASK_INFO_TAG, &manifest.digest()].concat();
    Ok(TaskConfiguration {
        task_info: task_info.try_into().map_err(|_| CompileError::TooLong)?,
        leader_aggregator_endpoint: program.leader.clone(),
        helper_aggregator_endpoint: program.helper.clone(),
        time_precision: program.window.precision(),
        min_batch_size: program.min_batch_size,
        batch_mode: program.batch_mode,
        vdaf,
        task_interval: program.interval,
    })
}

fn combinations(dimensions: &[Dimension]) -> Vec<Vec<(String, String)>> {
    let public = dimensions.iter().filter(|dimension| dimension.is_public());
    public.fold(vec![Vec::new()], |combinations, dimension| {
        let extend = |combination: Vec<(String, String)>| {
            dimension.values.iter().map(move |value| {
                let mut longer = combination.clone();
                longer.push((dimension.name.clone(), value.clone()));
                longer
            })
        };
        combinations.into_iter().flat_map(extend).collect()
    })
}

fn task_name(metric: &str, public: &[(String, String)]) -> String {
    public
        .iter()
        .fold(metric.to_owned(), |name, (dimension, value)| format!("{name}/{dimension}={value}"))
}
