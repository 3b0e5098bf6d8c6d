//! Why an exchange did not come to its end, and whether the same request may succeed later.

use sottovoce_dap::exchange::ExchangeError;
use std::time::Duration;
use thiserror::Error;

/// An exchange that did not come to its end.
#[derive(Debug, Error)]
pub enum TransportError {
    /// There was no response.
    #[error("{url} did not answer: {reason}; check that it is running and reachable from here")]
    NoResponse {
        /// Where the request went.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// One side does not accept the other's certificate.
    #[error("{url}: {reason}")]
    Certificate {
        /// Where the request went.
        url: String,
        /// Who rejects whose certificate, and why.
        reason: String,
    },
    /// The response is longer than any right one.
    #[error("the response of {url} exceeds the limit of {limit} bytes")]
    TooLong {
        /// Where the request went.
        url: String,
        /// Bytes that the response may have.
        limit: usize,
    },
    /// The exchange needs a token and there is none.
    #[error("{url} needs a bearer token, and none is configured")]
    NoToken {
        /// Where the request would have gone.
        url: String,
    },
    /// There was a response, and it is a refusal or nonsense.
    #[error("{url}: {source}")]
    Exchange {
        /// Where the request went.
        url: String,
        /// What the response says.
        source: ExchangeError,
        /// The server's Retry-After, if it sent one.
        retry_after: Option<Duration>,
    },
}

impl TransportError {
    /// No response from `url`, for a reason in the words of whoever failed.
    pub(super) fn no_response(url: &str, reason: String) -> Self {
        let url = url.to_owned();
        match certificate_reason(&reason) {
            Some(reason) => Self::Certificate { url, reason },
            None => Self::NoResponse { url, reason },
        }
    }

    /// A response from `url` that leads nowhere.
    pub(super) fn exchange(url: &str, source: ExchangeError) -> Self {
        Self::Exchange { url: url.to_owned(), source, retry_after: None }
    }

    /// The server's Retry-After, if it sent one.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Exchange { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NoResponse { .. } | Self::Certificate { .. } => true,
            Self::Exchange { source, .. } => source.is_retryable(),
            Self::TooLong { .. } | Self::NoToken { .. } => false,
        }
    }
}

/// What the TLS library's words mean, if they are about certificates: whose is rejected by whom, and why.
fn certificate_reason(words: &str) -> Option<String> {
    if let Some(alert) = words.strip_prefix("received fatal alert: ") {
        let why = match alert {
            "CertificateExpired" => {
                "it has expired, or is not valid yet by the server's clock; renew it"
            }
            "UnknownCA" => {
                "the server does not trust the authority that signed it; give its operator that authority"
            }
            "CertificateRevoked" => "it was revoked; get a new one",
            "CertificateRequired" => "the server asks for one, and none is configured",
            "BadCertificate" | "UnsupportedCertificate" | "CertificateUnknown" | "AccessDenied" => {
                "the server does not accept it"
            }
            _ => return None,
        };
        return Some(format!("the server rejects our client certificate: {why} ({alert})"));
    }
    let flaw = words.strip_prefix("invalid peer certificate: ")?;
    let why = if flaw.contains("UnknownIssuer") {
        "it is signed by no authority that is trusted here; configure that authority"
    } else if flaw.contains("not valid yet") || flaw.contains("NotValidYet") {
        "it is not valid yet by our clock; check the clocks, or ask the server's operator"
    } else if flaw.contains("xpired") {
        "it has expired; its operator has to renew it"
    } else if flaw.contains("name") || flaw.contains("NotValidForName") {
        "it is for another host; check the URL, or ask the server's operator"
    } else {
        "it is not accepted; ask the server's operator"
    };
    Some(format!("we reject the server's certificate: {why} ({flaw})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_rejects_whose_certificate_is_said_with_the_cure() {
        for (words, said) in [
            (
                "received fatal alert: CertificateExpired",
                "the server rejects our client certificate: it has expired",
            ),
            ("received fatal alert: UnknownCA", "does not trust the authority that signed it"),
            (
                "invalid peer certificate: UnknownIssuer",
                "we reject the server's certificate: it is signed by no",
            ),
            (
                "invalid peer certificate: certificate expired: verification time 2 (UNIX), but certificate is not valid after 1 (1 seconds ago)",
                "it has expired; its operator has to renew it",
            ),
            (
                "invalid peer certificate: certificate not valid for name \"a.example\"",
                "it is for another host",
            ),
        ] {
            let error = TransportError::no_response("https://a.example/", words.to_owned());
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.is_retryable() && !error.to_string().contains("is running"), "{error}");
        }
        for words in ["Connection refused (os error 111)", "received fatal alert: HandshakeFailure"]
        {
            let error = TransportError::no_response("https://a.example/", words.to_owned());
            assert!(matches!(error, TransportError::NoResponse { .. }), "{error}");
        }
    }
}
