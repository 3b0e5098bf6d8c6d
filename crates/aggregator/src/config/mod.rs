//! A server's configuration: one TOML file, checked strictly, and the secrets beside it.
//!
//! [`environment`] says how variables override the file, [`limits`] what is bounded, [`database`]
//! where the memory is, [`secrets`] what is shared with the other parties, and [`template`] writes a
//! first one.

pub mod database;
pub mod environment;
pub mod limits;
pub mod secrets;
pub mod template;

use database::Database;
use limits::{Aggregation, HpkeKeys, Limits, Retention};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use sottovoce_log::note::{KeyKind, KeyName, VerifierKey};
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
    /// Serve plain HTTP to other machines too, because a proxy in front does TLS.
    #[serde(default)]
    pub plain_http: bool,
    /// Serve HTTPS.
    pub tls: Option<Tls>,
    /// The path under which the resources are, as the task's endpoint names it.
    #[serde(default = "root")]
    pub path: String,
    /// The database: an SQLite file, made if it is not there, or `postgres://…`.
    pub database: Database,
    /// Connections to a PostgreSQL database at once.
    #[serde(default = "connections")]
    pub database_connections: usize,
    /// The key that secrets in the database are sealed under; made if it is not there.
    pub database_key: PathBuf,
    /// Secrets shared with the other parties, from `sottovoce keygen`: programs need them. Plain DAP
    /// task files have their own.
    pub secrets: Option<PathBuf>,
    /// Program files whose tasks to take on.
    #[serde(default)]
    pub programs: Vec<PathBuf>,
    /// Plain DAP task files to take on.
    #[serde(default)]
    pub tasks: Vec<PathBuf>,
    /// What to log, as a filter of `tracing`: `info`, `debug`, `sottovoce=debug,warn`.
    #[serde(default = "info")]
    pub log: String,
    /// How to log: lines for people, or JSON.
    #[serde(default)]
    pub log_format: LogFormat,
    /// Where the operator looks in: health, metrics, log level. Nowhere if it is not given.
    pub admin: Option<Admin>,
    /// Where spans go. Nowhere if it is not given.
    pub traces: Option<Traces>,
    /// How the leader reaches the helper.
    #[serde(default)]
    pub peer: Peer,
    /// Whose web pages may send reports.
    #[serde(default)]
    pub cors: Cors,
    /// Bounds on what is taken.
    #[serde(default)]
    pub limits: Limits,
    /// How aggregation is cut into jobs (leader).
    #[serde(default)]
    pub aggregation: Aggregation,
    /// When HPKE keys come and go.
    #[serde(default)]
    pub hpke: HpkeKeys,
    /// How long what is over is kept.
    #[serde(default)]
    pub retention: Retention,
    /// The log that anybody may read.
    #[serde(default)]
    pub public_log: PublicLogConfig,
}

/// How logs are written.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Certificates to serve HTTPS with. Read again when the files change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate and those that signed it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// Authorities, in PEM, whose certificates the peer must show: mutual TLS, in addition to its
    /// token. Devices, which fetch keys only, need none.
    pub peer_ca: Option<PathBuf>,
}

/// Where the operator looks in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Admin {
    /// Address and port; not one that strangers reach, for there is no password.
    #[serde(deserialize_with = "address")]
    pub listen: SocketAddr,
}

/// Where spans go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Traces {
    /// An OTLP receiver over HTTP, such as `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
}

/// How the leader reaches the helper. Read again when the files change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Peer {
    /// An authority, in PEM, to trust besides those of the system.
    pub ca: Option<PathBuf>,
    /// Certificate and private key, in one PEM file, to show to a helper that asks.
    pub identity: Option<PathBuf>,
}

/// The log that anybody may read.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PublicLogConfig {
    /// What the log is called, before its first key is made: our endpoint without its scheme, and
    /// `/log`, if it is not given.
    #[serde(deserialize_with = "parsed")]
    pub name: Option<KeyName>,
    /// Who cosigns its checkpoints.
    pub witnesses: Vec<Witness>,
}

/// Someone who cosigns our checkpoints.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// Where it takes them: `add-checkpoint` is under this URL.
    pub url: String,
    /// The key that it cosigns with.
    #[serde(deserialize_with = "parsed_key")]
    pub key: VerifierKey,
}

/// Whose web pages may send reports.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins such as `https://app.example`, or `*` for any.
    pub origins: Vec<String>,
}

fn root() -> String {
    "/".to_owned()
}

fn info() -> String {
    "info".to_owned()
}

fn connections() -> usize {
    8
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong =
        || format!("listen = {text:?} must be an IP address and a port, such as 127.0.0.1:8080");
    text.parse().map_err(|_| serde::de::Error::custom(wrong()))
}

fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<KeyName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    KeyName::new(&text).map(Some).map_err(serde::de::Error::custom)
}

fn parsed_key<'de, D: Deserializer<'de>>(deserializer: D) -> Result<VerifierKey, D::Error> {
    let key: VerifierKey =
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)?;
    match key.kind() {
        KeyKind::Witness => Ok(key),
        KeyKind::Log => Err(serde::de::Error::custom(format!(
            "the key of {} is a log's key; use the witness's verifier key",
            key.name()
        ))),
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

fn milliseconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
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
    from_toml(path, &read_text(path)?)
}

/// Reads TOML; errors name `path`, and never quote the text.
pub fn from_toml<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
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
    /// Reads a configuration with the environment's overrides, and makes its paths absolute.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::from_text(path, &read_text(path)?, std::env::vars())
    }

    /// The configuration that a file at `path` has, if it says `text`, with overrides from `variables`.
    pub fn from_text(
        path: &Path,
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let invalid = |reason| ConfigError::Invalid { path: path.to_owned(), reason };
        let mut table: toml::Table = from_toml(path, text)?;
        let used = environment::apply(&mut table, variables).map_err(invalid)?;
        let mut config: Self = if used.is_empty() {
            // From the text, for its errors name the line.
            from_toml(path, text)?
        } else {
            table.try_into().map_err(|error: toml::de::Error| {
                invalid(format!("with {} set: {}", used.join(", "), error.message()))
            })?
        };
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config.check().map_err(invalid)?;
        Ok(config)
    }

    /// Makes paths relative to the file's folder.
    fn resolve(&mut self, folder: &Path) {
        let mut places = vec![&mut self.database_key];
        places.extend(&mut self.secrets);
        if let Database::Sqlite(path) = &mut self.database {
            places.push(path);
        }
        if let Some(tls) = &mut self.tls {
            places.extend([&mut tls.certificate, &mut tls.key]);
            places.extend(&mut tls.peer_ca);
        }
        places.extend(self.peer.ca.iter_mut().chain(&mut self.peer.identity));
        places.extend(self.programs.iter_mut().chain(&mut self.tasks));
        for place in places {
            *place = folder.join(&place);
        }
    }

    /// What each value may be by itself is checked; this is about those that must fit together.
    fn check(&self) -> Result<(), String> {
        if !self.path.starts_with('/') {
            return Err(format!("path = {:?} must start with a slash", self.path));
        }
        // Anything else may be a pattern to the router, or never be what a client asks for.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        if !self.path.chars().all(plain) {
            return Err(format!(
                "path = {:?} can have only letters, digits, - . _ ~ and slashes",
                self.path
            ));
        }
        if self.tls.is_some() && self.plain_http {
            return Err("[tls] and plain_http = true cannot be combined; remove one".to_owned());
        }
        if self.tls.is_none() && !self.plain_http && !self.listen.ip().is_loopback() {
            return Err(format!(
                "listen = \"{}\" can be reached from other machines; set certificate and key in [tls], or \
                 plain_http = true if a proxy in front terminates TLS",
                self.listen
            ));
        }
        let least = |name: &str, value: usize, least: usize| {
            if value >= least {
                Ok(())
            } else {
                Err(format!("{name} = {value} must be {least} or more"))
            }
        };
        if let Some(wrong) = self.public_log.witnesses.iter().find(|w| !w.url.starts_with("http")) {
            return Err(format!(
                "public_log.witnesses: url = {:?} must begin with http",
                wrong.url
            ));
        }
        if let (None, Some(program)) = (&self.secrets, self.programs.first()) {
            return Err(no_secrets(program));
        }
        least("database_connections", self.database_connections, 2)?;
        least("limits.connections", self.limits.connections, 1)?;
        least("limits.connections_per_client", self.limits.connections_per_client, 1)?;
        least("limits.idle_seconds", usize::from(!self.limits.idle_time.is_zero()), 1)?;
        self.limits.proxies()?;
        least("aggregation.jobs", self.aggregation.jobs, 1)?;
        let lease = usize::try_from(self.aggregation.lease.as_secs()).unwrap_or(usize::MAX);
        least("aggregation.lease_seconds", lease, 3)?;
        if self.limits.requests_per_second > 0 {
            least("limits.request_burst", self.limits.request_burst as usize, 1)?;
        }
        Ok(())
    }
}

/// The error if a program is to be added and there are no secrets for its tasks.
pub fn no_secrets(program: &Path) -> String {
    format!(
        "the program {} needs the secrets that the parties share; set `secrets` to the file that `sottovoce keygen` \
         created",
        program.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        parse_with(text, &[])
    }

    fn parse_with(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = variables.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        Config::from_text(Path::new("/etc/leader.toml"), text, variables)
    }

    const LEAST: &str = "listen = \"127.0.0.1:0\"\ndatabase = \"db\"\ndatabase_key = \"key\"\n\
                         secrets = \"secrets.toml\"\n";

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = parse(LEAST).unwrap();
        let secrets = config.secrets.unwrap();
        assert!(secrets.is_absolute() && secrets.ends_with("secrets.toml"));
        assert!(matches!(config.database, Database::Sqlite(path) if path.is_absolute()));
    }

    #[test]
    fn secrets_are_needed_by_programs_only() {
        let without = LEAST.replace("secrets = \"secrets.toml\"\n", "");
        let tasks = format!("{without}tasks = [\"task.json\"]\n");
        assert!(parse(&tasks).unwrap().secrets.is_none());
        let programs = format!("{tasks}programs = [\"program.toml\"]\n");
        let error = parse(&programs).unwrap_err().to_string();
        assert!(error.contains("program.toml") && error.contains("`secrets`"), "{error}");
        let given = [("SOTTOVOCE_SECRETS", "secrets.toml")];
        assert!(parse_with(&programs, &given).unwrap().secrets.is_some());
    }

    #[test]
    fn the_environment_overrides_and_is_named_when_it_is_wrong() {
        let config = parse_with(LEAST, &[("SOTTOVOCE_LIMITS__UPLOAD_BYTES", "7")]).unwrap();
        assert_eq!(config.limits.upload_bytes, 7);
        let error = parse_with(LEAST, &[("SOTTOVOCE_COLOUR", "red")]).unwrap_err().to_string();
        assert!(error.contains("SOTTOVOCE_COLOUR") && error.contains("colour"), "{error}");
    }

    #[test]
    fn plain_http_to_other_machines_is_an_explicit_choice() {
        let public = LEAST.replace("127.0.0.1:0", "0.0.0.0:80");
        let error = parse(&public).unwrap_err().to_string();
        assert!(error.contains("plain_http = true"), "{error}");
        assert!(parse(&format!("plain_http = true\n{public}")).is_ok());
    }

    #[test]
    fn a_lease_that_is_over_at_once_is_refused() {
        let with =
            |seconds: u64| parse(&format!("{LEAST}[aggregation]\nlease_seconds = {seconds}\n"));
        for seconds in [0, 2] {
            let error = with(seconds).unwrap_err().to_string();
            let said = format!("aggregation.lease_seconds = {seconds} must be 3 or more");
            assert!(error.contains(&said), "{error}");
        }
        assert!(with(3).is_ok());
    }

    #[test]
    fn a_path_that_the_router_would_take_for_a_pattern_is_refused() {
        for path in ["/{x", "/{*x}", "/:x", "/*x", "/a b", "/ä"] {
            let error = parse(&format!("path = {path:?}\n{LEAST}")).unwrap_err().to_string();
            assert!(error.contains("letters"), "{path}: {error}");
        }
        assert!(parse(&format!("path = \"/a-b.c/_~9/\"\n{LEAST}")).is_ok());
    }

    #[test]
    fn a_header_that_names_clients_needs_proxies_that_are_trusted() {
        let refused = |limits: &str| parse(&format!("{LEAST}[limits]\n{limits}")).err();
        let header = "client_address_header = \"forwarded\"\n";
        let error = refused(header).unwrap().to_string();
        assert!(error.contains("trusted_proxies") && error.contains("trusted_hops"), "{error}");
        let proxies = "trusted_proxies = [\"10.0.0.0/8\", \"::1\"]\n";
        assert!(refused(&format!("{header}{proxies}")).is_none() && refused(proxies).is_none());
        assert!(refused("trusted_hops = 1\n").is_none());
        let both = refused(&format!("{proxies}trusted_hops = 1\n")).unwrap().to_string();
        assert!(both.contains("cannot be combined"), "{both}");
        let wrong = refused("trusted_proxies = [\"ten\"]\n").unwrap().to_string();
        assert!(wrong.contains("ten") && wrong.contains("10.0.0.0/8"), "{wrong}");
    }

    #[test]
    fn a_database_url_is_never_shown() {
        let url = "postgres://sottovoce:hunter2@db.example/leader";
        let config = parse(&LEAST.replace("\"db\"", &format!("{url:?}"))).unwrap();
        assert!(!format!("{config:?} {}", config.database).contains("hunter2"));
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
        let error = read::<secrets::HelperSecrets>(&path).err().unwrap();
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}
