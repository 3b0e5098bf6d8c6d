//! What a mechanism guarantees, per trust model: the one entry point that manifests, the planner,
//! the demo and the command line share.
//!
//! A [`Release`] is a randomizer, perhaps aggregator noise, and the number of honest reports. Under
//! OC only the randomizer counts. Under OAOC aggregator noise counts too. Under OAMC it is the
//! better of what aggregation adds to the randomizer and of the noise, since either could be
//! revealed (post-processing). [`composed`] says what several guarantee together, and when.
//! [`smallest_batch`] and [`largest_epsilon0`] turn the question around.

mod error;
mod inverse;

pub use error::{GuaranteeError, LARGEST_BATCH, LEAST_REPORTS, usable_delta, usable_epsilon};
pub use inverse::{largest_epsilon0, smallest_batch};

use super::{
    amplification::{bits, blanket},
    composition::{
        CompositionError, PrivacyLoss, discrete_gaussian, discrete_laplace,
        discrete_laplace_epsilon,
    },
    noise::AggregatorNoise,
    randomizer::{BitRandomizer, Changed, KaryRandomizer, RandomizerError},
    units::{Delta, Epsilon, Guarantee, TrustModel},
};
use error::check;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What every guarantee compares.
pub const NEIGHBOURS: &str = "replacement: two batches that differ in one device's answer, and \
                              hold a report of that device either way";

/// Why a randomizer's own bound holds.
pub const THEOREM_KARY: &str = "k-ary randomized response with exact integer thresholds";
/// Why a bitwise randomizer's own bound holds.
pub const THEOREM_BITS: &str =
    "bitwise randomized response with exact integer thresholds, summed over the bits that change";
/// Why the amplified bound of k-ary randomized response holds.
pub const THEOREM_BLANKET: &str =
    "privacy blanket, evaluated exactly (Balle, Bell, Gascón, Nissim 2019)";
/// Why the amplified bound of bitwise randomized response holds.
pub const THEOREM_SCAN: &str = "sum of randomized bits, the worst over all answers of the others; \
                                bits composed by privacy-loss distributions";
/// Why aggregator noise bounds.
pub const THEOREM_GAUSSIAN: &str = "discrete Gaussian noise of one honest aggregator (Canonne, \
                                    Kamath, Steinke 2020), its exact privacy-loss distribution";
/// Why aggregator noise bounds.
pub const THEOREM_LAPLACE: &str =
    "discrete Laplace noise of one honest aggregator (Ghosh, Roughgarden, Sundararajan 2009)";
/// Why a sum of budgets bounds.
pub const THEOREM_SUM: &str = "sum of pure bounds (sequential composition)";
/// Why composed distributions bound.
pub const THEOREM_COMPOSED: &str = "privacy-loss distributions, pessimistic and convolved directly \
                                    (Doroshenko, Ghazi, Kamath, Kumar, Manurangsi 2022)";

/// Every reason that a guarantee is given, in an order that never changes.
pub const THEOREMS: [&str; 8] = [
    THEOREM_KARY,
    THEOREM_BITS,
    THEOREM_BLANKET,
    THEOREM_SCAN,
    THEOREM_GAUSSIAN,
    THEOREM_LAPLACE,
    THEOREM_SUM,
    THEOREM_COMPOSED,
];

/// A randomizer's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MechanismKind {
    /// k-ary randomized response on one choice.
    Krr,
    /// Bitwise randomized response on one choice, as a vector that has one bit on.
    Bits,
    /// Bitwise randomized response on independent yes/no signals.
    Signals,
}

impl fmt::Display for MechanismKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Krr => "krr",
            Self::Bits => "bits",
            Self::Signals => "signals",
        })
    }
}

/// A randomizer and what it is applied to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mechanism {
    /// k-ary randomized response on one choice.
    Krr(KaryRandomizer),
    /// Bitwise randomized response on one choice, as a vector that has one bit on.
    Bits(BitRandomizer),
    /// Bitwise randomized response on independent yes/no signals.
    Signals(BitRandomizer),
}

impl Mechanism {
    /// With as many bins (or bits), and the budget `epsilon0`: of a report for k-ary randomized
    /// response, of each bit that changes for the others.
    pub fn new(kind: MechanismKind, bins: u32, epsilon0: Epsilon) -> Result<Self, RandomizerError> {
        Ok(match kind {
            MechanismKind::Krr => Self::Krr(KaryRandomizer::new(bins, epsilon0)?),
            MechanismKind::Bits => Self::Bits(BitRandomizer::new(bins, epsilon0)?),
            MechanismKind::Signals => Self::Signals(BitRandomizer::new(bins, epsilon0)?),
        })
    }

    /// Which kind it is.
    pub fn kind(&self) -> MechanismKind {
        match self {
            Self::Krr(_) => MechanismKind::Krr,
            Self::Bits(_) => MechanismKind::Bits,
            Self::Signals(_) => MechanismKind::Signals,
        }
    }

    /// The number of bins or bits.
    pub fn bins(&self) -> u32 {
        match self {
            Self::Krr(randomizer) => randomizer.bins(),
            Self::Bits(randomizer) | Self::Signals(randomizer) => randomizer.bits(),
        }
    }

    /// The realised budget: of a report for k-ary randomized response, of each bit that changes
    /// for the others.
    pub fn epsilon0(&self) -> Epsilon {
        match self {
            Self::Krr(randomizer) => randomizer.epsilon(),
            Self::Bits(randomizer) | Self::Signals(randomizer) => randomizer.epsilon_per_bit(),
        }
    }

    /// What one whole report loses, whoever colludes.
    pub fn local_epsilon(&self) -> Epsilon {
        match self {
            Self::Krr(randomizer) => randomizer.epsilon(),
            Self::Bits(randomizer) => randomizer.epsilon(Changed::OneHot),
            Self::Signals(randomizer) => randomizer.epsilon(Changed::Free),
        }
    }

    /// The counts that another answer moves, by one each. With the randomizer's draws as they are
    /// (its noise does not depend on the answer) the report moves as many, so aggregator noise has
    /// to hide no more.
    pub fn coordinates(&self) -> u32 {
        match self {
            Self::Krr(_) => 2,
            Self::Bits(randomizer) => Changed::OneHot.coordinates(randomizer.bits()),
            Self::Signals(randomizer) => Changed::Free.coordinates(randomizer.bits()),
        }
    }

    /// What the randomizer guarantees by itself, whoever is honest beside the device.
    pub fn local_guarantee(&self, trust: TrustModel) -> Guarantee {
        Guarantee {
            trust,
            epsilon: self.local_epsilon(),
            delta: Delta::ZERO,
            pointwise: self.local_epsilon(),
            theorem: self.local_theorem(),
        }
    }

    fn local_theorem(&self) -> &'static str {
        match self {
            Self::Krr(_) => THEOREM_KARY,
            Self::Bits(_) | Self::Signals(_) => THEOREM_BITS,
        }
    }

    /// How the crowd is accounted for.
    fn accountant(&self) -> Accountant {
        match self {
            Self::Krr(randomizer) => {
                one_bit(randomizer).unwrap_or_else(|| Accountant::Blanket(randomizer.clone()))
            }
            Self::Bits(bits) => Accountant::Scan(bits.clone(), Changed::OneHot),
            Self::Signals(bits) => Accountant::Scan(bits.clone(), Changed::Free),
        }
    }

    fn amplified(&self, honest: u64, delta: Delta) -> Option<Epsilon> {
        let epsilon = match &self.accountant() {
            Accountant::Blanket(kary) => blanket::epsilon_upper(kary, honest, delta),
            Accountant::Scan(bits, changed) => bits::epsilon_upper(bits, *changed, honest, delta),
        };
        Some(at_most(epsilon?, self.local_epsilon()))
    }

    fn amplified_loss(&self, honest: u64, delta: Delta) -> Option<PrivacyLoss> {
        match &self.accountant() {
            Accountant::Blanket(kary) => blanket::privacy_loss(kary, honest, delta),
            Accountant::Scan(bits, changed) => bits::privacy_loss(bits, *changed, honest, delta),
        }
    }

    fn amplified_guarantee(&self, honest: u64, delta: Delta) -> Option<Guarantee> {
        let (amplified, theorem) = match &self.accountant() {
            Accountant::Blanket(kary) => {
                (blanket::amplified(kary, honest, delta)?, THEOREM_BLANKET)
            }
            Accountant::Scan(bits, changed) => {
                (bits::amplified(bits, *changed, honest, delta)?, THEOREM_SCAN)
            }
        };
        let [epsilon, pointwise] =
            [amplified.epsilon, amplified.pointwise].map(|e| at_most(e, self.local_epsilon()));
        Some(Guarantee { trust: TrustModel::Oamc, epsilon, delta, pointwise, theorem })
    }
}

/// What bounds a report in a crowd.
enum Accountant {
    /// By the privacy blanket.
    Blanket(KaryRandomizer),
    /// By a scan of each bit that can differ.
    Scan(BitRandomizer, Changed),
}

/// A choice of two is one bit: of two counts whose sum is the number of reports, one says all. The
/// scan of a bit is exact, where the blanket gives away which reports are none of it.
fn one_bit(randomizer: &KaryRandomizer) -> Option<Accountant> {
    let bit = BitRandomizer::from_parts(1, randomizer.lie_weight()).ok()?;
    (randomizer.bins() == 2).then_some(Accountant::Scan(bit, Changed::Free))
}

fn at_most(one: Epsilon, other: Epsilon) -> Epsilon {
    if one < other { one } else { other }
}

/// Both aggregators add noise, each by itself. Only one of the two is taken to be honest, so only
/// one's noise counts.
impl AggregatorNoise {
    fn loss(self, coordinates: u32, delta: f64) -> Result<PrivacyLoss, CompositionError> {
        match self {
            Self::DiscreteLaplace { scale } => discrete_laplace(scale.counts(), coordinates, delta),
            Self::DiscreteGaussian { sigma } => {
                discrete_gaussian(sigma.counts(), coordinates, delta)
            }
        }
    }

    fn guarantee(
        self,
        trust: TrustModel,
        coordinates: u32,
        delta: Delta,
    ) -> Result<Option<Guarantee>, CompositionError> {
        let loss = self.loss(coordinates, delta.get())?;
        let Self::DiscreteLaplace { scale } = self else {
            return Ok(bounded(trust, &loss, delta, THEOREM_GAUSSIAN));
        };
        let pure = discrete_laplace_epsilon(scale.counts(), coordinates)?;
        let Ok(epsilon) = Epsilon::new(pure) else { return Ok(None) };
        let pure = Guarantee {
            trust,
            epsilon,
            delta: Delta::ZERO,
            pointwise: epsilon,
            theorem: THEOREM_LAPLACE,
        };
        // Many counts seldom all tell the same: then δ buys something.
        let composed = bounded(trust, &loss, delta, THEOREM_LAPLACE);
        let clearly = |composed: &Guarantee| composed.epsilon.get() < CLEARLY * epsilon.get();
        Ok(Some(composed.filter(clearly).unwrap_or(pure)))
    }
}

/// A bound with a δ takes the place of one without only if it is below this part of it.
const CLEARLY: f64 = 0.99;

/// One metric's randomizer in one batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Release {
    /// What the device does.
    pub mechanism: Mechanism,
    /// What each aggregator does.
    pub noise: Option<AggregatorNoise>,
    /// Honest reports that the batch is sure to hold, the target's included.
    pub honest: u64,
}

impl Release {
    /// What one report guarantees, per trust model: OC, OAOC, OAMC. δ above 0 is only spent where
    /// it buys a smaller ε.
    pub fn guarantees(&self, delta: Delta) -> Result<Vec<Guarantee>, GuaranteeError> {
        check(self.honest, delta)?;
        let amplified = self.mechanism.amplified_guarantee(self.honest, delta);
        let oaoc = self.with_noise(TrustModel::Oaoc, delta, None)?;
        let oamc = self.with_noise(TrustModel::Oamc, delta, amplified)?;
        Ok(vec![self.mechanism.local_guarantee(TrustModel::Oc), oaoc, oamc])
    }

    /// An upper bound on the loss under a trust model, to be composed with others' and read at δ
    /// not far below `delta`.
    pub fn privacy_loss(
        &self,
        trust: TrustModel,
        delta: Delta,
    ) -> Result<PrivacyLoss, GuaranteeError> {
        check(self.honest, delta)?;
        let mut best = PrivacyLoss::pure(self.mechanism.local_epsilon().get());
        let mut consider = |loss: PrivacyLoss| {
            let epsilon = |loss: &PrivacyLoss| loss.epsilon(delta.get()).unwrap_or(f64::INFINITY);
            if epsilon(&loss) < epsilon(&best) {
                best = loss;
            }
        };
        if let Some(noise) = self.noise.filter(|_| trust != TrustModel::Oc) {
            consider(noise.loss(self.mechanism.coordinates(), delta.get())?);
        }
        if trust == TrustModel::Oamc
            && let Some(loss) = self.mechanism.amplified_loss(self.honest, delta)
        {
            consider(loss);
        }
        Ok(best)
    }

    /// The best of the randomizer alone, of what is given and of aggregator noise.
    fn with_noise(
        &self,
        trust: TrustModel,
        delta: Delta,
        given: Option<Guarantee>,
    ) -> Result<Guarantee, GuaranteeError> {
        let coordinates = self.mechanism.coordinates();
        let noise = match self.noise {
            Some(noise) => noise.guarantee(trust, coordinates, delta)?,
            None => None,
        };
        Ok([given, noise].into_iter().fold(self.mechanism.local_guarantee(trust), better))
    }
}

/// What several releases guarantee together, each as often as said, per trust model: pure bounds
/// add up under OC; where that is smaller, privacy-loss distributions are composed under the
/// others. Valid for releases chosen in view of earlier ones too, as long as all their parameters
/// (the smallest batch among them) were declared before.
///
/// This is about releases *of their own*: each report of the device lies in a full batch by itself, with
/// [`Release::honest`] reports of other devices' own draws around it, and each draw is counted once.
/// Then the total of several such batches reveals no more than all of them do (post-processing). It does
/// *not* cover several reports of one device in one batch, nor one draw that is counted several times:
/// there the total moves by their number, not by its square root. So each aggregator must see to it that
/// every window of a collected interval is a full batch by itself, that a leader-selected batch lies
/// within one window, and that a draw has one report ID for life.
pub fn composed(
    releases: &[(Release, u64)],
    delta: Delta,
) -> Result<Vec<Guarantee>, GuaranteeError> {
    let models = [TrustModel::Oc, TrustModel::Oaoc, TrustModel::Oamc];
    models.into_iter().map(|trust| composed_under(trust, releases, delta)).collect()
}

fn composed_under(
    trust: TrustModel,
    releases: &[(Release, u64)],
    delta: Delta,
) -> Result<Guarantee, GuaranteeError> {
    let sum = sum_of_local(releases)?;
    let pure =
        Guarantee { trust, epsilon: sum, delta: Delta::ZERO, pointwise: sum, theorem: THEOREM_SUM };
    let noisy = releases.iter().any(|(release, _)| release.noise.is_some());
    if trust == TrustModel::Oc || (trust == TrustModel::Oaoc && !noisy) {
        return Ok(pure);
    }
    let mut total = PrivacyLoss::none();
    for (release, times) in releases {
        total = total.then(&release.privacy_loss(trust, delta)?.repeated(*times));
    }
    Ok(better(pure, bounded(trust, &total, delta, THEOREM_COMPOSED)))
}

/// Σ ε0, rounded up by a few parts in 10^16, so that whole numbers are still shown as such.
#[expect(clippy::cast_precision_loss, reason = "rounded up by more than this loses")]
pub(super) fn sum_of_local(releases: &[(Release, u64)]) -> Result<Epsilon, GuaranteeError> {
    let terms = releases
        .iter()
        .map(|(release, times)| release.mechanism.local_epsilon().get() * *times as f64);
    let sum = terms.sum::<f64>() * (1.0 + (releases.len() as f64 + 2.0) * f64::EPSILON);
    Epsilon::new(sum).map_err(|_| GuaranteeError::Epsilon(sum))
}

/// What a loss guarantees at δ, if anything.
fn bounded(
    trust: TrustModel,
    loss: &PrivacyLoss,
    delta: Delta,
    theorem: &'static str,
) -> Option<Guarantee> {
    let epsilon = Epsilon::new(loss.epsilon(delta.get())?).ok()?;
    let pointwise = loss.pointwise(delta.get()).and_then(|value| Epsilon::new(value).ok());
    // Without a figure of its own it has none that is smaller than those it is put beside.
    let pointwise = pointwise.unwrap_or(Epsilon::MOST);
    Some(Guarantee { trust, epsilon, delta, pointwise, theorem })
}

/// The one with the smaller ε, and the smaller pointwise figure of both: each holds by itself.
fn better(best: Guarantee, next: Option<Guarantee>) -> Guarantee {
    let Some(next) = next else { return best };
    let chosen = if next.epsilon < best.epsilon { next } else { best };
    if chosen.delta == Delta::ZERO {
        return chosen;
    }
    let pointwise = if next.pointwise < best.pointwise { next.pointwise } else { best.pointwise };
    Guarantee { pointwise, ..chosen }
}

#[cfg(test)]
mod tests;
