//! The log as files in a folder, for any web server and anybody's archive.
//!
//! The checkpoint is written last: whoever copies or serves the folder meanwhile has a log that
//! lacks nothing that its checkpoint promises.

use super::{LogError, PublicLog};
use sottovoce_log::{
    checkpoint::Checkpoint,
    tiles::{Content, Edge, Place, TileName},
};
use sottovoce_whole_file::{self as whole_file, Readers};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// A copy that was not finished.
#[derive(Debug, Error)]
pub enum ExportError {
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file cannot be written.
    #[error("{path} cannot be written: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What a copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Entries in the log.
    pub size: u64,
    /// Files that were written now.
    pub written: u64,
}

/// Brings the copy of the log in `folder` up to date: files that are there already are left alone.
pub fn export(log: &PublicLog, folder: &Path) -> Result<Exported, ExportError> {
    let checkpoint = log.checkpoint()?;
    let size = Checkpoint::parse(checkpoint.text()).map_err(LogError::from)?.size;
    let mut written = 0;
    for name in names(size) {
        let path = folder.join(name.to_string());
        // Content never changes, so a file of this name is whole: it came by a rename.
        if !path.exists() {
            write(&path, &log.file(&name)?)?;
            written += 1;
        }
    }
    write(&folder.join("checkpoint"), checkpoint.to_string().as_bytes())?;
    Ok(Exported { size, written })
}

/// All files of a log of this size: full ones, and the partial ones at its edge.
fn names(size: u64) -> impl Iterator<Item = TileName> {
    let contents = (0..8).map(Content::Hashes).chain([Content::Entries]);
    let full = contents.flat_map(move |content| {
        (0..)
            .map_while(move |index| TileName::of(Place { content, index }, size))
            .take_while(TileName::is_full)
    });
    full.chain(Edge::places(size).into_iter().filter_map(move |place| TileName::of(place, size)))
}

/// Under its own name only once it is whole.
fn write(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = folder.and_then(|()| whole_file::replace(path, bytes, Readers::All));
    written.map_err(|source| ExportError::Write { path: path.to_owned(), source })
}
