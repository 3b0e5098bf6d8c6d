//! What a watch says to a receiver when something is wrong, and how the receiver knows that the watch said it.
//!
//! The body is JSON: `holds` (false), `what` (`violation` or `unverified`), `time` (UTC), `programs` (their names),
//! `tool`, `logs` (the role, name and size of each log that was read), `findings` (the violations, each with its rule, log
//! and entry), and `error` if nothing could be verified. With a key, the header `x-sottovoce-signature` is `sha256=` and
//! the HMAC-SHA256 of the body's bytes under the key's bytes, in hexadecimal. A receiver computes the same, compares both
//! without a difference in time, and refuses a body whose `time` is too old.

use crate::{
    finding::{Finding, Severity},
    verify::Outcome,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use ring::hmac;
use serde::{Deserialize, Serialize};
use sottovoce_dap::{bearer_token::BearerToken, role::Role};
use sottovoce_program::{Program, format_moment};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// What is wrong.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Promises are broken.
    Violations(&'a Outcome),
    /// The logs could not be verified for too long, and why.
    Unverified(&'a str),
}

/// The body of a call.
#[derive(Clone, Debug, Serialize)]
pub struct Call<'a> {
    holds: bool,
    what: &'static str,
    time: String,
    programs: Vec<&'a str>,
    tool: &'static str,
    logs: Vec<Log<'a>>,
    findings: Vec<&'a Finding>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Clone, Debug, Serialize)]
struct Log<'a> {
    #[serde(rename = "log")]
    role: Role,
    origin: &'a str,
    size: u64,
}

impl<'a> Call<'a> {
    /// About these programs, at this moment.
    pub fn new(programs: &'a [Program], told: Told<'a>) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let (what, logs, findings, error) = match told {
            Told::Violations(outcome) => ("violation", read(outcome), violations(outcome), None),
            Told::Unverified(error) => ("unverified", Vec::new(), Vec::new(), Some(error)),
        };
        Self {
            holds: false,
            what,
            time: format_moment(now),
            programs: programs.iter().map(Program::name).collect(),
            tool: concat!("sottovoce-auditor ", env!("CARGO_PKG_VERSION")),
            logs,
            findings,
            error,
        }
    }

    /// As it is sent.
    pub fn body(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }
}

fn read(outcome: &Outcome) -> Vec<Log<'_>> {
    let logs = outcome.logs.iter();
    logs.map(|read| Log { role: read.log, origin: &read.origin, size: read.size }).collect()
}

/// The worst come first, and a call has so many of them at most.
fn violations(outcome: &Outcome) -> Vec<&Finding> {
    let broken = outcome.findings.iter().filter(|found| found.severity == Severity::Violation);
    broken.take(MOST).collect()
}

const MOST: usize = 100;

/// The headers of a call, beside a token.
pub fn headers(body: &[u8], secrets: Option<&Secrets>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let signature = secrets.and_then(|secrets| secrets.signature(body));
    if let Some(value) = signature.and_then(|text| HeaderValue::try_from(text).ok()) {
        headers.insert(HeaderName::from_static("x-sottovoce-signature"), value);
    }
    headers
}

/// What a receiver knows the watch by. Shows nothing of it.
pub struct Secrets {
    key: Option<hmac::Key>,
    bearer: Option<BearerToken>,
}

/// A file of secrets that is none. What it says is not repeated.
#[derive(Debug, Error)]
pub enum SecretsError {
    /// It cannot be read.
    #[error("the webhook's secrets in {path} cannot be read: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not TOML with these keys.
    #[error("{0} must be TOML with `hmac_key`, with `bearer`, or with both, each a text")]
    Form(PathBuf),
    /// Anybody could find the key.
    #[error(
        "`hmac_key` in {0} is too short; it needs 32 characters or more, such as `openssl rand -hex 32` prints"
    )]
    Short(PathBuf),
    /// The token cannot be sent.
    #[error(
        "`bearer` in {0} is not a bearer token: it needs 16 to 1024 letters, digits and -._~+/"
    )]
    Bearer(PathBuf),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    hmac_key: Option<Zeroizing<String>>,
    bearer: Option<Zeroizing<String>>,
}

const SHORTEST_KEY: usize = 32;

impl Secrets {
    /// Reads a TOML file.
    pub fn read(path: &Path) -> Result<Self, SecretsError> {
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|source| SecretsError::Read { path: path.to_owned(), source })?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> Result<Self, SecretsError> {
        // The parser's message would repeat a line of it.
        let file: File = toml::from_str(text).map_err(|_| SecretsError::Form(path.to_owned()))?;
        let File { hmac_key, bearer } = file;
        if hmac_key.is_none() && bearer.is_none() {
            return Err(SecretsError::Form(path.to_owned()));
        }
        if hmac_key.as_ref().is_some_and(|key| key.len() < SHORTEST_KEY) {
            return Err(SecretsError::Short(path.to_owned()));
        }
        let key = hmac_key.map(|key| hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes()));
        let token = |token: Zeroizing<String>| {
            BearerToken::new(token.to_string()).map_err(|_| SecretsError::Bearer(path.to_owned()))
        };
        Ok(Self { key, bearer: bearer.map(token).transpose()? })
    }

    /// The token to send, if there is one.
    pub fn bearer(&self) -> Option<&BearerToken> {
        self.bearer.as_ref()
    }

    fn signature(&self, body: &[u8]) -> Option<String> {
        let tag = hmac::sign(self.key.as_ref()?, body);
        let hex = |text: String, byte: &u8| format!("{text}{byte:02x}");
        Some(tag.as_ref().iter().fold("sha256=".to_owned(), hex))
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secrets")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Secrets, SecretsError> {
        Secrets::parse(Path::new("hook.toml"), text)
    }

    #[test]
    fn the_signature_is_what_other_tools_compute() {
        let secrets = parse(&format!("hmac_key = \"{}\"", "k".repeat(32))).unwrap();
        let value = secrets.signature(b"{}").unwrap();
        // openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
        let expected = "3ee8b232b00d38a65125697b8ca96902d432dd558eb14939ffda0723647e7f81";
        assert_eq!(value, format!("sha256={expected}"));
        assert_eq!(headers(b"{}", Some(&secrets))["x-sottovoce-signature"], value);
        assert_eq!(headers(b"{}", None).len(), 1, "the content type");
    }

    #[test]
    fn secrets_that_are_none_are_refused_without_being_repeated() {
        for text in [
            "",
            "hmac_key = 7",
            "hmac_key = \"confidential\"",
            "key = \"confidential\"",
            "bearer = \"con fidential\"",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("hook.toml") && !error.contains("fidential"), "{error}");
        }
        let both =
            parse(&format!("hmac_key = \"{}\"\nbearer = \"confidential-token\"", "k".repeat(32)))
                .unwrap();
        assert!(both.bearer().is_some() && !format!("{both:?}").contains("fidential"));
    }
}
