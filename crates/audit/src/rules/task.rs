//! A task that was taken on: that it is what it says, and what the program says.

use super::{Judge, ranges::Ranges};
use crate::finding::{At, Severity};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use sottovoce_dap::{codec::Encode, task::BatchMode, time::TimePrecision};
use sottovoce_log::{
    claim::encode_claims,
    entry::{Claim, TaskTaken},
};
use sottovoce_privacy::noise::AggregatorNoise;
use sottovoce_program::{
    Calendar, Program, Weekday,
    compile::{CompiledTask, manifest_digest},
    manifest::{claims_in, week_begins_in},
};

/// What is remembered of a task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFacts {
    /// The entry that took it on.
    pub(crate) entry: u64,
    /// SHA-256 of its configuration and the collector's key, in base64url: what both must have.
    pub(crate) agreed: String,
    pub(crate) noise: Option<AggregatorNoise>,
    /// The claims' encoding, in base64url: JSON's numbers would not come back the same.
    pub(crate) claims: String,
    pub(crate) min_batch_size: u64,
    /// Seconds.
    pub(crate) window: u64,
    /// Where its windows begin, if they are whole weeks.
    #[serde(default, skip_serializing_if = "Weekday::is_thursday")]
    pub(crate) week_begins: Weekday,
    pub(crate) batch_mode: BatchMode,
    /// What was released.
    pub(crate) released: Ranges,
    /// When, by the log's own times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) releases: Option<Releases>,
}

/// How many releases there were, and when the first and the last of them were logged, in seconds since the Epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Releases {
    /// How many.
    pub count: u64,
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
}

impl Releases {
    /// One at this time.
    pub fn at(time: u64) -> Self {
        Self { count: 1, first: time, last: time }
    }

    /// These and others together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            count: self.count.saturating_add(other.count),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

impl TaskFacts {
    /// When its windows begin and end.
    pub(super) fn calendar(&self) -> Option<Calendar> {
        let precision = TimePrecision::from_seconds(self.window)?;
        Some(Calendar::from(precision).beginning(self.week_begins))
    }

    /// About how many bytes it takes.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>() + self.agreed.len() + self.claims.len() + self.released.bytes()
    }
}

impl Judge<'_> {
    pub(super) fn task(&mut self, at: At, taken: &TaskTaken) {
        let facts = TaskFacts {
            entry: at.entry.unwrap_or(0),
            agreed: agreed(taken),
            noise: taken.noise,
            claims: encoded(&taken.claims),
            min_batch_size: taken.configuration.min_batch_size,
            window: taken.configuration.time_precision.seconds(),
            week_begins: self.week_begins(taken),
            batch_mode: taken.configuration.batch_mode,
            released: Ranges::default(),
            releases: None,
        };
        let name = self.known.name(&taken.task);
        if let Some(before) = self.facts.tasks.get(&taken.task) {
            let same = (&before.agreed, before.noise, &before.claims)
                == (&facts.agreed, facts.noise, &facts.claims);
            let message = format!("{name} is already in the log as entry {}", before.entry);
            if same {
                self.findings.add(Severity::Warning, "task-twice", at, message);
            } else {
                self.violation(at, "task-changed", format!("{message}, with different promises"));
            }
            return;
        }
        self.own(at, &name, taken);
        self.by_program(at, &name, taken);
        self.facts.tasks.insert(taken.task, facts);
    }

    /// Whether the task names its manifest, and is named by its configuration.
    fn own(&mut self, at: At, name: &str, taken: &TaskTaken) {
        let Some(digest) = manifest_digest(&taken.configuration) else {
            let message = format!(
                "{name} is a plain DAP task: it has no manifest, and so no privacy guarantee"
            );
            self.findings.add(Severity::Warning, "plain-task", at, message);
            return;
        };
        if taken.configuration.task_id() != taken.task {
            let message = format!("the task ID of {name} is not the hash of its configuration");
            self.violation(at, "task-id", message);
        }
        if taken.manifest.is_empty() {
            let message = format!(
                "{name} was logged without its manifest: the server served it before it had a log"
            );
            self.findings.add(Severity::Warning, "manifest-missing", at, message);
            return;
        }
        if <[u8; 32]>::from(Sha256::digest(&taken.manifest)) != digest {
            let message =
                format!("the manifest of {name} is not the one that its reports are bound to");
            return self.violation(at, "manifest", message);
        }
        let day = week_begins_in(&taken.manifest);
        let window = Calendar::from(taken.configuration.time_precision);
        if !day.is_some_and(|day| day.is_thursday() || window.beginning(day) != window) {
            let message = format!("the manifest of {name} has no valid first day of its windows");
            self.violation(at, "week", message);
        }
        match claims_in(&taken.manifest) {
            Some(claims)
                if claims.len() == taken.claims.len() && within(&claims, &taken.claims) => {}
            _ => {
                let message = format!("{name} claims different guarantees than its manifest");
                self.violation(at, "claims", message);
            }
        }
    }

    /// Whether it is what the program compiles to. The guarantees are worked out anew for that.
    fn by_program(&mut self, at: At, name: &str, taken: &TaskTaken) {
        let Some((program, task)) = self.known.task(&taken.task) else {
            if let Some(digest) = manifest_digest(&taken.configuration) {
                let message = format!(
                    "{name} is in none of the given programs, so its guarantee was not recomputed{}",
                    self.other_day(digest)
                );
                self.findings.add(Severity::Warning, "program-missing", at, message);
            }
            return;
        };
        let manifest = task.manifest.to_bytes();
        let claimed: Vec<Claim> = task.guarantees().iter().map(Claim::from).collect();
        let same = [
            ("configuration", task.configuration == taken.configuration),
            ("collector's key", *program.collector() == taken.collector),
            ("aggregator noise", task.noise() == taken.noise),
            ("manifest", taken.manifest.is_empty() || taken.manifest == manifest),
            ("first day of the week", self.week_begins(taken) == begins_on(task)),
            ("guarantee", claimed == taken.claims),
        ];
        for (what, _) in same.into_iter().filter(|(_, same)| !same) {
            let message = format!("{name} is served with another {what} than the program's");
            self.violation(at, "program", message);
        }
    }
}

impl Judge<'_> {
    /// The day that an aggregator says weeks begin on: by the manifest that it logged, or by the program's.
    fn week_begins(&self, taken: &TaskTaken) -> Weekday {
        let logged = week_begins_in(&taken.manifest);
        let known = || self.known.task(&taken.task).map(|(_, task)| begins_on(task));
        logged.or_else(known).unwrap_or_default()
    }

    /// Whose task it is but for the day that its weeks begin on, in words; nothing if it is nobody's.
    fn other_day(&self, digest: [u8; 32]) -> String {
        let tasks = self.known.programs.iter().flat_map(Program::tasks);
        let weekly = tasks.filter(|task| task.window().week_begins().is_some());
        let same = |task: &&CompiledTask, day| task.manifest.beginning(day).digest() == digest;
        let mut found = weekly.flat_map(|task| {
            Weekday::ALL
                .into_iter()
                .filter(move |day| same(&task, *day))
                .map(move |day| (task, day))
        });
        found.next().map_or_else(String::new, |(task, day)| {
            format!(
                "; it matches {} with weeks that begin on {day}s, and the program's begin on {}s",
                task.name,
                begins_on(task)
            )
        })
    }
}

fn begins_on(task: &CompiledTask) -> Weekday {
    task.window().week_begins().unwrap_or_default()
}

/// Whether claims are those of a manifest, whose figures are rounded up.
fn within(manifest: &[Claim], claims: &[Claim]) -> bool {
    manifest.iter().zip(claims).all(|(stated, claim)| {
        let gap = stated.epsilon.get() - claim.epsilon.get();
        stated.trust == claim.trust
            && (-1e-9..=1.1e-4).contains(&gap)
            && (stated.delta.get() - claim.delta.get()).abs() <= claim.delta.get() * 1e-9
    })
}

fn agreed(taken: &TaskTaken) -> String {
    let mut bytes = taken.configuration.to_bytes();
    taken.collector.encode(&mut bytes);
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// Claims, to be compared and kept.
pub(super) fn encoded(claims: &[Claim]) -> String {
    let mut bytes = Vec::new();
    encode_claims(claims, &mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}
