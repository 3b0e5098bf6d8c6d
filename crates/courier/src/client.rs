//! A client that needs nothing else: the device's engine, its state in a file, the system's clock and HTTP.
//!
//! ```no_run
//! use sottovoce_courier::{Client, Event, Thumb};
//! use std::time::Duration;
//!
//! let mut client = Client::open("program.toml", "device.state")?;
//! println!("{}", client.explain());
//! client.give_consent()?; // after the user agreed to that
//! client.record(Event::answer("helpful", Thumb::Up).on("response 17"))?;
//! println!("{}", client.deliver_within(Duration::from_secs(60))?);
//! # Ok::<_, sottovoce_courier::client::ClientError>(())
//! ```
//!
//! An app calls [`Client::deliver`] in the background when [`Delivery::Pending`] says, or once a day.
//! [`Client::engine`] has the calls that are not repeated here; [`Client::new`] takes an engine that was opened
//! with a sealed state, a storage of the app's, or another program's state.

use super::{Courier, CourierError, Rounds, delivery::Delivery, unix_time};
use sottovoce_client::{
    engine::{Engine, EngineError, Found, Options, Recorded, Withdrawn},
    event::Event,
    storage::{FileStorage, Storage, StorageError},
};
use sottovoce_program::{Program, ProgramError};
use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use thiserror::Error;

/// A device that reports by itself. It blocks; call it from a thread that may.
#[derive(Debug)]
pub struct Client<S = FileStorage> {
    engine: Engine<S>,
    found: Found,
    courier: Courier,
}

/// What a client refuses. The device's state is as it was before the call.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The program is not valid, or cannot be read.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// The state's file cannot be used.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The HTTP client could not be set up, or the engine refused what it brought.
    #[error(transparent)]
    Courier(#[from] CourierError),
}

/// How long a server may take to answer a request.
const TIMEOUT: Duration = Duration::from_secs(30);

impl Client {
    /// Opens a program, byte for byte as all parties hold it, and this device's state, which is begun if there
    /// is none. `state` is the device's own file; only one client has it open at a time.
    ///
    /// A damaged state is kept aside ([`Client::found`] says where), and the device reports nothing until the next
    /// period of the budget.
    pub fn open(program: impl AsRef<Path>, state: impl AsRef<Path>) -> Result<Self, ClientError> {
        let program = Arc::new(Program::read(program.as_ref())?);
        let storage = FileStorage::open(state.as_ref())?;
        let (engine, found) = Engine::open(program, storage, Options::default(), unix_time())?;
        Ok(Self { engine, found, courier: Courier::new(TIMEOUT)? })
    }
}

impl<S: Storage> Client<S> {
    /// A client of an engine that the app opened with its own options, and of a courier.
    pub fn new((engine, found): (Engine<S>, Found), courier: Courier) -> Self {
        Self { engine, found, courier }
    }

    /// The user agreed to what [`explain`](Self::explain) says.
    pub fn give_consent(&mut self) -> Result<(), ClientError> {
        Ok(self.engine.give_consent(unix_time())?)
    }

    /// The user does not take part any more: what was not sent is deleted.
    pub fn withdraw_consent(&mut self) -> Result<(), ClientError> {
        Ok(self.engine.withdraw_consent(unix_time())?)
    }

    /// Records what a user said or did. It is durable when this returns.
    pub fn record(&mut self, event: Event) -> Result<Recorded, ClientError> {
        Ok(self.engine.record(event, unix_time())?)
    }

    /// Takes back the answer to a metric about a response, if it was not drawn yet.
    pub fn withdraw(&mut self, metric: &str, response: &str) -> Result<Withdrawn, ClientError> {
        Ok(self.engine.withdraw(metric, response, unix_time())?)
    }

    /// Sends what is due now, and says what became of it.
    pub fn deliver(&mut self) -> Result<Delivery, ClientError> {
        self.deliver_within(Duration::ZERO)
    }

    /// Sends what is due until nothing waits any more, for `patience` at most, and says what became of it.
    /// It returns early if the next report is due after that.
    pub fn deliver_within(&mut self, patience: Duration) -> Result<Delivery, ClientError> {
        let until = Instant::now().checked_add(patience);
        let left =
            || until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        self.deliver_by(&mut unix_time, &left, &mut std::thread::sleep)
    }

    /// What was found when the state was opened.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// What the app should show before it asks for consent, and whenever the user wants to know.
    pub fn explain(&self) -> String {
        self.engine.explain()
    }

    /// The engine, for all that it can do besides. Times are in seconds since the Epoch.
    pub fn engine(&mut self) -> &mut Engine<S> {
        &mut self.engine
    }

    /// The same by any clock: `left` is what is left of the patience, `sleep` lets it pass.
    fn deliver_by(
        &mut self,
        now: &mut dyn FnMut() -> u64,
        left: &dyn Fn() -> Duration,
        sleep: &mut dyn FnMut(Duration),
    ) -> Result<Delivery, ClientError> {
        let since = self.engine.unsettled_since().unwrap_or_else(&mut *now);
        loop {
            let Rounds { unanswered, again, .. } =
                self.courier.deliver_at(&mut self.engine, now)?;
            let history = self.engine.history(now())?;
            if !history.consent.is_given() {
                return Ok(Delivery::NoConsent);
            }
            if history.kept + history.waiting == 0 {
                return Ok(Delivery::settled(self.engine.reports_since(since)));
            }
            // Without a moment, there is more to do at once.
            let next = again.unwrap_or_else(&mut *now);
            let wait = Duration::from_secs(next.saturating_sub(now()));
            if wait >= left() {
                let reports = self.engine.reports_since(since);
                return Ok(Delivery::pending(reports, &history, unanswered, next));
            }
            sleep(wait);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Thumb;
    use sottovoce_client::{Fate, storage::MemoryStorage};
    use std::{cell::Cell, net::TcpListener};

    const DAY: u64 = 86_400;
    /// A window begins.
    const NOW: u64 = 20_780 * DAY;

    /// A client of a leader that does not listen.
    fn client() -> Client<MemoryStorage> {
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = format!(
            r#"
            name = "an-app"
            leader = "http://{nobody}/"
            helper = "https://helper.example/"
            collector = "AQAgAAEAAQAgBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc"
            window = "1 day"
            grace = "6 hours"
            min_batch_size = 5000
            [device]
            jitter = "0 seconds"
            [metrics.helpful]
            kind = "thumbs"
            question = "Did this answer help?"
            "#
        );
        let program = Arc::new(Program::parse("program.toml", &text).unwrap());
        let storage = MemoryStorage::default();
        let opened = Engine::open(program, storage, Options::default(), NOW).unwrap();
        Client::new(opened, Courier::new(TIMEOUT).unwrap())
    }

    fn client_with_an_answer() -> Client<MemoryStorage> {
        let mut client = client();
        client.engine().give_consent(NOW).unwrap();
        client.engine().record(Event::answer("helpful", Thumb::Up), NOW).unwrap();
        client
    }

    /// Delivers by a clock that only sleeping moves.
    fn deliver(client: &mut Client<MemoryStorage>, patience: u64) -> Delivery {
        let clock = Cell::new(NOW);
        let left = || Duration::from_secs((NOW + patience).saturating_sub(clock.get()));
        let mut sleep = |time: Duration| clock.set(clock.get() + time.as_secs());
        client.deliver_by(&mut || clock.get(), &left, &mut sleep).unwrap()
    }

    #[test]
    fn without_consent_nothing_is_sent_and_the_delivery_says_so() {
        let delivery = deliver(&mut client(), 10 * DAY);
        assert!(matches!(delivery, Delivery::NoConsent), "{delivery}");
    }

    #[test]
    fn an_answer_whose_window_is_not_over_when_patience_ends_is_pending() {
        let Delivery::Pending(pending) = deliver(&mut client_with_an_answer(), 60) else {
            panic!("its window is not over")
        };
        assert_eq!((pending.kept, pending.waiting), (1, 0));
        assert!(pending.unanswered.is_empty());
        assert_eq!(pending.next, NOW + DAY);
    }

    #[test]
    fn a_leader_that_does_not_answer_is_named_and_its_report_waits() {
        let delivery = deliver(&mut client_with_an_answer(), DAY + 60);
        let Delivery::Pending(pending) = &delivery else { panic!("{delivery}") };
        assert_eq!((pending.kept, pending.waiting), (0, 1));
        assert!(pending.reports.iter().all(|line| line.fate == Fate::Waiting), "{delivery}");
        let words = delivery.to_string();
        assert!(words.contains("No response: http://127.0.0.1:"), "{words}");
    }

    #[test]
    fn a_report_that_was_given_up_is_not_called_delivered() {
        let mut client = client_with_an_answer();
        let _ = deliver(&mut client, DAY + 60);
        client.engine().withdraw_consent(NOW + DAY + 60).unwrap();
        client.engine().give_consent(NOW + DAY + 60).unwrap();
        let reports = client.engine().reports_since(NOW);
        assert_eq!(reports[0].fate, Fate::Withdrawn);
        let delivery = Delivery::settled(reports);
        assert!(matches!(delivery, Delivery::NotDelivered(_)), "{delivery}");
        assert!(delivery.to_string().ends_with("Not all of it was delivered."), "{delivery}");
    }
}
