//! The client under test: the shipped library, or a program that speaks a few lines.
//!
//! # The lines
//!
//! The program is told everything on its standard input and answers on its standard output, one JSON
//! object a line, in order. First, without an answer:
//!
//! ```json
//! {"program": "name = …", "task": "helpful", "leader": "AQAgAAEAAQAg…", "helper": "AgAgAAEAAQAg…"}
//! ```
//!
//! with the program file's text, the task to report to, and the aggregators' HPKE configurations in
//! base64url. Then, any number of times, an answer to report as of a moment:
//!
//! ```json
//! {"answer": {"given": {"thumbs": "up"}, "segments": {}}, "time": 1763900000}
//! {"report": "base64url of DAP's Report"}
//! ```
//!
//! or the wish that the last report be sent again, as after a response that was lost:
//!
//! ```json
//! {"retry": true}
//! {"report": "the same"}
//! ```
//!
//! An answer in this form is what [`Answer`] is in JSON. At the end of its input the program ends.

use super::reader::TestAggregators;
use crate::{
    client::{
        hpke_configs::HpkeConfigs,
        report::{ReportError, Reporter},
    },
    dap::codec::Encode,
    privacy::rng::{DeviceRng, NoRandomness},
    program::{answer::Answer, compile::CompiledTask},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use thiserror::Error;

/// A client that does not do as it is told.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The library refuses.
    #[error("the library makes no report: {0}")]
    Report(#[from] ReportError),
    /// There is no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The program cannot be started, or spoken to.
    #[error("the client {command:?} cannot be run: {source}")]
    Run {
        /// What was to be run.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ended.
    #[error("the client ended, or closed its output, before it had answered")]
    Ended,
    /// The program is silent.
    #[error("the client did not answer within {0:?}")]
    Silent(Duration),
    /// The program says something else.
    #[error(
        "the client's line is not {{\"report\": …}} with base64url of at most {MAX_LINE} bytes: {0}"
    )]
    Line(String),
}

/// Why a report is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resent {
    /// No response came: the report may be counted already, so it must be the same one.
    Lost,
    /// The aggregators could not read it and have not counted it: its draw is sealed afresh.
    Unreadable,
}

/// Makes reports when it is told what was answered.
pub trait Client {
    /// One report for each answer, in order.
    fn reports(&mut self, answers: &[&Answer]) -> Result<Vec<Vec<u8>>, ClientError>;

    /// A report of an answer, what is sent after it, and why.
    fn retried(&mut self, answer: &Answer) -> Result<([Vec<u8>; 2], Resent), ClientError>;
}

/// The shipped library, on all cores.
pub struct Library<'a> {
    reporter: Reporter,
    configs: &'a HpkeConfigs,
    now: u64,
}

impl<'a> Library<'a> {
    /// For a task, sealing to the probe's keys.
    pub fn new(task: &CompiledTask, aggregators: &'a TestAggregators) -> Result<Self, ClientError> {
        let reporter = Reporter::new(task)?;
        Ok(Self { reporter, configs: aggregators.configs(), now: now() })
    }
}

impl Client for Library<'_> {
    fn reports(&mut self, answers: &[&Answer]) -> Result<Vec<Vec<u8>>, ClientError> {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let part = answers.len().div_ceil(threads).max(1);
        let made = thread::scope(|scope| {
            let made: Vec<_> =
                answers.chunks(part).map(|answers| scope.spawn(|| self.make(answers))).collect();
            let join = |part: thread::ScopedJoinHandle<'_, _>| {
                part.join().unwrap_or(Err(ClientError::Ended))
            };
            made.into_iter().map(join).collect::<Result<Vec<_>, _>>()
        })?;
        Ok(made.into_iter().flatten().collect())
    }

    fn retried(&mut self, answer: &Answer) -> Result<([Vec<u8>; 2], Resent), ClientError> {
        let mut rng = DeviceRng::new()?;
        let mut prepared = self.reporter.prepare(answer, self.now, self.configs, &mut rng)?;
        let first = prepared.report().bytes().to_vec();
        // The hardest retry there is: the leader could not read it, so the draw is sealed afresh.
        self.reporter.reseal(&mut prepared, self.configs)?;
        Ok(([first, prepared.report().bytes().to_vec()], Resent::Unreadable))
    }
}

impl Library<'_> {
    fn make(&self, answers: &[&Answer]) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut rng = DeviceRng::new()?;
        let report = |answer: &&Answer| {
            let prepared = self.reporter.prepare(answer, self.now, self.configs, &mut rng)?;
            Ok(prepared.report().bytes().to_vec())
        };
        answers.iter().map(report).collect()
    }
}

/// A program that speaks the lines.
pub struct Executable {
    child: Child,
    input: ChildStdin,
    output: Receiver<io::Result<String>>,
    patience: Duration,
    command: String,
}

/// A line longer than this is not read.
const MAX_LINE: usize = 256 * 1024;
/// Requests that are written before an answer is read: they fit any pipe.
const AT_ONCE: usize = 32;

#[derive(Serialize)]
struct Begin<'a> {
    program: &'a str,
    task: &'a str,
    leader: String,
    helper: String,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Asked<'a> {
    Answer { answer: &'a Answer, time: u64 },
    Retry { retry: bool },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answered {
    report: String,
}

impl Executable {
    /// Starts a program, by a shell's rules for words without quotes.
    pub fn start(
        command: &str,
        program: &str,
        task: &CompiledTask,
        aggregators: &TestAggregators,
        patience: Duration,
    ) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Run { command: command.to_owned(), source };
        let mut words = command.split_whitespace();
        let name = words.next().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut child = Command::new(name)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let closed = || failed(io::ErrorKind::BrokenPipe.into());
        let input = child.stdin.take().ok_or_else(closed)?;
        let output = lines(child.stdout.take().ok_or_else(closed)?);
        let mut started = Self { child, input, output, patience, command: command.to_owned() };
        let configs = aggregators.configs();
        let key = |config: &crate::dap::hpke::HpkeConfig| URL_SAFE_NO_PAD.encode(config.to_bytes());
        let (leader, helper) = (key(configs.leader.config()), key(configs.helper.config()));
        started.tell(&Begin { program, task: &task.name, leader, helper })?;
        started.flush()?;
        Ok(started)
    }

    fn tell(&mut self, line: &impl Serialize) -> Result<(), ClientError> {
        let mut text = serde_json::to_vec(line).map_err(|e| ClientError::Line(e.to_string()))?;
        text.push(b'\n');
        self.input.write_all(&text).map_err(|source| self.failed(source))
    }

    fn flush(&mut self) -> Result<(), ClientError> {
        self.input.flush().map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> ClientError {
        match source.kind() {
            io::ErrorKind::BrokenPipe => ClientError::Ended,
            _ => ClientError::Run { command: self.command.clone(), source },
        }
    }

    fn hear(&mut self) -> Result<Vec<u8>, ClientError> {
        let line = match self.output.recv_timeout(self.patience) {
            Ok(line) => line.map_err(|source| self.failed(source))?,
            Err(RecvTimeoutError::Timeout) => return Err(ClientError::Silent(self.patience)),
            Err(RecvTimeoutError::Disconnected) => return Err(ClientError::Ended),
        };
        let shown = |line: &str| ClientError::Line(line.chars().take(80).collect());
        if line.len() > MAX_LINE {
            return Err(shown(&line));
        }
        let answered: Answered = serde_json::from_str(&line).map_err(|_| shown(&line))?;
        URL_SAFE_NO_PAD.decode(answered.report).map_err(|_| shown(&line))
    }
}

/// Reads lines on a thread of its own, so that nobody waits for ever.
fn lines(output: impl Read + Send + 'static) -> Receiver<io::Result<String>> {
    let (send, receive) = sync_channel(AT_ONCE);
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            let read = (&mut output).take(MAX_LINE as u64 + 2).read_until(b'\n', &mut line);
            let line = match read {
                Ok(0) => return,
                Ok(_) => Ok(String::from_utf8_lossy(&line).trim_end().to_owned()),
                Err(error) => Err(error),
            };
            if send.send(line).is_err() {
                return;
            }
        }
    });
    receive
}

impl Client for Executable {
    fn reports(&mut self, answers: &[&Answer]) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut reports = Vec::with_capacity(answers.len());
        for some in answers.chunks(AT_ONCE) {
            for answer in some {
                self.tell(&Asked::Answer { answer, time: now() })?;
            }
            self.flush()?;
            for _ in some {
                reports.push(self.hear()?);
            }
        }
        Ok(reports)
    }

    fn retried(&mut self, answer: &Answer) -> Result<([Vec<u8>; 2], Resent), ClientError> {
        self.tell(&Asked::Answer { answer, time: now() })?;
        self.tell(&Asked::Retry { retry: true })?;
        self.flush()?;
        Ok(([self.hear()?, self.hear()?], Resent::Lost))
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
