//! Two logs in folders, a program, and an auditor.

use super::super::{state::State, *};
use crate::source::{Reader, Source};
use sottovoce_dap::{
    aggregate::Checksum,
    codec::Encode,
    collect::BatchSelector,
    time::{Interval, Time},
};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer, TestKey},
    entry::{Claim, Entry, Event, Release, ShareDigest, TaskTaken},
    note::KeyKind,
    tiles::{Edge, TileName},
};
use sottovoce_program::{
    ProgramKind,
    compile::CompiledTask,
    template::{self, template},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

pub(super) const DAY: u64 = 86_400;

/// An aggregator's log in a folder of its own.
pub(super) struct Log {
    pub(super) role: Role,
    pub(super) folder: PathBuf,
    pub(super) key: TestKey,
    pub(super) edge: Edge,
}

impl Log {
    pub(super) fn new(role: Role, folder: PathBuf, seed: u8) -> Self {
        let key = TestKey::new(&format!("{role}.example/log"), KeyKind::Log, seed);
        Self { role, folder, key, edge: Edge::default() }
    }

    /// Begins anew, without an entry.
    pub(super) fn restart(&mut self) {
        self.edge = Edge::default();
    }

    pub(super) fn add(&mut self, time: u64, event: Event) {
        self.edge.push(&Entry { time, event }.to_bytes()).unwrap();
    }

    pub(super) fn write(&mut self) {
        self.write_signed(&[]);
    }

    /// Writes the files and a checkpoint by our key and others.
    pub(super) fn write_signed(&mut self, others: &[&dyn Signer]) {
        let size = self.edge.frontier().size();
        // Whoever reads a log of this size reads none of the narrower files of before.
        let changed = self.edge.take_changed();
        if !changed.is_empty() {
            let _ = fs::remove_dir_all(&self.folder);
        }
        for (place, bytes) in changed {
            let path = self.folder.join(TileName::of(place, size).unwrap().to_string());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let keys = [&[&self.key as &dyn Signer], others].concat();
        let origin = self.key.verifier_key().name().as_str();
        let checkpoint = Checkpoint::new(origin, self.edge.frontier()).sign(&keys);
        fs::write(self.folder.join("checkpoint"), checkpoint.to_string()).unwrap();
    }

    pub(super) fn audited(&self) -> Audited {
        Audited {
            role: self.role,
            reader: Reader::new(Source::Folder(self.folder.clone())).unwrap(),
            trust: Trust::new(vec![self.key.verifier_key().clone()], Vec::new(), 0).unwrap(),
        }
    }
}

/// Two logs, a program, and what an auditor remembers.
pub(super) struct Stage {
    _folder: TempDir,
    pub(super) program: Program,
    pub(super) leader: Log,
    pub(super) helper: Log,
    pub(super) state: State,
    pub(super) now: u64,
    pub(super) bounds: Bounds,
}

impl Stage {
    /// Both logs begin, with the program's tasks taken on.
    pub(super) fn new() -> Self {
        Self::of(&without_budget())
    }

    pub(super) fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::parse("program.toml", &daily(text)).unwrap();
        let leader = Log::new(Role::Leader, folder.path().join("leader"), 1);
        let helper = Log::new(Role::Helper, folder.path().join("helper"), 2);
        let (now, bounds) = (20_000 * DAY, Bounds::default());
        let mut stage =
            Self { _folder: folder, program, leader, helper, state: State::default(), now, bounds };
        let taken: Vec<_> = stage.program.tasks().iter().map(|task| stage.taken(task)).collect();
        stage.both(|log| {
            log.add(now - 30 * DAY, Event::Started(format!("sottovoce-{} 0.1.0", log.role)));
            let settings = vec![("plain_http".to_owned(), "false".to_owned())];
            log.add(now - 30 * DAY, Event::Settings(settings));
            for taken in &taken {
                log.add(now - 30 * DAY, Event::Task(Box::new(taken.clone())));
            }
        });
        stage
    }

    pub(super) fn taken(&self, task: &CompiledTask) -> TaskTaken {
        TaskTaken {
            task: task.task_id,
            configuration: task.configuration.clone(),
            collector: self.program.collector().clone(),
            noise: task.noise(),
            claims: task.guarantees().iter().map(Claim::from).collect(),
            manifest: task.manifest.to_bytes(),
        }
    }

    pub(super) fn both(&mut self, mut each: impl FnMut(&mut Log)) {
        for log in [&mut self.leader, &mut self.helper] {
            each(log);
            log.write();
        }
    }

    /// What one aggregator logs of the first task's window, `days` ago.
    pub(super) fn released(&self, days: u64) -> Release {
        self.released_of(&self.program.tasks()[0], days)
    }

    /// Likewise of another task.
    pub(super) fn released_of(&self, task: &CompiledTask, days: u64) -> Release {
        let window = task.configuration.time_precision.seconds();
        let start = (self.now - days * DAY) / window;
        let interval = Interval::new(Time(start), DAY.div_ceil(window)).unwrap();
        Release {
            task: task.task_id,
            batch: BatchSelector::TimeInterval(interval.into()),
            report_count: task.configuration.min_batch_size,
            checksum: Checksum::new([7; 32]),
            interval,
            noise: task.noise(),
            charged: self.taken(task).claims,
            share: ShareDigest([0; 32]),
        }
    }

    pub(super) fn release(&mut self, days: u64) {
        let release = self.released(days);
        self.release_both(days, &release, &release);
    }

    pub(super) fn release_both(&mut self, days: u64, leader: &Release, helper: &Release) {
        let time = self.now - days * DAY + 2 * DAY;
        self.leader.add(time, Event::Release(leader.clone()));
        self.helper.add(time, Event::Release(helper.clone()));
        self.leader.write();
        self.helper.write();
    }

    pub(super) fn verify(&mut self) -> Result<Outcome, Unverified> {
        let logs = [self.leader.audited(), self.helper.audited()];
        let programs = [self.program.clone()];
        self.verify_of(&logs, &programs, false)
    }

    /// Some logs, by some programs, from the first entry on if `whole` is set.
    pub(super) fn verify_of(
        &mut self,
        logs: &[Audited],
        programs: &[Program],
        whole: bool,
    ) -> Result<Outcome, Unverified> {
        let audit = Audit { logs, programs, now: self.now, whole, bounds: self.bounds };
        verify(&audit, &mut self.state, &mut |_, _| {})
    }

    pub(super) fn holds(&mut self) -> Outcome {
        let outcome = self.verify().unwrap();
        assert!(outcome.holds, "{}", present::text(&outcome, true));
        outcome
    }

    /// The message of the violation of a rule.
    #[track_caller]
    pub(super) fn violated(&mut self, rule: &str) -> String {
        violation(&self.verify().unwrap(), rule)
    }
}

/// Composing what a period costs takes longer than all else here.
pub(super) fn without_budget() -> String {
    daily(&template::without_budget(&template(ProgramKind::Feedback, "support").unwrap()))
}

/// With windows of a day, which tests count in.
fn daily(text: &str) -> String {
    text.replacen("window = \"7 days\"", "window = \"1 day\"", 1)
}

pub(super) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), fs::read(path).unwrap());
        }
    }
    all
}

pub(super) fn put(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(folder).unwrap();
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The message of an outcome's violation of a rule.
#[track_caller]
pub(super) fn violation(outcome: &Outcome, rule: &str) -> String {
    let broken = |f: &&Finding| f.rule == rule && f.severity == Severity::Violation;
    let finding = outcome.findings.iter().find(broken);
    let finding = finding.unwrap_or_else(|| panic!("no {rule}:\n{}", present::text(outcome, true)));
    assert!(!outcome.holds);
    finding.message.clone()
}
