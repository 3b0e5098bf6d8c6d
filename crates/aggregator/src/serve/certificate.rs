//! Certificates as an operator sees them: until when they hold, for which hosts, and with which key.
//!
//! TLS libraries check the certificates of others. Nothing checks one's own before others refuse it, so this does.

use rustls::{
    RootCertStore,
    client::verify_server_name,
    crypto::aws_lc_rs::default_provider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    server::ParsedCertificate,
    sign::CertifiedKey,
};
use sottovoce_program::{format_moment, parse_moment};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A certificate or key that is of no use.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file cannot be read, or is no PEM of the right kind.
    #[error("{path}: {reason}; it must be PEM with {what}")]
    File {
        /// The file.
        path: PathBuf,
        /// What was expected in it.
        what: &'static str,
        /// What is wrong; never a part of a key.
        reason: String,
    },
    /// Certificate and key do not go together.
    #[error(
        "{certificate} and {key} cannot be used together: {reason}; use the key that the certificate was issued for"
    )]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        reason: String,
    },
    /// It has ended.
    #[error("the certificate in {path} expired on {}; renew it", format_moment(*not_after))]
    Expired {
        /// The file.
        path: PathBuf,
        /// Its end, in seconds since the Epoch.
        not_after: u64,
    },
    /// It has not begun.
    #[error(
        "the certificate in {path} is not valid before {}; check the clock, or use the previous certificate until then",
        format_moment(*not_before)
    )]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// Its begin, in seconds since the Epoch.
        not_before: u64,
    },
    /// It is another host's.
    #[error(
        "the certificate in {path} is not valid for {host}, the host of our endpoint; get one that names it, or, if a \
         proxy in front has its own, set `names` in [tls] to what the proxy expects"
    )]
    OtherHost {
        /// The file.
        path: PathBuf,
        /// The host that it should be valid for.
        host: String,
    },
}

impl CertificateError {
    /// Whether the same files may be right later.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::NotYetValid { .. })
    }
}

/// When a certificate holds, in seconds since the Epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub not_before: u64,
    /// The last second.
    pub not_after: u64,
}

impl Validity {
    /// When a certificate in DER holds; `None` if it is no X.509 certificate (RFC 5280 §4.1).
    pub fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = element(certificate, SEQUENCE)?;
        let (mut fields, _) = element(certificate, SEQUENCE)?;
        if let Some((_, rest)) = element(fields, VERSION) {
            fields = rest;
        }
        for tag in [INTEGER, SEQUENCE, SEQUENCE] {
            (_, fields) = element(fields, tag)?;
        }
        let (validity, _) = element(fields, SEQUENCE)?;
        let (not_before, rest) = time(validity)?;
        let (not_after, _) = time(rest)?;
        Some(Self { not_before, not_after })
    }

    /// Whether a certificate from `path` holds at `now`, in seconds since the Epoch.
    fn check(self, path: &Path, now: u64) -> Result<(), CertificateError> {
        let path = path.to_owned();
        let Self { not_before, not_after } = self;
        if now > not_after {
            Err(CertificateError::Expired { path, not_after })
        } else if now < not_before {
            Err(CertificateError::NotYetValid { path, not_before })
        } else {
            Ok(())
        }
    }
}

/// The certificates of a file, one at least, in their order.
pub fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let wrong = |reason: String| CertificateError::File {
        path: path.to_owned(),
        what: "one or more certificates",
        reason,
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() { Err(wrong("it has none".to_owned())) } else { Ok(found) }
}

/// The private key of a file; errors have nothing of it.
pub fn key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, CertificateError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|error| CertificateError::File {
        path: path.to_owned(),
        what: "a private key",
        reason: error.to_string(),
    })
}

/// The authorities of a file, as roots of trust.
pub fn authorities(path: &Path, pem: &[u8]) -> Result<RootCertStore, CertificateError> {
    let mut roots = RootCertStore::empty();
    for certificate in chain(path, pem)? {
        roots.add(certificate).map_err(|error| CertificateError::File {
            path: path.to_owned(),
            what: "certificates of authorities",
            reason: error.to_string(),
        })?;
    }
    Ok(roots)
}

/// Whether the certificates of a file all hold at `now`, and the first one is valid for all of `hosts`.
pub fn check_chain(
    path: &Path,
    chain: &[CertificateDer<'_>],
    hosts: &[String],
    now: u64,
) -> Result<(), CertificateError> {
    for certificate in chain {
        let not_x509 = || CertificateError::File {
            path: path.to_owned(),
            what: "X.509 certificates",
            reason: "it has no period of validity".to_owned(),
        };
        Validity::of(certificate).ok_or_else(not_x509)?.check(path, now)?;
    }
    let Some(first) = chain.first() else { return Ok(()) };
    match hosts.iter().find(|host| !names(first, host)) {
        Some(host) => {
            Err(CertificateError::OtherHost { path: path.to_owned(), host: host.clone() })
        }
        None => Ok(()),
    }
}

/// Whether a certificate and a key go together: a client's, which no server has built yet.
pub fn check_pair(
    [certificate, key_file]: [&Path; 2],
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<(), CertificateError> {
    let pair = |reason: String| CertificateError::Pair {
        certificate: certificate.to_owned(),
        key: key_file.to_owned(),
        reason,
    };
    CertifiedKey::from_der(chain, key, &default_provider())
        .map(|_| ())
        .map_err(|error| pair(error.to_string()))
}

fn names(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host.trim_matches(['[', ']'])) else { return false };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|parsed| verify_server_name(&parsed, &name).is_ok())
}

const INTEGER: u8 = 0x02;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The content of the DER element that `bytes` begin with, if it has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&found, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (len, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        // A certificate of 16 MiB is none.
        0x81..=0x83 => {
            let (len, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (len.iter().fold(0, |len, byte| len << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then(|| rest.split_at_checked(len))?
}

/// A time, `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5), and what follows it.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (text, rest) = match element(bytes, UTC_TIME) {
        Some((text, rest)) => {
            let text = str::from_utf8(text).ok()?;
            let century = if text.get(..2)? < "50" { "20" } else { "19" };
            (format!("{century}{text}"), rest)
        }
        None => {
            let (text, rest) = element(bytes, GENERALIZED_TIME)?;
            (str::from_utf8(text).ok()?.to_owned(), rest)
        }
    };
    let part = |from: usize, to: usize| text.get(from..to);
    let moment = format!(
        "{}-{}-{}T{}:{}:{}",
        part(0, 4)?,
        part(4, 6)?,
        part(6, 8)?,
        part(8, 10)?,
        part(10, 12)?,
        text.get(12..)?
    );
    // Before 1970 is long ago; a date that never ends (99991231235959Z) is a date.
    let seconds = if text.starts_with("19") && part(2, 4)? < "70" {
        0
    } else {
        parse_moment(&moment).ok()?
    };
    Some((seconds, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// For leader.example, from 2026-01-02T03:04:05Z to 2049-12-31T23:59:59Z.
    const CERTIFICATE: &[u8] = include_bytes!("../../tests/data/leader.example.pem");

    fn certificate() -> Vec<CertificateDer<'static>> {
        chain(Path::new("leader.pem"), CERTIFICATE).unwrap()
    }

    fn check(hosts: &[&str], now: &str) -> Result<(), String> {
        let hosts: Vec<_> = hosts.iter().map(|&host| host.to_owned()).collect();
        let now = parse_moment(now).unwrap();
        check_chain(Path::new("leader.pem"), &certificate(), &hosts, now)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_holds_from_its_first_to_its_last_second() {
        assert!(check(&[], "2026-01-02T03:04:05Z").is_ok());
        assert!(check(&[], "2049-12-31T23:59:59Z").is_ok());
        let early = check(&[], "2026-01-02T03:04:04Z").unwrap_err();
        assert!(early.contains("leader.pem is not valid before 2026-01-02T03:04:05Z"), "{early}");
        let late = check(&[], "2050-01-01T00:00:00Z").unwrap_err();
        assert!(late.contains("leader.pem expired on 2049-12-31T23:59:59Z; renew it"), "{late}");
    }

    #[test]
    fn a_certificate_of_another_host_is_refused_with_the_host() {
        let now = "2027-01-01T00:00:00Z";
        assert!(check(&["leader.example"], now).is_ok());
        for host in ["helper.example", "x.leader.example", "127.0.0.1", "[::1]", ""] {
            let said = check(&["leader.example", host], now).unwrap_err();
            assert!(said.contains(&format!("is not valid for {host},")), "{said}");
        }
    }

    #[test]
    fn times_are_read_in_both_forms() {
        let der = |tag: u8, text: &str| {
            let len = u8::try_from(text.len()).unwrap();
            time(&[&[tag, len], text.as_bytes()].concat())
                .map(|(seconds, _)| format_moment(seconds))
        };
        for (tag, text, found) in [
            (UTC_TIME, "491231235959Z", Some("2049-12-31T23:59:59Z")),
            (UTC_TIME, "991231235959Z", Some("1999-12-31T23:59:59Z")),
            (UTC_TIME, "500101000000Z", Some("1970-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "20500101000000Z", Some("2050-01-01T00:00:00Z")),
            (GENERALIZED_TIME, "99991231235959Z", Some("9999-12-31T23:59:59Z")),
            (UTC_TIME, "491331235959Z", None),
            (UTC_TIME, "4912312359", None),
            (UTC_TIME, "é", None),
            (GENERALIZED_TIME, "20500101000000+0100", None),
            (INTEGER, "491231235959Z", None),
        ] {
            assert_eq!(der(tag, text).as_deref(), found, "{text}");
        }
    }

    #[test]
    fn no_part_of_a_certificate_is_read_beyond_its_end() {
        let whole = &certificate()[0];
        assert!(Validity::of(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(Validity::of(&whole[..end]), None, "cut to {end}");
        }
        for hostile in [&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff][..], &[0x30, 0x80], &[0x30, 0x83, 1]]
        {
            assert_eq!(Validity::of(hostile), None);
        }
    }

    #[test]
    fn a_file_without_certificates_is_none() {
        for pem in ["", "hunter2"] {
            let said = chain(Path::new("leader.pem"), pem.as_bytes()).unwrap_err().to_string();
            assert!(said.contains("leader.pem") && said.contains("must be PEM"), "{said}");
            assert!(!said.contains("hunter2"), "{said}");
            let said = key(Path::new("leader.key.pem"), pem.as_bytes()).unwrap_err().to_string();
            assert!(said.contains("private key") && !said.contains("hunter2"), "{said}");
        }
    }
}
