//! Two organisations witness each other's logs at once: real witnesses, and logs that are made here.

use super::{
    http::Ask,
    server::{Server, free_port},
};
use reqwest::Method;
use ring::signature::{Ed25519KeyPair, KeyPair};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer, Trust},
    note::{KeyKind, KeyName, Note, VerifierKey},
    tree::{Frontier, Hash, Nodes, TreeError, consistency_proof},
    witness::{Answer, AnswerError, MAX_REQUEST, Request, SIZE_MEDIA_TYPE, origin_hash},
};
use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Command, Output},
    thread,
    time::Duration,
};
use tempfile::TempDir;

const AUDITOR: &str = env!("CARGO_BIN_EXE_sottovoce-auditor");

/// A log, its entries and its key.
#[derive(Clone)]
struct Log {
    leaves: Vec<Hash>,
    key: TestKey,
}

#[derive(Clone)]
struct TestKey {
    seed: [u8; 32],
    public: VerifierKey,
}

impl TestKey {
    fn pair(&self) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&self.seed).unwrap()
    }
}

impl Signer for TestKey {
    fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair().sign(message).as_ref().try_into().unwrap()
    }
}

impl Nodes for &Log {
    type Error = TreeError;

    fn node(&mut self, level: u32, index: u64) -> Result<Hash, TreeError> {
        let start = usize::try_from(index << level).unwrap();
        Ok(frontier(&self.leaves[start..start + (1 << level)]).root())
    }
}

fn frontier(leaves: &[Hash]) -> Frontier {
    let mut frontier = Frontier::new();
    for leaf in leaves {
        frontier.push(*leaf, |_, _, _| {});
    }
    frontier
}

impl Log {
    fn new(origin: &str, seed: u8) -> Self {
        let seed = [seed; 32];
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        let name = KeyName::new(origin).unwrap();
        let public = VerifierKey::new(name, KeyKind::Log, public).unwrap();
        Self { leaves: Vec::new(), key: TestKey { seed, public } }
    }

    fn origin(&self) -> &str {
        self.key.public.name().as_str()
    }

    fn size(&self) -> u64 {
        self.leaves.len() as u64
    }

    fn grown(mut self, count: usize, word: &str) -> Self {
        self.leaves.extend((0..count).map(|i| Hash::leaf(format!("{word} {i}").as_bytes())));
        self
    }

    fn checkpoint(&self) -> Note {
        Checkpoint::new(self.origin(), &frontier(&self.leaves)).sign(&[&self.key])
    }

    fn request(&self, old: u64) -> Request {
        let proof = consistency_proof(&mut &*self, old, self.size()).unwrap();
        Request::new(old, proof, self.checkpoint()).unwrap()
    }
}

/// A witness of its own organisation.
pub(crate) struct Witness {
    pub(crate) server: Server,
    pub(crate) key: VerifierKey,
    folder: TempDir,
}

fn auditor(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(AUDITOR).current_dir(folder).args(arguments).output().unwrap()
}

impl Witness {
    /// Made as an operator would, and told to witness the logs.
    fn of(name: &str, logs: &[&Log]) -> Self {
        let keys: Vec<_> = logs.iter().map(|log| log.key.public.clone()).collect();
        Self::of_keys(name, &keys)
    }

    /// Of logs that have one key each.
    pub(crate) fn of_keys(name: &str, logs: &[VerifierKey]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let made = auditor(folder.path(), &["witness", "init", "--name", name]);
        assert!(made.status.success(), "{made:?}");
        let key = String::from_utf8(made.stdout).unwrap().trim_end().parse().unwrap();
        let (port, config) = (free_port(), folder.path().join("witness.toml"));
        let text = fs::read_to_string(&config).unwrap().replace(":8090", &format!(":{port}"));
        let logs = logs
            .iter()
            .fold(String::new(), |text, key| format!("{text}[[logs]]\nkeys = [\"{key}\"]\n"));
        fs::write(&config, format!("{text}\n{logs}[limits]\nrequest_seconds = 1\n")).unwrap();
        let server = Server::new(AUDITOR, port, config).told("witness");
        server.start();
        Self { server, key, folder }
    }

    /// Its operator adds a key of a log beside another, and restarts it.
    pub(crate) fn give(&self, key: &VerifierKey, beside: &VerifierKey) {
        let config = self.folder.path().join("witness.toml");
        let text = fs::read_to_string(&config).unwrap();
        let (old, both) = (format!("\"{beside}\""), format!("\"{beside}\", \"{key}\""));
        fs::write(&config, text.replace(&old, &both)).unwrap();
        self.server.kill();
        self.server.start();
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.server.port)
    }

    fn ask(&self, request: &Request) -> Result<Answer, AnswerError> {
        let ask = Ask::new(Method::POST, &self.url("add-checkpoint"));
        let answer = ask.body(request.to_string().into_bytes()).send();
        request.answer(answer.status, &answer.body, std::slice::from_ref(&self.key))
    }

    /// Whether it cosigned; the status otherwise.
    fn status(&self, request: &Request) -> u16 {
        match self.ask(request) {
            Ok(Answer::Cosigned(_)) => 200,
            Ok(Answer::Conflict(_)) => 409,
            Err(AnswerError::Refused { status, .. }) => status,
            Err(other) => panic!("{other}"),
        }
    }

    fn newest(&self, log: &Log) -> Option<Vec<u8>> {
        let answer =
            Ask::get(&self.url(&format!("{}/checkpoint", origin_hash(log.origin())))).send();
        (answer.status != 404).then(|| answer.ok())
    }

    fn record(&self, log: &Log) -> PathBuf {
        let name = format!("{}.checkpoint", origin_hash(log.origin()));
        self.folder.path().join("witness.records").join(name)
    }
}

fn logs() -> [Log; 2] {
    [Log::new("leader.example/log", 1), Log::new("helper.example/log", 2)]
}

#[test]
fn two_organisations_witness_each_others_logs_at_once() {
    let [leader, helper] = logs();
    let witnesses = ["leader.example/witness", "helper.example/witness"]
        .map(|name| Witness::of(name, &[&leader, &helper]));
    let keys: Vec<_> = witnesses.iter().map(|witness| witness.key.clone()).collect();
    // Each log asks both witnesses for each of its checkpoints, all at the same time.
    thread::scope(|scope| {
        for log in [leader, helper] {
            let (witnesses, keys) = (&witnesses, &keys);
            scope.spawn(move || {
                let (mut log, mut old) = (log, 0);
                let trust = Trust::new(vec![log.key.public.clone()], keys.clone(), 2).unwrap();
                for count in [1, 3, 0, 300] {
                    log = log.grown(count, &format!("after {old}"));
                    let (request, mut note) = (log.request(old), log.checkpoint());
                    for witness in witnesses {
                        let Ok(Answer::Cosigned(lines)) = witness.ask(&request) else { panic!() };
                        note.add(lines);
                    }
                    let opened = trust.open(note.to_string().as_bytes()).unwrap();
                    assert_eq!(opened.witnessed().len(), 2);
                    old = log.size();
                }
                // What a monitor sees at either witness is what the log's readers see.
                for (witness, key) in witnesses.iter().zip(keys) {
                    let trust = Trust::new(vec![log.key.public.clone()], vec![key.clone()], 1);
                    let seen = trust.unwrap().open(&witness.newest(&log).unwrap()).unwrap();
                    assert_eq!(seen.note().text(), log.checkpoint().text());
                }
            });
        }
    });
}

#[test]
fn a_log_that_is_rolled_back_or_forked_is_refused_even_after_a_crash() {
    let [log, _] = logs();
    let witness = Witness::of("witness.example", &[&log]);
    assert_eq!(witness.newest(&log), None);
    let old = log.clone().grown(5, "true");
    assert_eq!(witness.status(&old.request(0)), 200);
    let log = log.grown(9, "true");
    assert_eq!(witness.status(&log.request(5)), 200);
    witness.server.kill();
    witness.server.start();
    let seen = witness.newest(&log);
    // The database was put back, and goes on from there.
    assert_eq!(witness.ask(&old.request(5)), Ok(Answer::Conflict(9)));
    let other = Log { leaves: Vec::new(), ..log.clone() }.grown(9, "other");
    assert_eq!(witness.status(&other.request(9)), 422);
    assert_eq!(witness.status(&other.clone().grown(2, "more").request(9)), 422);
    let stranger = Log { key: Log::new(log.origin(), 7).key, ..log.clone() };
    assert_eq!(witness.status(&stranger.request(9)), 403);
    assert_eq!(witness.status(&Log::new("else.example", 3).grown(1, "x").request(0)), 404);
    assert_eq!(witness.newest(&log), seen, "nothing that was refused changes what was cosigned");
    refusals_are_counted_logged_and_served(&witness, &log);
    assert_eq!(witness.status(&log.grown(1, "next").request(9)), 200);
    assert!(witness.server.terminate().success(), "{}", witness.server.log());
}

/// What anybody learns of the refusals of the story before.
fn refusals_are_counted_logged_and_served(witness: &Witness, log: &Log) {
    let metrics = Ask::get(&witness.url("metrics")).send().text();
    let origin = log.origin();
    for (log, reason, count) in [
        (origin, "fork", 2),
        (origin, "rollback", 1),
        (origin, "signature", 1),
        (origin, "bad_proof", 0),
        ("", "unknown_log", 1),
        ("", "rate_limit", 0),
    ] {
        let line = format!(
            "sottovoce_witness_refusals_total{{log=\"{log}\",reason=\"{reason}\"}} {count}\n"
        );
        assert!(metrics.contains(&line), "{line}{metrics}");
    }
    let said = witness.server.log();
    for words in
        ["the log was forked", "was rolled back, or somebody", "unknown log", "evidence against"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let list: serde_json::Value =
        serde_json::from_slice(&Ask::get(&witness.url("evidence")).send().ok()).unwrap();
    let trust = Trust::new(vec![log.key.public.clone()], vec![], 0).unwrap();
    let proven = list.as_array().unwrap().iter().map(|kept| {
        let path = kept["path"].as_str().unwrap();
        let text = Ask::get(&witness.url(&path[1..])).send().ok();
        let evidence: sottovoce_audit::witness::evidence::Evidence =
            serde_json::from_slice(&text).unwrap();
        evidence.check(&trust).unwrap().is_proof()
    });
    assert_eq!(proven.collect::<Vec<_>>(), [false, true, true]);
}

#[test]
fn a_witness_that_is_told_to_stop_waits_for_nobody_who_drips() {
    let [log, _] = logs();
    let witness = Witness::of("witness.example", &[&log]);
    witness.server.kill();
    let config = witness.folder.path().join("witness.toml");
    let patient = fs::read_to_string(&config).unwrap().replace("seconds = 1\n", "seconds = 60\n");
    fs::write(&config, patient).unwrap();
    witness.server.start();
    let mut stream = TcpStream::connect(("127.0.0.1", witness.server.port)).unwrap();
    let head = "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx";
    stream.write_all(head.as_bytes()).unwrap();
    // Until it is being read.
    thread::sleep(Duration::from_millis(300));
    assert!(witness.server.terminate_within(Duration::from_secs(9)).success());
}

#[test]
fn of_many_forks_at_once_one_is_cosigned_and_the_others_are_told_its_size() {
    let [log, _] = logs();
    let witness = Witness::of("witness.example", &[&log]);
    let forks: Vec<_> = (1..9).map(|i| log.clone().grown(i, &format!("fork {i}"))).collect();
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |fork: &Log| {
            let (request, witness) = (fork.request(0), &witness);
            scope.spawn(move || witness.ask(&request).unwrap())
        };
        let asked: Vec<_> = forks.iter().map(ask).collect();
        asked.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let won = answers.iter().position(|answer| matches!(answer, Answer::Cosigned(_))).unwrap();
    let size = forks[won].size();
    for (i, answer) in answers.iter().enumerate().filter(|(i, _)| *i != won) {
        assert_eq!(*answer, Answer::Conflict(size), "{i}");
    }
}

#[test]
fn whatever_strangers_send_is_answered_in_time() {
    let [log, _] = logs();
    let witness = Witness::of("witness.example", &[&log]);
    let post = |body: Vec<u8>| {
        Ask::new(Method::POST, &witness.url("add-checkpoint")).body(body).try_send()
    };
    assert_eq!(post(b"old 1\n".to_vec()).unwrap().status, 400);
    assert_eq!(post(Vec::new()).unwrap().status, 400);
    // Whether the refusal is read or the connection is cut while it is sent, there is an end to it.
    if let Ok(answer) = post(vec![b'a'; MAX_REQUEST + 1]) {
        assert_eq!(answer.status, 413);
    }
    let log = log.grown(3, "entry");
    assert_eq!(witness.status(&log.request(0)), 200);
    let conflict = post(log.request(0).to_string().into_bytes()).unwrap();
    assert_eq!(
        (conflict.header("content-type"), &conflict.text()[..]),
        (Some(SIZE_MEDIA_TYPE), "3\n")
    );
    let get = |path: &str| Ask::get(&witness.url(path)).send().status;
    assert_eq!(get("add-checkpoint"), 405);
    assert_eq!(get("nothing"), 404);
    assert_eq!(get("../../etc/passwd/checkpoint"), 404);
    // A head or a body that never ends is cut off.
    for begun in [
        "POST /add-checkpoint HT",
        "POST /add-checkpoint HTTP/1.1\r\nhost: a\r\ncontent-length: 99\r\n\r\nold",
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", witness.server.port)).unwrap();
        stream.write_all(begun.as_bytes()).unwrap();
        stream.set_read_timeout(Some(super::server::PATIENCE)).unwrap();
        let mut said = String::new();
        let _ = stream.read_to_string(&mut said);
        assert!(said.is_empty() || said.contains("408"), "{said}");
    }
}

#[test]
fn a_witness_that_cannot_be_relied_on_does_not_start() {
    let [log, _] = logs();
    let witness = Witness::of("witness.example", &[&log]);
    assert_eq!(witness.status(&log.clone().grown(3, "entry").request(0)), 200);
    let start = || {
        let started = auditor(witness.folder.path(), &["witness", "--config", "witness.toml"]);
        assert_eq!(started.status.code(), Some(1));
        String::from_utf8(started.stderr).unwrap()
    };
    let twice = start();
    assert!(twice.contains("running"), "{twice}");
    witness.server.kill();
    let path = witness.record(&log);
    let record = fs::read_to_string(&path).unwrap();
    fs::write(&path, record.replacen("\n3\n", "\n2\n", 1)).unwrap();
    let damaged = start();
    assert!(damaged.contains("not what this witness has cosigned"), "{damaged}");
    let records = witness.folder.path().join("witness.records");
    fs::rename(&records, records.with_extension("away")).unwrap();
    let forgetful = start();
    assert!(forgetful.contains("there are no records"), "{forgetful}");
    fs::write(witness.folder.path().join("witness.key"), "PRIVATE+KEY+secret").unwrap();
    let keyless = start();
    assert!(keyless.contains("witness.key") && !keyless.contains("secret"), "{keyless}");
    let again = auditor(witness.folder.path(), &["witness", "init", "--name", "witness.example"]);
    assert_eq!(again.status.code(), Some(1), "what is there is never written over");
}
