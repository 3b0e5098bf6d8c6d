//! A server's configuration: one TOML file, checked strictly, and the secrets beside it.
//!
//! [`environment`] says how variables override the file, [`limits`] what is bounded, [`database`]
//! where the memory is, [`key_command`] who may hold its key, [`secrets`] what is shared with the other
//! parties, [`access`] who may read them, and [`template`] writes a first one.

pub mod access;
pub mod database;
pub mod environment;
pub mod key_command;
pub mod limits;
pub mod secrets;
pub mod template;
#[cfg(test)]
mod tests;

use database::Database;
use key_command::KeyCommand;
use limits::{Aggregation, HpkeKeys, Limits, Retention};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapAccessDeserializer},
};
use sottovoce_log::note::{KeyKind, KeyName, VerifierKey};
use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// What the file of either server says. Paths are relative to the file; one that begins with
/// `$CREDENTIALS_DIRECTORY/` is that of a credential that systemd hands over.
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
    pub database_key: Option<PathBuf>,
    /// Instead: a command that prints it.
    pub database_key_command: Option<KeyCommand>,
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
    /// The hosts that the certificate must be valid for: those of our endpoints if none are given. For a server behind
    /// a proxy that has a certificate of its own.
    #[serde(default)]
    pub names: Vec<String>,
}

/// Where the operator looks in: at an address, or at a socket of this machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port. One that other machines reach needs `tls` and `token`.
    #[serde(deserialize_with = "some_address")]
    pub listen: Option<SocketAddr>,
    /// Instead: a Unix socket, which only the server's own user and root can open.
    pub socket: Option<PathBuf>,
    /// Serve HTTPS.
    pub tls: Option<Tls>,
    /// A file with the bearer token for metrics and the log filter; health and readiness need none.
    pub token: Option<PathBuf>,
}

impl Admin {
    fn check(&self) -> Result<(), String> {
        let (tls, token) = (self.tls.as_ref(), self.token.as_ref());
        match (self.listen, &self.socket) {
            (None, None) => Err("[admin] needs listen (an address) or socket (a path)".to_owned()),
            (Some(_), Some(_)) => {
                Err("admin.listen and admin.socket cannot be combined; remove one".to_owned())
            }
            (None, Some(_)) if tls.is_some() => {
                Err("admin.socket needs no [admin.tls]; remove it".to_owned())
            }
            (Some(_), None) if tls.is_some_and(|tls| tls.peer_ca.is_some()) => {
                Err("admin.tls.peer_ca is not supported; set admin.token instead".to_owned())
            }
            (Some(address), None) if !address.ip().is_loopback() && (tls.and(token)).is_none() => {
                Err(format!(
                    "admin.listen = \"{address}\" can be reached from other machines; set certificate and key in \
                     [admin.tls] and admin.token, or use a loopback address or admin.socket"
                ))
            }
            _ => Ok(()),
        }
    }
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
    /// What to show to a server that asks for a certificate.
    pub identity: Option<ClientCertificate>,
}

/// A client's certificate: a table with `certificate` and `key` as in `[tls]`, or one PEM file with both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and those that signed it, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM; may be in the same file.
    pub key: PathBuf,
}

impl ClientCertificate {
    /// Its files, each once: the certificate's first.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let key = (self.key != self.certificate).then_some(&self.key);
        std::iter::once(&self.certificate).chain(key)
    }
}

impl<'de> Deserialize<'de> for ClientCertificate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ClientCertificateForms)
    }
}

/// Its two forms; a derived enum would not say what is wrong with either.
struct ClientCertificateForms;

impl<'de> Visitor<'de> for ClientCertificateForms {
    type Value = ClientCertificate;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table [peer.identity] with certificate and key, or the path of one PEM file with both")
    }

    fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<ClientCertificate, E> {
        Ok(ClientCertificate { certificate: path.into(), key: path.into() })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ClientCertificate, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            certificate: PathBuf,
            key: PathBuf,
        }
        let Table { certificate, key } = Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(ClientCertificate { certificate, key })
    }
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

fn some_address<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SocketAddr>, D::Error> {
    address(deserializer).map(Some)
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
    #[error("{path} cannot be read: {source}{}", access::cure(path, source))]
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
    /// Several values are not what they should be, or do not fit together.
    #[error("{path} has {} mistakes: {}", reasons.len(), reasons.join("; "))]
    Several {
        /// The file.
        path: PathBuf,
        /// What is wrong, one by one.
        reasons: Vec<String>,
    },
}

impl ConfigError {
    /// What is wrong, one by one, each with its file.
    pub fn mistakes(&self) -> Vec<String> {
        match self {
            Self::Several { path, reasons } => {
                reasons.iter().map(|reason| format!("{}: {reason}", path.display())).collect()
            }
            _ => vec![self.to_string()],
        }
    }
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
        let invalid = |reason| ConfigError::Invalid { path: path.to_owned(), reason };
        let variables = environment::variables().map_err(invalid)?;
        Self::from_text(path, &read_text(path)?, variables.into_iter())
    }

    /// The configuration that a file at `path` has, if it says `text`, with overrides from `variables`.
    pub fn from_text(
        path: &Path,
        text: &str,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let invalid = |reason| ConfigError::Invalid { path: path.to_owned(), reason };
        let mut table: toml::Table = from_toml(path, text)?;
        let (credentials, overrides): (Vec<_>, Vec<_>) =
            variables.partition(|(name, _)| name == environment::CREDENTIALS);
        let used = environment::apply(&mut table, overrides.into_iter()).map_err(invalid)?;
        let mut config: Self = if used.is_empty() {
            // From the text, for its errors name the line.
            from_toml(path, text)?
        } else {
            table.try_into().map_err(|error: toml::de::Error| {
                invalid(format!("with {} set: {}", used.join(", "), error.message()))
            })?
        };
        let credentials = credentials.first().map(|(_, folder)| Path::new(folder));
        config.resolve(path.parent().unwrap_or(Path::new("")), credentials).map_err(invalid)?;
        let mut reasons = config.mistakes();
        match reasons.len() {
            0 => Ok(config),
            1 => Err(invalid(reasons.remove(0))),
            _ => Err(ConfigError::Several { path: path.to_owned(), reasons }),
        }
    }

    /// The format of logs that a file asks for, whatever else is wrong with it: so that the log can say that.
    pub fn log_format(path: &Path) -> LogFormat {
        let text = read_text(path).unwrap_or_default();
        let mut table: toml::Table = toml::from_str(&text).unwrap_or_default();
        let variables = environment::variables().unwrap_or_default();
        let _ = environment::apply(&mut table, variables.into_iter());
        let format = table.remove("log_format").and_then(|format| format.try_into().ok());
        format.unwrap_or_default()
    }

    /// Makes paths relative to the file's folder, or to that of the credentials.
    fn resolve(&mut self, folder: &Path, credentials: Option<&Path>) -> Result<(), String> {
        if let Some(command) = &mut self.database_key_command {
            command.resolve(folder);
        }
        let mut places: Vec<_> = self.database_key.iter_mut().chain(&mut self.secrets).collect();
        if let Database::Sqlite(path) = &mut self.database {
            places.push(path);
        }
        let admin = self.admin.iter_mut();
        let (mut admin_tls, mut of_admin) = (None, Vec::new());
        for Admin { socket, tls, token, .. } in admin {
            of_admin.extend(socket.iter_mut().chain(token));
            admin_tls = tls.as_mut();
        }
        places.extend(of_admin);
        for tls in self.tls.iter_mut().chain(admin_tls) {
            places.extend([&mut tls.certificate, &mut tls.key]);
            places.extend(&mut tls.peer_ca);
        }
        places.extend(&mut self.peer.ca);
        if let Some(identity) = &mut self.peer.identity {
            places.extend([&mut identity.certificate, &mut identity.key]);
        }
        places.extend(self.programs.iter_mut().chain(&mut self.tasks));
        for place in places {
            *place = match (place.strip_prefix(CREDENTIAL), credentials) {
                (Err(_), _) => folder.join(&place),
                (Ok(name), Some(credentials)) => credentials.join(name),
                (Ok(_), None) => return Err(no_credentials(place)),
            };
        }
        Ok(())
    }

    /// What is wrong with values, by themselves or together, beyond what their types say.
    fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        mistakes.extend(self.path_mistake());
        mistakes.extend(self.listener_mistakes());
        mistakes.extend(self.url_mistakes());
        if let (None, Some(program)) = (&self.secrets, self.programs.first()) {
            mistakes.push(no_secrets(program));
        }
        mistakes.extend(self.key_mistake());
        mistakes.extend(self.limits.proxies().err());
        let whole = |duration: Duration| duration.as_secs();
        let (limits, aggregation) = (&self.limits, &self.aggregation);
        let burst = if limits.requests_per_second > 0 { limits.request_burst } else { 1 };
        let least = [
            ("database_connections", self.database_connections as u64, 2),
            ("limits.connections", limits.connections as u64, 1),
            ("limits.connections_per_client", limits.connections_per_client as u64, 1),
            ("limits.idle_seconds", whole(limits.idle_time), 1),
            ("limits.request_seconds", whole(limits.request_time), 1),
            ("limits.upload_bytes", limits.upload_bytes as u64, 1),
            ("limits.aggregation_job_bytes", limits.aggregation_job_bytes as u64, 1),
            ("limits.request_bytes", limits.request_bytes as u64, 1),
            ("limits.waiting_bytes", limits.waiting_bytes as u64, 1),
            ("limits.request_burst", u64::from(burst), 1),
            ("aggregation.jobs", aggregation.jobs as u64, 1),
            ("aggregation.job_reports", aggregation.job_reports, 1),
            ("aggregation.job_bytes", aggregation.job_bytes, 1),
            ("aggregation.lease_seconds", whole(aggregation.lease), 3),
        ];
        let too_small = least.into_iter().filter(|(_, value, least)| value < least);
        mistakes.extend(
            too_small
                .map(|(name, value, least)| format!("{name} = {value} must be {least} or more")),
        );
        mistakes
    }

    fn key_mistake(&self) -> Option<String> {
        match (&self.database_key, &self.database_key_command) {
            (None, None) => Some(NO_KEY.to_owned()),
            (Some(_), Some(_)) => Some(TWO_KEYS.to_owned()),
            (Some(_), None) | (None, Some(_)) => None,
        }
    }

    fn path_mistake(&self) -> Option<String> {
        // Anything else may be a pattern to the router, or never be what a client asks for.
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        if !self.path.starts_with('/') {
            return Some(format!("path = {:?} must start with a slash", self.path));
        }
        (!self.path.chars().all(plain)).then(|| {
            format!("path = {:?} can have only letters, digits, - . _ ~ and slashes", self.path)
        })
    }

    /// What is wrong with the places that are listened on.
    fn listener_mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.tls.is_some() && self.plain_http {
            mistakes.push("[tls] and plain_http = true cannot be combined; remove one".to_owned());
        }
        if self.tls.is_none() && !self.plain_http && !self.listen.ip().is_loopback() {
            mistakes.push(format!(
                "listen = \"{}\" can be reached from other machines; set certificate and key in [tls], or \
                 plain_http = true if a proxy in front terminates TLS",
                self.listen
            ));
        }
        let Some(admin) = &self.admin else { return mistakes };
        mistakes.extend(admin.check().err());
        if let Some(listen) = admin.listen.filter(|at| *at == self.listen && at.port() != 0) {
            mistakes.push(format!(
                "listen and admin.listen are both \"{listen}\"; give one of them another port"
            ));
        }
        mistakes
    }

    /// What is wrong with URLs and origins.
    fn url_mistakes(&self) -> Vec<String> {
        let is_http = |url: &str| url.starts_with("http://") || url.starts_with("https://");
        let witnesses = self.public_log.witnesses.iter();
        let witnesses = witnesses.map(|witness| ("public_log.witnesses: url", &witness.url));
        let traces = self.traces.iter().map(|traces| ("traces.endpoint", &traces.endpoint));
        let urls = witnesses.chain(traces).filter(|(_, url)| !is_http(url));
        let urls = urls.map(|(key, url)| {
            format!("{key} = {url:?} must begin with http, such as https://host.example/")
        });
        let is_origin = |origin: &&String| {
            let host = origin.split_once("://").map(|(_, host)| host);
            *origin == "*" || host.is_some_and(|host| !host.is_empty() && !host.contains('/'))
        };
        let origins = self.cors.origins.iter().filter(|origin| !is_origin(origin));
        let origins = origins.map(|origin| {
            format!(
                "cors.origins: {origin:?} must be an origin without a path, such as https://app.example, or *"
            )
        });
        urls.chain(origins).collect()
    }
}

/// What a path of a credential begins with.
const CREDENTIAL: &str = "$CREDENTIALS_DIRECTORY";

const NO_KEY: &str = "there is no database key; set database_key to a file, which is created at the first start, or \
     database_key_command to a command that prints the key";
const TWO_KEYS: &str = "database_key and database_key_command cannot be combined; remove one";

fn no_credentials(place: &Path) -> String {
    format!(
        "{} is a credential of systemd, and CREDENTIALS_DIRECTORY is not set; run this in the unit (LoadCredential=), or \
         with `systemd-run --pipe --property=LoadCredential=NAME:FILE`",
        place.display()
    )
}

/// The error if a program is to be added and there are no secrets for its tasks.
pub fn no_secrets(program: &Path) -> String {
    format!(
        "the program {} needs the secrets that the parties share; set `secrets` to the file that `sottovoce keygen` \
         created",
        program.display()
    )
}
