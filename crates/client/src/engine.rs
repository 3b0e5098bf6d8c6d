//! A device with its storage: for programs in Rust that may block.
//!
//! It is [`Device`], the state machine, with every change stored before a call returns. After an error nothing
//! has changed. [`Engine::next`] says what to send and to whom; [`Engine::answered`] takes what came of it. See
//! [`device`](super::device) for what the calls promise.

pub use super::device::{
    Arrived, Comment, DeviceError, ErrorKind, History, Holds, Line, Options, Recorded, Request,
    RequestId, Withdrawn,
};

use super::{
    consent::Consent,
    device::{Aside, Device, Next, Save},
    event::Event,
    personal::{
        asking::{Decision, Moment},
        profile::{Leaning, Traits},
        score::Score,
        triage::Sorted,
    },
    storage::{Storage, StorageError},
};
use sottovoce_dap::task::TaskConfiguration;
use sottovoce_program::{Program, answer::Outcome};
use std::sync::Arc;
use thiserror::Error;

/// One device's engine for one program.
#[derive(Debug)]
pub struct Engine<S> {
    pub(super) device: Device,
    pub(super) storage: S,
}

/// What an engine found when it was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the device is new, or its state was erased.
    Nothing,
    /// Its state.
    State,
    /// The state of another program, which was adopted.
    Adopted,
    /// Something that is not read. It is kept aside, and since nobody knows what was spent, the
    /// device is silent until the next period of the budget, or the next window without one.
    SetAside {
        /// Where it is kept.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What the app should do now.
#[derive(Debug)]
pub enum Step {
    /// Send this, and tell [`Engine::answered`] what came back.
    Send(Request),
    /// Call again at this moment, in seconds since the Epoch. What is recorded in the meantime changes nothing
    /// about it: an app that calls after each event shows by when it calls that there was one.
    Wait {
        /// When.
        until: u64,
    },
    /// There is nothing to do until the user agrees to take part.
    Idle,
}

/// What an engine refuses. Its state is as it was before the call.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The device refuses.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The state could not be stored or loaded.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl<S: Storage> Engine<S> {
    /// Opens the state of a device, or begins one. `now` is in seconds since the Epoch, here and
    /// everywhere.
    pub fn open(
        program: Arc<Program>,
        mut storage: S,
        options: Options,
        now: u64,
    ) -> Result<(Self, Found), EngineError> {
        let blob = storage.load()?;
        let (mut device, found) = Device::open(program, blob.as_deref(), options, now)?;
        let place = store(&mut device, &mut storage)?;
        let found = match found {
            super::device::Found::Nothing => Found::Nothing,
            super::device::Found::State => Found::State,
            super::device::Found::Adopted => Found::Adopted,
            super::device::Found::Unreadable { reason } => {
                Found::SetAside { place: place.unwrap_or_default(), reason }
            }
        };
        Ok((Self { device, storage }, found))
    }

    /// See [`Device::prove`].
    pub fn prove(&mut self, proofs: &str) -> Result<(), EngineError> {
        Ok(self.device.prove(proofs)?)
    }

    /// Whether the user agreed.
    pub fn consent(&self) -> Consent {
        self.device.consent()
    }

    /// See [`Device::give_consent`].
    pub fn give_consent(&mut self, now: u64) -> Result<(), EngineError> {
        self.change(|device| device.give_consent(now))
    }

    /// See [`Device::withdraw_consent`].
    pub fn withdraw_consent(&mut self, now: u64) -> Result<(), EngineError> {
        self.change(|device| device.withdraw_consent(now))
    }

    /// See [`Device::assign`].
    pub fn assign(&mut self, dimension: &str, value: &str, now: u64) -> Result<Holds, EngineError> {
        self.change(|device| device.assign(dimension, value, now))
    }

    /// Records what a user said or did. It is durable when this returns; after an error it is not
    /// recorded, and all that was before is as it was. See [`Device::record`].
    pub fn record(&mut self, event: Event, now: u64) -> Result<Recorded, EngineError> {
        self.change(|device| device.record(event, now))
    }

    /// See [`Device::withdraw`].
    pub fn withdraw(
        &mut self,
        metric: &str,
        response: &str,
        now: u64,
    ) -> Result<Withdrawn, EngineError> {
        self.change(|device| device.withdraw(metric, response, now))
    }

    /// See [`Device::forget`].
    pub fn forget(&mut self, now: u64) -> Result<(), EngineError> {
        self.change(|device| device.forget(now))
    }

    /// See [`Device::decide`].
    pub fn decide(&mut self, moment: &Moment, now: u64) -> Result<Decision, EngineError> {
        self.change(|device| device.decide(moment, now))
    }

    /// See [`Device::not_shown`].
    pub fn not_shown(&mut self, now: u64) -> Result<(), EngineError> {
        self.change(|device| device.not_shown(now))
    }

    /// See [`Device::preferred`].
    pub fn preferred(
        &mut self,
        left: &Traits,
        right: &Traits,
        outcome: Outcome,
        now: u64,
    ) -> Result<(), EngineError> {
        self.change(|device| device.preferred(left, right, outcome, now))
    }

    /// See [`Device::set_leaning`].
    pub fn set_leaning(
        &mut self,
        aspect: &str,
        value: Option<f64>,
        now: u64,
    ) -> Result<(), EngineError> {
        self.change(|device| device.set_leaning(aspect, value, now))
    }

    /// See [`Device::triage`].
    pub fn triage(&mut self, comment: &Comment, now: u64) -> Result<Option<Sorted>, EngineError> {
        self.change(|device| device.triage(comment, now))
    }

    /// What to do now: closes what is over, seals what is due, stores it, and says what to send. See
    /// [`Device::next`].
    pub fn next(&mut self, now: u64) -> Result<Step, EngineError> {
        next(&mut self.device, &mut self.storage, now)
    }

    /// What came of a request. `now` is when it came. See [`Device::answered`].
    pub fn answered(
        &mut self,
        id: RequestId,
        arrived: Arrived,
        now: u64,
    ) -> Result<(), EngineError> {
        self.change(|device| device.answered(id, arrived, now))
    }

    /// See [`Device::history`].
    pub fn history(&self, now: u64) -> Result<History, EngineError> {
        Ok(self.device.history(now)?)
    }

    /// See [`Device::unsettled_since`].
    pub fn unsettled_since(&self) -> Option<u64> {
        self.device.unsettled_since()
    }

    /// See [`Device::reports_since`].
    pub fn reports_since(&self, moment: u64) -> Vec<Line> {
        self.device.reports_since(moment)
    }

    /// See [`Device::next_window`].
    pub fn next_window(&self) -> Option<(u64, u64)> {
        self.device.next_window()
    }

    /// See [`Device::leanings`].
    pub fn leanings(&self, now: u64) -> Vec<Leaning> {
        self.device.leanings(now)
    }

    /// See [`Device::score`].
    pub fn score(
        &self,
        metric: &str,
        response: &str,
        now: u64,
    ) -> Result<Option<Score>, EngineError> {
        Ok(self.device.score(metric, response, now)?)
    }

    /// See [`Device::is_held_out`].
    pub fn is_held_out(&self, dimension: &str) -> Option<bool> {
        self.device.is_held_out(dimension)
    }

    /// See [`Device::check_task`].
    pub fn check_task(
        &self,
        task: &str,
        configuration: &TaskConfiguration,
    ) -> Result<(), EngineError> {
        Ok(self.device.check_task(task, configuration)?)
    }

    /// What the app should show before it asks for consent, and whenever the user wants to know.
    pub fn explain(&self) -> String {
        self.device.explain()
    }

    /// The program.
    pub fn program(&self) -> &Program {
        self.device.program()
    }

    /// The storage.
    pub fn storage(&self) -> &S {
        &self.storage
    }

    /// Makes a change, and stores it before anything else happens. If either fails, nothing has changed.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Device) -> Result<T, DeviceError>,
    ) -> Result<T, EngineError> {
        let done = change(&mut self.device)?;
        store(&mut self.device, &mut self.storage)?;
        Ok(done)
    }
}

/// Stores all of a device's memory, as far as that is not done. Says where a blob that could not be read was put.
/// After an error, memory is what was stored last.
pub fn store<S: Storage + ?Sized>(
    device: &mut Device,
    storage: &mut S,
) -> Result<Option<String>, EngineError> {
    let mut place = None;
    while let Some(save) = device.to_save()? {
        place = store_one(device, storage, &save)?.or(place);
    }
    Ok(place)
}

/// What to do now, with all saves done on the way: [`Engine::next`] for a device and a storage that are apart.
pub fn next<S: Storage + ?Sized>(
    device: &mut Device,
    storage: &mut S,
    now: u64,
) -> Result<Step, EngineError> {
    loop {
        match device.next(now)? {
            Next::Save(save) => {
                store_one(device, storage, &save)?;
            }
            Next::Send(request) => return Ok(Step::Send(request)),
            Next::Wait { until } => return Ok(Step::Wait { until }),
            Next::Idle => return Ok(Step::Idle),
        }
    }
}

fn store_one<S: Storage + ?Sized>(
    device: &mut Device,
    storage: &mut S,
    save: &Save,
) -> Result<Option<String>, EngineError> {
    match put(storage, save) {
        Ok(place) => {
            device.saved(save.version)?;
            Ok(place)
        }
        Err(error) => {
            device.not_saved();
            Err(error.into())
        }
    }
}

fn put<S: Storage + ?Sized>(storage: &mut S, save: &Save) -> Result<Option<String>, StorageError> {
    let place = match save.aside {
        Aside::Leave => None,
        Aside::Keep => Some(storage.set_aside()?),
        Aside::Discard => {
            storage.discard_aside()?;
            None
        }
    };
    match &save.blob {
        Some(blob) => storage.store(blob)?,
        None => storage.erase()?,
    }
    Ok(place)
}
