//! The database file: whether it is ours, its schema version, and its migration.

use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a database cannot be used.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The file cannot be made or read.
    #[error("{path} cannot be opened ({cause}); check that its folder exists and is writable")]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file is something else.
    #[error("{path} is not an SQLite database; configure another file, or move this one away")]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database is another program's.
    #[error("{path} is a database of another program (application ID {found:#010x}, ours is {ours:#010x}); configure another file", ours = APPLICATION_ID)]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The application ID found.
        found: i32,
    },
    /// The database is another party's.
    #[error(
        "{path} is the database of the {found}, and this is the {ours}; check the configuration"
    )]
    Party {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        ours: String,
    },
    /// The database was made by a later program.
    #[error("{path} has schema version {found}, and this program knows up to {ours}; install the newer version again, or restore the backup made before it", ours = LATEST)]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version found.
        found: i32,
    },
    /// The database did not do as it was told.
    #[error(
        "{path} cannot be initialized ({cause}); check its disk and which other processes use it"
    )]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        cause: rusqlite::Error,
    },
}

/// Checks that the database is ours and brings it to the latest version.
///
/// Looks before it writes, so that a foreign file stays as it is; and looks again inside the
/// transaction, so that two programs that start at once do not both migrate.
pub(super) fn prepare(
    connection: &mut Connection,
    path: &Path,
    party: &str,
) -> Result<(), OpenError> {
    let sqlite = |cause| classify(path, cause);
    check(connection, path)?;
    // Neither can change inside a transaction; the file is ours or empty by now.
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL").map_err(sqlite)?;
    connection.pragma_update(None, "journal_mode", "WAL").map_err(sqlite)?;
    let tx =
        connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    let version = check(&tx, path)?;
    for migration in MIGRATIONS.iter().skip(usize::try_from(version).unwrap_or(0)) {
        tx.execute_batch(migration).map_err(sqlite)?;
    }
    if version < LATEST {
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(sqlite)?;
        tx.pragma_update(None, "user_version", LATEST).map_err(sqlite)?;
    }
    let belong = "INSERT OR IGNORE INTO party VALUES (0, ?1)";
    tx.execute(belong, [party]).map_err(sqlite)?;
    check_party(&tx, path, party)?;
    tx.commit().map_err(sqlite)
}

/// Whether there is a database, which has to be of a party; looks only.
pub(super) fn belongs(
    connection: &Connection,
    path: &Path,
    party: &str,
) -> Result<bool, OpenError> {
    if check(connection, path)? == 0 {
        return Ok(false);
    }
    check_party(connection, path, party)?;
    Ok(true)
}

fn check_party(connection: &Connection, path: &Path, party: &str) -> Result<(), OpenError> {
    let name = "SELECT name FROM party";
    let found: String =
        connection.query_row(name, [], |row| row.get(0)).map_err(|cause| classify(path, cause))?;
    if found == party {
        return Ok(());
    }
    Err(OpenError::Party { path: path.to_owned(), found, ours: party.to_owned() })
}

/// The version of a database that we may use; 0 for an empty one.
fn check(connection: &Connection, path: &Path) -> Result<i32, OpenError> {
    let look = || {
        let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let tables = "SELECT count(*) FROM sqlite_schema";
        let tables = connection.query_row(tables, [], |row| row.get::<_, i64>(0))?;
        Ok((number("application_id")?, number("user_version")?, tables))
    };
    match look().map_err(|cause| classify(path, cause))? {
        (0, 0, 0) => Ok(0),
        (APPLICATION_ID, version @ 0..=LATEST, _) => Ok(version),
        (APPLICATION_ID, found, _) => Err(OpenError::Newer { path: path.to_owned(), found }),
        (found, ..) => Err(OpenError::Foreign { path: path.to_owned(), found }),
    }
}

/// Finds out what is wrong with a file by what `SQLite` says of it.
pub(super) fn classify(path: &Path, cause: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match cause.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase { path },
        _ => OpenError::Sqlite { path, cause },
    }
}

/// `sott`, in `SQLite`'s field for the program that owns a file.
const APPLICATION_ID: i32 = 0x736f_7474;

/// Number of migrations, and so the version that they lead to.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "a handful")]
pub(super) const LATEST: i32 = MIGRATIONS.len() as i32;

/// Each brings the database from the version that is its index to the next. Never changed once
/// released: a changed table is a new migration.
pub(super) const MIGRATIONS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
];
