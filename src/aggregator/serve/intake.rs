//! Bodies of requests: read in bounded time, into bounded memory.

use crate::{
    aggregator::{config::limits::Limits, http::Failure},
    dap::problem::ProblemType,
};
use axum::body::Body;
use futures_core::Stream;
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Takes bodies in, and bounds what all of them together hold in memory.
#[derive(Clone, Debug)]
pub struct Intake {
    /// In kilobytes.
    room: Arc<Semaphore>,
    patience: Duration,
}

/// A body, and the room that it takes until it is dropped.
#[derive(Debug)]
pub struct Taken {
    /// The body.
    pub bytes: Vec<u8>,
    /// Held for as long as what was made of the body is in memory.
    pub room: OwnedSemaphorePermit,
}

impl Intake {
    /// Room for the bodies that `limits` allow, but always for one of the longest.
    pub fn new(limits: &Limits) -> Self {
        let longest = limits.upload_bytes.max(limits.aggregation_job_bytes);
        let room = limits.waiting_bytes.max(longest).div_ceil(KILOBYTE) + 1;
        let room = Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS)));
        Self { room, patience: limits.request_time }
    }

    /// Reads a body of at most `limit` bytes, whatever length was declared. Room is taken as bytes
    /// arrive, never by what is declared.
    pub async fn read(&self, body: Body, limit: usize) -> Result<Taken, Failure> {
        let read = self.read_all(body, limit);
        tokio::time::timeout(self.patience, read).await.map_err(|_| Failure::TooSlow)?
    }

    async fn read_all(&self, body: Body, limit: usize) -> Result<Taken, Failure> {
        let mut taken = Taken { bytes: Vec::new(), room: self.take(1)? };
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = std::future::poll_fn(|cx| Pin::new(&mut chunks).poll_next(cx)).await
        {
            let chunk = chunk.map_err(|_| {
                let detail = "the body ended before its declared length";
                Failure::problem(ProblemType::InvalidMessage, None, detail)
            })?;
            let len = taken.bytes.len() + chunk.len();
            if len > limit {
                return Err(Failure::TooLarge { limit });
            }
            let needed = len.div_ceil(KILOBYTE).saturating_sub(taken.room.num_permits());
            taken.room.merge(self.take(needed)?);
            taken.bytes.extend_from_slice(&chunk);
        }
        Ok(taken)
    }

    fn take(&self, kilobytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let permits = u32::try_from(kilobytes).unwrap_or(u32::MAX);
        Arc::clone(&self.room).try_acquire_many_owned(permits).map_err(|_| Failure::Busy)
    }
}

const KILOBYTE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(read().await.unwrap().bytes.len(), 3 << 10);
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
