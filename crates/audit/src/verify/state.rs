//! What is remembered between audits: how far each log was read, and what must hold of the rest.

use super::Audited;
use crate::rules::LogFacts;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sottovoce_dap::role::Role;
use sottovoce_log::tree::{Frontier, Hash};
use sottovoce_program::Program;
use sottovoce_whole_file::{self as whole_file, Readers};
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};
use thiserror::Error;

/// What is remembered of both logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    version: u32,
    /// The programs by which the logs were judged, named by [`State::of`].
    programs: String,
    /// What is remembered of the leader's log.
    pub leader: Option<Kept>,
    /// And of the helper's.
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
    /// The bundle that is read again next, if the log is too long to be read again whole.
    #[serde(default)]
    reread: u64,
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
        "{path} is not a state file of this version ({reason}); move it away to audit from the first entry"
    )]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

const VERSION: u32 = 2;

impl Kept {
    /// Of a log that was read up to where the next audit begins.
    fn new(origin: &str, side: Beginning, paired: bool) -> Self {
        let Beginning { from: tree, reread, facts, .. } = side;
        let edge = tree.hashes().iter().map(Hash::to_string).collect();
        Self { origin: origin.to_owned(), size: tree.size(), edge, reread, paired, facts }
    }

    /// The tree that was read.
    pub fn tree(&self) -> Option<Frontier> {
        let edge: Option<Vec<_>> = self.edge.iter().map(|hash| Hash::from_base64(hash)).collect();
        Frontier::from_parts(self.size, edge?)
    }
}

/// Where the audit of a log begins.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// Entries that need not be judged again.
    pub from: Frontier,
    /// What the log has to be the continuation of, even if it is read from its first entry.
    pub past: Frontier,
    /// The bundle that is read again next.
    pub reread: u64,
    /// What the entries before said.
    pub facts: LogFacts,
}

impl Kept {
    /// Goes on where the last audit ended.
    fn go_on(self) -> Beginning {
        let tree = self.tree().unwrap_or_default();
        Beginning { from: tree.clone(), past: tree, reread: self.reread, facts: self.facts }
    }

    /// Reads again what was read, which must be the same; only the log's keys are still known.
    fn again(self) -> Beginning {
        let past = self.tree().unwrap_or_default();
        let facts = LogFacts::with_keys_of(self.facts);
        Beginning { from: Frontier::default(), past, reread: 0, facts }
    }
}

impl State {
    /// Nothing yet, of these programs: what is remembered of entries depends on their tasks.
    pub fn of(programs: &[Program]) -> Self {
        let mut hash = Sha256::new();
        for task in programs.iter().flat_map(Program::tasks) {
            hash.update(task.task_id.as_bytes());
        }
        let programs = Hash(hash.finalize().into()).to_string();
        Self { version: VERSION, programs, leader: None, helper: None }
    }

    /// What is remembered of a role's log.
    pub fn kept(&self, role: Role) -> Option<&Kept> {
        if role == Role::Helper { self.helper.as_ref() } else { self.leader.as_ref() }
    }

    /// Takes where the audit of these logs begins: after what was read by the same programs and in
    /// the same company, and otherwise, or if `whole` is wanted, at the first entry.
    pub(super) fn begin(
        self,
        logs: &[Audited],
        programs: &[Program],
        whole: bool,
    ) -> (Self, BTreeMap<Role, Beginning>) {
        let empty = Self::of(programs);
        let (same, paired) = (self.programs == empty.programs, logs.len() == 2);
        let mut kept: BTreeMap<Role, Kept> = self.into_kept().collect();
        let ours = |role: &Role, kept: &mut Kept| {
            logs.iter().any(|log| log.role == *role && log.trust.origin() == kept.origin)
        };
        kept.retain(ours);
        let all = kept.len() == logs.len() && kept.values().all(|kept| kept.paired == paired);
        let go_on = same && all && !whole;
        let begin = |kept: Kept| if go_on { kept.go_on() } else { kept.again() };
        (empty, kept.into_iter().map(|(role, kept)| (role, begin(kept))).collect())
    }

    /// Remembers what was read of the logs.
    pub(super) fn keep(&mut self, logs: &[Audited], mut sides: BTreeMap<Role, Beginning>) {
        for log in logs {
            let kept = sides
                .remove(&log.role)
                .map(|side| Kept::new(log.trust.origin(), side, logs.len() == 2));
            let place = if log.role == Role::Helper { &mut self.helper } else { &mut self.leader };
            *place = kept;
        }
    }

    fn into_kept(self) -> impl Iterator<Item = (Role, Kept)> {
        let leader = self.leader.map(|kept| (Role::Leader, kept));
        leader.into_iter().chain(self.helper.map(|kept| (Role::Helper, kept)))
    }

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
            return Err(form(format!(
                "its version is {}, and {VERSION} is supported",
                state.version
            )));
        }
        if [&state.leader, &state.helper].into_iter().flatten().any(|kept| kept.tree().is_none()) {
            return Err(form("its hashes do not fit its size".to_owned()));
        }
        Ok(state)
    }

    /// Puts this in the place of what was remembered, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<(), StateError> {
        let failed = |source| StateError::File { path: path.to_owned(), source };
        let text = serde_json::to_vec(self).map_err(|error| failed(error.into()))?;
        whole_file::replace(path, &text, Readers::All).map_err(failed)
    }
}
