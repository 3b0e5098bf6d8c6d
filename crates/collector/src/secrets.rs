//! The collector's secrets, as `sottovoce keygen` makes them.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::Error as _};
use sottovoce_dap::{
    bearer_token::BearerToken,
    codec::Decode,
    hpke::{HpkeConfig, HpkeError, HpkeKeypair, native::Opener},
};
use zeroize::Zeroizing;

/// What only the collector has.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectorSecrets {
    /// The public half of the key, as the program names it.
    #[serde(deserialize_with = "config")]
    pub hpke_config: HpkeConfig,
    /// The private half.
    #[serde(deserialize_with = "private_key")]
    hpke_private_key: Zeroizing<Vec<u8>>,
    /// Presented to the leader.
    pub collector_token: BearerToken,
}

impl CollectorSecrets {
    /// What opens aggregate shares.
    pub fn opener(&self) -> Result<Opener, HpkeError> {
        Opener::new(&HpkeKeypair::new(self.hpke_config.clone(), self.hpke_private_key.clone()))
    }
}

fn config<'de, D: Deserializer<'de>>(deserializer: D) -> Result<HpkeConfig, D::Error> {
    let text = String::deserialize(deserializer)?;
    let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| not_base64("hpke_config"))?;
    HpkeConfig::from_bytes(&bytes).map_err(D::Error::custom)
}

fn private_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Zeroizing<Vec<u8>>, D::Error> {
    let text = Zeroizing::new(String::deserialize(deserializer)?);
    let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes());
    bytes.map(Zeroizing::new).map_err(|_| not_base64("hpke_private_key"))
}

fn not_base64<E: serde::de::Error>(key: &str) -> E {
    E::custom(format!("{key} must be URL-safe Base 64 without padding"))
}
