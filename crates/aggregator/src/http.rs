//! The edge of both servers: what is read from a request, and the only way from an error to a
//! response.
//!
//! A refusal tells the sender what was wrong with the request. A fault is ours: it is logged in
//! full, once a minute with how many there were, and the sender learns only that there was one.

use super::{
    blocking, clock,
    outages::Outages,
    serve::{PeerIdentity, log_limit::LogLimit},
    store::{StoreError, Timestamp},
    tasks::TasksError,
};
use axum::{
    body::Body,
    extract::{FromRequestParts, Path},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER, WWW_AUTHENTICATE,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use sottovoce_dap::{
    bearer_token::TokenHash,
    codec::DecodeError,
    hpke_config_list::HpkeConfigList,
    ids::TaskId,
    media_type::MediaType,
    problem::{ProblemDocument, ProblemType},
};
use std::{
    fmt,
    time::{Duration, Instant},
};

/// Why a request does not get what it asks for.
#[derive(Debug)]
pub enum Failure {
    /// The request is at fault, and this says how.
    Refused(Box<ProblemDocument>),
    /// The request does not prove that its sender may do this.
    Unauthorized,
    /// The connection does not prove that it is the peer's.
    Uncertified,
    /// There is no such resource.
    NotFound,
    /// The resource does not know the method.
    MethodNotAllowed,
    /// The body is longer than this server takes.
    TooLarge {
        /// Bytes that it takes.
        limit: usize,
    },
    /// Too much to do: the sender may come back.
    Busy,
    /// As many collections of the task are open as may be: the sender may come back.
    ManyCollections,
    /// The client has exceeded its rate limit, and can retry after this long.
    TooMany(Duration),
    /// What is asked for is not over yet by this server's clock, but will be after this long.
    NotYet(Duration),
    /// The body did not come in time.
    TooSlow,
    /// The database does not answer, or its disk is full: logged at a limited rate, and the client can retry.
    Away(String),
    /// We are at fault: logged at a limited rate, without details to the client.
    Fault(String),
}

impl Failure {
    /// A refusal with one of the draft's types.
    pub fn problem(kind: ProblemType, task: Option<&TaskId>, detail: impl fmt::Display) -> Self {
        Self::Refused(Box::new(ProblemDocument::new(kind, task, &detail.to_string())))
    }

    /// The job needs extensions that nobody here knows.
    pub fn unsupported_extensions(task: &TaskId, types: Vec<u16>) -> Self {
        let detail = format!("extensions of the types {types:?} are not supported");
        let mut problem =
            ProblemDocument::new(ProblemType::UnsupportedExtension, Some(task), &detail);
        problem.unsupported_extensions = Some(types);
        Self::Refused(Box::new(problem))
    }

    /// The message cannot be parsed.
    pub fn malformed(task: &TaskId, error: &DecodeError) -> Self {
        Self::problem(ProblemType::InvalidMessage, Some(task), error)
    }

    /// The task is not known here.
    pub fn unknown_task(task: &TaskId) -> Self {
        Self::problem(
            ProblemType::UnrecognizedTask,
            Some(task),
            "unknown task; the operator of this aggregator has to add it first",
        )
    }

    /// Something of ours failed.
    pub fn fault(error: impl fmt::Display) -> Self {
        Self::Fault(error.to_string())
    }
}

/// What failed for a while, or for good.
impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { .. } => Self::Away(error.to_string()),
            StoreError::TooManyCollections => Self::ManyCollections,
            _ => Self::fault(error),
        }
    }
}

impl From<TasksError> for Failure {
    fn from(error: TasksError) -> Self {
        match error {
            TasksError::Store(error) => error.into(),
            error => Self::fault(error),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(problem) => problem_response(&problem),
            Self::Unauthorized => {
                let mut response =
                    plain(StatusCode::UNAUTHORIZED, "the request needs a valid bearer token");
                let bearer = HeaderValue::from_static("Bearer");
                response.headers_mut().insert(WWW_AUTHENTICATE, bearer);
                response
            }
            Self::Uncertified => plain(
                StatusCode::FORBIDDEN,
                "the request needs mutual TLS with the other aggregator's client certificate",
            ),
            Self::NotFound => plain(StatusCode::NOT_FOUND, "no such resource"),
            // What it does know, the router says in `Allow`.
            Self::MethodNotAllowed => {
                plain(StatusCode::METHOD_NOT_ALLOWED, "this resource does not support this method")
            }
            Self::TooLarge { limit } => plain(
                StatusCode::PAYLOAD_TOO_LARGE,
                &format!(
                    "the body exceeds the limit of {limit} bytes; send fewer reports at a time"
                ),
            ),
            Self::Busy => retry_later(plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "the server is overloaded; retry later",
            )),
            Self::ManyCollections => retry_later(plain(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many pending collections of this task; retry when one has ended, or delete some",
            )),
            Self::TooMany(wait) => {
                let mut response = plain(
                    StatusCode::TOO_MANY_REQUESTS,
                    "rate limit exceeded for this address; retry after the time in Retry-After",
                );
                // Rounded up: a retry after that time is let in.
                let wait = seconds(wait + Duration::from_millis(999));
                response.headers_mut().insert(RETRY_AFTER, wait);
                response
            }
            Self::NotYet(wait) => {
                let mut response = plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the interval is not over yet by this server's clock; retry after the time in Retry-After",
                );
                response.headers_mut().insert(RETRY_AFTER, seconds(wait));
                response
            }
            Self::TooSlow => plain(StatusCode::REQUEST_TIMEOUT, "timeout while reading the body"),
            Self::Away(error) => {
                AWAY.fails(DATABASE, &error);
                // Whether a commit was reached that nobody heard of is not known here.
                retry_later(plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "the server's database is unavailable; retry later",
                ))
            }
            Self::Fault(error) => {
                if let Some(times) = FAULTS.count(Instant::now()) {
                    tracing::error!(error, times, "requests answered with 500: internal error");
                }
                retry_later(plain(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal server error; retry later",
                ))
            }
        }
    }
}

/// While the database is away each request fails, and anybody may send as many as they like.
static AWAY: Outages = Outages::new("requests are answered with 503: the database is unavailable");
const DATABASE: &str = "database";
static FAULTS: LogLimit = LogLimit::new(Duration::from_secs(60));

/// The database has taken what was written: if it was away, that is over.
pub fn database_answers() {
    AWAY.ends(DATABASE);
}

fn problem_response(problem: &ProblemDocument) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let media_type = HeaderValue::from_static(ProblemDocument::MEDIA_TYPE);
    (status, [(CONTENT_TYPE, media_type)], body).into_response()
}

/// A problem of no type but its status (RFC 9457 §4.2.1).
fn plain(status: StatusCode, detail: &str) -> Response {
    problem_response(&ProblemDocument::untyped(status.as_u16(), detail))
}

fn retry_later(mut response: Response) -> Response {
    response.headers_mut().insert(RETRY_AFTER, seconds(Duration::from_secs(5)));
    response
}

fn seconds(duration: Duration) -> HeaderValue {
    HeaderValue::from(duration.as_secs().max(1))
}

/// Checks that the request's body claims to be the message that is expected.
pub fn expect_media_type(
    headers: &HeaderMap,
    expected: MediaType,
    task: &TaskId,
) -> Result<(), Failure> {
    // Of several lines nobody could tell which counts.
    let mut lines = headers.get_all(CONTENT_TYPE).iter();
    let only = lines.next().filter(|_| lines.next().is_none());
    let header = only.and_then(|value| value.to_str().ok()).unwrap_or("");
    expected
        .check(header)
        .map_err(|error| Failure::problem(ProblemType::InvalidMessage, Some(task), error))
}

/// Checks the request's bearer token (§3.5).
pub fn authenticate(headers: &HeaderMap, token: &TokenHash) -> Result<(), Failure> {
    let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
    if token.admits(header) { Ok(()) } else { Err(Failure::Unauthorized) }
}

/// Checks, where mutual TLS is asked for, that the peer showed its certificate.
pub fn certified(required: bool, client: Option<&PeerIdentity>) -> Result<(), Failure> {
    if !required || client.is_some_and(|client| client.certified) {
        Ok(())
    } else {
        Err(Failure::Uncertified)
    }
}

/// The variables of a request's path. One that is no text names no resource.
#[derive(Debug)]
pub struct InPath<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for InPath<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = Path::from_request_parts(parts, state).await;
        path.map(|Path(variables)| Self(variables)).map_err(|_| Failure::NotFound)
    }
}

/// Reads an identifier from a URL.
pub fn parse_id<T: std::str::FromStr>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(|_| Failure::NotFound)
}

/// Reads a task's ID from a URL.
pub fn parse_task_id(text: &str) -> Result<TaskId, Failure> {
    text.parse().map_err(|error: sottovoce_dap::ids::ParseIdError| {
        Failure::problem(ProblemType::UnrecognizedTask, None, error)
    })
}

/// A message as a response.
pub fn message(media_type: MediaType, body: impl Into<Body>) -> Response {
    let media_type =
        HeaderValue::try_from(media_type.to_string()).expect("a media type is a header value");
    (StatusCode::OK, [(CONTENT_TYPE, media_type)], body.into()).into_response()
}

/// Something of ours, not the draft's.
pub fn json(body: &impl serde::Serialize) -> Result<Response, Failure> {
    let body = serde_json::to_vec(body).map_err(Failure::fault)?;
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

/// "Not yet": an empty body, to be asked for again (§3.1).
pub fn pending(retry_after: Duration) -> Response {
    (StatusCode::OK, [(RETRY_AFTER, seconds(retry_after))]).into_response()
}

/// The same response with the place of the resource (§3.2).
pub fn located(mut response: Response, location: &str) -> Result<Response, Failure> {
    let value = HeaderValue::try_from(location).map_err(Failure::fault)?;
    response.headers_mut().insert(LOCATION, value);
    Ok(response)
}

/// The HPKE configurations, to be kept for `lifetime` (§4.4.1).
pub fn hpke_config_list(list: &HpkeConfigList, lifetime: Duration) -> Response {
    let mut response =
        message(MediaType::HpkeConfigList, sottovoce_dap::codec::Encode::to_bytes(list));
    let value = format!("max-age={}", lifetime.as_secs());
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(CACHE_CONTROL, value);
    }
    response
}

/// Runs blocking work (storage, cryptography) off the threads that serve connections.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce(Timestamp) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    blocking::spawn(move || work(clock::now())).await.map_err(Failure::fault)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(failure: Failure) -> (u16, bool) {
        let response = failure.into_response();
        (response.status().as_u16(), response.headers().contains_key(RETRY_AFTER))
    }

    #[test]
    fn a_database_that_does_not_answer_is_no_fault_and_says_when_to_come_back() {
        let full = StoreError::Unavailable { what: "database or disk is full".to_owned() };
        assert_eq!(answered(full.clone().into()), (503, true));
        assert_eq!(answered(TasksError::Store(full).into()), (503, true));
        let damaged = StoreError::Corrupt { what: "a segment".to_owned() };
        assert_eq!(answered(damaged.into()), (500, true));
    }

    #[test]
    fn who_has_too_many_collections_is_told_to_come_again() {
        assert_eq!(answered(StoreError::TooManyCollections.into()), (503, true));
    }
}
