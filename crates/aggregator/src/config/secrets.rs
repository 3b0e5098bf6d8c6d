//! Secrets that the parties share, as files that `sottovoce keygen` writes.

use super::{ConfigError, read_text};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer};
use sottovoce_dap::{bearer_token::BearerToken, ids::NoRandomness};
use std::path::Path;
use zeroize::Zeroizing;

/// What `sottovoce keygen` makes for the leader.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeaderSecrets {
    /// Shared with the helper: verify keys are derived from it.
    pub verify_key_seed: VerifyKeySeed,
    /// Shared with the helper: the leader shows it.
    pub leader_token: BearerToken,
    /// Shared with the collector, which shows it.
    pub collector_token: BearerToken,
}

/// What `sottovoce keygen` makes for the helper.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HelperSecrets {
    /// Shared with the leader: verify keys are derived from it.
    pub verify_key_seed: VerifyKeySeed,
    /// Shared with the leader, which shows it.
    pub leader_token: BearerToken,
}

/// Reads a file that holds a bearer token and nothing else.
pub fn read_token(path: &Path) -> Result<BearerToken, ConfigError> {
    let text = read_text(path)?;
    BearerToken::new(text.trim().to_owned()).map_err(|error| ConfigError::Invalid {
        path: path.to_owned(),
        reason: format!("{error}; create one with `openssl rand -hex 32`"),
    })
}

/// Both aggregators derive each task's verify key from it (§8.6.2).
pub struct VerifyKeySeed(Zeroizing<[u8; 32]>);

impl VerifyKeySeed {
    /// A fresh seed from the operating system's randomness.
    pub fn random() -> Result<Self, NoRandomness> {
        use rand::{TryRng, rngs::SysRng};
        let mut seed = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(seed.as_mut()).map_err(|_| NoRandomness)?;
        Ok(Self(seed))
    }

    /// The seed, to be kept secret.
    pub fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// As it is written in a file of secrets.
    pub fn secret_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.0))
    }
}

impl<'de> Deserialize<'de> for VerifyKeySeed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = URL_SAFE_NO_PAD.decode(text.as_bytes()).map(Zeroizing::new).ok();
        let seed = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        let seed = seed.ok_or_else(|| {
            serde::de::Error::custom("a seed must be 32 bytes in URL-safe Base 64 without padding")
        });
        seed.map(|seed| Self(Zeroizing::new(seed)))
    }
}
