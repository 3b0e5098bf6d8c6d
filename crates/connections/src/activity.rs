//! Activity of a connection, so that idle ones can be closed.

use std::{
    collections::BTreeMap,
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::{Instant, sleep_until},
};

/// What happens on one connection, as its slot sees it.
#[derive(Debug)]
pub struct Activity {
    state: Mutex<State>,
    evicted: Notify,
}

#[derive(Debug)]
struct State {
    /// Requests that are worked on.
    working: usize,
    /// Of those, requests whose bodies are still on their way.
    arriving: usize,
    /// When anything last happened.
    last: Instant,
    /// Answers that are not taken yet, by their numbers.
    answers: BTreeMap<u64, Untaken>,
    next: u64,
}

/// Whose requests come over one connection at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    /// Those of one client, or of one client after the other.
    ByNobody,
    /// Those of many clients: a proxy's streams.
    ByMany,
}

/// An answer of which the client has yet to take something.
#[derive(Debug)]
struct Untaken {
    /// When it last took some.
    last: Instant,
    /// When it must have all of it.
    by: Instant,
}

impl Activity {
    /// Of a connection that begins now.
    pub(super) fn begin() -> Self {
        let last = Instant::now();
        let state = State { working: 0, arriving: 0, last, answers: BTreeMap::new(), next: 0 };
        Self { state: Mutex::new(state), evicted: Notify::new() }
    }

    /// A request is worked on until what is returned is dropped.
    pub fn work(self: &Arc<Self>) -> Working {
        self.note(|state| state.working += 1);
        Working(Arc::clone(self))
    }

    /// A request's body is on its way until what is returned is dropped.
    pub(super) fn arrive(self: &Arc<Self>) -> Arriving {
        self.note(|state| state.arriving += 1);
        Arriving(Arc::clone(self))
    }

    /// An answer is to be taken within so long, until what is returned is dropped.
    pub(super) fn answer(self: &Arc<Self>, within: Duration) -> Answering {
        let mut state = self.state();
        let (number, last) = (state.next, Instant::now());
        state.next += 1;
        state.answers.insert(number, Untaken { last, by: last + within });
        drop(state);
        Answering { activity: Arc::clone(self), number }
    }

    /// When anything last happened, unless a request is worked on.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.working == 0).then_some(state.last)
    }

    /// When anything last happened, unless a request is worked on whose body is there: the client keeps
    /// us waiting.
    pub(super) fn waiting_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.working <= state.arriving).then_some(state.last)
    }

    /// Ends the connection, for another.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Returns when the connection is to end for another.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }

    /// Returns when nothing has happened for so long, or an answer was not taken in time, or nothing of it
    /// for so long. What one of many clients does not take ends nobody else's requests.
    pub(super) async fn idle(&self, long: Duration, shared: Shared) {
        loop {
            let since = self.idle_since().unwrap_or_else(Instant::now);
            let untaken = self.untaken(long).filter(|_| shared == Shared::ByNobody);
            let over = untaken.map_or(since + long, |untaken| untaken.min(since + long));
            if over <= Instant::now() {
                return;
            }
            // Not longer than that: no answer that comes meanwhile is over before.
            sleep_until(over).await;
        }
    }

    /// When the first answer is over, of which something must be taken within so long.
    fn untaken(&self, long: Duration) -> Option<Instant> {
        self.state().answers.values().map(|answer| answer.by.min(answer.last + long)).min()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        state.last = Instant::now();
        change(&mut state);
    }
}

/// A request that is worked on.
#[derive(Debug)]
pub struct Working(Arc<Activity>);

impl Drop for Working {
    fn drop(&mut self) {
        self.0.note(|state| state.working -= 1);
    }
}

/// A request whose body is on its way.
#[derive(Debug)]
pub(super) struct Arriving(Arc<Activity>);

impl Drop for Arriving {
    fn drop(&mut self) {
        self.0.note(|state| state.arriving -= 1);
    }
}

/// An answer that the client has yet to take all of.
#[derive(Debug)]
pub(super) struct Answering {
    activity: Arc<Activity>,
    number: u64,
}

impl Answering {
    /// The client takes some of it.
    pub(super) fn note(&self) {
        self.activity.note(|state| {
            if let Some(answer) = state.answers.get_mut(&self.number) {
                answer.last = state.last;
            }
        });
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.activity.state().answers.remove(&self.number);
    }
}

/// A stream on which bytes that the client takes are activity.
#[derive(Debug)]
pub(super) struct Active<S> {
    stream: S,
    activity: Arc<Activity>,
}

impl<S> Active<S> {
    /// Around a stream.
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self { stream, activity }
    }

    fn noted(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if matches!(written, Poll::Ready(Ok(1..))) {
            self.activity.note(|_| ());
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Active<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Active<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.noted(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.noted(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_worked_on_is_not_idle_however_long_it_takes() {
        let activity = Arc::new(Activity::begin());
        let (began, working) = (Instant::now(), activity.work());
        let idle = tokio::spawn({
            let activity = Arc::clone(&activity);
            async move { activity.idle(LONG, Shared::ByNobody).await }
        });
        tokio::time::sleep(10 * LONG).await;
        assert!(!idle.is_finished() && activity.idle_since().is_none());
        drop(working);
        idle.await.unwrap();
        assert!(began.elapsed() >= 11 * LONG && began.elapsed() <= 12 * LONG);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_taken_bit_by_bit_and_in_time_whatever_else_happens() {
        let activity = Arc::new(Activity::begin());
        let ended = |each: Option<Duration>, else_happens: bool| {
            let (activity, began) = (Arc::clone(&activity), Instant::now());
            async move {
                let (working, answer) = (activity.work(), activity.answer(3 * LONG));
                let _working = else_happens.then_some(working);
                let taken = async {
                    loop {
                        tokio::time::sleep(each.unwrap_or(10 * LONG)).await;
                        answer.note();
                    }
                };
                tokio::select! {
                    () = activity.idle(LONG, Shared::ByNobody) => began.elapsed(),
                    () = taken => unreachable!("it never ends"),
                }
            }
        };
        for else_happens in [true, false] {
            assert_eq!(ended(None, else_happens).await.as_secs(), 60);
            assert_eq!(ended(Some(LONG / 4), else_happens).await.as_secs(), 180);
        }
        assert!(activity.state().answers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_takes_is_activity_and_what_it_leaves_is_none() {
        let activity = Arc::new(Activity::begin());
        let (ours, _theirs) = tokio::io::duplex(8);
        let mut stream = Active::new(ours, Arc::clone(&activity));
        tokio::time::sleep(LONG / 2).await;
        stream.write_all(&[0; 8]).await.unwrap();
        let last = activity.idle_since().unwrap();
        assert_eq!(last, Instant::now());
        let stuck = tokio::time::timeout(LONG / 2, stream.write_all(&[0])).await;
        assert!(stuck.is_err());
        assert_eq!(activity.idle_since().unwrap(), last);
    }
}
