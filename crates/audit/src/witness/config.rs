//! A witness's configuration: one TOML file, checked strictly.

use axum::http::HeaderName;
use serde::Deserialize;
use sottovoce_connections::{
    Bounds,
    address::Network,
    forwarded::{Proxies, Trust},
};
use sottovoce_log::{
    checkpoint::{self, TrustError},
    note::{KeyError, VerifierKey},
};
use std::{
    collections::BTreeSet,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;

/// What the file says. Paths are relative to it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The file with the witness's key.
    pub key: PathBuf,
    /// The folder with what was cosigned.
    pub records: PathBuf,
    /// The logs that are witnessed, by their keys.
    pub logs: Vec<checkpoint::Trust>,
    /// Bounds.
    pub limits: Limits,
}

/// Bounds on what strangers may take.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Connections at once. Of these, the last eighth is for addresses that have none; if all are
    /// taken, one on which nothing happens gives way, or one of many whose request is still on its way.
    pub connections: usize,
    /// Connections of one client address at once; IPv6 addresses count by /64, a /56 may have twice and a
    /// /48 four times as many.
    pub connections_per_client: usize,
    /// Proxies of ours, by address or network, which may have any number of connections, and whose
    /// `X-Forwarded-For` says who asks.
    pub trusted_proxies: Vec<Network>,
    /// For the head of a request, and for its body.
    pub request_seconds: u16,
    /// For a connection on which nothing happens.
    pub idle_seconds: u16,
    /// Requests of one client address in a second, on average; 0 for any number.
    pub requests_per_second: u32,
    /// Requests that one client address may make at once, after a pause.
    pub request_burst: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 64,
            connections_per_client: 16,
            trusted_proxies: Vec::new(),
            request_seconds: 10,
            idle_seconds: 30,
            // A log that publishes asks once a second, at most; auditors read now and then.
            requests_per_second: 10,
            request_burst: 100,
        }
    }
}

impl Limits {
    /// How long to wait for a head, or for a body.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.request_seconds.into())
    }

    /// Proxies that stand in front.
    pub fn proxies(&self) -> Option<Proxies> {
        let networks = self.trusted_proxies.clone();
        let header = HeaderName::from_static("x-forwarded-for");
        (!networks.is_empty()).then_some(Proxies { header, trust: Trust::Networks(networks) })
    }

    /// Bounds on connections.
    pub fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections,
            of_one_client: self.connections_per_client,
            proxies: self.trusted_proxies.clone(),
            patience: self.patience(),
            idle: Duration::from_secs(self.idle_seconds.into()),
            read_ahead: READ_AHEAD,
        }
    }
}

/// Bytes that a connection keeps before anyone takes them.
const READ_AHEAD: usize = 16 << 10;

/// A configuration that is none.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path} cannot be read: {source}; `witness init` writes one")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// It is no configuration.
    #[error("{path}: {reason}")]
    Form {
        /// The file.
        path: String,
        /// Where, and what is expected.
        reason: String,
    },
    /// A text that is no key.
    #[error("{path}: `{key}` is not a verifier key: {source}")]
    Key {
        /// The file.
        path: String,
        /// What stands there.
        key: String,
        /// Why it is none.
        source: KeyError,
    },
    /// Keys that are not those of one log.
    #[error("{path}: the `keys` of a log: {source}")]
    Log {
        /// The file.
        path: String,
        /// Why not.
        source: TrustError,
    },
    /// A log is named twice.
    #[error("{path}: the log {origin} is listed twice; put all its keys in one `keys`")]
    Twice {
        /// The file.
        path: String,
        /// The log.
        origin: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: SocketAddr,
    key: PathBuf,
    records: PathBuf,
    #[serde(default)]
    logs: Vec<Log>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Log {
    keys: Vec<String>,
}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|source| ConfigError::Read { path: shown.clone(), source })?;
        let form = |reason| ConfigError::Form { path: shown.clone(), reason };
        let file: File = toml::from_str(&text).map_err(|error| form(error.to_string()))?;
        let Limits {
            connections,
            connections_per_client,
            request_seconds,
            idle_seconds,
            request_burst,
            ..
        } = file.limits;
        let least = connections.min(connections_per_client).min(idle_seconds.into());
        if least == 0 || request_seconds == 0 || request_burst == 0 {
            return Err(form(
                "these keys of `[limits]` must be 1 or more: `connections`, `connections_per_client`, \
                 `request_seconds`, `idle_seconds`, `request_burst`"
                    .to_owned(),
            ));
        }
        let logs = file.logs.iter().map(|log| log.trust(&shown)).collect::<Result<Vec<_>, _>>()?;
        let mut origins = BTreeSet::new();
        if let Some(twice) = logs.iter().find(|log| !origins.insert(log.origin())) {
            let origin = twice.origin().to_owned();
            return Err(ConfigError::Twice { path: shown, origin });
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        let (key, records) = (folder.join(file.key), folder.join(file.records));
        Ok(Self { listen: file.listen, key, records, logs, limits: file.limits })
    }
}

impl Log {
    fn trust(&self, path: &str) -> Result<checkpoint::Trust, ConfigError> {
        let parse = |key: &String| {
            key.parse::<VerifierKey>().map_err(|source| {
                let (path, key) = (path.to_owned(), key.chars().take(80).collect());
                ConfigError::Key { path, key, source }
            })
        };
        let keys = self.keys.iter().map(parse).collect::<Result<_, _>>()?;
        let trust = checkpoint::Trust::new(keys, Vec::new(), 0);
        trust.map_err(|source| ConfigError::Log { path: path.to_owned(), source })
    }
}

/// The text of a first configuration, for `init`, with the names of what is beside it.
pub fn template(key: &str, records: &str) -> String {
    format!(
        r#"# A witness's configuration. Paths are relative to this file.

# Address and port to listen on. The witness speaks plain HTTP: put a reverse proxy in front for TLS.
listen = "127.0.0.1:8090"

# The file with the witness's private key. Whoever has this key can forge the witness's cosignatures.
key = {key:?}

# The folder with the newest checkpoint of each log, created by `witness init`. Never restore an older copy,
# and never let two witnesses use it: they would cosign a log that was rolled back or forked.
records = {records:?}

# The logs to witness, each with its verifier keys (`sottovoce-leader log key` prints them). While a log
# rotates its key, list both.
# [[logs]]
# keys = ["leader.example/log+0123abcd+AQ…"]

# [limits]
# connections = 64
# connections_per_client = 16   # per client address; IPv6 by /64
# trusted_proxies = []    # addresses or networks of your proxies, whose X-Forwarded-For is used
# request_seconds = 10    # timeout for the head of a request, and for its body
# idle_seconds = 30       # timeout for an idle connection
# requests_per_second = 10   # rate limit per client address; 0 for none
# request_burst = 100     # burst per client address
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_log::{
        checkpoint::{Signer, TestKey},
        note::KeyKind,
    };

    fn read(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("witness.toml");
        fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    fn log(name: &str, seed: u8) -> String {
        TestKey::new(name, KeyKind::Log, seed).verifier_key().to_string()
    }

    const HEAD: &str = "listen = \"127.0.0.1:0\"\nkey = \"k\"\nrecords = \"r\"\n";

    #[test]
    fn the_first_configuration_is_one() {
        let first = template("witness.key", "witness.records");
        let config = read(&first).unwrap();
        assert!(config.key.ends_with("witness.key") && config.logs.is_empty());
        assert!(config.records.ends_with("witness.records"));
        assert_eq!(config.limits.connections, 64);
        // What is commented out is one too, but for its key.
        let all = first.replace("# [[", "[[").replace("# keys", "keys").replace("# [l", "[l");
        let all = all.replace("# connections", "connections").replace("# request_s", "request_s");
        assert!(matches!(read(&all), Err(ConfigError::Key { .. })), "{all}");
    }

    #[test]
    fn a_log_may_have_several_keys_and_one_name() {
        let keys = format!("[\"{}\", \"{}\"]", log("a.example", 1), log("a.example", 2));
        let config = read(&format!("{HEAD}[[logs]]\nkeys = {keys}\n")).unwrap();
        assert_eq!(config.logs[0].keys().len(), 2);
        let twice = format!("{HEAD}[[logs]]\nkeys = {keys}\n[[logs]]\nkeys = {keys}\n");
        assert!(matches!(read(&twice), Err(ConfigError::Twice { .. })));
        let two = format!("[\"{}\", \"{}\"]", log("a.example", 1), log("b.example", 2));
        let two = read(&format!("{HEAD}[[logs]]\nkeys = {two}\n"));
        assert!(matches!(two, Err(ConfigError::Log { source: TrustError::TwoLogs(..), .. })));
    }

    #[test]
    fn what_says_nothing_is_refused_by_its_place() {
        let none = read(&format!("{HEAD}[[logs]]\nkeys = []\n"));
        assert!(matches!(none, Err(ConfigError::Log { source: TrustError::NoKey, .. })));
        let key = read(&format!("{HEAD}[[logs]]\nkeys = [\"a+b\"]\n"));
        assert!(matches!(key, Err(ConfigError::Key { source: KeyError::Form, .. })));
        for (text, place) in [
            (format!("{HEAD}listens = 1\n"), "listens"),
            (format!("{HEAD}[limits]\nconnections = 0\n"), "connections"),
            (format!("{HEAD}[limits]\nrequest_seconds = 70000\n"), "request_seconds"),
            (format!("{HEAD}[limits]\nrequest_burst = 0\n"), "request_burst"),
            (HEAD.replace("127.0.0.1:0", "nowhere"), "listen"),
            ("key = 1".to_owned(), "key"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(place), "{error}");
        }
        let missing = Config::read(Path::new("/nowhere/witness.toml")).unwrap_err().to_string();
        assert!(missing.contains("witness init"), "{missing}");
    }
}
