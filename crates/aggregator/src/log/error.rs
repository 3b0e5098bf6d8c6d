//! Why this aggregator's log cannot be written, signed or read.

use crate::{
    http::Failure,
    store::{StoreError, sealed::SealedError},
};
use sottovoce_log::{
    checkpoint::CheckpointError,
    entry::EntryTooLong,
    note::NoteError,
    tiles::{TileError, TooLong},
    tree::TreeError,
};
use thiserror::Error;

/// A log that cannot be written, signed or read.
#[derive(Debug, Error)]
pub enum LogError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry does not fit.
    #[error(transparent)]
    TooLong(#[from] EntryTooLong),
    /// Nobody signs.
    #[error(
        "the log has no key yet; set `public_log.name` in the configuration, or add a task, and restart"
    )]
    NoKey,
    /// There are as many keys as there are IDs.
    #[error("all 256 log key IDs were used; start a new log with another name")]
    NoFreeId,
    /// There is no such key.
    #[error("there is no log key {0}; `log status` lists the keys")]
    NoSuchKey(u8),
    /// A log without keys would stand still.
    #[error("log key {0} is the only one; create another with `log new-key` first")]
    OnlyKey(u8),
    /// The operating system gave no randomness.
    #[error("the operating system's random number generator failed")]
    NoRandomness,
    /// A key cannot be sealed or opened.
    #[error("log key {id}: {source}")]
    SealedKey {
        /// The key's ID.
        id: u8,
        /// Why not.
        source: SealedError,
    },
    /// A key is not one that this version wrote.
    #[error("the stored log key {0} does not decode; restore the database from a backup")]
    StoredKey(u8),
    /// What is stored of the log contradicts itself.
    #[error("the stored log is damaged: {0}; restore the database from a backup")]
    Damaged(String),
    /// There is no such entry or file.
    #[error("the log has no such file")]
    NotThere,
}

macro_rules! damaged {
    ($($source:ty),+) => { $(
        impl From<$source> for LogError {
            fn from(error: $source) -> Self {
                Self::Damaged(error.to_string())
            }
        }
    )+ };
}
damaged!(TileError, TreeError, CheckpointError, NoteError, TooLong);

impl From<LogError> for Failure {
    fn from(error: LogError) -> Self {
        match error {
            LogError::NotThere => Self::NotFound,
            LogError::Store(error) => error.into(),
            // Nothing leaves, and nothing is lost: it is there when the log is well again.
            error => Self::Away(format!("the public log cannot be written: {error}")),
        }
    }
}
