//! Status codes, the last error as text and as JSON, and the boundary that catches panics.

use serde::Serialize;
use sottovoce_bindings::{self as bindings, ErrorKind, Field, Kind};
use sottovoce_client::{engine::EngineError, storage::StorageError};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    ffi::{CString, c_char},
    panic::{AssertUnwindSafe, catch_unwind},
};

/// How a call ended.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SvStatus {
    /// Well.
    Ok = 0,
    /// An argument is NULL, not UTF-8, or not what it should be.
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
    /// The library panicked; close the engine and open it again.
    Broken = 12,
    /// The program demands proofs that its tasks and the aggregators' keys are in both logs, and they are
    /// missing or do not hold.
    NotLogged = 13,
    /// The event is about another value of a public dimension than the device was assigned last.
    OtherAssignment = 14,
    /// The device has no value of a public dimension of the metric; `sv_assign` one first.
    Unassigned = 15,
    /// A save or a request that the engine is not waiting for; nothing is changed.
    OutOfTurn = 16,
}

/// A call that failed.
pub(crate) struct Failure {
    status: SvStatus,
    error: Error,
}

impl Failure {
    pub(crate) fn argument(message: &str) -> Self {
        Self::new(SvStatus::Argument, "argument", message)
    }

    pub(crate) fn null(name: &str) -> Self {
        Self::argument(&format!("`{name}` must not be NULL"))
    }

    pub(crate) fn broken() -> Self {
        let message = "the engine panicked in an earlier call; close it and open it again";
        Self::new(SvStatus::Broken, "broken", message)
    }

    fn new(status: SvStatus, kind: &'static str, message: impl Into<String>) -> Self {
        let error = Error { kind, message: message.into(), fields: BTreeMap::new() };
        Self { status, error }
    }
}

impl From<bindings::Error> for Failure {
    fn from(error: bindings::Error) -> Self {
        let status = match error.kind {
            Kind::Argument => SvStatus::Argument,
            Kind::Program => SvStatus::Program,
            Kind::Device(kind) => status_of(kind),
        };
        let bindings::Error { kind, message, fields } = error;
        Self { status, error: Error { kind: kind.name(), message, fields } }
    }
}

fn status_of(kind: ErrorKind) -> SvStatus {
    match kind {
        ErrorKind::NoConsent => SvStatus::NoConsent,
        ErrorKind::UnknownMetric
        | ErrorKind::UnknownDimension
        | ErrorKind::UnknownValue
        | ErrorKind::NotAssignable
        | ErrorKind::Answer
        | ErrorKind::Comment => SvStatus::NotAsked,
        ErrorKind::Unassigned => SvStatus::Unassigned,
        ErrorKind::OtherAssignment => SvStatus::OtherAssignment,
        ErrorKind::NotLogged => SvStatus::NotLogged,
        ErrorKind::Clock | ErrorKind::NotRunning => SvStatus::Clock,
        ErrorKind::OtherProgram | ErrorKind::OtherTask => SvStatus::OtherProgram,
        ErrorKind::Key => SvStatus::Key,
        ErrorKind::Blob => SvStatus::Storage,
        ErrorKind::OutOfTurn => SvStatus::OutOfTurn,
        ErrorKind::Report | ErrorKind::Randomness => SvStatus::Report,
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::InUse { .. } => Self::new(SvStatus::InUse, "in_use", error.to_string()),
            _ => Self::new(SvStatus::Storage, "storage", error.to_string()),
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        match error {
            EngineError::Device(error) => bindings::Error::from(error).into(),
            EngineError::Storage(error) => error.into(),
        }
    }
}

#[cfg(feature = "courier")]
impl From<sottovoce_courier::CourierError> for Failure {
    fn from(error: sottovoce_courier::CourierError) -> Self {
        match error {
            sottovoce_courier::CourierError::Engine(error) => error.into(),
            other => Self::new(SvStatus::Network, "network", other.to_string()),
        }
    }
}

/// The last error, in words and in JSON.
#[derive(Default)]
struct Last {
    words: CString,
    json: CString,
}

/// An error as other languages read it.
#[derive(Serialize)]
struct Error {
    kind: &'static str,
    message: String,
    fields: BTreeMap<&'static str, Field>,
}

thread_local! {
    static LAST: RefCell<Last> = RefCell::default();
}

/// Why the last call on this thread that failed did so, in words; empty if none did. Lives until
/// the next call that fails on this thread.
#[unsafe(no_mangle)]
pub extern "C" fn sv_last_error() -> *const c_char {
    LAST.with_borrow(|last| last.words.as_ptr())
}

/// The same as JSON, with the name of its kind, which never changes, and what the message names:
/// `{"kind": "unknown_metric", "message": "…", "fields": {"found": "tone", "valid": ["helpful"]}}`; empty if
/// no call failed. Lives as long.
#[unsafe(no_mangle)]
pub extern "C" fn sv_last_error_json() -> *const c_char {
    LAST.with_borrow(|last| last.json.as_ptr())
}

/// Runs a call: failures become a status, words and fields, and panics stop here.
pub(crate) fn guarded(call: impl FnOnce() -> Result<(), Failure>) -> SvStatus {
    let outcome = catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(Failure::broken()));
    match outcome {
        Ok(()) => SvStatus::Ok,
        Err(Failure { status, error }) => {
            let json = serde_json::to_string(&error).unwrap_or_default();
            LAST.set(Last { words: text(&error.message), json: text(&json) });
            status
        }
    }
}

fn text(words: &str) -> CString {
    CString::new(words.replace('\0', " ")).unwrap_or_default()
}
