//! One request, one bounded response.

use super::{authority::Authority, error::TransportError};
use reqwest::header::{
    ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue,
    LOCATION, RETRY_AFTER,
};
use sottovoce_dap::{
    bearer_token::BearerToken,
    exchange::{Exchange, Method, Request, Response},
};
use std::{
    fmt,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// An HTTP client that keeps its connections. Clones share them, and the identity.
#[derive(Clone, Debug)]
pub struct HttpClient {
    carrier: Carrier,
    timeout: Duration,
    headers: fn(&mut HeaderMap),
    dates: OnDate,
}

/// Hears of the date of each response, with the URL that was asked.
#[derive(Clone, Default)]
struct OnDate(Option<Arc<DateListener>>);

/// Told of a URL and the date of a response from it.
type DateListener = dyn Fn(&str, &str) + Send + Sync;

impl fmt::Debug for OnDate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnDate").field(&self.0.is_some()).finish()
    }
}

/// How requests reach others.
#[derive(Clone, Debug)]
enum Carrier {
    Network(Arc<RwLock<reqwest::Client>>),
    #[cfg(any(test, feature = "test-util"))]
    Wire(Arc<dyn super::wire::Wire>),
}

/// The HTTP client could not be set up.
#[derive(Debug, Error)]
#[error("the HTTP client cannot be set up: {0}")]
pub struct SetupError(#[from] reqwest::Error);

/// What a client shows and trusts beyond the usual.
#[derive(Default)]
pub struct Identity {
    /// Certificates of authorities, in PEM, to trust besides those of the system.
    pub authority: Option<Vec<u8>>,
    /// A certificate with its private key, in PEM, to show to a server that asks.
    pub certificate_and_key: Option<Zeroizing<Vec<u8>>>,
}

impl HttpClient {
    /// A client that gives up on a request after `timeout`.
    pub fn new(timeout: Duration) -> Result<Self, SetupError> {
        Self::with_identity(timeout, Identity::default())
    }

    /// Likewise, with an identity of its own.
    pub fn with_identity(timeout: Duration, identity: Identity) -> Result<Self, SetupError> {
        let carrier = Carrier::Network(Arc::new(RwLock::new(build(timeout, identity)?)));
        Ok(Self { carrier, timeout, headers: |_| (), dates: OnDate::default() })
    }

    /// Likewise, trusting a private authority besides those of the system.
    pub fn trusting(timeout: Duration, authority: Option<&Authority>) -> Result<Self, SetupError> {
        let authority = authority.map(|authority| authority.pem().to_vec());
        Self::with_identity(timeout, Identity { authority, ..Identity::default() })
    }

    /// A client for which something else stands for the network.
    #[cfg(any(test, feature = "test-util"))]
    pub fn over(wire: Arc<dyn super::wire::Wire>, timeout: Duration) -> Self {
        Self { carrier: Carrier::Wire(wire), timeout, headers: |_| (), dates: OnDate::default() }
    }

    /// Shows and trusts something else from the next request on.
    pub fn renew(&self, identity: Identity) -> Result<(), SetupError> {
        let renewed = build(self.timeout, identity)?;
        match &self.carrier {
            Carrier::Network(client) => {
                *client.write().unwrap_or_else(PoisonError::into_inner) = renewed;
            }
            #[cfg(any(test, feature = "test-util"))]
            Carrier::Wire(_) => {}
        }
        Ok(())
    }

    /// Lets `headers` add to those of each request.
    #[must_use]
    pub fn with_headers(self, headers: fn(&mut HeaderMap)) -> Self {
        Self { headers, ..self }
    }

    /// Gives `on_date` the `Date` of each response as soon as its head is there, with the URL that was asked.
    #[must_use]
    pub fn with_dates(self, on_date: impl Fn(&str, &str) + Send + Sync + 'static) -> Self {
        Self { dates: OnDate(Some(Arc::new(on_date))), ..self }
    }

    /// Carries out one exchange. `token` is sent only if the exchange asks for it.
    pub async fn perform<E: Exchange>(
        &self,
        exchange: &E,
        token: Option<&BearerToken>,
    ) -> Result<E::Output, TransportError> {
        let request = exchange.request();
        let url = request.url.clone();
        let response = self.send(request, token, exchange.max_response_len()).await?;
        let retry_after = response.asked_to_wait();
        exchange.read(response).map_err(|source| TransportError::Exchange {
            url,
            source,
            retry_after,
        })
    }

    /// Asks for what stands at a URL and is no exchange of the draft, such as a file of a log.
    pub async fn get(&self, url: String, limit: usize) -> Result<Response, TransportError> {
        let method = Method::Get;
        let request =
            Request { method, url, media_type: None, body: Vec::new(), authorized: false };
        self.send(request, None, limit).await
    }

    /// Sends one request as it is, and reads at most `limit` bytes of the response.
    pub async fn send(
        &self,
        request: Request,
        token: Option<&BearerToken>,
        limit: usize,
    ) -> Result<Response, TransportError> {
        self.send_with(request, token, limit, HeaderMap::new()).await
    }

    /// Likewise, with headers of the caller's, which replace those of the same name.
    pub async fn send_with(
        &self,
        request: Request,
        token: Option<&BearerToken>,
        limit: usize,
        mut headers: HeaderMap,
    ) -> Result<Response, TransportError> {
        let client = match &self.carrier {
            Carrier::Network(client) => {
                client.read().unwrap_or_else(PoisonError::into_inner).clone()
            }
            #[cfg(any(test, feature = "test-util"))]
            Carrier::Wire(wire) => {
                return super::wire::send(wire.as_ref(), request, token, self.timeout).await;
            }
        };
        let url = request.url;
        let no_response = |error| TransportError::no_response(&url, root_cause(&error));
        let mut builder = match request.method {
            Method::Get => client.get(&url),
            Method::Post => client.post(&url),
            Method::Delete => client.delete(&url),
        };
        if let Some(media_type) = request.media_type {
            builder = builder.header(CONTENT_TYPE, media_type.to_string());
        }
        if request.authorized {
            let token = token.ok_or_else(|| TransportError::NoToken { url: url.clone() })?;
            builder = builder.header(AUTHORIZATION, authorization(token));
        }
        let builder = builder.header(ACCEPT, "application/ppm-dap, application/problem+json");
        (self.headers)(&mut headers);
        let mut response =
            builder.headers(headers).body(request.body).send().await.map_err(no_response)?;
        let status = response.status().as_u16();
        let headers = std::mem::take(response.headers_mut());
        if let (Some(on_date), Some(date)) = (&self.dates.0, text(&headers, &DATE)) {
            on_date(&url, &date);
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(no_response)? {
            if body.len() + chunk.len() > limit {
                return Err(TransportError::TooLong { url, limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response {
            status,
            content_type: text(&headers, &CONTENT_TYPE),
            location: text(&headers, &LOCATION),
            retry_after: text(&headers, &RETRY_AFTER),
            cache_control: text(&headers, &CACHE_CONTROL),
            body,
        })
    }
}

fn build(timeout: Duration, identity: Identity) -> Result<reqwest::Client, SetupError> {
    let mut builder = reqwest::Client::builder();
    if let Some(authority) = identity.authority {
        let authorities = reqwest::Certificate::from_pem_bundle(&authority)?;
        builder = builder.tls_certs_merge(authorities);
    }
    if let Some(pem) = identity.certificate_and_key {
        builder = builder.identity(reqwest::Identity::from_pem(&pem)?);
    }
    Ok(builder
        .user_agent(concat!("sottovoce/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(timeout.min(CONNECT_TIMEOUT))
        .timeout(timeout)
        // A redirect could carry a report, or a token, to a party nobody chose.
        .redirect(reqwest::redirect::Policy::none())
        .build()?)
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

fn authorization(token: &BearerToken) -> HeaderValue {
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret()))
        .expect("a token's syntax is that of a header value");
    value.set_sensitive(true);
    value
}

fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

/// The innermost reason, without the URL that each layer would repeat.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    if error.is_timeout() { format!("timed out ({cause})") } else { cause.to_string() }
}
