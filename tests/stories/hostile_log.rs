//! An auditor before a log that claims anything, and makes up each file as it is asked for.

use ring::signature::{Ed25519KeyPair, KeyPair};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer},
    entry::{Entry, Event},
    note::{KeyKind, KeyName, VerifierKey},
    tiles::{Content, TileName},
    tree::Hash,
};
use sottovoce_program::{ProgramKind, template::template};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    process::{Command, Output},
};

/// The log's key.
struct Key(Ed25519KeyPair, VerifierKey);

impl Key {
    fn new() -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        let name = KeyName::new("hostile.example/log").unwrap();
        Self(pair, VerifierKey::new(name, KeyKind::Log, public).unwrap())
    }
}

impl Signer for Key {
    fn verifier_key(&self) -> &VerifierKey {
        &self.1
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).as_ref().try_into().unwrap()
    }
}

/// A whole tree of 2^62 times the same entry: each of its files is known at once.
struct Endless {
    checkpoint: String,
    entry: Vec<u8>,
    /// The node of each level.
    nodes: Vec<Hash>,
}

impl Endless {
    fn new(key: &Key) -> Self {
        let event = Event::Started("sottovoce-leader 0.1.0".to_owned());
        let entry = Entry { time: 1_800_000_000, event }.to_log().unwrap();
        let mut nodes = vec![Hash::leaf(&entry)];
        for level in 0..62 {
            nodes.push(Hash::node(&nodes[level], &nodes[level]));
        }
        let origin = key.1.name().to_string();
        let checkpoint = Checkpoint { origin, size: 1 << 62, root: nodes[62] };
        Self { checkpoint: checkpoint.sign(&[key]).to_string(), entry, nodes }
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        if name == "checkpoint" {
            return Some(self.checkpoint.clone().into_bytes());
        }
        let name: TileName = name.parse().ok()?;
        let item = match name.place().content {
            Content::Hashes(level) => self.nodes[usize::from(level) * 8].0.to_vec(),
            Content::Entries => {
                let length = u16::try_from(self.entry.len()).unwrap();
                [&length.to_be_bytes()[..], &self.entry].concat()
            }
        };
        Some(item.repeat(usize::try_from(name.width()).unwrap()))
    }

    /// Serves it from a thread; where.
    fn serve(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/log", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let line = lines.next().unwrap_or_default();
                let _ = lines.find(String::is_empty);
                let path = line.split(' ').nth(1).unwrap_or_default().replacen("/log/", "", 1);
                let file = self.file(&path);
                let status = if file.is_some() { "200 OK" } else { "404 Not Found" };
                let body = file.unwrap_or_default();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                let _ = (&stream).write_all(&[head.as_bytes(), &body].concat());
            }
        });
        url
    }
}

/// Runs the auditor on the log, within a bound of memory that a claim of its size would burst.
fn audited(command: &str, more: &[&str]) -> Output {
    let key = Key::new();
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("program.toml");
    fs::write(&program, template(ProgramKind::Feedback, "support").unwrap()).unwrap();
    let url = Endless::new(&key).serve();
    Command::new("sh")
        .args(["-c", "ulimit -v 2000000 && exec \"$@\"", "auditor"])
        .args([env!("CARGO_BIN_EXE_sottovoce-auditor"), command])
        .arg(&program)
        .args(["--helper", "none", "--leader", &url, "--leader-key", &key.1.to_string()])
        .args(more)
        .output()
        .unwrap()
}

#[test]
fn a_claim_of_any_number_of_entries_ends_an_audit_and_not_the_auditor() {
    let most = u64::MAX.to_string();
    let unbounded = ["--max-entries", &most, "--max-seconds", "1"];
    for (command, more, code, words) in [
        ("verify", &[][..], 3, "claims 4611686018427387904 entries"),
        (
            "verify",
            &unbounded,
            3,
            "of 4611686018427387904 entries were read within the limit of 1 seconds",
        ),
        ("watch", &["--patience", "0"], 1, "claims 4611686018427387904 entries"),
    ] {
        let done = audited(command, more);
        let error = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{command} {more:?}: {error}");
        assert!(error.contains(words), "{command} {more:?}: {error}");
    }
}
