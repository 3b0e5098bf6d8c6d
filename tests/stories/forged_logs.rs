//! Logs that somebody forged, before an auditor with and without a memory, and with and without witnesses: a table of what
//! the auditor says of each, with its exit code.

use super::audit::verify;
use sottovoce_dap::codec::Encode;
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer, TestKey, cosign},
    entry::{Claim, Entry, Event, TaskTaken},
    note::KeyKind,
    tiles::{Edge, TileName},
};
use sottovoce_program::{
    Program, ProgramKind,
    compile::CompiledTask,
    template::{template, without_budget},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};
use tempfile::TempDir;

/// What is done to the leader's log after it was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Forgery {
    /// An entry of the past is another one, in its file.
    Altered,
    /// The file with the entries of the past is gone.
    Deleted,
    /// The log is again what it was before, as it was signed then.
    RolledBack,
    /// The log's key has signed another log of the same length.
    Forked,
    /// The checkpoint promises entries that are not given out.
    Withheld,
}

/// Who has cosigned what is shown, and of how many the auditor wants it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Witnesses {
    /// Nobody is asked for.
    None,
    /// Both, and both are wanted. Of a fork, this means that both collude.
    Both,
    /// One, and both are wanted.
    OneOfTwo,
    /// Nobody, and both are wanted.
    Missing,
}

impl Witnesses {
    /// How many have cosigned, and how many must have.
    fn counts(self) -> (usize, usize) {
        match self {
            Self::None => (0, 0),
            Self::Both => (2, 2),
            Self::OneOfTwo => (1, 2),
            Self::Missing => (0, 2),
        }
    }

    fn are_enough(self) -> bool {
        let (found, needed) = self.counts();
        found >= needed
    }
}

/// The exit code, and what the finding or the error says.
fn expected(forgery: Forgery, remembers: bool, witnesses: Witnesses) -> (i32, &'static str) {
    match (forgery, remembers, witnesses.are_enough()) {
        // What the log's own signature contradicts needs neither a memory nor witnesses.
        (Forgery::Altered, false, _) => (1, "was altered"),
        // Files that are missing prove nothing, and are never "ok".
        (Forgery::Deleted | Forgery::Withheld, ..) => (3, "the log is incomplete"),
        (Forgery::RolledBack, true, _) => (1, "rolled back"),
        (Forgery::Altered | Forgery::Forked, true, _) => (1, "rewritten or forked"),
        (Forgery::RolledBack | Forgery::Forked, false, false) => (3, "must"),
        // An old copy, or another log, that all whom the auditor trusts have signed: nothing is left to tell it by.
        (Forgery::RolledBack | Forgery::Forked, false, true) => (0, ""),
    }
}

/// A log in a folder.
struct Log {
    folder: PathBuf,
    key: TestKey,
    edge: Edge,
}

impl Log {
    fn new(role: &str, folder: &Path) -> Self {
        let key = TestKey::new(&format!("{role}.example/log"), KeyKind::Log, 1);
        Self { folder: folder.join(role), key, edge: Edge::default() }
    }

    fn add(&mut self, time: u64, event: Event) {
        self.edge.push(&Entry { time, event }.to_bytes()).unwrap();
    }

    /// Begins as a server does that takes on a program.
    fn begin(&mut self, program: &Program, software: &str, now: u64) {
        self.add(now, Event::Started(software.to_owned()));
        self.add(now, Event::Settings(vec![("plain_http".to_owned(), "false".to_owned())]));
        for task in program.tasks() {
            self.add(now, Event::Task(Box::new(taken(program, task))));
        }
    }

    /// Writes all files in the place of those of before, cosigned by so many witnesses.
    fn write(&mut self, cosigned: usize) {
        let size = self.edge.frontier().size();
        let _ = fs::remove_dir_all(&self.folder);
        for (place, bytes) in self.edge.take_changed() {
            let path = self.folder.join(TileName::of(place, size).unwrap().to_string());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        let name = self.key.verifier_key().name().as_str();
        let mut note = Checkpoint::new(name, self.edge.frontier()).sign(&[&self.key]);
        let lines: Vec<_> =
            witnesses()[..cosigned].iter().map(|key| cosign(&note, 1_700_000_000, key)).collect();
        note.add(lines);
        fs::write(self.folder.join("checkpoint"), note.to_string()).unwrap();
    }

    /// The file with the entries.
    fn entries(&self) -> PathBuf {
        let mut path = self.folder.join("tile/entries");
        while path.is_dir() {
            path = fs::read_dir(&path).unwrap().next().unwrap().unwrap().path();
        }
        path
    }
}

fn taken(program: &Program, task: &CompiledTask) -> TaskTaken {
    TaskTaken {
        task: task.task_id,
        configuration: task.configuration.clone(),
        collector: program.collector().clone(),
        noise: task.noise(),
        claims: task.guarantees().iter().map(Claim::from).collect(),
        manifest: task.manifest.to_bytes(),
    }
}

fn witnesses() -> [TestKey; 2] {
    [("one.example", 2), ("two.example", 3)]
        .map(|(name, seed)| TestKey::new(name, KeyKind::Witness, seed))
}

/// An auditor, a program, and both logs.
struct Stage {
    folder: TempDir,
    program: Program,
    now: u64,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = without_budget(&template(ProgramKind::Feedback, "support").unwrap());
        let program = Program::parse("program.toml", &text).unwrap();
        fs::write(folder.path().join("program.toml"), &text).unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        Self { folder, program, now: now - 3600 }
    }

    /// A log of some entries, written with so many cosignatures.
    fn log(&self, role: &str, more: usize, software: &str, cosigned: usize) -> Log {
        let mut log = Log::new(role, self.folder.path());
        log.begin(&self.program, software, self.now);
        for _ in 0..more {
            log.add(self.now, Event::Started(software.to_owned()));
        }
        log.write(cosigned);
        log
    }

    fn audit(&self, remembers: bool, needed: usize) -> (Option<i32>, String) {
        let place = |role: &str| self.folder.path().join(role).to_str().unwrap().to_owned();
        let key = |role: &str| Log::new(role, self.folder.path()).key.verifier_key().to_string();
        let keys = ["leader", "helper"].map(|role| (place(role), key(role)));
        let [leader, helper] = &keys;
        let trusted = witnesses().map(|witness| witness.verifier_key().to_string());
        let (needed, state) = (needed.to_string(), place("audit.json"));
        let mut line = vec!["--leader", &leader.0, "--leader-key", &leader.1];
        line.extend(["--helper", &helper.0, "--helper-key", &helper.1, "--quorum", &needed]);
        line.extend(trusted.iter().flat_map(|key| ["--witness", key.as_str()]));
        if remembers {
            line.extend(["--state", &state]);
        }
        let (code, outcome, error) = verify(&self.folder.path().join("program.toml"), &line);
        let findings = outcome["findings"].as_array().cloned().unwrap_or_default();
        let broken = findings.iter().filter(|finding| finding["severity"] == "violation");
        let said = broken.map(|finding| finding["message"].as_str().unwrap().to_owned());
        (code, said.chain([error]).collect::<Vec<_>>().join("\n"))
    }

    /// What comes of a forgery of the leader's log.
    fn forged(&self, forgery: Forgery, remembers: bool, by: Witnesses) -> (Option<i32>, String) {
        let (cosigned, needed) = by.counts();
        self.log("helper", 3, "sottovoce-helper 0.1.0", cosigned.max(needed));
        let leader = self.log("leader", 3, "sottovoce-leader 0.1.0", needed);
        let (code, said) = self.audit(remembers, needed);
        assert_eq!(code, Some(0), "before: {said}");
        match forgery {
            Forgery::Altered => {
                let leader = self.log("leader", 3, "sottovoce-leader 0.1.0", cosigned);
                let path = leader.entries();
                let mut bytes = fs::read(&path).unwrap();
                // Within the text of the first entry.
                bytes[20] ^= 1;
                fs::write(path, bytes).unwrap();
            }
            Forgery::Deleted => {
                let leader = self.log("leader", 3, "sottovoce-leader 0.1.0", cosigned);
                fs::remove_file(leader.entries()).unwrap();
            }
            Forgery::RolledBack => {
                self.log("leader", 1, "sottovoce-leader 0.1.0", cosigned);
            }
            Forgery::Forked => {
                self.log("leader", 3, "sottovoce-leader 6.6.6", cosigned);
            }
            Forgery::Withheld => {
                let longer = self.log("leader", 5, "sottovoce-leader 0.1.0", cosigned);
                let checkpoint = fs::read(longer.folder.join("checkpoint")).unwrap();
                self.log("leader", 3, "sottovoce-leader 0.1.0", cosigned);
                fs::write(leader.folder.join("checkpoint"), checkpoint).unwrap();
            }
        }
        self.audit(remembers, needed)
    }
}

#[test]
fn every_forgery_is_told_by_what_the_auditor_has_to_tell_it_by() {
    let (mut cases, mut wrong) = (0, Vec::new());
    let stage = Stage::new();
    for remembers in [true, false] {
        for forgery in [
            Forgery::Altered,
            Forgery::Deleted,
            Forgery::RolledBack,
            Forgery::Forked,
            Forgery::Withheld,
        ] {
            for by in [Witnesses::None, Witnesses::Both, Witnesses::OneOfTwo, Witnesses::Missing] {
                let _ = fs::remove_file(stage.folder.path().join("audit.json"));
                let (code, said) = stage.forged(forgery, remembers, by);
                let (expected, words) = expected(forgery, remembers, by);
                let case = format!("{forgery:?}, state: {remembers}, witnesses: {by:?}: {said}");
                if code != Some(expected) || !said.contains(words) {
                    wrong.push(format!("not {expected} and {words:?}, but {code:?}: {case}"));
                }
                cases += 1;
            }
        }
    }
    assert_eq!(cases, 2 * 5 * 4);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
