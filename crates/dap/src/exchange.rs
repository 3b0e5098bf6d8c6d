//! Each HTTP exchange of the draft (§3), without a socket: the request that starts it and what
//! its response means. Whoever has a socket carries it out.

mod location;

pub use location::{LocationError, resolve};

use super::{
    aggregate::AggregationJobResp,
    codec::{Decode, DecodeError},
    collect::{AggregateShare, CollectionJobResp},
    hpke_config_list::HpkeConfigList,
    ids::TaskId,
    media_type::{MediaType, MediaTypeError},
    problem::{ProblemDocument, Text},
    task::Url,
    upload::UploadErrors,
};
use std::time::Duration;
use thiserror::Error;

/// The methods that DAP uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are HTTP's")]
pub enum Method {
    Get,
    Post,
    Delete,
}

/// A request, ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: String,
    /// The message in the body, if there is one.
    pub media_type: Option<MediaType>,
    /// The body.
    pub body: Vec<u8>,
    /// Whether the request must carry the sender's token (§3.5).
    pub authorized: bool,
}

/// What came back.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Location`.
    pub location: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// The whole body.
    pub body: Vec<u8>,
}

impl Response {
    /// How long to wait before asking again, if the server says. A date, HTTP's other form of the header,
    /// counts as no advice.
    pub fn asked_to_wait(&self) -> Option<Duration> {
        let seconds = self.retry_after.as_deref()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

/// Whether the same request may succeed later: the server's fault, or its haste.
pub fn is_retryable(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// One kind of request with the response that it wants.
pub trait Exchange {
    /// What a success says.
    type Output;

    /// The request.
    fn request(&self) -> Request;

    /// What a successful response means.
    fn read_success(&self, response: Response) -> Result<Self::Output, ExchangeError>;

    /// The longest response in bytes that makes sense.
    fn max_response_len(&self) -> usize {
        64 << 10
    }

    /// What a response means: any status but a success is a refusal (§3.3).
    fn read(&self, response: Response) -> Result<Self::Output, ExchangeError> {
        match response.status {
            200..=299 => self.read_success(response),
            _ => Err(ExchangeError::refusal(response)),
        }
    }
}

/// A response that is not the wanted one.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ExchangeError {
    /// The server refuses, and says why.
    #[error("refused with status {status}: {problem}")]
    Problem {
        /// The HTTP status.
        status: u16,
        /// The server's words.
        problem: Box<ProblemDocument>,
    },
    /// The server refuses without a problem document.
    #[error("refused with status {status}: {}", excerpt.as_str())]
    Status {
        /// The HTTP status.
        status: u16,
        /// The beginning of the body.
        excerpt: Text,
    },
    /// The body is not the message that it should be.
    #[error(transparent)]
    MediaType(#[from] MediaTypeError),
    /// The message does not decode.
    #[error("the response does not decode: {0}")]
    Decode(#[from] DecodeError),
    /// The response points nowhere useful.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// A success that says neither yes nor later.
    #[error("the response is empty and has no Location header to poll")]
    Nowhere,
}

impl ExchangeError {
    fn refusal(response: Response) -> Self {
        let status = response.status;
        let is_problem = response.content_type.is_some_and(|content_type| {
            content_type.split(';').next().unwrap_or("").trim() == ProblemDocument::MEDIA_TYPE
        });
        match serde_json::from_slice(&response.body) {
            Ok(problem) if is_problem => Self::Problem { status, problem: Box::new(problem) },
            _ => Self::Status {
                status,
                excerpt: Text::new(&String::from_utf8_lossy(&response.body)),
            },
        }
    }

    /// Whether the same request may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Problem { status, .. } | Self::Status { status, .. } => is_retryable(*status),
            _ => false,
        }
    }
}

/// The state of something that may take a while (§3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Polled<T> {
    /// Not yet.
    Pending {
        /// When to ask again, if the server says.
        retry_after: Option<Duration>,
    },
    /// Here it is.
    Ready(T),
}

/// Something that was created, or found again (§3.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created<T> {
    /// Where it is: an absolute URL.
    pub location: Option<String>,
    /// How it stands.
    pub state: Polled<T>,
}

/// GET of an aggregator's keys (§4.4.1).
#[derive(Clone, Debug)]
pub struct FetchHpkeConfigs {
    /// The aggregator.
    pub endpoint: Url,
}

/// An aggregator's keys and how long they may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchedHpkeConfigs {
    /// The keys.
    pub list: HpkeConfigList,
    /// From `Cache-Control: max-age`; zero if it forbids keeping them.
    pub lifetime: Option<Duration>,
}

impl Exchange for FetchHpkeConfigs {
    type Output = FetchedHpkeConfigs;

    fn request(&self) -> Request {
        let url = at_endpoint(&self.endpoint, "hpke_config");
        Request { method: Method::Get, url, media_type: None, body: Vec::new(), authorized: false }
    }

    fn read_success(&self, response: Response) -> Result<Self::Output, ExchangeError> {
        let lifetime = response.cache_control.as_deref().and_then(max_age);
        Ok(FetchedHpkeConfigs { list: message(MediaType::HpkeConfigList, &response)?, lifetime })
    }
}

/// POST of reports (§4.4.2).
#[derive(Clone, Debug)]
pub struct Upload {
    /// The leader.
    pub endpoint: Url,
    /// The task.
    pub task: TaskId,
    /// An encoded [`UploadRequest`](super::upload::UploadRequest); a retry has the same bytes.
    pub request: Vec<u8>,
}

impl Exchange for Upload {
    type Output = UploadErrors;

    fn request(&self) -> Request {
        Request {
            method: Method::Post,
            url: at_endpoint(&self.endpoint, &format!("tasks/{}/reports", self.task)),
            media_type: Some(MediaType::UploadReq),
            body: self.request.clone(),
            authorized: false,
        }
    }

    fn read_success(&self, response: Response) -> Result<UploadErrors, ExchangeError> {
        if response.body.is_empty() {
            return Ok(UploadErrors::default());
        }
        message(MediaType::UploadErrors, &response)
    }

    fn max_response_len(&self) -> usize {
        // No report is smaller than a status about it.
        self.request.len().max(64 << 10)
    }
}

/// What can be created with a POST and asked for with a GET (§3.2).
pub trait Resource: Decode {
    /// The last part of the URL that creates it.
    const COLLECTION: &'static str;
    /// The message that asks for it.
    const REQUEST: MediaType;
    /// The message that it is.
    const RESPONSE: MediaType;
    /// What follows the resource's own URL in a poll.
    const POLL_QUERY: &'static str = "";
    /// The longest response in bytes that makes sense for a request of a length.
    fn max_response_len(request_len: usize) -> usize;
}

impl Resource for AggregationJobResp {
    const COLLECTION: &'static str = "aggregation_jobs";
    const REQUEST: MediaType = MediaType::AggregationJobInitReq;
    const RESPONSE: MediaType = MediaType::AggregationJobResp;
    const POLL_QUERY: &'static str = "?step=0";

    fn max_response_len(request_len: usize) -> usize {
        // For each report the helper says less than the leader did.
        request_len.max(64 << 10)
    }
}

impl Resource for CollectionJobResp {
    const COLLECTION: &'static str = "collection_jobs";
    const REQUEST: MediaType = MediaType::CollectionJobReq;
    const RESPONSE: MediaType = MediaType::CollectionJobResp;

    fn max_response_len(_: usize) -> usize {
        2 * LONGEST_SHARE
    }
}

impl Resource for AggregateShare {
    const COLLECTION: &'static str = "aggregate_shares";
    const REQUEST: MediaType = MediaType::AggregateShareReq;
    const RESPONSE: MediaType = MediaType::AggregateShare;

    fn max_response_len(_: usize) -> usize {
        LONGEST_SHARE
    }
}

/// An aggregate share of the longest vector that is supported, sealed.
const LONGEST_SHARE: usize = (super::vdaf::MAX_LENGTH as usize) * 16 + (64 << 10);

/// POST that creates a resource, or finds it again: a retry has the same bytes (§3.2).
#[derive(Clone, Debug)]
pub struct Create<T> {
    url: String,
    request: Vec<u8>,
    resource: std::marker::PhantomData<T>,
}

impl<T: Resource> Create<T> {
    /// Creates a resource of `task` at an aggregator, from an encoded request.
    pub fn new(endpoint: &Url, task: &TaskId, request: Vec<u8>) -> Self {
        let url = at_endpoint(endpoint, &format!("tasks/{task}/{}", T::COLLECTION));
        Self { url, request, resource: std::marker::PhantomData }
    }

    /// Where the request goes.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl<T: Resource> Exchange for Create<T> {
    type Output = Created<T>;

    fn request(&self) -> Request {
        Request {
            method: Method::Post,
            url: self.url.clone(),
            media_type: Some(T::REQUEST),
            body: self.request.clone(),
            authorized: true,
        }
    }

    fn read_success(&self, response: Response) -> Result<Created<T>, ExchangeError> {
        let location = response.location.as_deref();
        let location = location.map(|location| resolve(&self.url, location)).transpose()?;
        Ok(Created { location, state: polled(&response)? })
    }

    fn max_response_len(&self) -> usize {
        T::max_response_len(self.request.len())
    }
}

/// GET of a resource that was created (§3.1).
#[derive(Clone, Debug)]
pub struct Poll<T> {
    url: String,
    request_len: usize,
    resource: std::marker::PhantomData<T>,
}

impl<T: Resource> Poll<T> {
    /// Asks again for what `create` made at `location`.
    pub fn new(create: &Create<T>, location: Option<&str>) -> Result<Self, ExchangeError> {
        let location = location.ok_or(ExchangeError::Nowhere)?;
        let query = if location.contains('?') { "" } else { T::POLL_QUERY };
        let url = format!("{location}{query}");
        Ok(Self { url, request_len: create.request.len(), resource: std::marker::PhantomData })
    }
}

impl<T: Resource> Exchange for Poll<T> {
    type Output = Polled<T>;

    fn request(&self) -> Request {
        let url = self.url.clone();
        Request { method: Method::Get, url, media_type: None, body: Vec::new(), authorized: true }
    }

    fn read_success(&self, response: Response) -> Result<Polled<T>, ExchangeError> {
        polled(&response)
    }

    fn max_response_len(&self) -> usize {
        T::max_response_len(self.request_len)
    }
}

/// DELETE of a resource that has served (§4.5.5, §4.6.3, §4.6.5).
#[derive(Clone, Debug)]
pub struct Delete {
    url: String,
}

impl Delete {
    /// Deletes what is at `location`.
    pub fn new(location: &str) -> Self {
        Self { url: location.split('?').next().unwrap_or(location).to_owned() }
    }
}

impl Exchange for Delete {
    type Output = ();

    fn request(&self) -> Request {
        let url = self.url.clone();
        Request {
            method: Method::Delete,
            url,
            media_type: None,
            body: Vec::new(),
            authorized: true,
        }
    }

    fn read_success(&self, _: Response) -> Result<(), ExchangeError> {
        Ok(())
    }
}

/// A URL relative to an endpoint, which may or may not end with a slash (§4.2).
fn at_endpoint(endpoint: &Url, path: &str) -> String {
    format!("{}/{path}", endpoint.as_str().trim_end_matches('/'))
}

fn message<T: Decode>(media_type: MediaType, response: &Response) -> Result<T, ExchangeError> {
    media_type.check(response.content_type.as_deref().unwrap_or(""))?;
    Ok(T::from_bytes(&response.body)?)
}

fn polled<T: Resource>(response: &Response) -> Result<Polled<T>, ExchangeError> {
    if response.body.is_empty() {
        return Ok(Polled::Pending { retry_after: response.asked_to_wait() });
    }
    message(T::RESPONSE, response).map(Polled::Ready)
}

/// The lifetime that a `Cache-Control` header allows (RFC 9111 §5.2.2).
fn max_age(header: &str) -> Option<Duration> {
    let mut directives = header.split(',').map(str::trim);
    if directives.clone().any(|d| d == "no-store" || d == "no-cache") {
        return Some(Duration::ZERO);
    }
    let seconds = directives.find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests;
