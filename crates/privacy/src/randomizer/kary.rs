//! k-ary randomized response by integer thresholds: one draw, no branch on the answer.
//!
//! Let `w` of the `2^64` values of a draw mean each lie and the other `T = 2^64-(k-1)w` the truth.
//! Then the realised privacy loss is exactly `ln(T/w)`: a logarithm of two integers that the
//! manifest publishes, with no floating-point number between the guarantee and the device
//! (Mironov 2012 shows what such numbers leak).

use super::{Bin, RandomizerError, TWO_64, check_bins, odds_weight, round_up, to_float};
use crate::{
    rng::{DeviceRng, SimulationRng, Uniform},
    units::Epsilon,
};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConditionallySelectable, ConstantTimeGreater};

/// A bin after randomization. Only [`KaryRandomizer::randomize`] makes one, with the device's own
/// randomness, so whatever holds one holds no bare answer. A device may store it, so that an
/// answer is drawn once even if the device is restarted before the report is sealed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Randomized(Bin);

impl Randomized {
    /// The bin to report.
    pub fn bin(&self) -> Bin {
        self.0
    }
}

/// Reports the true bin with weight `T`, each other bin with weight `w`, out of `2^64`.
///
/// Stored, and compared, by its two integers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct KaryRandomizer {
    bins: u32,
    lie_weight: u64,
    epsilon: Epsilon,
}

impl KaryRandomizer {
    /// The randomizer that spends at most `epsilon` and no less than it must: the smallest lie
    /// weight that floating point can prove to be enough.
    pub fn new(bins: u32, epsilon: Epsilon) -> Result<Self, RandomizerError> {
        check_bins(bins)?;
        // T/w <= e^ε holds if and only if w >= 2^64/(e^ε + k-1).
        let lie_weight = odds_weight(epsilon, bins - 1)?;
        let nominal = epsilon.get();
        let randomizer = Self::from_parts(bins, lie_weight)?;
        let realised = randomizer.epsilon.get().min(nominal);
        Ok(Self { epsilon: Epsilon::new(realised).unwrap_or(epsilon), ..randomizer })
    }

    /// The randomizer that a manifest describes by its exact integers.
    pub fn from_parts(bins: u32, lie_weight: u64) -> Result<Self, RandomizerError> {
        check_bins(bins)?;
        let impossible = RandomizerError::Weight { weight: lie_weight, bins };
        let lies = u128::from(lie_weight) * u128::from(bins - 1);
        let truth = (1_u128 << 64).checked_sub(lies).ok_or(impossible)?;
        if lie_weight == 0 || truth < u128::from(lie_weight) {
            return Err(impossible);
        }
        let ratio = round_up(to_float(truth) / to_float(lie_weight.into()));
        let epsilon = Epsilon::new(round_up(ratio.ln())).map_err(|_| impossible)?;
        Ok(Self { bins, lie_weight, epsilon })
    }

    /// The number of bins k.
    pub fn bins(&self) -> u32 {
        self.bins
    }

    /// The weight w of each lie, out of `2^64`.
    pub fn lie_weight(&self) -> u64 {
        self.lie_weight
    }

    /// The weight T of the truth, out of `2^64`.
    pub fn truth_weight(&self) -> u128 {
        (1 << 64) - u128::from(self.lie_weight) * u128::from(self.bins - 1)
    }

    /// The privacy loss of one report, rounded up: `ln(T/w)`.
    pub fn epsilon(&self) -> Epsilon {
        self.epsilon
    }

    /// The probability of the truth.
    pub fn truth_probability(&self) -> f64 {
        to_float(self.truth_weight()) / TWO_64
    }

    /// The probability of each lie.
    pub fn lie_probability(&self) -> f64 {
        to_float(self.lie_weight.into()) / TWO_64
    }

    /// Randomizes an answer, once and for good.
    pub fn randomize(&self, bin: Bin, rng: &mut DeviceRng) -> Result<Randomized, RandomizerError> {
        Ok(Randomized(self.respond(self.check(bin)?, rng.next_u64())))
    }

    /// What a device might report; for simulations.
    pub fn simulate(&self, bin: Bin, rng: &mut SimulationRng) -> Result<Bin, RandomizerError> {
        Ok(self.respond(self.check(bin)?, rng.next_u64()))
    }

    fn check(&self, bin: Bin) -> Result<Bin, RandomizerError> {
        if bin.0 < self.bins {
            Ok(bin)
        } else {
            Err(RandomizerError::NoSuchBin { bin: bin.0, bins: self.bins })
        }
    }

    /// The answer to one uniform draw: as many bins further, cyclically, as thresholds are passed.
    /// Its time depends on the number of bins only.
    fn respond(&self, bin: Bin, draw: u64) -> Bin {
        // The truth has the draws below T, and each of the k-1 lies the next w.
        let mut threshold =
            0_u64.wrapping_sub(self.lie_weight.wrapping_mul((self.bins - 1).into()));
        let mut offset = 0;
        for _ in 1..self.bins {
            let below: Choice = threshold.ct_gt(&draw);
            offset += u32::from((!below).unwrap_u8());
            threshold = threshold.wrapping_add(self.lie_weight);
        }
        let sum = bin.0 + offset;
        let wraps = sum.ct_gt(&(self.bins - 1));
        Bin(u32::conditional_select(&sum, &sum.wrapping_sub(self.bins), wraps))
    }
}

impl PartialEq for KaryRandomizer {
    fn eq(&self, other: &Self) -> bool {
        (self.bins, self.lie_weight) == (other.bins, other.lie_weight)
    }
}

#[derive(Serialize, Deserialize)]
struct Parts {
    bins: u32,
    lie_weight: u64,
}

impl TryFrom<Parts> for KaryRandomizer {
    type Error = RandomizerError;

    fn try_from(parts: Parts) -> Result<Self, RandomizerError> {
        Self::from_parts(parts.bins, parts.lie_weight)
    }
}

impl From<KaryRandomizer> for Parts {
    fn from(randomizer: KaryRandomizer) -> Self {
        Self { bins: randomizer.bins, lie_weight: randomizer.lie_weight }
    }
}

#[cfg(test)]
mod tests;
