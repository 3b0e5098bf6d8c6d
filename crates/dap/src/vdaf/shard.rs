//! Sharding: a measurement becomes a public share and two input shares (VDAF §5.1).

use super::{Instance, Vdaf, Work};
use crate::ids::ReportId;
use prio::{codec::Encode, vdaf::VdafError};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

/// What a client puts in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measurement {
    /// For Prio3Count.
    Bool(bool),
    /// For Prio3Sum: an integer up to the task's maximum.
    Integer(u64),
    /// For Prio3SumVec: integers up to the task's maximum.
    Vector(Vec<u128>),
    /// For Prio3Histogram: the index of a bin.
    Bin(usize),
    /// For Prio3MultihotCountVec: bits, of which at most the task's weight are set.
    Bits(Vec<bool>),
}

/// A measurement that cannot be sharded.
#[derive(Debug, Error)]
pub enum ShardError {
    /// The measurement is of another VDAF.
    #[error("the measurement has the wrong type for the task's VDAF")]
    Kind,
    /// The VDAF refuses the measurement.
    #[error("the measurement is out of the task's range: {0}")]
    Range(#[from] VdafError),
    /// A share does not encode.
    #[error("a share cannot be encoded: {0}")]
    Encode(#[from] prio::codec::CodecError),
}

/// A sharded measurement, encoded. Both input shares together are the measurement.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharded {
    /// For both aggregators.
    pub public_share: Vec<u8>,
    /// For the leader only.
    pub leader_input_share: Zeroizing<Vec<u8>>,
    /// For the helper only.
    pub helper_input_share: Zeroizing<Vec<u8>>,
}

impl Vdaf {
    /// Shards `measurement` with fresh randomness of the operating system.
    ///
    /// `context` is that of the task and `report_id` serves as the nonce (DAP §4.4.2.1).
    pub fn shard(
        &self,
        context: &[u8],
        measurement: &Measurement,
        report_id: &ReportId,
    ) -> Result<Sharded, ShardError> {
        self.with(Shard { context, measurement, report_id })
    }
}

struct Shard<'a> {
    context: &'a [u8],
    measurement: &'a Measurement,
    report_id: &'a ReportId,
}

impl Work for Shard<'_> {
    type Output = Result<Sharded, ShardError>;

    fn run<V: Instance>(self, vdaf: &V) -> Self::Output {
        let measurement =
            V::Measurement::from_measurement(self.measurement).ok_or(ShardError::Kind)?;
        let (public_share, input_shares) =
            vdaf.shard(self.context, &measurement, self.report_id.as_bytes())?;
        let input_share = |i: usize| -> Result<_, ShardError> {
            Ok(Zeroizing::new(input_shares[i].get_encoded()?))
        };
        Ok(Sharded {
            public_share: public_share.get_encoded()?,
            leader_input_share: input_share(0)?,
            helper_input_share: input_share(1)?,
        })
    }
}

/// Picks the measurement that an instance takes.
pub(super) trait FromMeasurement: Sized {
    fn from_measurement(measurement: &Measurement) -> Option<Self>;
}

impl FromMeasurement for bool {
    fn from_measurement(measurement: &Measurement) -> Option<Self> {
        match measurement {
            Measurement::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromMeasurement for u64 {
    fn from_measurement(measurement: &Measurement) -> Option<Self> {
        match measurement {
            Measurement::Integer(value) => Some(*value),
            _ => None,
        }
    }
}

impl FromMeasurement for Vec<u128> {
    fn from_measurement(measurement: &Measurement) -> Option<Self> {
        match measurement {
            Measurement::Vector(values) => Some(values.clone()),
            _ => None,
        }
    }
}

impl FromMeasurement for usize {
    fn from_measurement(measurement: &Measurement) -> Option<Self> {
        match measurement {
            Measurement::Bin(bin) => Some(*bin),
            _ => None,
        }
    }
}

impl FromMeasurement for Vec<bool> {
    fn from_measurement(measurement: &Measurement) -> Option<Self> {
        match measurement {
            Measurement::Bits(bits) => Some(bits.clone()),
            _ => None,
        }
    }
}
