//! Bodies of requests and of answers, as their connection sees them: on their way until all is there.

use super::activity::{Activity, Answering, Arriving};
use axum::body::{Body as AnyBody, Bytes};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

/// A request's body.
pub(super) struct RequestBody {
    body: Incoming,
    arriving: Option<Arriving>,
}

impl RequestBody {
    /// Of a request on a connection.
    pub(super) fn new(body: Incoming, activity: &Arc<Activity>) -> Self {
        let arriving = (!body.is_end_stream()).then(|| activity.arrive());
        Self { body, arriving }
    }
}

impl Body for RequestBody {
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

/// An answer's body: given out in pieces, so that no more than one of them is ahead of its reader, and
/// not over until the last of them is written.
pub(super) struct ResponseBody {
    body: AnyBody,
    /// What the body gave and is not given out yet.
    rest: Bytes,
    answering: Arc<Answering>,
}

/// A piece of an answer.
struct Piece {
    bytes: Bytes,
    _answering: Arc<Answering>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl ResponseBody {
    /// Of an answer on a connection that may be idle for so long: twice that, and what a slow line takes for so
    /// many bytes, is the time for all of it.
    pub(super) fn new(body: AnyBody, activity: &Arc<Activity>, idle: Duration) -> Self {
        let bytes = body.size_hint().upper().unwrap_or_default();
        let within = (idle * 2).saturating_add(Duration::from_secs(bytes / SLOW_LINE));
        let answering = Arc::new(activity.answer(within));
        Self { body, rest: Bytes::new(), answering }
    }

    fn piece(&mut self) -> Frame<Bytes> {
        self.answering.note();
        let bytes = self.rest.split_to(self.rest.len().min(PIECE));
        Frame::data(Bytes::from_owner(Piece { bytes, _answering: Arc::clone(&self.answering) }))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            let polled = Pin::new(&mut self.body).poll_frame(cx);
            let Poll::Ready(Some(Ok(frame))) = polled else { return polled };
            match frame.into_data() {
                Ok(bytes) => self.rest = bytes,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        Poll::Ready(Some(Ok(self.piece())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let (rest, of_body) = (self.rest.len() as u64, self.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(of_body.lower() + rest);
        if let Some(upper) = of_body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

const PIECE: usize = 64 << 10;
/// Bytes in a second of the slowest line that an answer is kept for.
const SLOW_LINE: u64 = 16 << 10;
