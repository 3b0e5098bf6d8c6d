//! How long shares are: each instance makes and takes one length only.

use super::{Instance, Vdaf, Work};
use prio::codec::{CodecError, ParameterizedDecode};
use std::io::Cursor;

/// Lengths of a report's encoded shares, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShareLengths {
    /// The public share.
    pub public_share: usize,
    /// The leader's input share.
    pub leader_input_share: usize,
    /// The helper's input share.
    pub helper_input_share: usize,
}

impl Vdaf {
    /// How long the shares of a report are.
    pub fn share_lengths(&self) -> ShareLengths {
        self.with(Measure)
    }
}

struct Measure;

impl Work for Measure {
    type Output = ShareLengths;

    fn run<V: Instance>(self, vdaf: &V) -> ShareLengths {
        let input_share =
            |party| read(|zeros| V::InputShare::decode_with_param(&(vdaf, party), zeros));
        ShareLengths {
            public_share: read(|zeros| V::PublicShare::decode_with_param(vdaf, zeros)),
            leader_input_share: input_share(0),
            helper_input_share: input_share(1),
        }
    }
}

/// How many bytes a decoder reads. Zeros are an element of every field and a seed, so it only ever
/// fails for want of more of them.
fn read<T>(decode: impl Fn(&mut Cursor<&[u8]>) -> Result<T, CodecError>) -> usize {
    let mut zeros = vec![0; 1 << 10];
    loop {
        let mut cursor = Cursor::new(&zeros[..]);
        if decode(&mut cursor).is_ok() || zeros.len() >= MOST {
            return usize::try_from(cursor.position()).unwrap_or(MOST);
        }
        zeros.resize(zeros.len() * 4, 0);
    }
}

/// More than any share has: the longest are 16 MiB, and their proofs.
const MOST: usize = 1 << 26;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ids::ReportId, task::VdafConfig, vdaf::shard::Measurement};

    #[test]
    fn shares_have_the_lengths_that_are_expected() {
        let long = VdafConfig::Prio3Histogram { length: 5000, chunk_length: 70 };
        for (config, measurement) in [
            (VdafConfig::Prio3Count, Measurement::Bool(true)),
            (VdafConfig::Prio3Sum { max_measurement: 100 }, Measurement::Integer(7)),
            (
                VdafConfig::Prio3SumVec { length: 3, max_measurement: 7, chunk_length: 2 },
                Measurement::Vector(vec![1, 2, 7]),
            ),
            (VdafConfig::Prio3Histogram { length: 3, chunk_length: 2 }, Measurement::Bin(1)),
            (
                VdafConfig::Prio3MultihotCountVec { length: 3, chunk_length: 2, max_weight: 2 },
                Measurement::Bits(vec![true, false, true]),
            ),
            (long, Measurement::Bin(4999)),
        ] {
            let vdaf = Vdaf::new(&config).unwrap();
            let sharded = vdaf.shard(b"x", &measurement, &ReportId::new([1; 16])).unwrap();
            let expected = ShareLengths {
                public_share: sharded.public_share.len(),
                leader_input_share: sharded.leader_input_share.len(),
                helper_input_share: sharded.helper_input_share.len(),
            };
            assert_eq!(vdaf.share_lengths(), expected, "{config:?}");
        }
    }
}
