//! Prio3 behind one type (draft-irtf-cfrg-vdaf-20 §7).
//!
//! [`Vdaf`] is one of five instances and [`Vdaf::with`] is the only `match` over them. Each verb
//! of the protocol ([`shard`], [`verify`], [`merge`], [`offset`], [`unshard`], and [`lengths`]) is a piece of [`Work`] whose
//! generic body handles a whole batch and speaks in bytes, so that nothing generic leaks upward.

pub mod lengths;
pub mod merge;
pub mod offset;
pub mod shard;
pub mod unshard;
pub mod verify;

#[cfg(test)]
mod vectors;

use super::task::VdafConfig;
use prio::{
    topology::ping_pong::{PingPongContinuation, PingPongState, PingPongTopology},
    vdaf::{Aggregator, Client, Collector, VdafError, prio3},
};
use thiserror::Error;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// An instance of Prio3 for two aggregators, ready to work.
#[derive(Clone, Debug)]
pub enum Vdaf {
    /// How many measurements are true.
    Count(prio3::Prio3Count),
    /// The sum of bounded integers.
    Sum(prio3::Prio3Sum),
    /// The sum of vectors of bounded integers.
    SumVec(prio3::Prio3SumVec),
    /// How many measurements fall in each bin.
    Histogram(prio3::Prio3Histogram),
    /// How many measurements have each bit set, with a bound on the bits of one.
    MultihotCountVec(prio3::Prio3MultihotCountVec),
}

/// Parameters that no instance of the VDAF has.
#[derive(Debug, Error)]
pub enum UnsupportedVdaf {
    /// The VDAF itself refuses them.
    #[error("the VDAF parameters contradict each other: {0}")]
    Parameters(#[from] VdafError),
    /// A measurement would be larger than this implementation takes on.
    #[error("the vector has {length} elements; the maximum is {MAX_LENGTH}")]
    TooLong {
        /// Elements asked for.
        length: u32,
    },
}

/// Elements of a vector beyond which a task is refused: one share would pass 16 MiB.
pub const MAX_LENGTH: u32 = 1 << 20;

/// The key that both aggregators verify with, secret from clients (§8.6.2 of DAP).
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct VerifyKey([u8; VERIFY_KEY_SIZE]);

/// Length of a verify key in bytes, the same for all of Prio3.
pub const VERIFY_KEY_SIZE: usize = 32;

impl VerifyKey {
    /// From its bytes.
    pub fn new(bytes: [u8; VERIFY_KEY_SIZE]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be kept secret.
    pub fn secret_bytes(&self) -> &[u8; VERIFY_KEY_SIZE] {
        &self.0
    }
}

impl std::fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("VerifyKey(..)")
    }
}

impl Vdaf {
    /// The instance that a task's configuration asks for.
    pub fn new(config: &VdafConfig) -> Result<Self, UnsupportedVdaf> {
        const SHARES: u8 = 2;
        if let VdafConfig::Prio3SumVec { length, .. }
        | VdafConfig::Prio3Histogram { length, .. }
        | VdafConfig::Prio3MultihotCountVec { length, .. } = *config
            && length > MAX_LENGTH
        {
            return Err(UnsupportedVdaf::TooLong { length });
        }
        Ok(match *config {
            VdafConfig::Prio3Count => Self::Count(prio3::Prio3::new_count(SHARES)?),
            VdafConfig::Prio3Sum { max_measurement } => {
                Self::Sum(prio3::Prio3::new_sum(SHARES, max_measurement)?)
            }
            VdafConfig::Prio3SumVec { length, max_measurement, chunk_length } => {
                Self::SumVec(prio3::Prio3::new_sum_vec(
                    SHARES,
                    max_measurement.into(),
                    length as usize,
                    chunk_length as usize,
                )?)
            }
            VdafConfig::Prio3Histogram { length, chunk_length } => Self::Histogram(
                prio3::Prio3::new_histogram(SHARES, length as usize, chunk_length as usize)?,
            ),
            VdafConfig::Prio3MultihotCountVec { length, chunk_length, max_weight } => {
                Self::MultihotCountVec(prio3::Prio3::new_multihot_count_vec(
                    SHARES,
                    length as usize,
                    usize::try_from(max_weight).unwrap_or(usize::MAX),
                    chunk_length as usize,
                )?)
            }
        })
    }

    /// Does `work` with the instance: the one place that tells the five apart.
    fn with<W: Work>(&self, work: W) -> W::Output {
        match self {
            Self::Count(vdaf) => work.run(vdaf),
            Self::Sum(vdaf) => work.run(vdaf),
            Self::SumVec(vdaf) => work.run(vdaf),
            Self::Histogram(vdaf) => work.run(vdaf),
            Self::MultihotCountVec(vdaf) => work.run(vdaf),
        }
    }
}

/// Something to do with any instance.
trait Work {
    type Output;

    fn run<V: Instance>(self, vdaf: &V) -> Self::Output;
}

/// What each of the five can do, so that bodies are written once.
///
/// 32 is [`VERIFY_KEY_SIZE`] and 16 the length of a report ID, which is the nonce (§4.1.2 of DAP);
/// named constants make the compiler see two different traits here.
trait Instance:
    Aggregator<32, 16, AggregationParam = (), VerifyState: Send, AggregateShare: offset::Offset>
    + Client<16, Measurement: shard::FromMeasurement>
    + Collector<AggregateResult: Into<unshard::AggregateResult>>
    + PingPongTopology<
        32,
        16,
        PingPongState = PingPongState<
            <Self as Aggregator<32, 16>>::VerifyState,
            <Self as prio::vdaf::Vdaf>::OutputShare,
        >,
        PingPongContinuation = PingPongContinuation<32, 16, Self>,
    > + Send
    + 'static
{
}

impl<V> Instance for V where
    V: Aggregator<32, 16, AggregationParam = (), VerifyState: Send, AggregateShare: offset::Offset>
        + Client<16, Measurement: shard::FromMeasurement>
        + Collector<AggregateResult: Into<unshard::AggregateResult>>
        + PingPongTopology<
            32,
            16,
            PingPongState = PingPongState<
                <V as Aggregator<32, 16>>::VerifyState,
                <V as prio::vdaf::Vdaf>::OutputShare,
            >,
            PingPongContinuation = PingPongContinuation<32, 16, V>,
        > + Send
        + 'static
{
}
