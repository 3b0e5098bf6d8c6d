//! Bodies of requests, as their connection sees them: on their way until all is there.

use super::activity::{Activity, Arriving};
use axum::body::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// A request's body.
pub(super) struct Asked {
    body: Incoming,
    arriving: Option<Arriving>,
}

impl Asked {
    /// Of a request on a connection.
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        let arriving = (!body.is_end_stream()).then(|| activity.arrive());
        Self { body, arriving }
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) || self.body.is_end_stream() {
            self.arriving = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
