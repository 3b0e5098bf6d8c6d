//! What an audit finds.

use crate::dap::role::Role;
use serde::Serialize;
use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// It may have a reason, which somebody should give.
    Warning,
    /// A promise is broken, or cannot be told from a broken one.
    Violation,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Violation => "VIOLATION",
        })
    }
}

/// One thing that an audit finds: by which rule, where, and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// The rule's name, which does not change.
    pub rule: &'static str,
    /// In whose log, if it is about one.
    pub log: Option<Role>,
    /// The entry's place, if it is about one.
    pub entry: Option<u64>,
    /// What was found, with its numbers.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<9}  {}", self.severity, self.rule)?;
        match (self.log, self.entry) {
            (Some(log), Some(entry)) => write!(f, " ({log}, entry {entry})")?,
            (Some(log), None) => write!(f, " ({log})")?,
            _ => {}
        }
        write!(f, ": {}", self.message)
    }
}

/// Gathers findings about one log, or about both.
#[derive(Debug, Default)]
pub struct Findings {
    all: Vec<Finding>,
    left_out: u64,
}

/// More of them say nothing new, and a log may have any number of bad entries.
const MOST: usize = 1000;

impl Findings {
    /// Adds one.
    pub fn add(&mut self, severity: Severity, rule: &'static str, at: At, message: String) {
        if self.all.len() < MOST || severity == Severity::Violation && self.all.len() < 2 * MOST {
            self.all.push(Finding { severity, rule, log: at.log, entry: at.entry, message });
        } else {
            self.left_out += 1;
        }
    }

    /// All of them, the worst first.
    pub fn sorted(mut self) -> (Vec<Finding>, u64) {
        self.all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        (self.all, self.left_out)
    }
}

/// What a finding is about.
#[derive(Clone, Copy, Debug)]
pub struct At {
    /// Whose log.
    pub log: Option<Role>,
    /// Which entry.
    pub entry: Option<u64>,
}

impl At {
    /// About neither log, or both.
    pub const BOTH: Self = Self { log: None, entry: None };

    /// About a log.
    pub fn log(role: Role) -> Self {
        Self { log: Some(role), entry: None }
    }

    /// About an entry of a log.
    pub fn entry(role: Role, index: u64) -> Self {
        Self { log: Some(role), entry: Some(index) }
    }
}
