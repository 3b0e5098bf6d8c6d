//! Why a database cannot be used, and what to do about it.

use super::migrations::LATEST;
use std::path::PathBuf;
use thiserror::Error;

/// Why a database cannot be used. Never says a password.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Not a URL of a database.
    #[error(
        "the database URL is not valid (it is not shown, because it may have a password); write \
         postgres://USER:PASSWORD@HOST:PORT/NAME?sslmode=require, with special characters \
         percent-encoded"
    )]
    Url,
    /// The certificates to trust cannot be read.
    #[error("{path} cannot be used as sslrootcert ({cause}); use a file of PEM certificates")]
    Roots {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up ({cause}); this is a bug, please report it")]
    Tls {
        /// What the library said.
        cause: rustls::Error,
    },
    /// There are no tables yet.
    #[error(
        "the database {place} has no sottovoce tables; create them once with `sottovoce-{party} \
         database migrate --config FILE`"
    )]
    NotMigrated {
        /// The database.
        place: String,
        /// Who asks.
        party: String,
    },
    /// The database was made by an earlier program.
    #[error("the database {place} has schema version {found}, and this program needs {ours}; back it up, then migrate it with `sottovoce-{party} database migrate --config FILE`", ours = LATEST)]
    Older {
        /// The database.
        place: String,
        /// The version found.
        found: i32,
        /// Who asks.
        party: String,
    },
    /// The database was made by a later program.
    #[error("the database {place} has schema version {found}, and this program knows up to {ours}; install the newer version again, or restore the backup made before it", ours = LATEST)]
    Newer {
        /// The database.
        place: String,
        /// The version found.
        found: i32,
    },
    /// The database is another party's.
    #[error(
        "{place} is the database of the {found}, and this is the {ours}; check the configuration"
    )]
    Party {
        /// The database.
        place: String,
        /// Whose it is.
        found: String,
        /// Who asks.
        ours: String,
    },
    /// Something else has our name.
    #[error(
        "the database {place} has a schema named sottovoce that is not ours; use another database"
    )]
    Foreign {
        /// The database.
        place: String,
    },
    /// The database only pretends to keep locks.
    #[error(
        "the database {place} does not support advisory locks, without which reports could be counted twice; use \
         PostgreSQL itself, or an engine that supports them"
    )]
    NoLocks {
        /// The database.
        place: String,
    },
    /// Sessions are mixed on the way.
    #[error(
        "a connection pooler in front of the database {place} shares sessions, as PgBouncer does in its modes \
         `transaction` and `statement`, which breaks settings and prepared statements: set `pool_mode = session` for \
         this database or user, or connect to PostgreSQL directly"
    )]
    Pooler {
        /// The database.
        place: String,
    },
    /// The database did not do as it was told.
    #[error(
        "the database {place} cannot be used ({what}); check that it is running, and the user's password and privileges"
    )]
    Failed {
        /// The database.
        place: String,
        /// What it said.
        what: String,
    },
}
