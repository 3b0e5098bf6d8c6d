//! Where the database is, and how safely it is spoken to.
//!
//! The URL is PostgreSQL's own, `postgres://user:password@host:port/name?parameters`. Beyond what
//! the client library reads, `sslrootcert=FILE` names the certificates to trust (PEM; else those
//! of the system), and `sslmode=verify-full` is understood: it is what our `require` does anyway,
//! since rustls never speaks to a server that it cannot verify. The password stays in here.

use super::{OpenError, failure::describe};
use postgres::{Client, NoTls, config::Host, config::SslMode, config::TargetSessionAttrs};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{fmt, path::PathBuf, sync::Arc, time::Duration};
use tokio_postgres_rustls::MakeRustlsConnect;

/// A database that can be connected to.
#[derive(Clone)]
pub(super) struct Target {
    config: postgres::Config,
    /// None where TLS is switched off.
    tls: Option<MakeRustlsConnect>,
    place: String,
}

impl Target {
    pub(super) fn parse(url: &str, party: &str) -> Result<Self, OpenError> {
        let (url, roots) = ours_apart(url).ok_or(OpenError::Url)?;
        // The library's error is not passed on: it may quote what it took for a parameter, which
        // is a piece of a password that was not percent-encoded.
        let mut config = url.parse::<postgres::Config>().map_err(|_| OpenError::Url)?;
        let place = place(&config).ok_or(OpenError::Url)?;
        complete(&mut config, party);
        let tls = match config.get_ssl_mode() {
            SslMode::Disable => None,
            _ => Some(MakeRustlsConnect::new(tls(roots)?)),
        };
        Ok(Self { config, tls, place })
    }

    pub(super) fn connect(&self) -> Result<Client, postgres::Error> {
        match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        }
    }

    /// What it said when it did not do as it was told.
    pub(super) fn failed(&self, error: &postgres::Error) -> OpenError {
        OpenError::Failed { place: self.to_string(), what: describe(error) }
    }
}

/// `host:port/name`: for messages.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// Splits off the parameters that the library does not know.
fn ours_apart(url: &str) -> Option<(String, Option<PathBuf>)> {
    if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
        return None;
    }
    // The parameters follow the last question mark: one in the password may stand as it is.
    let at = url.rfind('@').unwrap_or(0);
    let Some(question) = url[at..].find('?') else { return Some((url.to_owned(), None)) };
    let (base, parameters) = (&url[..at + question], &url[at + question + 1..]);
    let mut roots = None;
    let mut kept = Vec::new();
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        match parameter.split_once('=')? {
            ("sslrootcert", file) => roots = Some(PathBuf::from(percent_decoded(file)?)),
            ("sslmode", "verify-full" | "verify-ca") => kept.push("sslmode=require"),
            _ => kept.push(parameter),
        }
    }
    Some((format!("{base}?{}", kept.join("&")), roots))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first == b'%' {
            let [high, low, after @ ..] = rest else { return None };
            let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|d| u8::try_from(d).ok());
            bytes.push(digit(*high)? << 4 | digit(*low)?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// What messages may say of a database; `None` if that could be a piece of the password.
fn place(config: &postgres::Config) -> Option<String> {
    let hosts = config.get_hosts().iter().zip(config.get_ports());
    let hosts = hosts.map(|(host, port)| match host {
        // An unencoded `@` in the password leaves the rest of it in the host.
        Host::Tcp(name) if name.contains('@') => None,
        Host::Tcp(name) => Some(format!("{name}:{port}")),
        #[cfg(unix)]
        Host::Unix(folder) => Some(format!("{}:{port}", folder.display())),
    });
    let hosts = hosts.collect::<Option<Vec<_>>>()?;
    let name = config.get_dbname().or(config.get_user()).unwrap_or_default();
    (!hosts.is_empty()).then(|| format!("{}/{name}", hosts.join(",")))
}

/// Fills in what the URL leaves open, so that a peer that is gone is noticed within a minute.
fn complete(config: &mut postgres::Config, party: &str) {
    if config.get_application_name().is_none() {
        config.application_name(&format!("sottovoce-{party}"));
    }
    if config.get_connect_timeout().is_none() {
        config.connect_timeout(CONNECT_TIMEOUT);
    }
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(SILENCE);
    }
    if config.get_keepalives_interval().is_none() {
        config.keepalives_idle(SILENCE).keepalives_interval(SILENCE / 6).keepalives_retries(3);
    }
    // After a failover the URL's hosts may name a standby too: it could only read.
    config.target_session_attrs(TargetSessionAttrs::ReadWrite);
}

fn tls(roots: Option<PathBuf>) -> Result<ClientConfig, OpenError> {
    let mut trusted = RootCertStore::empty();
    if let Some(path) = roots {
        let failed = |cause: String| OpenError::Roots { path: path.clone(), cause };
        for certificate in
            CertificateDer::pem_file_iter(&path).map_err(|cause| failed(cause.to_string()))?
        {
            let certificate = certificate.map_err(|cause| failed(cause.to_string()))?;
            trusted.add(certificate).map_err(|cause| failed(cause.to_string()))?;
        }
        if trusted.is_empty() {
            return Err(failed("it holds no certificate".to_owned()));
        }
    } else {
        // Where the system has none, no server is verified and connecting says so.
        trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let versions =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let versions = versions.map_err(|cause| OpenError::Tls { cause })?;
    Ok(versions.with_root_certificates(trusted).with_no_client_auth())
}

/// For a URL that names none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For how long a peer may be silent before it is asked, or what was sent unanswered by its TCP.
const SILENCE: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(url: &str) -> String {
        Target::parse(url, "leader").map(|target| target.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn a_url_that_cannot_be_read_is_refused_without_a_word_of_it() {
        for url in [
            "postgres://me:hun@ter2@host/db",
            "postgres://me:hunter2@host/db?hunter2=1",
            "postgres://me:hunter2@host:hunter2/db",
            "host=hunter2 password=hunter2",
            "sqlite://hunter2",
            "postgres:///hunter2",
            "postgres://host/db?sslrootcert=%hunter2",
            "hunter2",
        ] {
            let message = refused(url);
            assert!(message.contains("postgres://USER:PASSWORD@HOST"), "{message}");
            assert!(!message.contains("ter2"), "{message}");
        }
    }

    #[test]
    fn certificates_that_cannot_be_read_are_named() {
        let missing = refused("postgres://me@host/db?sslrootcert=%2Fnowhere%2Froot.pem");
        assert!(missing.contains("/nowhere/root.pem"), "{missing}");
        let not_pem = refused("postgres://me@host/db?sslrootcert=Cargo.toml&sslmode=require");
        assert!(not_pem.contains("holds no certificate"), "{not_pem}");
    }

    #[test]
    fn a_place_is_host_port_and_name() {
        let place = |url| Target::parse(url, "leader").unwrap().to_string();
        assert_eq!(place("postgres://me:hunter2@host/db"), "host:5432/db");
        assert_eq!(place("postgresql://me:a%40b?c@a:1,b:2/db?sslmode=disable"), "a:1,b:2/db");
        assert_eq!(place("postgres://me@%2Frun%2Fpostgresql/db"), "/run/postgresql:5432/db");
    }

    #[test]
    fn verification_is_what_require_means() {
        let mode = |parameters| {
            let target = Target::parse(&format!("postgres://me@host/db{parameters}"), "leader");
            target.unwrap().config.get_ssl_mode()
        };
        assert_eq!(mode(""), SslMode::Prefer);
        assert_eq!(mode("?sslmode=verify-full&connect_timeout=1"), SslMode::Require);
        assert_eq!(mode("?sslmode=disable"), SslMode::Disable);
    }
}
