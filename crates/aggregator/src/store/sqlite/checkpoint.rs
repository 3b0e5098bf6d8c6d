//! Checkpoints of the write-ahead log (WAL) into the database file, without waiting for readers.
//!
//! A commit copies the log back now and then, as far as no reader needs what is in the file, and the
//! next one begins the log anew. A reader that stays, such as a backup or a shell of the operator's,
//! keeps it from being begun anew, so that it grows. The writer is never to wait for that: what is
//! long is done beside it, on a connection of its own that waits for nobody, and under the writer's
//! lock only what is left.

use super::{CHECKPOINT_PAGES, lock};
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// Copies the log back.
pub(super) struct Checkpointer(Mutex<Inner>);

struct Inner {
    connection: Connection,
    /// Pages of the log when it was last said that a reader holds it.
    warned_at: i64,
}

/// What became of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Log {
    /// Short enough to be left to the next commits.
    Short,
    /// Copied back and cut to nothing.
    Emptied,
    /// Somebody reads, or copies it back already.
    Held,
}

impl Checkpointer {
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(Duration::ZERO)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        connection.pragma_update(None, "cache_size", -64)?;
        Ok(Self(Mutex::new(Inner { connection, warned_at: 0 })))
    }

    /// Copies the log back as far as that is possible at once, and empties it if it is long or if
    /// the file is to become `shorter`.
    pub(super) fn copy_back(
        &self,
        writer: &Mutex<Connection>,
        shorter: bool,
    ) -> rusqlite::Result<Log> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(pages) = inner.beside_the_writer()? else {
            // Each commit would try again what cannot be done, and the first that can would do all of it
            // with uploads waiting. Not never, should nobody come by here again.
            let writer = lock(writer);
            writer.pragma_update(None, "wal_autocheckpoint", HELD_PAGES)?;
            return Ok(Log::Held);
        };
        if pages < CHECKPOINT_PAGES && !shorter {
            return Ok(Log::Short);
        }
        let writer = lock(writer);
        let rest = Copied::by(&inner.connection, "TRUNCATE")?;
        writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        inner.warned_at = 0;
        Ok(if rest.held { Log::Held } else { Log::Emptied })
    }
}

impl Inner {
    /// Copies while the writer goes on, until little is left; the pages of the log then, or nothing
    /// if it is held.
    fn beside_the_writer(&mut self) -> rusqlite::Result<Option<i64>> {
        let mut before = 0;
        for _ in 0..ROUNDS {
            let Copied { held, pages } = Copied::by(&self.connection, "PASSIVE")?;
            if held {
                self.log_outcome(pages);
                return Ok(None);
            }
            if pages - before < CHECKPOINT_PAGES {
                return Ok(Some(pages));
            }
            before = pages;
        }
        Ok(Some(before))
    }

    /// Tells the operator, again each time that it has doubled.
    fn log_outcome(&mut self, pages: i64) {
        if pages >= WARN_FROM.max(2 * self.warned_at) {
            self.warned_at = pages;
            tracing::warn!(
                pages,
                "a long read transaction, such as a backup, keeps the write-ahead log from being truncated; it grows"
            );
        }
    }
}

/// What a checkpoint of `SQLite` did.
struct Copied {
    /// Whether pages are left that somebody needs as they are, or that another copies just now.
    held: bool,
    /// Pages of the log.
    pages: i64,
}

impl Copied {
    fn by(connection: &Connection, how: &str) -> rusqlite::Result<Self> {
        let sql = format!("PRAGMA wal_checkpoint({how})");
        connection.query_row(&sql, [], |row| {
            let (busy, pages, copied): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Self { held: busy || copied < pages, pages })
        })
    }
}

/// Pages of a log that somebody holds (256 MiB) before commits copy it back again.
const HELD_PAGES: i64 = 64 << 10;
/// Times to run after a writer that is as fast as we are, before it has to wait for the rest.
const ROUNDS: u32 = 8;
/// Pages of the log (64 MiB) from which on the operator hears of it.
const WARN_FROM: i64 = 16 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct Stage {
        folder: tempfile::TempDir,
        writer: Mutex<Connection>,
        checkpointer: Checkpointer,
    }

    impl Stage {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("db");
            let writer = Connection::open(&path).unwrap();
            writer.pragma_update(None, "journal_mode", "WAL").unwrap();
            writer.execute_batch("CREATE TABLE t (x)").unwrap();
            writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).unwrap();
            let checkpointer = Checkpointer::open(&path).unwrap();
            Self { folder, writer: Mutex::new(writer), checkpointer }
        }

        /// Somebody who reads for as long as this lives.
        fn reader(&self) -> Connection {
            let reader = Connection::open(self.folder.path().join("db")).unwrap();
            reader.execute_batch("BEGIN; SELECT count(*) FROM t").unwrap();
            reader
        }

        fn write(&self, bytes: usize) {
            let sql = "INSERT INTO t VALUES (zeroblob(?1))";
            lock(&self.writer).execute(sql, [i64::try_from(bytes).unwrap()]).unwrap();
        }

        fn copy_back(&self, shorter: bool) -> Log {
            self.checkpointer.copy_back(&self.writer, shorter).unwrap()
        }

        fn log_bytes(&self) -> u64 {
            fs::metadata(self.folder.path().join("db-wal")).unwrap().len()
        }

        fn copies_by_commits(&self) -> i64 {
            let writer = lock(&self.writer);
            writer.pragma_query_value(None, "wal_autocheckpoint", |row| row.get(0)).unwrap()
        }
    }

    #[test]
    fn it_waits_for_nobody() {
        let stage = Stage::new();
        let inner = stage.checkpointer.0.lock().unwrap();
        let waits = inner.connection.pragma_query_value(None, "busy_timeout", |row| row.get(0));
        assert_eq!(waits, Ok(0_i64));
    }

    #[test]
    fn a_reader_that_stays_holds_the_log_and_not_the_writer() {
        let stage = Stage::new();
        let reader = stage.reader();
        stage.write(1 << 20);
        assert_eq!(stage.copy_back(true), Log::Held);
        stage.write(32 << 20);
        assert_eq!((stage.copy_back(true), stage.copies_by_commits()), (Log::Held, HELD_PAGES));
        assert!(stage.log_bytes() > 32 << 20, "until the reader has gone");
        drop(reader);
        assert_eq!(stage.copy_back(false), Log::Emptied);
        assert_eq!((stage.log_bytes(), stage.copies_by_commits()), (0, CHECKPOINT_PAGES));
    }

    #[test]
    fn a_reader_of_what_is_newest_keeps_the_log_from_being_cut_and_no_more() {
        let stage = Stage::new();
        stage.write(1 << 20);
        let reader = stage.reader();
        assert_eq!(stage.copy_back(true), Log::Held, "all is copied, but the log is looked at");
        stage.write(1 << 20);
        drop(reader);
        assert_eq!((stage.copy_back(true), stage.log_bytes()), (Log::Emptied, 0));
    }

    #[test]
    fn a_writer_of_another_process_is_not_waited_for() {
        let stage = Stage::new();
        stage.write(1 << 20);
        let other = stage.reader();
        other.execute_batch("END; BEGIN IMMEDIATE").unwrap();
        assert_eq!(stage.copy_back(true), Log::Held);
        other.execute_batch("END").unwrap();
        assert_eq!(stage.copy_back(true), Log::Emptied);
    }

    #[test]
    fn a_short_log_is_left_to_the_commits() {
        let stage = Stage::new();
        stage.write(1 << 20);
        assert_eq!(stage.copy_back(false), Log::Short);
        assert!(stage.log_bytes() > 0);
    }
}
