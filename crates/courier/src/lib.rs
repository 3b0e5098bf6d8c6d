//! Carries an engine's requests over HTTP and waits for the answers: for apps without a network
//! stack of their own choice. It blocks; call it from a thread that may.
//!
//! ```no_run
//! use sottovoce_client::{engine::Engine, storage::FileStorage};
//! use sottovoce_courier::Courier;
//! use std::time::Duration;
//!
//! fn deliver(engine: &mut Engine<FileStorage>) -> Result<(), Box<dyn std::error::Error>> {
//!     let rounds = Courier::new(Duration::from_secs(30))?.deliver(engine)?;
//!     println!("come again at {:?}", rounds.again);
//!     Ok(())
//! }
//! ```
//!
//! [`uploader`] is the level below: it sends reports that were made without an engine.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod uploader;

use sottovoce_client::{
    engine::{Arrived, Engine, EngineError, Request, RequestId, Step},
    storage::Storage,
};
use sottovoce_dap::exchange::Response;
use sottovoce_transport::{
    error::TransportError,
    http::{HttpClient, SetupError},
};
use std::{
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use thiserror::Error;
use tokio::runtime::{Builder, Runtime};

/// Sends what engines hand out.
#[derive(Debug)]
pub struct Courier {
    http: HttpClient,
    runtime: Runtime,
}

/// A courier that cannot set out, or an engine that has nothing for it.
#[derive(Debug, Error)]
pub enum CourierError {
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The system gives no I/O.
    #[error("the HTTP client cannot be started: {0}")]
    Runtime(#[from] io::Error),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// What a courier did.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Requests that were answered, whatever the answer.
    pub answered: u32,
    /// Requests without an answer, and why there was none.
    pub unanswered: Vec<TransportError>,
    /// When to come again, in seconds since the Epoch; never, if nobody takes part.
    pub again: Option<u64>,
}

/// What hands out requests and takes their answers: an engine, or what a binding makes of a device and a storage.
pub trait Sender {
    /// What to do now; all saves are done.
    fn next(&mut self, now: u64) -> Result<Step, EngineError>;

    /// What came of a request.
    fn answered(&mut self, id: RequestId, arrived: Arrived, now: u64) -> Result<(), EngineError>;
}

impl<S: Storage> Sender for Engine<S> {
    fn next(&mut self, now: u64) -> Result<Step, EngineError> {
        Engine::next(self, now)
    }

    fn answered(&mut self, id: RequestId, arrived: Arrived, now: u64) -> Result<(), EngineError> {
        Engine::answered(self, id, arrived, now)
    }
}

/// An engine that is due for more requests than this is asked again later.
const MOST_REQUESTS: u32 = 100;

impl Courier {
    /// A courier that gives up on a request after `timeout`.
    pub fn new(timeout: Duration) -> Result<Self, CourierError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { http: HttpClient::new(timeout)?, runtime })
    }

    /// Carries what is due now, by the system's clock.
    pub fn deliver(&self, engine: &mut impl Sender) -> Result<Rounds, CourierError> {
        self.deliver_at(engine, &mut || {
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
        })
    }

    /// Carries what is due by a clock of the caller's, in seconds since the Epoch.
    pub fn deliver_at(
        &self,
        engine: &mut impl Sender,
        now: &mut dyn FnMut() -> u64,
    ) -> Result<Rounds, CourierError> {
        let mut rounds = Rounds::default();
        for _ in 0..MOST_REQUESTS {
            let request = match engine.next(now())? {
                Step::Send(request) => request,
                Step::Wait { until } => {
                    rounds.again = Some(until);
                    break;
                }
                Step::Idle => break,
            };
            let id = request.id;
            let arrived = match self.carry(request) {
                Ok(response) => {
                    rounds.answered += 1;
                    Arrived::Response(response)
                }
                Err(error) => {
                    rounds.unanswered.push(error);
                    Arrived::Nothing
                }
            };
            engine.answered(id, arrived, now())?;
        }
        Ok(rounds)
    }

    fn carry(&self, request: Request) -> Result<Response, TransportError> {
        self.runtime.block_on(self.http.send(request.http, None, request.max_response_len))
    }
}
