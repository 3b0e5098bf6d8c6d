//! Bodies of requests: read in bounded time, into bounded memory.

use crate::{
    aggregator::{config::limits::Limits, http::Failure},
    dap::problem::ProblemType,
};
use axum::body::Body;
use futures_core::Stream;
use std::{num::NonZero, pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Takes bodies in, and bounds what all of them together hold in memory.
#[derive(Clone, Debug)]
pub struct Intake {
    /// In kilobytes.
    room: Arc<Semaphore>,
    /// For work that keeps all cores busy.
    turns: Arc<Semaphore>,
    patience: Duration,
}

/// A body, and the room that it takes until it is dropped. The two travel together: into the work that
/// the body is for, which goes on when whoever asked has hung up.
#[derive(Debug)]
pub struct Taken {
    bytes: Vec<u8>,
    room: Room,
}

/// Room that is taken until this is dropped: held for as long as what was made of a body is in memory.
#[derive(Debug)]
pub struct Room {
    _permit: OwnedSemaphorePermit,
}

/// A turn at heavy work, over when this is dropped.
#[derive(Debug)]
pub struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Taken {
    /// The body.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The room alone, for what was made of the body.
    pub fn into_room(self) -> Room {
        self.room
    }
}

impl Intake {
    /// Room for the bodies that `limits` allow, but always for one of the longest.
    pub fn new(limits: &Limits) -> Self {
        let longest = limits.upload_bytes.max(limits.aggregation_job_bytes);
        let room = limits.waiting_bytes.max(longest).div_ceil(KILOBYTE) + 1;
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let turns = Arc::new(Semaphore::new(cores * TURNS_PER_CORE));
        Self { room, turns, patience: limits.request_time }
    }

    /// Reads a body of at most `limit` bytes, whatever length was declared. Room is taken as bytes
    /// arrive, never by what is declared.
    pub async fn read(&self, body: Body, limit: usize) -> Result<Taken, Failure> {
        let read = self.read_all(body, limit);
        tokio::time::timeout(self.patience, read).await.map_err(|_| Failure::TooSlow)?
    }

    /// Waits for a turn at work that keeps all cores busy. Whoever hangs up before it comes gives up its
    /// place; a turn that has come belongs to the work until that is done.
    pub async fn turn(&self) -> Result<Turn, Failure> {
        let permit = Arc::clone(&self.turns).acquire_owned().await;
        permit.map(|permit| Turn { _permit: permit }).map_err(Failure::fault)
    }

    /// Room for so many bytes of ours, such as an answer that a slow reader takes its time for.
    pub fn room(&self, bytes: usize) -> Result<Room, Failure> {
        self.take(bytes.div_ceil(KILOBYTE).max(1)).map(|permit| Room { _permit: permit })
    }

    async fn read_all(&self, body: Body, limit: usize) -> Result<Taken, Failure> {
        let (mut bytes, mut room) = (Vec::new(), self.take(1)?);
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = std::future::poll_fn(|cx| Pin::new(&mut chunks).poll_next(cx)).await
        {
            let chunk = chunk.map_err(|_| {
                let detail = "the body ended before its declared length";
                Failure::problem(ProblemType::InvalidMessage, None, detail)
            })?;
            let len = bytes.len() + chunk.len();
            if len > limit {
                return Err(Failure::TooLarge { limit });
            }
            let needed = len.div_ceil(KILOBYTE).saturating_sub(room.num_permits());
            room.merge(self.take(needed)?);
            bytes.extend_from_slice(&chunk);
        }
        Ok(Taken { bytes, room: Room { _permit: room } })
    }

    fn take(&self, kilobytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let permits = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| Failure::Busy)
    }
}

const KILOBYTE: usize = 1024;
/// Enough to have one verify while another commits.
const TURNS_PER_CORE: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregator::http::blocking;

    /// A body that never comes.
    struct Never;
    impl Stream for Never {
        type Item = Result<Vec<u8>, std::io::Error>;
        fn poll_next(
            self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Self::Item>> {
            std::task::Poll::Pending
        }
    }

    fn intake(kilobytes: usize) -> Intake {
        Intake::new(&Limits {
            upload_bytes: 1024,
            aggregation_job_bytes: 1024,
            waiting_bytes: kilobytes << 10,
            request_time: Duration::from_millis(10),
            ..Limits::default()
        })
    }

    #[tokio::test]
    async fn bodies_share_the_room_and_give_it_back() {
        let intake = intake(7);
        let read = || intake.read(Body::from(vec![0; 3 << 10]), 4 << 10);
        let (one, other) = (read().await.unwrap(), read().await.unwrap());
        assert!(matches!(read().await, Err(Failure::Busy)));
        drop((one, other));
        assert_eq!(read().await.unwrap().bytes().len(), 3 << 10);
    }

    #[tokio::test]
    async fn room_is_taken_until_the_work_is_done_though_nobody_waits_for_it() {
        let intake = intake(7);
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let body = intake.read(Body::from(vec![0; 5 << 10]), 6 << 10).await.unwrap();
        let (begin, begun) = tokio::sync::oneshot::channel();
        let asked = tokio::spawn(blocking(move |_| {
            let _ = begin.send(());
            // Ends when told, or when the test fails.
            let _ = wait.recv();
            Ok(body.bytes().len())
        }));
        // What never began may be given up, so it must have begun.
        begun.await.unwrap();
        asked.abort();
        let _ = asked.await;
        assert!(matches!(intake.room(5 << 10), Err(Failure::Busy)));
        drop(go);
        while intake.room(5 << 10).is_err() {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn turns_are_few_and_one_that_is_given_up_is_anothers() {
        let intake = intake(7);
        let mut taken = Vec::new();
        for _ in 0..intake.turns.available_permits() {
            taken.push(intake.turn().await.unwrap());
        }
        let mut next = Box::pin(intake.turn());
        let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(next.as_mut().poll(cx)));
        assert!(waits.await.is_pending());
        drop(next);
        taken.pop();
        assert!(intake.turn().await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_or_never_ends_is_refused() {
        let intake = intake(64);
        let long = intake.read(Body::from(vec![0; 5 << 10]), 4 << 10).await;
        assert!(matches!(long, Err(Failure::TooLarge { limit: 4096 })));
        let slow = intake.read(Body::from_stream(Never), 4 << 10).await;
        assert!(matches!(slow, Err(Failure::TooSlow)));
    }
}
