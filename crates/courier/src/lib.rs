//! Sends the requests of a device over HTTP: for apps without a network stack of their own. It blocks; call it
//! from a thread that may.
//!
//! [`Client`] is all that an app needs: the engine with its state in a file, the system's clock and HTTP.
//! [`Courier`] is HTTP alone, for an engine that the app drives. [`uploader`] sends reports that were made without
//! an engine.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod client;
pub mod delivery;
pub mod uploader;

pub use client::Client;
pub use delivery::Delivery;
pub use sottovoce_client::event::Event;
pub use sottovoce_program::answer::{Given, Outcome, Thumb};
pub use sottovoce_transport::authority;

use sottovoce_client::{
    engine::{Arrived, Engine, EngineError, Request, RequestId, Step},
    storage::Storage,
};
use sottovoce_dap::exchange::Response;
use sottovoce_transport::{
    authority::Authority,
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

/// The system's clock, in seconds since the Epoch.
fn unix_time() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}

impl Courier {
    /// A courier that gives up on a request after `timeout`.
    pub fn new(timeout: Duration) -> Result<Self, CourierError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { http: HttpClient::new(timeout)?, runtime })
    }

    /// Likewise, trusting a private authority besides those of the system.
    pub fn trusting(timeout: Duration, authority: &Authority) -> Result<Self, CourierError> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { http: HttpClient::trusting(timeout, Some(authority))?, runtime })
    }

    /// Carries what is due now, by the system's clock.
    pub fn deliver(&self, engine: &mut impl Sender) -> Result<Rounds, CourierError> {
        self.deliver_at(engine, &mut unix_time)
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
