//! A server's configuration: one TOML file, checked strictly, and the secrets beside it.

use crate::dap::{bearer_token::BearerToken, ids::NoRandomness};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// What the file of either server says. Paths are relative to the file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address and port to listen on.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
    /// The path under which the resources are, as the task's endpoint names it.
    #[serde(default = "root")]
    pub path: String,
    /// The SQLite database; made if it is not there.
    pub database: PathBuf,
    /// The key that secrets in the database are sealed under; made if it is not there.
    pub database_key: PathBuf,
    /// Secrets shared with the other parties, from `sottovoce keygen`.
    pub secrets: PathBuf,
    /// Program files whose tasks to take on.
    #[serde(default)]
    pub programs: Vec<PathBuf>,
    /// Plain DAP task files to take on.
    #[serde(default)]
    pub tasks: Vec<PathBuf>,
    /// What to log, as a filter of `tracing`: `info`, `debug`, `sottovoce=debug,warn`.
    #[serde(default = "info")]
    pub log: String,
    /// Bounds on what is taken.
    #[serde(default)]
    pub limits: Limits,
}

fn root() -> String {
    "/".to_owned()
}

fn info() -> String {
    "info".to_owned()
}

/// Bounds on what a server takes from others.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of an upload.
    pub upload_bytes: usize,
    /// Bytes of an aggregation job's request.
    pub aggregation_job_bytes: usize,
    /// Bytes of any other request.
    pub request_bytes: usize,
    /// How long clients keep our HPKE configurations.
    #[serde(rename = "hpke_config_seconds", deserialize_with = "seconds")]
    pub hpke_config_lifetime: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload_bytes: 8 << 20,
            aggregation_job_bytes: 64 << 20,
            request_bytes: 1 << 20,
            hpke_config_lifetime: Duration::from_secs(86_400),
        }
    }
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong =
        || format!("listen = {text:?} must be an IP address and a port, such as 127.0.0.1:8080");
    text.parse().map_err(|_| serde::de::Error::custom(wrong()))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

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

/// A file that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong; never with a secret in it.
        reason: String,
    },
}

/// Reads a TOML file.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = read_text(path)?;
    toml::from_str(&text).map_err(|error| {
        // The error's own text quotes the file.
        let at = error.span().map_or_else(String::new, |span| {
            format!("line {}: ", text[..span.start].matches('\n').count() + 1)
        });
        let reason = format!("{at}{}", error.message());
        ConfigError::Invalid { path: path.to_owned(), reason }
    })
}

/// Reads a file as text that is wiped after use.
pub fn read_text(path: &Path) -> Result<Zeroizing<String>, ConfigError> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

impl Config {
    /// Reads a configuration and makes its paths absolute.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read(path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for place in [&mut config.database, &mut config.database_key, &mut config.secrets]
            .into_iter()
            .chain(&mut config.programs)
            .chain(&mut config.tasks)
        {
            *place = folder.join(&place);
        }
        if !config.path.starts_with('/') {
            let reason = format!("path = {:?} must start with a slash", config.path);
            return Err(ConfigError::Invalid { path: path.to_owned(), reason });
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leader.toml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    const LEAST: &str = "listen = \"127.0.0.1:0\"\ndatabase = \"db\"\ndatabase_key = \"key\"\n\
                         secrets = \"secrets.toml\"\n";

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(LEAST).unwrap();
        assert!(config.database.is_absolute() && config.database.ends_with("db"));
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = parse(&format!("{LEAST}colour = 1\n")).unwrap_err().to_string();
        assert!(error.contains("line 5") && error.contains("colour"), "{error}");
    }

    #[test]
    fn a_bad_secret_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.toml");
        let text = "verify_key_seed = \"hunter2-hunter2-hunter2\"\nleader_token = \"t\"\n";
        std::fs::write(&path, text).unwrap();
        let error = read::<HelperSecrets>(&path).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
