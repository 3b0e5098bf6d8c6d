//! A copy of the database, made while servers write to it.
//!
//! The copy is what one moment saw, whole: it reads one snapshot from beginning to end, so it ends
//! however busy the writers are, and none of them waits for it. Pages that were freed are left out,
//! and with them what was deleted. It gets its name when it is checked and on the disk.

use super::{BUSY_TIMEOUT, schema, schema::OpenError};
use rusqlite::{Connection, OpenFlags};
use sottovoce_whole_file::{NewFile, Readers};
use std::{
    fs, io,
    path::{Path, PathBuf, absolute},
    sync::mpsc::{RecvTimeoutError, channel},
    thread,
    time::Duration,
};
use thiserror::Error;

/// Why there is no copy.
#[derive(Debug, Error)]
pub enum BackupError {
    /// There is nothing to copy.
    #[error("there is no database {path}; check `database` in the configuration")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The database is not one that we may use.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The name is taken.
    #[error("{path} exists; choose another file, or move it away first")]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be made.
    #[error("{path} cannot be created ({cause}); check that its folder exists and is writable")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The database could not be read to its end, or the copy not be written.
    #[error(
        "{path} could not be copied ({cause}), and the incomplete copy was deleted; check the free space on both \
         disks"
    )]
    Copy {
        /// The database.
        path: PathBuf,
        /// What `SQLite` said.
        cause: rusqlite::Error,
    },
    /// What was copied contradicts itself.
    #[error(
        "{path} is damaged ({what}), so the copy was deleted; check the disk, and restore the newest good backup"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// How far a copy is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Written so far.
    pub written: u64,
    /// Expected in all, about.
    pub expected: u64,
}

/// Copies the database of `party` to a new file that only its owner may read, and returns its size
/// in bytes. `on_progress` hears of the progress twice a second.
pub fn backup(
    database: &Path,
    party: &str,
    to: &Path,
    on_progress: impl Fn(Progress) + Send,
) -> Result<u64, BackupError> {
    let source = open(database, party)?;
    let taken = || BackupError::Taken { path: to.to_owned() };
    if fs::symlink_metadata(to).is_ok() {
        return Err(taken());
    }
    let file = |cause: io::Error| match cause.kind() {
        io::ErrorKind::AlreadyExists => taken(),
        _ => BackupError::File { path: to.to_owned(), cause },
    };
    let new = absolute(to).and_then(|to| NewFile::beside(&to, Readers::Owner)).map_err(file)?;
    let failed = |cause| BackupError::Copy { path: database.to_owned(), cause };
    copy(&source, new.temporary(), on_progress).map_err(failed)?;
    if let Some(what) = damage(new.temporary()).map_err(failed)? {
        return Err(BackupError::Damaged { path: database.to_owned(), what });
    }
    let bytes = size(new.temporary());
    new.create().map_err(file)?;
    Ok(bytes)
}

/// Opens the database as it is: a copy is made before a migration too.
fn open(path: &Path, party: &str) -> Result<Connection, BackupError> {
    if !path.exists() {
        return Err(BackupError::Missing { path: path.to_owned() });
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let sqlite = |cause| schema::classify(path, cause);
    let source = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    source.busy_timeout(BUSY_TIMEOUT).map_err(sqlite)?;
    if !schema::belongs(&source, path, party)? {
        return Err(BackupError::Missing { path: path.to_owned() });
    }
    Ok(source)
}

/// Copies all that one snapshot sees.
fn copy(
    source: &Connection,
    to: &Path,
    on_progress: impl Fn(Progress) + Send,
) -> rusqlite::Result<()> {
    let number = |name| source.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let pages = number("page_count")? - number("freelist_count")?;
    let expected = u64::try_from(pages * number("page_size")?).unwrap_or(0);
    let name = to.to_str().ok_or_else(|| rusqlite::Error::InvalidPath(to.to_owned()))?;
    thread::scope(|scope| {
        let (copying, copied) = channel::<()>();
        scope.spawn(move || {
            while copied.recv_timeout(BETWEEN) == Err(RecvTimeoutError::Timeout) {
                on_progress(Progress { written: size(to), expected });
            }
        });
        let result = source.execute("VACUUM INTO ?1", [name]);
        drop(copying);
        result.map(drop)
    })
}

/// What is wrong with a copy, if anything.
fn damage(copy: &Path) -> rusqlite::Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copy = Connection::open_with_flags(copy, flags)?;
    let said: String = copy.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    Ok((said != "ok").then_some(said))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

/// Between two words of the progress.
const BETWEEN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
