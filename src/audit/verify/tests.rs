//! Logs in folders, as two aggregators would write them, and what becomes of an audit when somebody
//! alters them.

use super::*;
use crate::{
    audit::source::{Reader, Source},
    dap::{
        aggregate::Checksum,
        codec::Encode,
        collect::BatchSelector,
        time::{Interval, Time},
    },
    log::{
        checkpoint::{Checkpoint, Signer, tests::TestKey},
        entry::{Claim, Entry, Event, KeyChange, Refused, Release, ShareDigest, TaskTaken},
        note::KeyKind,
        tiles::{Edge, TileName},
    },
    program::{ProgramKind, template::template},
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

const DAY: u64 = 86_400;

/// An aggregator's log in a folder of its own.
struct Log {
    role: Role,
    folder: PathBuf,
    key: TestKey,
    edge: Edge,
}

impl Log {
    fn new(role: Role, folder: PathBuf, seed: u8) -> Self {
        let key = TestKey::new(&format!("{role}.example/log"), KeyKind::Log, seed);
        Self { role, folder, key, edge: Edge::default() }
    }

    fn add(&mut self, time: u64, event: Event) {
        self.edge.push(&Entry { time, event }.to_bytes()).unwrap();
    }

    fn write(&mut self) {
        self.write_signed(&[]);
    }

    /// Writes the files and a checkpoint by our key and others.
    fn write_signed(&mut self, others: &[&dyn Signer]) {
        let size = self.edge.frontier().size();
        // Whoever reads a log of this size reads none of the narrower files of before.
        let _ = fs::remove_dir_all(&self.folder);
        for (place, bytes) in self.edge.take_changed() {
            let path = self.folder.join(TileName::of(place, size).unwrap().to_string());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let keys = [&[&self.key as &dyn Signer], others].concat();
        let origin = self.key.verifier_key().name().as_str();
        let checkpoint = Checkpoint::new(origin, self.edge.frontier()).sign(&keys);
        fs::write(self.folder.join("checkpoint"), checkpoint.to_string()).unwrap();
    }

    fn audited(&self) -> Audited {
        Audited {
            role: self.role,
            reader: Reader::new(Source::Folder(self.folder.clone())).unwrap(),
            trust: Trust::new(vec![self.key.verifier_key().clone()], Vec::new(), 0).unwrap(),
        }
    }
}

/// Two logs, a program, and what an auditor remembers.
struct Stage {
    _folder: TempDir,
    program: Program,
    leader: Log,
    helper: Log,
    state: State,
    now: u64,
}

impl Stage {
    /// Both logs begin, with the program's tasks taken on.
    fn new() -> Self {
        Self::of(&without_budget())
    }

    fn of(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = Program::parse("program.toml", text).unwrap();
        let leader = Log::new(Role::Leader, folder.path().join("leader"), 1);
        let helper = Log::new(Role::Helper, folder.path().join("helper"), 2);
        let now = 20_000 * DAY;
        let mut stage =
            Self { _folder: folder, program, leader, helper, state: State::default(), now };
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

    fn taken(&self, task: &crate::program::compile::CompiledTask) -> TaskTaken {
        let claim = |g: &crate::privacy::units::Guarantee| Claim {
            trust: g.trust,
            epsilon: g.epsilon,
            delta: g.delta,
        };
        TaskTaken {
            task: task.task_id,
            configuration: task.configuration.clone(),
            collector: self.program.collector().clone(),
            noise: task.noise(),
            claims: task.guarantees().iter().map(claim).collect(),
            manifest: task.manifest.to_bytes(),
        }
    }

    fn both(&mut self, mut each: impl FnMut(&mut Log)) {
        for log in [&mut self.leader, &mut self.helper] {
            each(log);
            log.write();
        }
    }

    /// What one aggregator logs of the first task's window, `days` ago.
    fn released(&self, days: u64) -> Release {
        let task = &self.program.tasks()[0];
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

    fn release(&mut self, days: u64) {
        let release = self.released(days);
        self.release_both(days, &release, &release);
    }

    fn release_both(&mut self, days: u64, leader: &Release, helper: &Release) {
        let time = self.now - days * DAY + 2 * DAY;
        self.leader.add(time, Event::Release(leader.clone()));
        self.helper.add(time, Event::Release(helper.clone()));
        self.leader.write();
        self.helper.write();
    }

    fn verify(&mut self) -> Result<Outcome, Unverified> {
        let logs = [self.leader.audited(), self.helper.audited()];
        let programs = [self.program.clone()];
        verify(&logs, &programs, self.now, &mut self.state, &mut |_, _| {})
    }

    fn holds(&mut self) -> Outcome {
        let outcome = self.verify().unwrap();
        assert!(outcome.holds, "{}", present::text(&outcome, true));
        outcome
    }

    /// The message of the violation of a rule.
    #[track_caller]
    fn violated(&mut self, rule: &str) -> String {
        let outcome = self.verify().unwrap();
        let found = |severity| {
            outcome.findings.iter().find(move |f| f.rule == rule && f.severity == severity)
        };
        let finding = found(Severity::Violation)
            .unwrap_or_else(|| panic!("no {rule}:\n{}", present::text(&outcome, true)));
        assert!(!outcome.holds);
        finding.message.clone()
    }
}

/// Composing what a period costs takes longer than all else here.
fn without_budget() -> String {
    let text = template(ProgramKind::Feedback, "support").unwrap();
    let (before, rest) = text.split_once("[budget]").unwrap();
    let (_, after) = rest.split_once("\n[").unwrap();
    format!("{before}[{after}")
}

#[test]
fn honest_logs_hold_and_each_audit_reads_what_is_new_only() {
    let text = template(ProgramKind::Feedback, "support").unwrap();
    let mut stage = Stage::of(&text);
    stage.release(20);
    let first = stage.holds();
    assert!(first.findings.iter().all(|f| f.severity == Severity::Note), "{:?}", first.findings);
    assert_eq!((first.logs[0].releases, first.logs[0].new), (1, first.logs[0].size));
    stage.release(19);
    stage.release(18);
    let second = stage.holds();
    assert_eq!(second.logs.iter().map(|read| read.new).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(second.logs[0].releases, 3);
    let spent = &second.spent;
    assert!(spent.iter().map(|spent| spent.windows).sum::<u64>() >= 3, "{spent:?}");
    // And from the beginning, all the same.
    stage.state = State::default();
    assert_eq!(stage.holds().logs[0].releases, 3);
}

#[test]
fn what_is_remembered_survives_its_file() {
    let mut stage = Stage::new();
    stage.release(20);
    stage.holds();
    let file = stage.leader.folder.join("state.json");
    stage.state.write(&file).unwrap();
    assert_eq!(State::read(&file).unwrap().leader, stage.state.leader);
    assert_eq!(State::read(Path::new("/nowhere")).unwrap(), State::default());
    for text in ["{}", "{\"version\":2,\"leader\":null,\"helper\":null}", "nonsense"] {
        fs::write(&file, text).unwrap();
        assert!(State::read(&file).unwrap_err().to_string().contains("move it away"));
    }
}

#[test]
fn whatever_byte_of_whatever_file_is_altered_it_shows() {
    let mut stage = Stage::new();
    stage.release(20);
    stage.holds();
    let files = files(&stage.leader.folder);
    assert!(files.len() >= 3);
    for (path, bytes) in &files {
        let step = (bytes.len() / 25).max(1);
        for at in (0..bytes.len()).step_by(step) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            for altered in [changed.as_slice(), &bytes[..at]] {
                fs::write(path, altered).unwrap();
                stage.state = State::default();
                let outcome = stage.verify();
                let held = outcome.as_ref().is_ok_and(|outcome| outcome.holds);
                assert!(!held, "byte {at} of {}", path.display());
            }
        }
        fs::write(path, bytes).unwrap();
    }
    stage.holds();
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
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

fn put(folder: &Path, files: &BTreeMap<PathBuf, Vec<u8>>) {
    fs::remove_dir_all(folder).unwrap();
    for (path, bytes) in files {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn an_entry_a_tile_and_a_root_that_were_altered_are_told_apart() {
    let mut stage = Stage::new();
    stage.release(20);
    let good = files(&stage.leader.folder);
    let alter = |wanted: &str| {
        let (path, bytes) =
            good.iter().find(|(p, _)| p.to_str().unwrap().contains(wanted)).unwrap();
        let mut changed = bytes.clone();
        let last = changed.len() - 1;
        changed[last] ^= 1;
        fs::write(path, changed).unwrap();
    };
    alter("tile/0/");
    assert!(stage.violated("log").contains("a tile was altered"));
    put(&stage.leader.folder, &good);
    alter("tile/entries/");
    assert!(stage.violated("log").contains("a tile was altered"), "the tile tells of the entry");
    put(&stage.leader.folder, &good);
    fs::remove_dir_all(stage.leader.folder.join("tile")).unwrap();
    let error = stage.verify().unwrap_err().to_string();
    assert!(error.contains("half-written"), "{error}");
}

#[test]
fn a_log_that_was_rolled_back_or_forked_since_the_last_audit_is_told() {
    let mut stage = Stage::new();
    let early = files(&stage.leader.folder);
    stage.release(20);
    stage.holds();
    let late = files(&stage.leader.folder);
    put(&stage.leader.folder, &early);
    assert!(stage.violated("log").contains("rolled back"));
    // The same length, and other entries.
    let mut other = Log::new(Role::Leader, stage.leader.folder.clone(), 1);
    for index in 0..stage.leader.edge.frontier().size() {
        other.add(index, Event::Started("another".to_owned()));
    }
    fs::remove_dir_all(&other.folder).unwrap();
    other.write();
    assert!(stage.violated("log").contains("rewritten or forked"));
    other.add(99, Event::Started("and longer".to_owned()));
    other.write();
    assert!(stage.violated("log").contains("does not go on from where it was last audited"));
    put(&stage.leader.folder, &late);
    stage.holds();
}

#[test]
fn a_log_of_another_name_or_key_is_told() {
    let mut stage = Stage::new();
    let own = files(&stage.leader.folder);
    put(&stage.leader.folder, &BTreeMap::new());
    fs::create_dir_all(&stage.leader.folder).unwrap();
    for (path, bytes) in files(&stage.helper.folder) {
        let path = stage.leader.folder.join(path.strip_prefix(&stage.helper.folder).unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    assert!(stage.violated("log").contains("is of the log helper.example/log"));
    put(&stage.leader.folder, &own);
    stage.leader.key = TestKey::new("leader.example/log", KeyKind::Log, 9);
    assert!(stage.violated("log").contains("no signature is by leader.example/log"));
}

#[test]
fn a_rotated_key_is_believed_because_the_log_said_so_under_the_old_one() {
    let mut stage = Stage::new();
    let next = TestKey::new("leader.example/log", KeyKind::Log, 7);
    let added = Event::LogKey(KeyChange::Added, next.verifier_key().clone());
    stage.leader.add(stage.now - DAY, added);
    stage.leader.write_signed(&[&next]);
    stage.holds();
    // From now on only the new key signs; the auditor still names the old one.
    let trusted = std::mem::replace(&mut stage.leader.key, next);
    stage.leader.add(stage.now, Event::LogKey(KeyChange::Retired, trusted.verifier_key().clone()));
    stage.leader.write();
    stage.leader.key = trusted;
    stage.holds();
    stage.state = State::default();
    assert!(!stage.verify().unwrap().holds, "who saw nothing of it has to name the new key");
}

#[test]
fn reports_that_are_released_twice_are_told_by_their_windows() {
    let mut stage = Stage::new();
    stage.release(20);
    stage.holds();
    let mut again = stage.released(20);
    let window = stage.program.tasks()[0].configuration.time_precision.seconds();
    let wider = Interval::new(again.interval.start(), 3 * DAY.div_ceil(window)).unwrap();
    again.batch = BatchSelector::TimeInterval(wider.into());
    stage.release_both(17, &again, &again);
    let message = stage.violated("released-twice");
    assert!(message.contains(" to "), "{message}");
}

/// A rule, and what breaks it.
type Change = (&'static str, fn(&mut Release));

#[test]
fn a_batch_too_small_or_of_another_price_or_noise_is_told() {
    let mut stage = Stage::new();
    stage.holds();
    let changes: [Change; 4] = [
        ("batch-size", |release| release.report_count -= 1),
        ("charge", |release| release.charged.clear()),
        ("unknown-task", |release| release.task = crate::dap::ids::TaskId::new([1; 32])),
        ("interval", |release| {
            release.interval = Interval::new(Time(1), 1).unwrap();
        }),
    ];
    for (rule, change) in changes {
        let mut stage = Stage::new();
        let mut release = stage.released(20);
        change(&mut release);
        stage.release_both(20, &release, &release);
        stage.violated(rule);
    }
}

#[test]
fn logs_that_contradict_each_other_are_told_by_what_they_differ_in() {
    let mut stage = Stage::new();
    let release = stage.released(20);
    let other = Release { checksum: Checksum::new([8; 32]), ..release.clone() };
    stage.release_both(20, &release, &other);
    assert!(stage.violated("sides-differ").contains("checksum"));
    let mut stage = Stage::new();
    let more = Release { report_count: release.report_count + 5, ..release.clone() };
    stage.release_both(20, &more, &release);
    assert!(stage.violated("sides-differ").contains("number of reports"));
}

#[test]
fn a_release_in_one_log_only_is_a_warning_first_and_then_a_violation() {
    let mut stage = Stage::new();
    let release = stage.released(2);
    stage.helper.add(stage.now - 60, Event::Release(release.clone()));
    stage.helper.write();
    let outcome = stage.holds();
    assert!(outcome.findings.iter().any(|f| f.rule == "one-sided-release"));
    stage.now += 2 * DAY;
    assert!(stage.violated("one-sided-release").contains("not in the leader's log"));
    // Once the other log has it too, it is settled.
    stage.leader.add(stage.now, Event::Release(release));
    stage.leader.write();
    let outcome = stage.verify().unwrap();
    assert!(outcome.findings.iter().all(|f| f.rule != "one-sided-release"));
}

#[test]
fn a_task_of_other_promises_than_the_programs_is_told() {
    let mut stage = Stage::new();
    let changed = without_budget().replacen("question = \"", "question = \"Really: ", 1);
    stage.program = Program::parse("program.toml", &changed).unwrap();
    let outcome = stage.verify().unwrap();
    let rules: Vec<_> = outcome.findings.iter().map(|finding| finding.rule).collect();
    assert!(rules.contains(&"not-taken-on") && rules.contains(&"program-missing"), "{rules:?}");
    let mut stage = Stage::new();
    let mut taken = stage.taken(&stage.program.tasks()[0]);
    taken.task = crate::dap::ids::TaskId::new([3; 32]);
    stage.both(|log| log.add(20_000 * DAY, Event::Task(Box::new(taken.clone()))));
    stage.violated("task-id");
    let mut stage = Stage::new();
    let mut taken = stage.taken(&stage.program.tasks()[0]);
    taken.claims.pop();
    let key = TestKey::new("leader.example/log", KeyKind::Log, 1);
    stage.leader = Log { key, ..Log::new(Role::Leader, stage.leader.folder.clone(), 1) };
    fs::remove_dir_all(&stage.leader.folder).unwrap();
    stage.leader.add(stage.now - DAY, Event::Task(Box::new(taken)));
    stage.leader.write();
    stage.violated("program");
    stage.violated("claims");
}

#[test]
fn entries_that_do_not_decode_and_clocks_that_jump_are_told_and_never_panic() {
    let mut stage = Stage::new();
    stage.leader.edge.push(b"\xff nonsense").unwrap();
    stage.leader.write();
    stage.violated("entry-encoding");
    let mut stage = Stage::new();
    stage.leader.add(5, Event::Started("from long ago".to_owned()));
    stage.leader.add(u64::MAX, Event::Started("from far ahead".to_owned()));
    stage.leader.write();
    let outcome = stage.verify().unwrap();
    for rule in ["time-goes-back", "time-to-come"] {
        assert!(outcome.findings.iter().any(|f| f.rule == rule), "{rule}");
    }
}

#[test]
fn what_was_refused_and_what_weakens_is_pointed_out() {
    let mut stage = Stage::new();
    let (now, task) = (stage.now, stage.program.tasks()[0].task_id);
    stage.both(|log| {
        let settings = vec![("plain_http".to_owned(), "true".to_owned())];
        log.add(now, Event::Settings(settings));
        let problem = "invalidBatchSize".to_owned();
        let detail = "\u{1b}[31mthe batch has 2 reports".to_owned();
        log.add(now, Event::Refused(Refused { task, batch: None, problem, detail }));
    });
    let outcome = stage.holds();
    let finding = |rule| outcome.findings.iter().find(|f| f.rule == rule).unwrap();
    assert_eq!(finding("settings").severity, Severity::Warning);
    assert!(!finding("refused").message.contains('\u{1b}'), "others' words are made printable");
}
