//! Errors inside a transaction, before they become the [`StoreError`] of its caller or a retry.

use crate::store::StoreError;
use postgres::error::SqlState;
use sottovoce_dap::ids::NoRandomness;
use std::error::Error;

/// Why a verb's transaction did not end well.
#[derive(Debug)]
pub(super) enum Failure {
    /// For the caller.
    Store(StoreError),
    /// Another transaction was preferred to this one, of which nothing happened.
    Lost {
        /// What the database said.
        what: String,
    },
    /// Nothing was asked of the database yet.
    NotBegun(StoreError),
}

impl Failure {
    /// What is stored cannot be what was written.
    pub(super) fn corrupt(what: impl Into<String>) -> Self {
        Self::Store(StoreError::Corrupt { what: what.into() })
    }

    /// Whether the connection may serve again: not if it is unknown what it is up to.
    pub(super) fn leaves_connection_sound(&self) -> bool {
        match self {
            Self::Store(error) => !matches!(error, StoreError::Unavailable { .. }),
            Self::Lost { .. } => true,
            Self::NotBegun(_) => false,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Store(error) | Failure::NotBegun(error) => error,
            Failure::Lost { what } => Self::Unavailable { what },
        }
    }
}

impl From<NoRandomness> for Failure {
    fn from(error: NoRandomness) -> Self {
        Self::Store(error.into())
    }
}

impl From<postgres::Error> for Failure {
    fn from(error: postgres::Error) -> Self {
        let lost = [SqlState::T_R_SERIALIZATION_FAILURE, SqlState::T_R_DEADLOCK_DETECTED];
        if error.code().is_some_and(|code| lost.contains(code)) {
            return Self::Lost { what: describe(&error) };
        }
        Self::Store(error.into())
    }
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> Self {
        let damage = [SqlState::DATA_CORRUPTED, SqlState::INDEX_CORRUPTED];
        let what = describe(&error);
        match error.code() {
            Some(code) if damage.contains(code) => Self::Corrupt { what },
            _ => Self::Unavailable { what },
        }
    }
}

/// The database's message and code, without the detail and the hint that come with it: those
/// quote values. A message names tables, statements and users.
pub(super) fn describe(error: &postgres::Error) -> String {
    if let Some(theirs) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", theirs.message(), theirs.code().code());
    }
    let mut what = error.to_string();
    let mut cause = error.source();
    while let Some(found) = cause {
        what = format!("{what}: {found}");
        cause = found.source();
    }
    what
}
