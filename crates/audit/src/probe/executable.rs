//! A program that speaks the lines of [`super::client`]: started, spoken to within limits of time and length,
//! and ended with all that it started.
//!
//! Nothing of it is trusted. It may answer without reading, read without answering, write for ever or
//! without a line's end: a thread each writes and reads, and nobody waits longer than the patience or the
//! probe's deadline.

use super::{
    client::{Client, ClientError, Retried, now},
    reader::TestAggregators,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sottovoce_client::report::Reporter;
use sottovoce_dap::{codec::Encode, hpke::HpkeConfig};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{answer::Answer, compile::CompiledTask};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    mem,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// A program that speaks the lines.
pub struct Executable {
    command: String,
    begin: Vec<u8>,
    /// What this process was not told yet.
    unsaid: Vec<u8>,
    longest: usize,
    patience: Duration,
    process: Process,
}

/// Requests that are written before an answer is read.
const AT_ONCE: usize = 32;
/// For a program to end once its input has.
const GRACE: Duration = Duration::from_millis(500);
/// Of a line, beside the report.
const AROUND: usize = 256;

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
        let configs = aggregators.configs();
        let key = |config: &HpkeConfig| URL_SAFE_NO_PAD.encode(config.to_bytes());
        let (leader, helper) = (key(configs.leader.config()), key(configs.helper.config()));
        let begin = line(&Begin { program, task: &task.name, leader, helper })?;
        // All reports of a task are as long.
        let (reporter, mut rng) = (Reporter::new(task)?, DeviceRng::new()?);
        let report = reporter.prepare(&Answer::none(), now(), configs, &mut rng)?;
        let longest = report.report().bytes().len().div_ceil(3) * 4 + AROUND;
        let process = Process::start(command, longest)?;
        let (command, unsaid) = (command.to_owned(), begin.clone());
        Ok(Self { command, begin, unsaid, longest, patience, process })
    }

    /// Has lines written; `None` if the deadline comes first.
    fn tell(&mut self, lines: &[u8], until: Instant) -> Result<Option<()>, ClientError> {
        self.process.tell([&mem::take(&mut self.unsaid), lines].concat());
        self.wait(&self.process.written, ClientError::Deaf, until).or_else(|error| match error {
            // What it said before it ended tells more.
            ClientError::Ended => Ok(Some(())),
            error => Err(error),
        })
    }

    /// The next report; `None` if the deadline comes first.
    fn hear(&self, until: Instant) -> Result<Option<Vec<u8>>, ClientError> {
        let Some(line) = self.wait(&self.process.output, ClientError::Silent, until)? else {
            return Ok(None);
        };
        if line.len() > self.longest {
            return Err(ClientError::Long(self.longest));
        }
        let shown = || ClientError::Line(String::from_utf8_lossy(&line).chars().take(80).collect());
        let answered: Answered = serde_json::from_slice(&line).map_err(|_| shown())?;
        URL_SAFE_NO_PAD.decode(answered.report).map(Some).map_err(|_| shown())
    }

    fn wait<T>(
        &self,
        told: &Receiver<io::Result<T>>,
        impatient: fn(Duration) -> ClientError,
        until: Instant,
    ) -> Result<Option<T>, ClientError> {
        let left = until.saturating_duration_since(Instant::now());
        match told.recv_timeout(left.min(self.patience)) {
            Ok(Ok(value)) => Ok(Some(value)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::BrokenPipe => Err(ClientError::Ended),
            Ok(Err(source)) => Err(ClientError::Run { command: self.command.clone(), source }),
            Err(RecvTimeoutError::Timeout) if left <= self.patience => Ok(None),
            Err(RecvTimeoutError::Timeout) => Err(impatient(self.patience)),
            Err(RecvTimeoutError::Disconnected) => Err(ClientError::Ended),
        }
    }
}

impl Client for Executable {
    fn restart(&mut self) -> Result<(), ClientError> {
        self.process.end();
        self.process = Process::start(&self.command, self.longest)?;
        self.unsaid.clone_from(&self.begin);
        Ok(())
    }

    fn reports(
        &mut self,
        answers: &[&Answer],
        until: Instant,
    ) -> Result<Vec<Vec<u8>>, ClientError> {
        let mut reports = Vec::with_capacity(answers.len());
        for some in answers.chunks(AT_ONCE) {
            let ask = |answer: &&Answer| line(&Asked::Answer { answer, time: now() });
            let asked = some.iter().map(ask).collect::<Result<Vec<_>, _>>()?.concat();
            if self.tell(&asked, until)?.is_none() {
                return Ok(reports);
            }
            for _ in some {
                let Some(report) = self.hear(until)? else { return Ok(reports) };
                reports.push(report);
            }
        }
        Ok(reports)
    }

    fn retried(&mut self, answer: &Answer, until: Instant) -> Result<Option<Retried>, ClientError> {
        let asked = line(&Asked::Answer { answer, time: now() })?;
        let again = line(&Asked::Retry { retry: true })?;
        if self.tell(&[asked, again].concat(), until)?.is_none() {
            return Ok(None);
        }
        let Some(first) = self.hear(until)? else { return Ok(None) };
        Ok(self.hear(until)?.map(|again| [first, again]))
    }
}

fn line(value: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    let mut text = serde_json::to_vec(value).map_err(|e| ClientError::Line(e.to_string()))?;
    text.push(b'\n');
    Ok(text)
}

/// A process with the two threads that speak with it.
struct Process {
    child: Child,
    input: Option<Sender<Vec<u8>>>,
    written: Receiver<io::Result<()>>,
    output: Receiver<io::Result<Vec<u8>>>,
}

impl Process {
    fn start(command: &str, longest: usize) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Run { command: command.to_owned(), source };
        let mut words = command.split_whitespace();
        let name = words.next().ok_or_else(|| failed(io::ErrorKind::InvalidInput.into()))?;
        let mut command = Command::new(name);
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::piped());
        // A group of its own, so that whatever it starts ends with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn().map_err(failed)?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let (input, written) = writer(stdin);
        Ok(Self { child, input: Some(input), written, output: reader(stdout, longest) })
    }

    /// Has it written by the thread, which says in `written` when that is done.
    fn tell(&self, lines: Vec<u8>) {
        // A thread that is gone has said why.
        let _ = self.input.as_ref().map(|input| input.send(lines));
    }

    /// Ends its input, gives it a moment, and ends it with whatever it started.
    fn end(&mut self) {
        self.input = None;
        let until = Instant::now() + GRACE;
        // Its output ends when it and its children have; until it is waited for, its group's name is its own.
        while self.output.recv_timeout(until.saturating_duration_since(Instant::now())).is_ok() {
            if Instant::now() > until {
                break;
            }
        }
        #[cfg(unix)]
        if let Some(group) =
            i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.input.is_some() {
            self.end();
        }
    }
}

/// Writes on a thread of its own, so that a program that does not read holds nobody up.
fn writer(to: Option<impl Write + Send + 'static>) -> (Sender<Vec<u8>>, Receiver<io::Result<()>>) {
    let (input, lines) = channel::<Vec<u8>>();
    let (say, written) = channel();
    thread::spawn(move || {
        let Some(mut to) = to else { return };
        for some in lines {
            let result = to.write_all(&some).and_then(|()| to.flush());
            let over = result.is_err();
            if say.send(result).is_err() || over {
                return;
            }
        }
    });
    (input, written)
}

/// Reads lines on a thread of its own, none of them much longer than the longest that can be right.
fn reader(
    from: Option<impl Read + Send + 'static>,
    longest: usize,
) -> Receiver<io::Result<Vec<u8>>> {
    let (send, receive) = sync_channel(AT_ONCE);
    thread::spawn(move || {
        let Some(from) = from else { return };
        let mut from = BufReader::new(from);
        loop {
            let mut line = Vec::new();
            let read = (&mut from).take(longest as u64 + 2).read_until(b'\n', &mut line);
            let line = match read {
                Ok(0) => return,
                Ok(_) => Ok(line.trim_ascii_end().to_vec()),
                Err(error) => Err(error),
            };
            let over = line.is_err();
            if send.send(line).is_err() || over {
                return;
            }
        }
    });
    receive
}

#[cfg(all(test, unix))]
mod tests;
