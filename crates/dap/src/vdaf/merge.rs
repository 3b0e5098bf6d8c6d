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
    #[error("aggregate shares cannot be merged: {0}")]
    Mismatch(#[from] VdafError),
}

/// Adds up encoded aggregate shares of one aggregator, one at a time.
pub trait Merger {
    /// Adds a share.
    fn add(&mut self, share: &[u8]) -> Result<(), MergeError>;

    /// The sum, encoded: that of no report if nothing was added.
    fn finish(self: Box<Self>) -> Vec<u8>;
}

impl Vdaf {
    /// Begins a sum.
    pub fn merger(&self) -> Box<dyn Merger> {
        self.with(Begin)
    }

    /// Adds up some shares at once.
    pub fn merge<'a>(
        &self,
        shares: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Vec<u8>, MergeError> {
        let mut merger = self.merger();
        shares.into_iter().try_for_each(|share| merger.add(share))?;
        Ok(merger.finish())
    }
}

struct Begin;

impl Work for Begin {
    type Output = Box<dyn Merger>;

    fn run<V: Instance>(self, vdaf: &V) -> Box<dyn Merger> {
        Box::new(Sum { total: vdaf.aggregate_init(&()), vdaf: vdaf.clone() })
    }
}

struct Sum<V: Instance> {
    vdaf: V,
    total: V::AggregateShare,
}

impl<V: Instance> Merger for Sum<V> {
    fn add(&mut self, share: &[u8]) -> Result<(), MergeError> {
        let share = V::AggregateShare::get_decoded_with_param(&(&self.vdaf, &()), share)?;
        Ok(self.total.merge(&share)?)
    }

    fn finish(self: Box<Self>) -> Vec<u8> {
        self.total.get_encoded().expect("field elements of one size always encode")
    }
}
