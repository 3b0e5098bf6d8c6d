//! Statuses, the last error in words, and the wall that panics stop at.

use sottovoce_client::{engine::EngineError, storage::StorageError};
use sottovoce_program::ProgramError;
use std::{
    cell::RefCell,
    ffi::{CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// How a call ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SvStatus {
    /// Well.
    Ok = 0,
    /// An argument is null, not UTF-8, or not what it should be.
    Argument = 1,
    /// The program is not valid.
    Program = 2,
    /// The user has not agreed to take part.
    NoConsent = 3,
    /// The program does not ask this, or the answer is not one of its.
    NotAsked = 4,
    /// The clock is plainly wrong, or the program asks at another time.
    Clock = 5,
    /// Another process has the state.
    InUse = 6,
    /// The state cannot be stored or loaded.
    Storage = 7,
    /// The state is sealed with another key, or with one that was not given.
    Key = 8,
    /// The state belongs to another program.
    OtherProgram = 9,
    /// A report could not be made.
    Report = 10,
    /// Requests cannot be made from here.
    Network = 11,
    /// The library broke; open the engine again.
    Broken = 12,
    /// The program demands proofs that its tasks and the aggregators' keys are in both logs, and they are
    /// missing or do not hold.
    NotLogged = 13,
    /// The event is about another value of a public dimension than the device was assigned last.
    OtherAssignment = 14,
    /// The device has no value of a public dimension of the metric; `sv_assign` one first.
    Unassigned = 15,
}

/// A call that failed.
pub(crate) struct Failure {
    status: SvStatus,
    words: String,
}

impl Failure {
    pub(crate) fn argument(words: &str) -> Self {
        Self { status: SvStatus::Argument, words: words.to_owned() }
    }

    pub(crate) fn event(error: &serde_json::Error) -> Self {
        // The position and the key, never what was given.
        let words =
            format!("the event is not one: line {} column {}", error.line(), error.column());
        Self { status: SvStatus::Argument, words }
    }

    pub(crate) fn program(error: &ProgramError) -> Self {
        Self { status: SvStatus::Program, words: error.to_string() }
    }

    pub(crate) fn broken() -> Self {
        let words = "the engine broke in an earlier call; open it again".to_owned();
        Self { status: SvStatus::Broken, words }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let status = match &error {
            EngineError::NoConsent => SvStatus::NoConsent,
            EngineError::Clock { .. } | EngineError::NotRunning { .. } => SvStatus::Clock,
            EngineError::OtherProgram { .. } | EngineError::OtherTask { .. } => {
                SvStatus::OtherProgram
            }
            EngineError::Key(_) => SvStatus::Key,
            EngineError::NotLogged(_) => SvStatus::NotLogged,
            EngineError::OtherAssignment { .. } => SvStatus::OtherAssignment,
            EngineError::Unassigned { .. } => SvStatus::Unassigned,
            EngineError::Storage(StorageError::InUse { .. }) => SvStatus::InUse,
            EngineError::Blob(_) | EngineError::Storage(_) => SvStatus::Storage,
            EngineError::Report(_) | EngineError::Randomness(_) => SvStatus::Report,
            _ => SvStatus::NotAsked,
        };
        Self { status, words: error.to_string() }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        EngineError::from(error).into()
    }
}

#[cfg(feature = "courier")]
impl From<sottovoce_courier::CourierError> for Failure {
    fn from(error: sottovoce_courier::CourierError) -> Self {
        match error {
            sottovoce_courier::CourierError::Engine(error) => error.into(),
            other => Self { status: SvStatus::Network, words: other.to_string() },
        }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Why the last call on this thread that failed did so, in words; empty if none did. Lives until
/// the next call that fails on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn sv_last_error() -> *const c_char {
    LAST.with_borrow(|words| words.as_ptr())
}

/// Runs a call: failures become a status and words, and panics stop here.
pub(crate) fn guarded(call: impl FnOnce() -> Result<(), Failure>) -> SvStatus {
    let outcome = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(Failure::broken()));
    match outcome {
        Ok(()) => SvStatus::Ok,
        Err(Failure { status, words }) => {
            LAST.set(CString::new(words.replace('\0', " ")).unwrap_or_default());
            status
        }
    }
}
