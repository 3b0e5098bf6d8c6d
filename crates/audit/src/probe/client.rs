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
//! An answer in this form is what [`Answer`] is in JSON. At the end of its input the program ends, or is ended
//! with all that it started. Now and then it is started again: what it draws must be new then, too.
//!
//! It may read up to 32 lines ahead, and has half a minute for each answer.

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
    /// The program does not read.
    #[error("the client did not read what it was told within {0:?}")]
    Deaf(Duration),
    /// The program says something else.
    #[error("the client's line is not {{\"report\": …}} with base64url: {0:?}")]
    Line(String),
    /// The program says too much.
    #[error("the client's line is longer than {0} bytes, and no report of this task takes as many")]
    Long(usize),
}

/// A report, and what was sent after it.
pub type Retried = [Vec<u8>; 2];

/// Makes reports when it is told what was answered.
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
