//! Whether the program's tasks are in both aggregators' logs, told from proofs that come with the
//! program: without asking anybody.
//!
//! A device that insists on it reports to no task that its aggregators keep from the public, or show
//! to it alone; and seals to no key of theirs that is not in the log for all to see. Such a key comes when
//! reports are sealed, and so does its proof.

use serde::{Deserialize, Serialize};
use sottovoce_dap::{hpke::HpkeConfig, ids::TaskId, role::Role, task::Url};
pub use sottovoce_log::proof::MAX_PROOF;
use sottovoce_log::{
    checkpoint::{CheckpointError, Trust},
    entry::{EntryKey, Event, KeyChange, TaskTaken},
    proof::{Proof, ProofError},
};
use sottovoce_program::{Program, compile::CompiledTask, log::LogPolicy};
use std::collections::BTreeMap;
use thiserror::Error;

/// The proofs that come with a program: JSON, with two texts of C2SP's tlog-proof for each task.
/// `sottovoce-auditor prove` makes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskProofs {
    /// By the task's ID.
    pub tasks: BTreeMap<TaskId, TaskProof>,
}

/// The proofs that both logs have a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskProof {
    /// The leader's.
    pub leader: String,
    /// The helper's.
    pub helper: String,
}

/// That all tasks of a program are in both logs, as the program has them. Only [`verify`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged(());

/// Why a device does not report.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NotLogged {
    /// There are no proofs yet.
    #[error(
        "the program requires proofs that its tasks are in both logs, and none were given; pass the \
         proofs that `sottovoce-auditor prove` writes for it"
    )]
    Missing,
    /// The program names no logs.
    #[error(
        "the program names no logs, so there is nothing to check proofs against; add a table [log]"
    )]
    NoLogs,
    /// The proofs are not JSON of the right form.
    #[error("the proofs cannot be parsed: {0}; write them again with `sottovoce-auditor prove`")]
    Form(String),
    /// A task has none.
    #[error("the proofs lack {task}; write them again with `sottovoce-auditor prove`")]
    Task {
        /// The task's name.
        task: String,
    },
    /// A proof does not hold.
    #[error("{task} in the {log}: {source}")]
    Proof {
        /// The task's name.
        task: String,
        /// The log's name.
        log: String,
        /// Why not.
        source: ProofError,
    },
    /// The log does not have the key that a server gives out.
    #[error(
        "the {role} offers an HPKE key that is not proved to be in the {log} ({reason}): it may be offered to \
         this device only, to recognise its reports; the key is not used, and keys are fetched again later"
    )]
    Key {
        /// Whose key.
        role: Role,
        /// The log's name.
        log: String,
        /// What is wrong with the proof.
        reason: String,
    },
    /// It is another task than the program's.
    #[error("{task} has a different {what} in the {log} than in the program; do not report to it")]
    Other {
        /// The task's name.
        task: String,
        /// The log's name.
        log: String,
        /// What differs.
        what: &'static str,
    },
}

/// Checks the proofs if there are any; that there are none is right unless the program demands them of
/// devices.
pub fn insist(program: &Program, proofs: Option<&str>) -> Result<(), NotLogged> {
    match proofs {
        Some(proofs) => verify(program, proofs).map(|_| ()),
        None if program.log().is_some_and(LogPolicy::devices_require) => Err(NotLogged::Missing),
        None => Ok(()),
    }
}

/// Checks the proofs of all tasks of a program, in both logs. Needs no network and no clock.
pub fn verify(program: &Program, proofs: &str) -> Result<Logged, NotLogged> {
    let policy = program.log().ok_or(NotLogged::NoLogs)?;
    let most = program.tasks().len().saturating_mul(2 * 2 * MAX_PROOF);
    if proofs.len() > most {
        return Err(NotLogged::Form(format!(
            "they have {} bytes, and the limit is {most}",
            proofs.len()
        )));
    }
    let proofs: TaskProofs =
        serde_json::from_str(proofs).map_err(|error| NotLogged::Form(error.to_string()))?;
    for task in program.tasks() {
        let name = || task.name.clone();
        let both =
            proofs.tasks.get(&task.task_id).ok_or_else(|| NotLogged::Task { task: name() })?;
        check(program, task, policy.leader(), &both.leader)?;
        check(program, task, policy.helper(), &both.helper)?;
    }
    Ok(Logged(()))
}

/// Checks that a log has a task as the program has it.
pub fn check(
    program: &Program,
    task: &CompiledTask,
    trust: &Trust,
    proof: &str,
) -> Result<(), NotLogged> {
    let (name, log) = (task.name.clone(), trust.origin().to_owned());
    let proved = Proof::parse(proof.as_bytes()).and_then(|proof| proof.verify(trust));
    let proved = proved.map_err(|source| NotLogged::Proof {
        task: name.clone(),
        log: log.clone(),
        source,
    })?;
    let what = match proved.entry.event {
        Event::Task(taken) => difference(program, task, &taken),
        _ => Some("kind of entry"),
    };
    what.map_or(Ok(()), |what| Err(NotLogged::Other { task: name, log, what }))
}

/// Where a server proves that its log has a key of its own.
pub fn key_proof_url(endpoint: &Url, config: &HpkeConfig) -> String {
    let base = endpoint.as_str().trim_end_matches('/');
    format!("{base}/log/proof/{}", EntryKey::hpke_key(config))
}

/// What came when a proof of a key was asked for.
#[derive(Clone, Copy, Debug)]
pub enum KeyProof<'a> {
    /// This.
    Given(&'a [u8]),
    /// The log has none.
    None,
}

/// Checks that a log has the key of a server; whether it may be there a little later, or not.
pub fn check_key(
    role: Role,
    config: &HpkeConfig,
    policy: &LogPolicy,
    proof: KeyProof<'_>,
) -> Result<(), KeyNotLogged> {
    let trust = if role == Role::Helper { policy.helper() } else { policy.leader() };
    let refused = |reason: String| {
        KeyNotLogged::Refused(NotLogged::Key { role, log: trust.origin().to_owned(), reason })
    };
    let KeyProof::Given(proof) = proof else {
        return Err(refused("the log has no entry for the key".to_owned()));
    };
    let proved = match Proof::parse(proof).and_then(|proof| proof.verify(trust)) {
        Ok(proved) => proved,
        // What is published has yet to be cosigned.
        Err(ProofError::Checkpoint(CheckpointError::Quorum { .. })) => {
            return Err(KeyNotLogged::NotYet);
        }
        Err(error) => return Err(refused(error.to_string())),
    };
    match proved.entry.event {
        Event::HpkeKey(KeyChange::Added, logged) if logged == *config => Ok(()),
        _ => Err(refused("the proof is of another entry".to_owned())),
    }
}

/// Why a key is not used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyNotLogged {
    /// Its proof may hold a little later.
    NotYet,
    /// It is not in the log.
    Refused(NotLogged),
}

fn difference(program: &Program, task: &CompiledTask, taken: &TaskTaken) -> Option<&'static str> {
    let same = [
        ("ID", taken.task == task.task_id),
        ("configuration", taken.configuration == task.configuration),
        ("collector's key", taken.collector == *program.collector()),
        ("manifest", taken.manifest == task.manifest.to_bytes()),
        ("aggregator noise", taken.noise == task.noise()),
    ];
    same.into_iter().find(|(_, same)| !same).map(|(what, _)| what)
}

#[cfg(test)]
pub(crate) mod tests;
