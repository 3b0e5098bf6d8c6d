//! Why a log cannot be followed, and which of it proves that somebody altered something.

use crate::source::SourceError;
use sottovoce_log::{
    checkpoint::CheckpointError, note::NoteError, tiles::TileError, tree::TreeError,
};
use std::time::Duration;
use thiserror::Error;

/// A log that cannot be followed, or is not what it was.
#[derive(Debug, Error)]
pub enum FollowError {
    /// A file cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Its checkpoint is not believed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file is not what its name says.
    #[error(transparent)]
    Tile(#[from] TileError),
    /// It is shorter than it was.
    #[error(
        "the log has {now} entries, and had {before} when it was last audited: it was rolled back, or this is an \
         old copy"
    )]
    RolledBack {
        /// Entries then.
        before: u64,
        /// Entries now.
        now: u64,
    },
    /// It is another one.
    #[error(
        "the root of the log's first {size} entries is not the one of the last audit: the log was rewritten or \
         forked"
    )]
    Forked {
        /// Entries.
        size: u64,
    },
    /// A tile is not what the entries lead to.
    #[error("{name} does not match the entries below it from hash {offset} on: a tile was altered")]
    TileDiffers {
        /// The tile.
        name: String,
        /// The first hash in it that differs.
        offset: u64,
    },
    /// What it claims is not there.
    #[error(
        "the inclusion proof of entry {index} does not match the checkpoint's root over {size} entries ({source}): \
         a tile was altered, or the checkpoint claims entries that do not exist"
    )]
    Unbacked {
        /// The entry that was looked for.
        index: u64,
        /// Entries that are claimed.
        size: u64,
        /// What does not fit.
        source: TreeError,
    },
    /// It claims more than is read.
    #[error(
        "the log claims {size} entries, {new} of them new, and one audit reads at most {most}; if the number is \
         plausible, raise --max-entries"
    )]
    TooMany {
        /// Entries that are claimed.
        size: u64,
        /// Those that were not read before.
        new: u64,
        /// As many are read.
        most: u64,
    },
    /// It takes longer than is waited for.
    #[error(
        "{read} of {size} entries were read within the limit of {} seconds; if the log is just slow, raise \
         --max-seconds",
        most.as_secs()
    )]
    TooSlow {
        /// Entries that were read.
        read: u64,
        /// Entries that are claimed.
        size: u64,
        /// As long is read.
        most: Duration,
    },
    /// It says more than is remembered.
    #[error(
        "up to entry {index}, the tasks, keys, settings and one-sided releases of the log take more than the limit \
         of {most} bytes; ask its operator why there are so many"
    )]
    TooMuch {
        /// The entry at which it was too much.
        index: u64,
        /// As much is kept.
        most: usize,
    },
    /// The entries lead elsewhere.
    #[error(
        "the root over {size} entries is not the checkpoint's: an entry was altered, or the log does not continue \
         the one of the last audit"
    )]
    Root {
        /// Entries.
        size: u64,
    },
}

impl From<TreeError> for FollowError {
    fn from(error: TreeError) -> Self {
        Self::Tile(error.into())
    }
}

impl FollowError {
    /// Whether it proves that somebody altered something, rather than that nothing can be said: what
    /// stands in a checkpoint's place and is none may be a proxy's page, or half of a file.
    pub fn is_proof(&self) -> bool {
        match self {
            Self::Source(_)
            | Self::TooMany { .. }
            | Self::TooSlow { .. }
            | Self::TooMuch { .. } => false,
            Self::Checkpoint(error) => !matches!(
                error,
                CheckpointError::Quorum { .. }
                    | CheckpointError::Note(
                        NoteError::Form | NoteError::Line | NoteError::TooLong(_)
                    )
            ),
            _ => true,
        }
    }
}
