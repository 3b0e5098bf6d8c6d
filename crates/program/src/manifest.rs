//! What a task promises, written so that everyone who writes it writes the same bytes.
//!
//! The manifest is JSON with its keys in the order below and no blanks. Its SHA-256 stands in the
//! task's `task_info`, DAP binds the task configuration into every seal, and so a report that was
//! made under one promise cannot be aggregated under another.

use super::{
    Program, Weekday,
    dimension::{Dimension, Visibility},
    encoding::Encoding,
    kind::Promised,
    metric::Metric,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sottovoce_dap::codec::Encode;
use sottovoce_privacy::{
    guarantee::Mechanism,
    noise::AggregatorNoise,
    units::{Guarantee, TrustModel},
};

/// The canonical manifest of one task.
#[derive(Clone, Debug, Serialize)]
pub struct Manifest {
    version: u32,
    program: String,
    /// Whom aggregate shares are sealed to: SHA-256 of its HPKE configuration, in base64url. Nothing
    /// else of the task names it.
    collector: String,
    metric: String,
    kind: &'static str,
    question: String,
    /// The values of public dimensions that make this task one of several.
    public: Vec<(String, String)>,
    encoding: &'static str,
    bins: Vec<String>,
    /// Which devices are held out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    held_out: Vec<HeldOut>,
    #[serde(flatten)]
    of_its_kind: Promised,
    randomizer: Randomizer,
    /// What each aggregator adds to each count, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    aggregator_noise: Option<Noise>,
    /// The day that weeks begin on, unless it is that of DAP's own: no other word of the task says it.
    #[serde(skip_serializing_if = "Weekday::is_thursday")]
    week_begins: Weekday,
    min_batch_size: u64,
    reserve: f64,
    guarantees: Vec<Claim>,
}

/// A share of devices, chosen on each by a salted hash.
#[derive(Clone, Debug, Serialize)]
struct HeldOut {
    dimension: String,
    salt: String,
    /// Of 2^64 hashes so many are in; in decimal.
    threshold: String,
}

impl HeldOut {
    fn of(dimension: &Dimension) -> Option<Self> {
        let Visibility::HeldOut(cohort) = &dimension.visibility else { return None };
        let (salt, threshold) = (cohort.salt().to_owned(), cohort.threshold().to_string());
        Some(Self { dimension: dimension.name.clone(), salt, threshold })
    }
}

#[derive(Clone, Debug, Serialize)]
struct Randomizer {
    name: &'static str,
    bins: u32,
    /// The weight of each lie, or of each bit's flip, out of 2^64, in decimal; as a string, since
    /// JSON's readers lose such integers.
    lie_weight: String,
}

impl From<&Mechanism> for Randomizer {
    fn from(mechanism: &Mechanism) -> Self {
        let (name, lie_weight) = match mechanism {
            Mechanism::Krr(randomizer) => ("k-ary randomized response", randomizer.lie_weight()),
            Mechanism::Bits(randomizer) => {
                ("bitwise randomized response on one choice", randomizer.flip_weight())
            }
            Mechanism::Signals(randomizer) => {
                ("bitwise randomized response on signals", randomizer.flip_weight())
            }
        };
        Self { name, bins: mechanism.bins(), lie_weight: lie_weight.to_string() }
    }
}

/// In whole thousandths of a count, which are the same integer everywhere.
#[derive(Clone, Debug, Serialize)]
struct Noise {
    name: &'static str,
    thousandths: u32,
}

impl From<AggregatorNoise> for Noise {
    fn from(noise: AggregatorNoise) -> Self {
        match noise {
            AggregatorNoise::DiscreteLaplace { scale } => {
                Self { name: "discrete Laplace, scale", thousandths: scale.thousandths() }
            }
            AggregatorNoise::DiscreteGaussian { sigma } => {
                Self { name: "discrete Gaussian, sigma", thousandths: sigma.thousandths() }
            }
        }
    }
}

#[derive(Clone, Debug, Serialize)]
struct Claim {
    trust: TrustModel,
    epsilon: f64,
    delta: f64,
    neighbours: &'static str,
}

const VERSION: u32 = 1;
const NEIGHBOURS: &str = "one device's answer replaced, in one batch";

impl Manifest {
    pub(super) fn new(
        program: &Program,
        metric: &Metric,
        public: &[(String, String)],
        encoding: &Encoding,
        mechanism: &Mechanism,
        guarantees: &[Guarantee],
    ) -> Self {
        let claim = |guarantee: &Guarantee| Claim {
            trust: guarantee.trust,
            epsilon: guarantee.epsilon.rounded_up(CLAIMED_DIGITS).get(),
            delta: guarantee.delta.get(),
            neighbours: NEIGHBOURS,
        };
        Self {
            version: VERSION,
            program: program.name.clone(),
            collector: URL_SAFE_NO_PAD.encode(Sha256::digest(program.collector.to_bytes())),
            metric: metric.name.clone(),
            kind: metric.kind.name(),
            question: metric.question.clone(),
            public: public.to_vec(),
            encoding: encoding.name(),
            bins: encoding.labels(),
            held_out: metric.dimensions.iter().filter_map(HeldOut::of).collect(),
            of_its_kind: metric.kind.as_kind().promised(),
            randomizer: mechanism.into(),
            aggregator_noise: program.privacy.aggregator_noise.map(Noise::from),
            week_begins: program.window.week_begins().unwrap_or_default(),
            min_batch_size: program.min_batch_size,
            reserve: program.privacy.reserve.get(),
            guarantees: guarantees.iter().map(claim).collect(),
        }
    }

    /// The same promise of weeks that begin on another day: it has another digest.
    #[must_use]
    pub fn beginning(&self, week_begins: Weekday) -> Self {
        Self { week_begins, ..self.clone() }
    }

    /// The canonical bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("strings and finite numbers are always JSON")
    }

    /// SHA-256 of the canonical bytes.
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.to_bytes()).into()
    }
}

/// The day that weeks begin on by a manifest, read from its canonical bytes; none if they do not say it as a
/// manifest does.
pub fn week_begins_in(manifest: &[u8]) -> Option<Weekday> {
    #[derive(Deserialize)]
    struct Stated {
        #[serde(default)]
        week_begins: Weekday,
    }
    serde_json::from_slice::<Stated>(manifest).ok().map(|stated| stated.week_begins)
}

/// What a manifest claims, read from its canonical bytes; none if they are not those of a manifest.
pub fn claims_in(manifest: &[u8]) -> Option<Vec<sottovoce_log::claim::Claim>> {
    #[derive(Deserialize)]
    struct Stated {
        guarantees: Vec<sottovoce_log::claim::Claim>,
    }
    serde_json::from_slice::<Stated>(manifest).ok().map(|stated| stated.guarantees)
}

/// Digits after the point of a claimed ε: few enough that every machine agrees on them.
const CLAIMED_DIGITS: usize = 4;
