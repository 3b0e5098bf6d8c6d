//! Merging: the running sums of a batch become one aggregate share (VDAF §4.4).

use super::{Instance, Vdaf, Work};
use prio::{
    codec::{CodecError, Encode, ParameterizedDecode},
    vdaf::{Aggregatable, VdafError},
};
use thiserror::Error;

/// Aggregate shares that do not add up.
#[derive(Debug, Error)]
pub enum MergeError {
    /// One is not an aggregate share of this VDAF.
    #[error("an aggregate share does not decode: {0}")]
    Decode(#[from] CodecError),
    /// They are of different lengths.
    #[error("aggregate shares do not fit together: {0}")]
    Mismatch(#[from] VdafError),
}

impl Vdaf {
    /// Adds up encoded aggregate shares of one aggregator; none at all give that of no report.
    pub fn merge<'a>(
        &self,
        shares: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, MergeError> {
        self.with(Merge { shares })
    }
}

struct Merge<I> {
    shares: I,
}

impl<'a, I: IntoIterator<Item = &'a [u8]>> Work for Merge<I> {
    type Output = Result<Vec<u8>, MergeError>;

    fn run<V: Instance>(self, vdaf: &V) -> Self::Output {
        let mut total = vdaf.aggregate_init(&());
        for share in self.shares {
            total.merge(&V::AggregateShare::get_decoded_with_param(&(vdaf, &()), share)?)?;
        }
        Ok(total.get_encoded()?)
    }
}
