//! One exchange that may take a while, from its request to its result (§3.1).
//!
//! Whoever waits for another party waits here: each wait has an end that was set before, however the
//! other party answers, or does not. To end it earlier, drop the future; asking again later finds the
//! same resource, since a request has the same bytes each time (§3.2).

use super::{error::TransportError, http::HttpClient, retry::Backoff};
use sottovoce_dap::{
    bearer_token::BearerToken,
    exchange::{Create, Created, Exchange, Poll, Polled, Resource},
};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};

/// How long to wait for another party, and how often to ask.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The first wait between two questions; each further one is about twice as long.
    pub first: Duration,
    /// The longest wait between two questions, unless the other party asks for more.
    pub longest: Duration,
    /// From the first request to the last answer.
    pub total: Duration,
    /// Whether a failure that may pass is waited out, or ends the exchange.
    pub through_failures: bool,
}

/// An exchange that did not come to its end.
#[derive(Debug, Error)]
pub enum IncompleteError {
    /// The other party refuses, or failed in a way that is not waited out.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The other party kept saying "not yet".
    #[error("{url} is not ready after {waited:?}; retry the same request later")]
    NotReady {
        /// Who was asked.
        url: String,
        /// All the patience that there was.
        waited: Duration,
    },
    /// The other party failed again and again.
    #[error("gave up after retries for {waited:?}; the last error: {last}")]
    Failing {
        /// All the patience that there was.
        waited: Duration,
        /// What went wrong last.
        last: TransportError,
    },
}

impl IncompleteError {
    /// Whether the other party is ill, rather than of another opinion.
    pub fn is_peer_failure(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_retryable(),
            Self::NotReady { .. } | Self::Failing { .. } => true,
        }
    }
}

/// What an exchange led to.
#[derive(Debug)]
pub struct Completed<T> {
    /// The resource.
    pub value: T,
    /// Where it is, for deleting it.
    pub location: Option<String>,
}

/// Creates a resource, or finds it again, and asks for it until it is there or `patience` is over.
///
/// `waiting` is called before each wait with the time waited so far and the failure that is waited out,
/// if it is one.
pub async fn complete<T: Resource>(
    http: &HttpClient,
    create: &Create<T>,
    token: Option<&BearerToken>,
    patience: &Patience,
    mut waiting: impl FnMut(Duration, Option<&TransportError>),
) -> Result<Completed<T>, IncompleteError> {
    let (began, mut backoff) = (Instant::now(), Backoff::new(patience.first, patience.longest));
    let until = began + patience.total;
    let mut attempt = Attempt { http, create, token, found: Found::NotYet };
    let mut last = None;
    loop {
        let (failure, retry_after) = match timeout_at(until, attempt.ask()).await {
            Ok(Ok(Polled::Ready(value))) => {
                return Ok(Completed { value, location: attempt.found.location() });
            }
            Ok(Ok(Polled::Pending { retry_after })) => (None, retry_after),
            Ok(Err(error)) if patience.through_failures && error.is_retryable() => {
                let retry_after = error.retry_after();
                (Some(error), retry_after)
            }
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => return Err(given_up(create, patience, last)),
        };
        waiting(began.elapsed(), failure.as_ref());
        last = failure;
        let left = until.saturating_duration_since(Instant::now());
        if left < LEAST {
            return Err(given_up(create, patience, last));
        }
        // Who is asked to wait for longer than there is time asks once more before it is over.
        sleep(backoff.wait(retry_after).min(left / 2)).await;
    }
}

/// Carries out an exchange that has one answer, through failures that may pass, until `patience` is over.
pub async fn perform_patiently<E: Exchange>(
    http: &HttpClient,
    exchange: &E,
    token: Option<&BearerToken>,
    patience: &Patience,
) -> Result<E::Output, TransportError> {
    let mut backoff = Backoff::new(patience.first, patience.longest);
    let until = Instant::now() + patience.total;
    loop {
        let error = match timeout_at(until, http.perform(exchange, token)).await {
            Ok(Err(error)) if error.is_retryable() && patience.through_failures => error,
            Ok(ended) => return ended,
            Err(_) => {
                let reason = format!("no answer within {:?}", patience.total);
                return Err(TransportError::NoResponse { url: exchange.request().url, reason });
            }
        };
        let left = until.saturating_duration_since(Instant::now());
        if left < LEAST {
            return Err(error);
        }
        sleep(backoff.wait(error.retry_after()).min(left / 2)).await;
    }
}

/// What is left of a patience that is not worth another question.
const LEAST: Duration = Duration::from_millis(50);

fn given_up<T: Resource>(
    create: &Create<T>,
    patience: &Patience,
    last: Option<TransportError>,
) -> IncompleteError {
    let waited = patience.total;
    match last {
        Some(last) => IncompleteError::Failing { waited, last },
        None => IncompleteError::NotReady { url: create.url().to_owned(), waited },
    }
}

/// Where an exchange stands: a resource is created until it is found, and polled from then on.
struct Attempt<'a, T> {
    http: &'a HttpClient,
    create: &'a Create<T>,
    token: Option<&'a BearerToken>,
    found: Found,
}

/// Whether a resource was created, and where it then is, if the other party says.
enum Found {
    NotYet,
    At(Option<String>),
}

impl Found {
    fn location(self) -> Option<String> {
        match self {
            Self::NotYet => None,
            Self::At(location) => location,
        }
    }
}

impl<T: Resource> Attempt<'_, T> {
    async fn ask(&mut self) -> Result<Polled<T>, TransportError> {
        let Found::At(location) = &self.found else {
            let Created { location, state } = self.http.perform(self.create, self.token).await?;
            self.found = Found::At(location);
            return Ok(state);
        };
        let nowhere = |source| TransportError::exchange(self.create.url(), source);
        let poll = Poll::new(self.create, location.as_deref()).map_err(nowhere)?;
        self.http.perform(&poll, self.token).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_dap::{collect::AggregateShare, ids::TaskId, task::Url};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    /// What a server does with a connection.
    #[derive(Clone, Copy)]
    enum Manner {
        Silent,
        NotYet,
        Trickle,
        Broken,
    }

    async fn behave(mut stream: TcpStream, manner: Manner) {
        let mut request = [0; 4096];
        if stream.read(&mut request).await.is_err() {
            return;
        }
        let not_yet = "HTTP/1.1 200 OK\r\nLocation: /job\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\
                       Connection: close\r\n\r\n";
        let broken = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = match manner {
            Manner::Silent => std::future::pending().await,
            Manner::NotYet => stream.write_all(not_yet.as_bytes()).await,
            Manner::Broken => stream.write_all(broken.as_bytes()).await,
            Manner::Trickle => loop {
                if stream.write_all(b"H").await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            },
        };
    }

    async fn server(manner: Manner) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(behave(stream, manner));
            }
        });
        Url::new(&format!("http://127.0.0.1:{port}/")).unwrap()
    }

    async fn ask(manner: Manner, through_failures: bool) -> (IncompleteError, u32) {
        let http = HttpClient::new(Duration::from_secs(600)).unwrap();
        let task = TaskId::new([1; 32]);
        let create = Create::<AggregateShare>::new(&server(manner).await, &task, vec![1]);
        let token = BearerToken::new("a-token-of-many-letters".to_owned()).unwrap();
        let (first, longest) = (Duration::from_millis(10), Duration::from_millis(40));
        let total = Duration::from_millis(400);
        let patience = Patience { first, longest, total, through_failures };
        let mut waits = 0;
        let ended = complete(&http, &create, Some(&token), &patience, |_, _| waits += 1).await;
        (ended.unwrap_err(), waits)
    }

    #[tokio::test]
    async fn whatever_the_other_party_does_the_wait_has_an_end() {
        for through_failures in [false, true] {
            for manner in [Manner::Silent, Manner::NotYet, Manner::Trickle] {
                let (error, _) = ask(manner, through_failures).await;
                assert!(matches!(error, IncompleteError::NotReady { .. }), "{error}");
                assert!(error.is_peer_failure());
            }
        }
    }

    #[tokio::test]
    async fn a_failure_that_may_pass_is_waited_out_only_by_the_patient() {
        let (error, waits) = ask(Manner::Broken, false).await;
        assert!(matches!(error, IncompleteError::Transport(_)) && waits == 0, "{error}");
        let (error, waits) = ask(Manner::Broken, true).await;
        assert!(matches!(error, IncompleteError::Failing { .. }) && waits > 3, "{error}: {waits}");
        assert!(error.to_string().contains("503"), "{error}");
    }
}
