//! What is remembered between audits: how far each log was read, and what must hold of the rest.

use crate::{
    audit::rules::LogFacts,
    log::tree::{Frontier, Hash},
};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What is remembered of both logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// The logs that were read, by their names.
    pub leader: Option<Kept>,
    /// The helper's.
    pub helper: Option<Kept>,
}

/// What is remembered of a log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its name.
    pub origin: String,
    size: u64,
    edge: Vec<String>,
    /// Whether it was read beside the other log, so that releases of one are known of the other.
    pub paired: bool,
    /// What its entries said.
    pub facts: LogFacts,
}

/// A state that cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// The file cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is not one.
    #[error(
        "{path} is not the state of an audit by this version ({reason}); move it away to audit from the \
         first entry on"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

const VERSION: u32 = 1;

impl Kept {
    /// Of a log that was read up to `tree`.
    pub fn new(origin: &str, tree: &Frontier, paired: bool, facts: LogFacts) -> Self {
        let edge = tree.hashes().iter().map(Hash::to_string).collect();
        Self { origin: origin.to_owned(), size: tree.size(), edge, paired, facts }
    }

    /// The tree that was read.
    pub fn tree(&self) -> Option<Frontier> {
        let edge: Option<Vec<_>> = self.edge.iter().map(|hash| Hash::from_base64(hash)).collect();
        Frontier::from_parts(self.size, edge?)
    }
}

impl State {
    /// Reads what was remembered; nothing, if there is no file.
    pub fn read(path: &Path) -> Result<Self, StateError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(StateError::File { path: path.to_owned(), source }),
        };
        let form = |reason: String| StateError::Form { path: path.to_owned(), reason };
        let state: Self = serde_json::from_slice(&text).map_err(|error| form(error.to_string()))?;
        if state.version != VERSION {
            return Err(form(format!("it has version {}, and {VERSION} is known", state.version)));
        }
        if [&state.leader, &state.helper].into_iter().flatten().any(|kept| kept.tree().is_none()) {
            return Err(form("its hashes do not fit its size".to_owned()));
        }
        Ok(state)
    }

    /// Puts this in the place of what was remembered, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        let state = Self { version: VERSION, ..self.clone() };
        let failed = |source| StateError::File { path: path.to_owned(), source };
        let text = serde_json::to_vec(&state).map_err(|error| failed(error.into()))?;
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let written = fs::File::create(&new).and_then(|mut file| {
            io::Write::write_all(&mut file, &text)?;
            file.sync_all()?;
            fs::rename(&new, path)
        });
        written.map_err(failed)
    }
}
