//! Bitwise randomized response by integer thresholds: each bit is flipped by a draw of its
//! own, with no branch on the bit.
//!
//! This is symmetric RAPPOR without the Bloom filter. Let `w` of the `2^64` values of a draw turn a
//! bit over and the other `T = 2^64 - w` leave it. Then a bit that differs between two answers
//! loses exactly `ln(T/w)`, and answers that differ in several bits lose the sum: two bits when one
//! choice among several replaces another ([`Changed::OneHot`]), all of them when the bits are free
//! ([`Changed::Free`]).
//!
//! Prio3MultihotCountVec proves that a report has at most `W` ones; [`BitRandomizer::max_weight_for`]
//! finds the smallest `W` that honest reports exceed with less than a given probability.

use super::{Bin, MAX_BINS, RandomizerError, TWO_64, odds_weight, round_up, to_float};
use crate::{
    amplification::binomial::Window,
    rng::{DeviceRng, SimulationRng, Uniform},
    units::Epsilon,
};
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq, ConstantTimeGreater};

/// In how many bits two answers of one device can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Changed {
    /// One choice replaces another: one bit goes out and one comes on.
    OneHot,
    /// Any bits may change, up to all of them.
    Free,
}

impl Changed {
    /// The number of bits out of `bits`.
    pub fn coordinates(self, bits: u32) -> u32 {
        match self {
            Self::OneHot => bits.min(2),
            Self::Free => bits,
        }
    }
}

/// Bits after randomization. Only [`BitRandomizer::randomize`] and
/// [`BitRandomizer::randomize_one_hot`] make them, with the device's own randomness. A device may
/// store them, so that an answer is drawn once even if the device is restarted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RandomizedBits(Vec<bool>);

impl RandomizedBits {
    /// The bits to report.
    pub fn bits(&self) -> &[bool] {
        &self.0
    }
}

/// Turns each bit over with weight `w` out of `2^64`, at most one half.
///
/// Stored, and compared, by its two integers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "Parts", into = "Parts")]
pub struct BitRandomizer {
    bits: u32,
    flip_weight: u64,
    epsilon_per_bit: Epsilon,
}

impl BitRandomizer {
    /// The randomizer that spends at most `epsilon_per_bit` on each changed bit and no less than
    /// it must: the smallest flip weight that floating point can prove to be enough.
    pub fn new(bits: u32, epsilon_per_bit: Epsilon) -> Result<Self, RandomizerError> {
        // T/w <= e^ε holds if and only if w >= 2^64/(e^ε + 1).
        let randomizer = Self::from_parts(bits, odds_weight(epsilon_per_bit, 1)?)?;
        let realised = randomizer.epsilon_per_bit.get().min(epsilon_per_bit.get());
        let epsilon_per_bit = Epsilon::new(realised).unwrap_or(epsilon_per_bit);
        Ok(Self { epsilon_per_bit, ..randomizer })
    }

    /// The randomizer that a manifest describes by its exact integers.
    pub fn from_parts(bits: u32, flip_weight: u64) -> Result<Self, RandomizerError> {
        if !(1..=MAX_BINS).contains(&bits) {
            return Err(RandomizerError::Bits(bits));
        }
        if flip_weight == 0 || flip_weight > 1 << 63 {
            return Err(RandomizerError::Flip(flip_weight));
        }
        let keep = (1_u128 << 64) - u128::from(flip_weight);
        let ratio = round_up(to_float(keep) / to_float(flip_weight.into()));
        let epsilon = Epsilon::new(round_up(ratio.ln()));
        let epsilon_per_bit = epsilon.map_err(|_| RandomizerError::Flip(flip_weight))?;
        Ok(Self { bits, flip_weight, epsilon_per_bit })
    }

    /// The number of bits.
    pub fn bits(&self) -> u32 {
        self.bits
    }

    /// The weight w of turning a bit over, out of `2^64`.
    pub fn flip_weight(&self) -> u64 {
        self.flip_weight
    }

    /// The privacy loss of one changed bit, rounded up: `ln((2^64 - w)/w)`.
    pub fn epsilon_per_bit(&self) -> Epsilon {
        self.epsilon_per_bit
    }

    /// The privacy loss of one report, rounded up: that of a bit times the bits that can change.
    pub fn epsilon(&self, changed: Changed) -> Epsilon {
        let coordinates = f64::from(changed.coordinates(self.bits));
        let sum = round_up(self.epsilon_per_bit.get() * coordinates);
        // At most MAX_BINS times 64 ln 2: always finite.
        Epsilon::new(sum).unwrap_or(self.epsilon_per_bit)
    }

    /// The probability that a bit is left as it is.
    pub fn truth_probability(&self) -> f64 {
        to_float((1 << 64) - u128::from(self.flip_weight)) / TWO_64
    }

    /// The probability that a bit is flipped.
    pub fn flip_probability(&self) -> f64 {
        to_float(self.flip_weight.into()) / TWO_64
    }

    /// Randomizes a vector of bits, once and for good.
    pub fn randomize(
        &self,
        bits: &[bool],
        rng: &mut DeviceRng,
    ) -> Result<RandomizedBits, RandomizerError> {
        self.check(bits)?;
        Ok(RandomizedBits(self.respond(choices(bits), rng)))
    }

    /// Randomizes a choice of one bin, as the vector that has only this bin's bit on.
    pub fn randomize_one_hot(
        &self,
        bin: Bin,
        rng: &mut DeviceRng,
    ) -> Result<RandomizedBits, RandomizerError> {
        Ok(RandomizedBits(self.respond(self.one_hot(bin)?, rng)))
    }

    /// What a device might report; for simulations.
    pub fn simulate(
        &self,
        bits: &[bool],
        rng: &mut SimulationRng,
    ) -> Result<Vec<bool>, RandomizerError> {
        self.check(bits)?;
        Ok(self.respond(choices(bits), rng))
    }

    /// What a device might report that chose one bin; for simulations.
    pub fn simulate_one_hot(
        &self,
        bin: Bin,
        rng: &mut SimulationRng,
    ) -> Result<Vec<bool>, RandomizerError> {
        Ok(self.respond(self.one_hot(bin)?, rng))
    }

    /// The smallest weight `W` that an honest report exceeds with a probability below `refusal`,
    /// whatever the answer is; at least 1.
    ///
    /// A one-hot report has `Bin(k-1, q) + Bernoulli(1-q)` ones. A free one has
    /// `Bin(k-j, q) + Bin(j, 1-q)` for j bits that are on; as `q <= 1/2` this grows with j
    /// (stochastically), so the worst is that all are.
    ///
    /// Proof obligations: each probability of the window errs by less than `SLACK` relative to
    /// itself, what the window leaves out is added, and all terms are positive.
    pub fn max_weight_for(&self, changed: Changed, refusal: f64) -> Result<u32, RandomizerError> {
        if !(refusal > 0.0 && refusal < 1.0) {
            return Err(RandomizerError::Refusal(refusal));
        }
        let (keep, flip) = (self.truth_probability(), self.flip_probability());
        let cut = refusal * 1e-9;
        // The tail of each from the top: more than `weight` ones.
        let (window, last) = match changed {
            Changed::OneHot => {
                (Window::binomial((self.bits - 1).into(), flip, keep, cut), (keep, flip))
            }
            Changed::Free => (Window::binomial(self.bits.into(), keep, flip, cut), (0.0, 1.0)),
        };
        let above = Above::new(&window);
        let exceeds = |weight: u32| {
            let one_more = last.0 * above.at_least(weight.into());
            (one_more + last.1 * above.at_least(u64::from(weight) + 1)) * (1.0 + SLACK)
        };
        // Weights that fail come first, and all bits never fail.
        let (mut fails, mut holds) = (0, self.bits);
        while holds - fails > 1 {
            let middle = fails + (holds - fails) / 2;
            if exceeds(middle) < refusal { holds = middle } else { fails = middle }
        }
        Ok(holds)
    }

    fn check(&self, bits: &[bool]) -> Result<(), RandomizerError> {
        if bits.len() == self.bits as usize {
            Ok(())
        } else {
            Err(RandomizerError::Length { given: bits.len(), bits: self.bits })
        }
    }

    /// The vector that has only `bin` on, without a branch on which.
    fn one_hot(&self, bin: Bin) -> Result<impl Iterator<Item = Choice> + use<>, RandomizerError> {
        if bin.0 >= self.bits {
            return Err(RandomizerError::NoSuchBin { bin: bin.0, bins: self.bits });
        }
        Ok((0..self.bits).map(move |i| i.ct_eq(&bin.0)))
    }

    /// Each bit with its own draw: the draws below `w` turn it over. The time depends on the
    /// number of bits only.
    fn respond(&self, bits: impl Iterator<Item = Choice>, rng: &mut impl Uniform) -> Vec<bool> {
        let flip = |bit: Choice| bit ^ self.flip_weight.ct_gt(&rng.next_u64());
        bits.map(flip).map(bool::from).collect()
    }
}

/// Covers the rounding of a window's probabilities and of their sums, up to [`MAX_BINS`] terms.
const SLACK: f64 = 1e-9;

fn choices(bits: &[bool]) -> impl Iterator<Item = Choice> {
    bits.iter().map(|bit| Choice::from(u8::from(*bit)))
}

/// Upper bounds on the tail of a distribution.
struct Above {
    first: u64,
    sums: Vec<f64>,
}

impl Above {
    fn new(window: &Window) -> Self {
        let mut sums = vec![window.tail; window.probabilities.len() + 1];
        for (i, probability) in window.probabilities.iter().enumerate().rev() {
            sums[i] = sums[i + 1] + probability;
        }
        Self { first: window.first, sums }
    }

    fn at_least(&self, value: u64) -> f64 {
        let index = usize::try_from(value.saturating_sub(self.first)).unwrap_or(usize::MAX);
        self.sums[index.min(self.sums.len() - 1)]
    }
}

impl PartialEq for BitRandomizer {
    fn eq(&self, other: &Self) -> bool {
        (self.bits, self.flip_weight) == (other.bits, other.flip_weight)
    }
}

#[derive(Serialize, Deserialize)]
struct Parts {
    bits: u32,
    flip_weight: u64,
}

impl TryFrom<Parts> for BitRandomizer {
    type Error = RandomizerError;

    fn try_from(parts: Parts) -> Result<Self, RandomizerError> {
        Self::from_parts(parts.bits, parts.flip_weight)
    }
}

impl From<BitRandomizer> for Parts {
    fn from(randomizer: BitRandomizer) -> Self {
        Self { bits: randomizer.bits, flip_weight: randomizer.flip_weight }
    }
}

#[cfg(test)]
mod tests;
