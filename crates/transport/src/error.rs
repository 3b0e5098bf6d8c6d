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
            Self::NoResponse { .. } => true,
            Self::Exchange { source, .. } => source.is_retryable(),
            Self::TooLong { .. } | Self::NoToken { .. } => false,
        }
    }
}
