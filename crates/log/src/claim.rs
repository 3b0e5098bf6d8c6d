//! What a task claims, in bytes: the privacy loss under each trust model, and the noise of an
//! aggregator.

use serde::Deserialize;
use sottovoce_dap::codec::{DecodeError, Encode, Reader, U16, encode_vector};
use sottovoce_privacy::{
    noise::{AggregatorNoise, Thousandths},
    units::{Delta, Epsilon, Guarantee, TrustModel},
};

/// What a program claims that a report in one batch costs its device.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct Claim {
    /// Who must be honest.
    pub trust: TrustModel,
    /// The privacy loss.
    pub epsilon: Epsilon,
    /// The δ that belongs to it: a summand, not the probability that the loss is more.
    pub delta: Delta,
}

impl From<&Guarantee> for Claim {
    fn from(guarantee: &Guarantee) -> Self {
        let Guarantee { trust, epsilon, delta, .. } = *guarantee;
        Self { trust, epsilon, delta }
    }
}

/// Writes claims as a vector: trust model, ε and δ of each, as the bits of binary64.
pub fn encode_claims(claims: &[Claim], out: &mut Vec<u8>) {
    encode_vector(out, U16, |out| {
        for claim in claims {
            let trust: u8 = match claim.trust {
                TrustModel::Oc => 0,
                TrustModel::Oaoc => 1,
                TrustModel::Oamc => 2,
            };
            trust.encode(out);
            claim.epsilon.get().to_bits().encode(out);
            claim.delta.get().to_bits().encode(out);
        }
    });
}

/// Reads a vector of claims.
pub fn decode_claims(reader: &mut Reader<'_>) -> Result<Vec<Claim>, DecodeError> {
    let field = "claims";
    let number = |_| DecodeError::Invalid { field, reason: "are out of range" };
    let (mut reader, mut claims) = (Reader::new(reader.vector(field, 0, U16)?), Vec::new());
    while !reader.is_empty() {
        let trust = match reader.u8(field)? {
            0 => TrustModel::Oc,
            1 => TrustModel::Oaoc,
            2 => TrustModel::Oamc,
            value => return Err(DecodeError::Unknown { field, value: value.into() }),
        };
        let epsilon = Epsilon::new(f64::from_bits(reader.u64(field)?)).map_err(number)?;
        let delta = Delta::new(f64::from_bits(reader.u64(field)?)).map_err(number)?;
        claims.push(Claim { trust, epsilon, delta });
    }
    Ok(claims)
}

/// Writes which noise an aggregator adds, if any.
pub fn encode_noise(noise: Option<AggregatorNoise>, out: &mut Vec<u8>) {
    let (kind, parameter) = match noise {
        None => return NO_NOISE.encode(out),
        Some(AggregatorNoise::DiscreteLaplace { scale }) => (LAPLACE, scale),
        Some(AggregatorNoise::DiscreteGaussian { sigma }) => (GAUSSIAN, sigma),
    };
    kind.encode(out);
    parameter.thousandths().encode(out);
}

/// Reads which noise an aggregator adds.
pub fn decode_noise(reader: &mut Reader<'_>) -> Result<Option<AggregatorNoise>, DecodeError> {
    let field = "noise";
    let kind = reader.u8(field)?;
    if kind == NO_NOISE {
        return Ok(None);
    }
    let value = reader.u32(field)?;
    let parameter = Thousandths::from_thousandths(value)
        .ok_or(DecodeError::Unknown { field, value: value.into() })?;
    match kind {
        LAPLACE => Ok(Some(AggregatorNoise::DiscreteLaplace { scale: parameter })),
        GAUSSIAN => Ok(Some(AggregatorNoise::DiscreteGaussian { sigma: parameter })),
        _ => Err(DecodeError::Unknown { field, value: kind.into() }),
    }
}

const NO_NOISE: u8 = 0;
const LAPLACE: u8 = 1;
const GAUSSIAN: u8 = 2;
