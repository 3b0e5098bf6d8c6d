//! The caller's next step as plain data: save, send, wait, or nothing.

use sottovoce_client::device::{self, Aside};
use sottovoce_dap::exchange::{self, Method};
use std::fmt;

/// What the caller does now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Make this durable, then call `saved`; if that fails, call `not_saved`.
    Save(Save),
    /// Send this, and pass what came back to `answered`.
    Send(Request),
    /// Call `next` again at this moment, in seconds since the Epoch.
    Wait {
        /// When.
        until: u64,
    },
    /// Nothing to do until the user consents.
    Idle,
}

/// What is made durable: first what `aside` says, then the blob, in one step.
///
/// Saves are written in the order of their versions; one that was given up must not reach storage after a later one.
#[derive(Clone, PartialEq, Eq)]
pub struct Save {
    /// To be named to `saved`.
    pub version: u64,
    /// What happens to copies beside the blob.
    pub aside: Aside,
    /// Replaces the blob; with none, the blob is removed.
    pub blob: Option<Vec<u8>>,
}

/// Says how long the blob is, and nothing of what is in it.
impl fmt::Debug for Save {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, aside, blob } = self;
        let bytes = blob.as_ref().map(Vec::len);
        let mut save = f.debug_struct("Save");
        save.field("version", version).field("aside", aside).field("bytes", &bytes).finish()
    }
}

/// A request to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// To be named to `answered`.
    pub id: u64,
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// The absolute URL.
    pub url: String,
    /// `Content-Type`, if there is a body.
    pub content_type: Option<String>,
    /// The body.
    pub body: Vec<u8>,
    /// The longest response in bytes that makes sense; read no more.
    pub max_response_len: usize,
}

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// The header `Content-Type`.
    pub content_type: Option<String>,
    /// The header `Retry-After`.
    pub retry_after: Option<String>,
    /// The header `Cache-Control`.
    pub cache_control: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

impl From<device::Next> for Next {
    fn from(next: device::Next) -> Self {
        match next {
            device::Next::Save(save) => Self::Save(save.into()),
            device::Next::Send(request) => Self::Send(request.into()),
            device::Next::Wait { until } => Self::Wait { until },
            device::Next::Idle => Self::Idle,
        }
    }
}

impl From<device::Save> for Save {
    fn from(save: device::Save) -> Self {
        Self { version: save.version.0, aside: save.aside, blob: save.blob }
    }
}

impl From<device::Request> for Request {
    fn from(request: device::Request) -> Self {
        let device::Request { id, http, max_response_len } = request;
        Self {
            id: id.0,
            method: match http.method {
                Method::Get => "GET",
                Method::Post => "POST",
                Method::Delete => "DELETE",
            },
            url: http.url,
            content_type: http.media_type.map(|media_type| media_type.to_string()),
            body: http.body,
            max_response_len,
        }
    }
}

impl From<Response> for exchange::Response {
    fn from(response: Response) -> Self {
        let Response { status, content_type, retry_after, cache_control, body } = response;
        Self { status, content_type, retry_after, cache_control, body, ..Self::default() }
    }
}
