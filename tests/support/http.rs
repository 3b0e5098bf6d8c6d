//! Raw HTTP, for requests that no well-behaved client would make.

use reqwest::{Method, header};
use sottovoce_dap::{
    exchange::resolve,
    media_type::MediaType,
    problem::{ProblemDocument, ProblemType},
};
use std::{sync::LazyLock, time::Duration};
use tokio::runtime::{Builder, Runtime};

/// Carries all requests of all stories, so that stories themselves need not be async.
pub(crate) static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap());

static CLIENT: LazyLock<reqwest::Client> = LazyLock::new(|| {
    reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .redirect(reqwest::redirect::Policy::none())
        // A kept connection to a server that was killed would fail the next request.
        .pool_max_idle_per_host(0)
        // A story's authority is nobody's. What servers must check of each other, they check.
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap()
});

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Ask {
    method: Method,
    url: String,
    media_type: Option<String>,
    token: Option<String>,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Ask {
    pub(crate) fn new(method: Method, url: &str) -> Self {
        Self {
            method,
            url: url.to_owned(),
            media_type: None,
            token: None,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn get(url: &str) -> Self {
        Self::new(Method::GET, url)
    }

    pub(crate) fn delete(url: &str) -> Self {
        Self::new(Method::DELETE, url)
    }

    pub(crate) fn post(url: &str, media_type: MediaType, body: Vec<u8>) -> Self {
        let media_type = Some(media_type.to_string());
        Self { media_type, body, ..Self::new(Method::POST, url) }
    }

    pub(crate) fn token(self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self }
    }

    pub(crate) fn media_type(self, media_type: &str) -> Self {
        Self { media_type: Some(media_type.to_owned()), ..self }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn body(self, body: Vec<u8>) -> Self {
        Self { body, ..self }
    }

    /// The response of a server that is known to be there.
    pub(crate) fn send(self) -> Answer {
        let what = format!("{} {}", self.method, self.url);
        self.try_send().unwrap_or_else(|error| panic!("{what}: {error:?}"))
    }

    /// The response, if the server lives long enough to give one.
    pub(crate) fn try_send(self) -> Result<Answer, reqwest::Error> {
        RUNTIME.block_on(self.send_async())
    }

    async fn send_async(self) -> Result<Answer, reqwest::Error> {
        let mut request = CLIENT.request(self.method, &self.url).body(self.body);
        if let Some(media_type) = self.media_type {
            request = request.header(header::CONTENT_TYPE, media_type);
        }
        if let Some(token) = self.token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        Ok(Answer { url: self.url, status, headers, body })
    }
}

/// A whole response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) url: String,
    pub(crate) status: u16,
    pub(crate) headers: header::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body of a success.
    pub(crate) fn ok(self) -> Vec<u8> {
        assert_eq!(self.status, 200, "{}", self.text());
        self.body
    }

    /// Where the resource is that was created.
    pub(crate) fn location(&self) -> String {
        resolve(&self.url, self.header("location").expect("a Location")).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem document of a refusal.
    pub(crate) fn problem(&self) -> ProblemDocument {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: ProblemDocument = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status, "{problem:?}");
        problem
    }

    /// Checks that this is a refusal of one of the draft's types.
    #[track_caller]
    pub(crate) fn refused_as(&self, kind: ProblemType) {
        assert_eq!(self.problem().kind(), Some(kind), "{} {}", self.status, self.text());
        assert_eq!(self.status, kind.status());
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
