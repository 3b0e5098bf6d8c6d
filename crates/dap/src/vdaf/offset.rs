//! Adding integers to an aggregate share, element by element: where aggregator noise goes in.

use super::{Instance, Vdaf, Work, merge::MergeError};
use prio::{
    codec::{Encode, ParameterizedDecode},
    field::{Field64, Field128},
    vdaf::AggregateShare,
};

impl Vdaf {
    /// Adds what `offset` gives to each element of an encoded aggregate share, modulo the field's
    /// prime. A total that becomes negative is read by [`signed`](super::unshard::AggregateResult::signed).
    pub fn offset(
        &self,
        share: &[u8],
        offset: &mut dyn FnMut() -> i64,
    ) -> Result<Vec<u8>, MergeError> {
        self.with(Add { share, offset })
    }
}

struct Add<'a> {
    share: &'a [u8],
    offset: &'a mut dyn FnMut() -> i64,
}

impl Work for Add<'_> {
    type Output = Result<Vec<u8>, MergeError>;

    fn run<V: Instance>(self, vdaf: &V) -> Self::Output {
        let share = V::AggregateShare::get_decoded_with_param(&(vdaf, &()), self.share)?;
        Ok(share.plus(self.offset).get_encoded()?)
    }
}

/// A share of elements that integers can be added to.
pub(super) trait Offset {
    fn plus(self, offset: &mut dyn FnMut() -> i64) -> Self;
}

macro_rules! offset {
    ($field:ty, $integer:ty) => {
        impl Offset for AggregateShare<$field> {
            fn plus(self, offset: &mut dyn FnMut() -> i64) -> Self {
                let add = |element: &$field| {
                    let offset = offset();
                    let magnitude = <$field>::from(<$integer>::from(offset.unsigned_abs()));
                    if offset < 0 { *element - magnitude } else { *element + magnitude }
                };
                Self::from(self.as_ref().iter().map(add).collect::<Vec<_>>())
            }
        }
    };
}

offset!(Field64, u64);
offset!(Field128, u128);

#[cfg(test)]
mod tests {
    use super::super::unshard::AggregateResult;
    use super::*;
    use crate::task::VdafConfig;

    /// The total of no report, with these offsets on either side.
    fn total(config: &VdafConfig, [leader, helper]: [i64; 2]) -> Vec<i128> {
        let vdaf = Vdaf::new(config).unwrap();
        let nothing = vdaf.merge([]).unwrap();
        let share = |offset: i64| vdaf.offset(&nothing, &mut || offset).unwrap();
        vdaf.unshard(&share(leader), &share(helper), 10).unwrap().signed()
    }

    #[test]
    fn offsets_of_both_shares_add_up_whatever_their_signs() {
        let configs = [
            VdafConfig::Prio3Count,
            VdafConfig::Prio3Sum { max_measurement: 100 },
            VdafConfig::Prio3SumVec { length: 3, max_measurement: 7, chunk_length: 2 },
            VdafConfig::Prio3Histogram { length: 3, chunk_length: 2 },
            VdafConfig::Prio3MultihotCountVec { length: 3, chunk_length: 2, max_weight: 2 },
        ];
        for config in configs {
            for [leader, helper] in [[5, 7], [5, -7], [-5, 2], [-1_000_000, 0], [0, 0]] {
                let sum = total(&config, [leader, helper]);
                let expected = i128::from(leader + helper);
                assert!(
                    !sum.is_empty() && sum.iter().all(|x| *x == expected),
                    "{config:?} {sum:?}"
                );
            }
        }
    }

    #[test]
    fn each_element_has_an_offset_of_its_own() {
        let vdaf = Vdaf::new(&VdafConfig::Prio3Histogram { length: 3, chunk_length: 2 }).unwrap();
        let nothing = vdaf.merge([]).unwrap();
        let mut next = 0;
        let mut count = || {
            next += 1;
            next
        };
        let share = vdaf.offset(&nothing, &mut count).unwrap();
        let result = vdaf.unshard(&share, &nothing, 10).unwrap();
        assert_eq!(result, AggregateResult::Vector(vec![1, 2, 3]));
        assert!(vdaf.offset(&nothing[1..], &mut || 0).is_err());
    }
}
