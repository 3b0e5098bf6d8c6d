//! The public log's place in the store: entries that are written with what they are about, and
//! published later, in one order that never changes.
//!
//! ```text
//!   log, close_batch, finish_collection          publish
//!  ───────────────────────────────────▶ waiting ─────────▶ published: an index, pages, a checkpoint
//! ```
//!
//! An entry that was written is published sooner or later, whatever crashes in between, and what
//! is published is never taken back. So the log cannot say less than the database knows. Entries
//! and pages are bytes here; what they mean, and who signs them, is for the caller.

use super::{Blob, StoreError};

/// An entry for the log, and what it is found by. Of two with one key the first stands and the
/// second is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Unique among all entries, waiting or published.
    pub key: [u8; 32],
    /// What will be hashed.
    pub bytes: Blob,
}

/// Names one of the log's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogPage {
    /// Hashes of a level, or entries: the caller's code.
    pub content: u8,
    /// Its place among those of its kind.
    pub index: u64,
}

/// How far the log is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogHead {
    /// Entries published.
    pub size: u64,
    /// The checkpoint over them; none before anything was published.
    pub checkpoint: Option<Blob>,
    /// Entries that wait to be published.
    pub waiting: u64,
}

/// What a publication is made from.
pub struct LogState<'a> {
    /// Where the log stands.
    pub head: &'a LogHead,
    /// The oldest entries that wait, in the order in which they get their indices.
    pub waiting: &'a [LogEntry],
    /// Reads a page of the log as it stands.
    pub page: &'a mut dyn FnMut(LogPage) -> Result<Option<Blob>, StoreError>,
}

/// A publication: all that waited, with its indices in order from the log's size on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    /// Covers the new size.
    pub checkpoint: Blob,
    /// Pages that changed, whole.
    pub pages: Vec<(LogPage, Blob)>,
}

/// Makes a publication, or `None` to refuse (the reason stays in a variable of the caller). A
/// backend may call it more than once, so it must begin afresh each time. It must not call the
/// store but by `page`.
pub type Publish<'a> = dyn FnMut(&mut LogState<'_>) -> Result<Option<Edition>, StoreError> + 'a;

/// What became of publishing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// Nothing waited, and there is a checkpoint.
    Nothing,
    /// The log has this many entries now, durably.
    Done {
        /// Entries published.
        size: u64,
        /// Whether more wait.
        more: bool,
    },
    /// The caller refused; nothing has changed.
    Refused,
}

/// Entries that one publication takes at most.
pub const PUBLISH_AT_ONCE: usize = 1024;

/// What is kept of a batch that is closed, and what the log says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// For whoever asks again.
    pub blob: Blob,
    /// Written in the same transaction.
    pub entry: Option<LogEntry>,
}

impl From<Blob> for Kept {
    /// Nothing is handed over yet, so there is nothing to log.
    fn from(blob: Blob) -> Self {
        Self { blob, entry: None }
    }
}
