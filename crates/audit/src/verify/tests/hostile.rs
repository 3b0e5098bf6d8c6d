//! Logs that claim more than they have, or make up each file as it is asked for.

use super::{
    super::{Room, follow::Bounds},
    stage::*,
};
use crate::{
    rules::LogFacts,
    source::{Reader, Source, SourceError},
};
use sottovoce_dap::codec::{Encode, U16, encode_vector};
use sottovoce_log::{
    checkpoint::Checkpoint,
    entry::{Entry, Event},
    tiles::{Content, Place, TileName, WIDTH},
    tree::Hash,
};
use sottovoce_transport::error::TransportError;
use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// A server that answers each request for a path as it is told to.
struct Fake {
    source: Source,
    asked: Arc<AtomicUsize>,
}

impl Fake {
    fn new(answer: impl Fn(&str, &mut TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = format!("http://{}/log", listener.local_addr().unwrap()).parse().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                let line = lines.next().unwrap().unwrap();
                while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
                counted.fetch_add(1, Ordering::SeqCst);
                let path = line.split(' ').nth(1).unwrap().trim_start_matches("/log/");
                answer(path, &mut stream);
            }
        });
        Self { source, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn say(stream: &mut TcpStream, status: &str, body: &[u8]) {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

/// A tree of the same entry, again and again: so large as one likes, and each tile is known at once.
struct Endless {
    entry: Vec<u8>,
    /// The node of each level.
    nodes: Vec<Hash>,
}

impl Endless {
    fn new(event: Event) -> Self {
        let entry = Entry { time: 1, event }.to_bytes();
        let mut nodes = vec![Hash::leaf(&entry)];
        for level in 0..62 {
            nodes.push(Hash::node(&nodes[level], &nodes[level]));
        }
        Self { entry, nodes }
    }

    fn file(&self, name: &str) -> Option<Vec<u8>> {
        let name: TileName = name.parse().ok()?;
        let mut bytes = Vec::new();
        for _ in 0..name.width() {
            match name.place().content {
                Content::Hashes(level) => bytes.extend(self.nodes[usize::from(level) * 8].0),
                Content::Entries => encode_vector(&mut bytes, U16, |out| out.extend(&self.entry)),
            }
        }
        Some(bytes)
    }

    fn serve(self, log: &Log, height: u32, has: impl Fn(Place) -> bool + Send + 'static) -> Fake {
        let origin = log.audited().trust.origin().to_owned();
        let root = self.nodes[height as usize];
        let checkpoint = Checkpoint { origin, size: 1 << height, root }.sign(&[&log.key]);
        Fake::new(move |path, stream| match path {
            "checkpoint" => say(stream, "200 OK", checkpoint.to_string().as_bytes()),
            name if name.parse().is_ok_and(|name: TileName| has(name.place())) => {
                say(stream, "200 OK", &self.file(name).unwrap());
            }
            _ => say(stream, "404 Not Found", b""),
        })
    }
}

/// What an audit of the leader's log says, if that is the one of `fake`.
fn audited(stage: &mut Stage, fake: &Fake) -> String {
    let mut leader = stage.leader.audited();
    leader.reader = Reader::new(fake.source.clone()).unwrap();
    let programs = [stage.program.clone()];
    match stage.verify_of(&[leader], &programs, false) {
        Ok(outcome) => violation(&outcome, "log"),
        Err(error) => error.to_string(),
    }
}

fn started() -> Endless {
    Endless::new(Event::Started("sottovoce-leader 0.1.0".to_owned()))
}

#[test]
fn a_log_that_claims_more_than_is_read_is_not_read_at_all() {
    let mut stage = Stage::new();
    let fake = started().serve(&stage.leader, 62, |_| true);
    let told = audited(&mut stage, &fake);
    assert!(told.contains("claims 4611686018427387904 entries"), "{told}");
    assert!(told.contains("--max-entries"), "{told}");
    assert_eq!(fake.asked(), 1, "the checkpoint was enough");
}

#[test]
fn entries_that_are_claimed_and_not_there_are_found_out_by_a_few_files() {
    let mut stage = Stage::new();
    stage.bounds.entries = u64::MAX;
    let honest = |_: Place| true;
    let edges: [fn(Place) -> bool; 3] = [
        |_| false,
        |place| place.content != Content::Entries,
        // The first entries, the last ones, and nothing between.
        |place| place.index < 1000 || place.content != Content::Hashes(0),
    ];
    for has in edges {
        let fake = started().serve(&stage.leader, 62, has);
        let told = audited(&mut stage, &fake);
        assert!(told.contains("the log is incomplete"), "{told}");
        assert!(fake.asked() < 50, "{} files", fake.asked());
    }
    // Of the right form, and of another tree.
    let other = Endless { nodes: vec![Hash([7; 32]); 63], ..started() };
    let fake = other.serve(&stage.leader, 62, honest);
    let told = audited(&mut stage, &fake);
    assert!(told.contains("claims entries that do not exist"), "{told}");
    assert!(fake.asked() < 50, "{} files", fake.asked());
}

#[test]
fn a_log_that_makes_up_each_file_in_time_is_read_for_so_long_and_no_longer() {
    let mut stage = Stage::new();
    stage.bounds = Bounds { entries: u64::MAX, time: Duration::ZERO, ..Bounds::default() };
    let fake = started().serve(&stage.leader, 62, |_| true);
    let told = audited(&mut stage, &fake);
    assert!(told.contains("0 of 4611686018427387904 entries were read"), "{told}");
    assert!(told.contains("--max-seconds") && fake.asked() < 60, "{told}");
}

#[test]
fn entries_as_large_as_they_can_be_are_read_bundle_by_bundle() {
    let mut stage = Stage::new();
    let settings = (0..127).map(|at| (format!("{at:0>250}"), "v".repeat(250))).collect();
    let fake = Endless::new(Event::Settings(settings)).serve(&stage.leader, 9, |_| true);
    let mut leader = stage.leader.audited();
    leader.reader = Reader::new(fake.source.clone()).unwrap();
    let programs = [stage.program.clone()];
    let outcome = stage.verify_of(&[leader], &programs, false).unwrap();
    assert_eq!(outcome.logs[0].size, 2 * WIDTH);
}

#[test]
fn an_answer_without_an_end_is_read_to_its_bound() {
    let stage = Stage::new();
    let fake = Fake::new(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        while stream.write_all(&[0; 4096]).is_ok() {}
    });
    let reader = Reader::new(fake.source.clone()).unwrap();
    let place = Place { content: Content::Hashes(0), index: 0 };
    for error in [reader.checkpoint().unwrap_err(), reader.file(place, 1 << 62).unwrap_err()] {
        let long = matches!(error, SourceError::Transport(TransportError::TooLong { .. }));
        assert!(long, "{error}");
    }
    drop(stage);
}

#[test]
fn what_a_log_says_is_remembered_up_to_a_bound() {
    let facts = |keys: u64| {
        let keys: Vec<_> = (0..keys).map(|key| format!("{key:0>200}")).collect();
        serde_json::from_value::<LogFacts>(serde_json::json!({
            "latest": 0, "settings": {}, "keys": keys, "retired": [], "tasks": {}, "open": {},
            "releases": 0
        }))
        .unwrap()
    };
    let mut room = Room::of(10_000);
    room.check(0, &facts(10)).unwrap();
    room.check(1, &facts(1000)).unwrap();
    let error = room.check(256, &facts(1000)).unwrap_err().to_string();
    assert!(error.contains("up to entry 256") && error.contains("10000 bytes"), "{error}");
}
