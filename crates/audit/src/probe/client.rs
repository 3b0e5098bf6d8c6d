//! The client under test: the shipped library, or a program that speaks a few lines.
//!
//! # The lines
//!
//! The program reads requests on its standard input and writes responses on its standard output, one JSON
//! object a line, in order. The first line has no response:
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
//! or a request to send the last report again, as after a lost response:
//!
//! ```json
//! {"retry": true}
//! {"report": "the same"}
//! ```
//!
//! An answer in this form is [`Answer`] in JSON. At the end of its input the program exits; otherwise it is killed
//! with all its child processes. It is restarted now and then, and must then use fresh randomness too.
//!
//! It may read up to 32 lines ahead, and has 30 seconds for each response.

use super::reader::TestAggregators;
use sottovoce_client::{
    hpke_configs::HpkeConfigs,
    report::{ReportError, Reporter},
};
use sottovoce_privacy::rng::{DeviceRng, NoRandomness};
use sottovoce_program::{answer::Answer, compile::CompiledTask};
use std::{
    io, thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};
use thiserror::Error;

/// A client that fails, or breaks the protocol.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The library refuses.
    #[error("the client library cannot make a report: {0}")]
    Report(#[from] ReportError),
    /// There is no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The program cannot be started, or its pipes fail.
    #[error("the client {command:?} cannot be run: {source}")]
    Run {
        /// What was to be run.
        command: String,
        /// What the system said.
        source: io::Error,
    },
    /// The program ended.
    #[error("the client exited, or closed its standard output, before it had responded")]
    Ended,
    /// The program does not respond.
    #[error("the client did not respond within {0:?}")]
    Silent(Duration),
    /// The program does not read.
    #[error("the client did not read its standard input within {0:?}")]
    Deaf(Duration),
    /// The program writes something else.
    #[error("the client must write {{\"report\": …}} with base64url, and wrote: {0:?}")]
    Line(String),
    /// The program writes too much.
    #[error(
        "the client wrote a line of more than {0} bytes, the maximum for a report of this task"
    )]
    Long(usize),
}

/// A report, and what was sent after it.
pub type Retried = [Vec<u8>; 2];

/// Makes reports of given answers.
pub trait Client {
    /// Begins anew, as an app does on a device: whatever randomness comes after must be new.
    fn restart(&mut self) -> Result<(), ClientError>;

    /// One report for each answer, in order; fewer only if `until` came first.
    fn reports(&mut self, answers: &[&Answer], until: Instant)
    -> Result<Vec<Vec<u8>>, ClientError>;

    /// A report of an answer, and what is sent after it when no response came or the leader could not read it;
    /// `None` if `until` came first.
    fn retried(&mut self, answer: &Answer, until: Instant) -> Result<Option<Retried>, ClientError>;
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
    fn restart(&mut self) -> Result<(), ClientError> {
        Ok(()) // Each part has a generator of its own.
    }

    /// However long it takes, which is no time.
    fn reports(&mut self, answers: &[&Answer], _: Instant) -> Result<Vec<Vec<u8>>, ClientError> {
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

    fn retried(&mut self, answer: &Answer, _: Instant) -> Result<Option<Retried>, ClientError> {
        let mut rng = DeviceRng::new()?;
        let mut prepared = self.reporter.prepare(answer, self.now, self.configs, &mut rng)?;
        let first = prepared.report().bytes().to_vec();
        // The hardest retry there is: the leader could not read it, so the same shares are sealed afresh.
        self.reporter.reseal(&mut prepared, self.configs)?;
        Ok(Some([first, prepared.report().bytes().to_vec()]))
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

/// The time of a report, in seconds since the Epoch.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs())
}
