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
        "the log has {now} entries, and had {before} when it was last audited: it was rolled back, or \
         this is an old copy"
    )]
    RolledBack {
        /// Entries then.
        before: u64,
        /// Entries now.
        now: u64,
    },
    /// It is another one.
    #[error(
        "the log has another root for its {size} entries than when it was last audited: it was rewritten \
         or forked"
    )]
    Forked {
        /// Entries.
        size: u64,
    },
    /// A tile is not what the entries lead to.
    #[error("{name} differs from the entries below it, from hash {offset} on: a tile was altered")]
    TileDiffers {
        /// The tile.
        name: String,
        /// The first hash in it that differs.
        offset: u64,
    },
    /// What it claims is not there.
    #[error(
        "the tiles on the way to entry {index} do not lead to the root of the {size} entries that the \
         checkpoint claims ({source}): a tile was altered, or entries are claimed that never were"
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
        "the log claims {size} entries, of which {new} are new, and one audit reads {most} at most; if it can \
         have so many, raise --max-entries"
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
        "{read} of {size} entries were read in the {} seconds that one audit takes at most; if the log is only \
         slow, raise --max-seconds",
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
        "up to entry {index} the log has more tasks, keys, settings and releases that the other log does not \
         have than fit the {most} bytes that are kept of a log: ask its operator what they are"
    )]
    TooMuch {
        /// The entry at which it was too much.
        index: u64,
        /// As much is kept.
        most: usize,
    },
    /// The entries lead elsewhere.
    #[error(
        "the {size} entries do not lead to the checkpoint's root: an entry was altered, or the log does \
         not go on from where it was last audited"
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
