//! Which database: a file of this machine, or a PostgreSQL server.

use serde::{Deserialize, Deserializer};
use std::{fmt, path::PathBuf};
use zeroize::Zeroizing;

/// Where a server keeps its memory.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// An SQLite file, for one server.
    Sqlite(PathBuf),
    /// A PostgreSQL database, for any number of replicas. The URL may hold a password.
    Postgres(Zeroizing<String>),
}

impl<'de> Deserialize<'de> for Database {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let schemes = ["postgres://", "postgresql://"];
        Ok(if schemes.iter().any(|scheme| text.starts_with(scheme)) {
            Self::Postgres(text)
        } else {
            Self::Sqlite(PathBuf::from(text.as_str()))
        })
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The file, or that it is PostgreSQL: never the URL.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(_) => f.write_str("the PostgreSQL database"),
        }
    }
}
