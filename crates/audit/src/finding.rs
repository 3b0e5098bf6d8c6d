//! What an audit finds.

use serde::Serialize;
use sottovoce_dap::{
    printable::{is_hidden, one_line},
    role::Role,
};
use std::{collections::BTreeMap, fmt};

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
    /// How many there were of each severity.
    counts: BTreeMap<Severity, usize>,
}

/// More of one severity say nothing new, and a log may have any number of bad entries.
const MOST: usize = 1000;

/// Characters of a message: entries may hold long texts.
const LONGEST: usize = 1000;

impl Findings {
    /// Adds one. Its message may hold others' words, and is made fit for a terminal.
    pub fn add(&mut self, severity: Severity, rule: &'static str, at: At, message: String) {
        let count = self.counts.entry(severity).or_insert(0);
        *count += 1;
        if *count <= MOST {
            let message = printable(message);
            self.all.push(Finding { severity, rule, log: at.log, entry: at.entry, message });
        }
    }

    /// Whether a promise is broken.
    pub fn broken(&self) -> bool {
        self.counts.contains_key(&Severity::Violation)
    }

    /// All of them, the worst first, and how many more there were.
    pub fn sorted(mut self) -> (Vec<Finding>, u64) {
        self.all.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let left_out = self.counts.values().sum::<usize>() - self.all.len();
        (self.all, left_out as u64)
    }
}

fn printable(text: String) -> String {
    if text.len() <= LONGEST && !text.contains(is_hidden) {
        return text;
    }
    one_line(&text.chars().take(LONGEST).collect::<String>())
}

/// A number with its noun: "1 window", "2 windows".
pub(crate) fn count(number: u64, noun: &str) -> String {
    let end = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{end}")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_one_severity_leave_room_for_the_others() {
        let mut findings = Findings::default();
        for _ in 0..MOST + 7 {
            findings.add(Severity::Note, "started", At::BOTH, String::new());
        }
        assert!(!findings.broken());
        findings.add(Severity::Warning, "gap", At::BOTH, "\u{1b}[2J\u{9b}\u{202e}".to_owned());
        findings.add(Severity::Violation, "log", At::BOTH, "x".repeat(2 * LONGEST));
        assert!(findings.broken());
        let (all, left_out) = findings.sorted();
        assert_eq!((all.len(), left_out), (MOST + 2, 7));
        assert_eq!((all[0].rule, all[0].message.len()), ("log", LONGEST));
        assert_eq!((all[1].rule, all[1].message.as_str()), ("gap", "\u{fffd}[2J\u{fffd}\u{fffd}"));
    }
}
