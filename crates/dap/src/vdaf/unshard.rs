//! Unsharding: two aggregate shares become the aggregate (VDAF §5.4; DAP §4.6.6).

use super::{Instance, Vdaf, Work};
use prio::{
    codec::{CodecError, ParameterizedDecode},
    field::{Field64, Field128, FieldElementWithInteger},
    vdaf::VdafError,
};
use thiserror::Error;

/// What the collector gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AggregateResult {
    /// Of Prio3Count and Prio3Sum.
    Integer(u64),
    /// Of the other three, one element for each position or bin.
    Vector(Vec<u128>),
}

impl AggregateResult {
    /// The elements, where one above half the field's prime stands for a negative number: what
    /// [noise](Vdaf::offset) makes of a small one.
    pub fn signed(&self) -> Vec<i128> {
        // Both primes are below 2^127 twice, so that halves fit.
        fn signed(element: u128, prime: u128) -> i128 {
            if element > prime / 2 {
                -(prime.saturating_sub(element).cast_signed())
            } else {
                element.cast_signed()
            }
        }
        match self {
            Self::Integer(element) => vec![signed((*element).into(), Field64::modulus().into())],
            Self::Vector(elements) => {
                elements.iter().map(|element| signed(*element, Field128::modulus())).collect()
            }
        }
    }
}

/// Aggregate shares that give no aggregate.
#[derive(Debug, Error)]
pub enum UnshardError {
    /// One is not an aggregate share of this VDAF.
    #[error("an aggregate share does not decode: {0}")]
    Decode(#[from] CodecError),
    /// They do not fit together, or not the number of reports.
    #[error("the aggregate shares cannot be combined: {0}")]
    Mismatch(#[from] VdafError),
    /// More reports than this machine can count.
    #[error("{0} reports exceed the maximum number that this version can count")]
    TooMany(u64),
}

impl Vdaf {
    /// Combines the leader's and the helper's encoded aggregate shares of `report_count` reports.
    pub fn unshard(
        &self,
        leader: &[u8],
        helper: &[u8],
        report_count: u64,
    ) -> Result<AggregateResult, UnshardError> {
        self.with(Unshard { shares: [leader, helper], report_count })
    }
}

struct Unshard<'a> {
    shares: [&'a [u8]; 2],
    report_count: u64,
}

impl Work for Unshard<'_> {
    type Output = Result<AggregateResult, UnshardError>;

    fn run<V: Instance>(self, vdaf: &V) -> Self::Output {
        let decode = |share| V::AggregateShare::get_decoded_with_param(&(vdaf, &()), share);
        let [leader, helper] = self.shares;
        let count = usize::try_from(self.report_count)
            .map_err(|_| UnshardError::TooMany(self.report_count))?;
        Ok(vdaf.unshard(&(), [decode(leader)?, decode(helper)?], count)?.into())
    }
}

impl From<u64> for AggregateResult {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<Vec<u128>> for AggregateResult {
    fn from(values: Vec<u128>) -> Self {
        Self::Vector(values)
    }
}
