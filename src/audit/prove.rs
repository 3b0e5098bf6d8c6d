//! Gathers the proofs that both logs have a program's tasks, for devices that insist on them.

use crate::{
    client::logged::{self, TaskProof, TaskProofs},
    command_line,
    dap::{exchange::is_retryable, task::Url},
    log::{checkpoint::Trust, entry::EntryKey, proof::MAX_PROOF},
    program::{Program, compile::CompiledTask},
    transport::{
        http::{HttpClient, TransportError},
        retry::Backoff,
    },
};
use anyhow::Context;
use clap::Args;
use std::{path::PathBuf, time::Duration};
use thiserror::Error;
use tokio::time::{Instant, sleep};

/// What to prove.
#[derive(Debug, Args)]
pub struct ProveArgs {
    /// The program; its table [log] names the keys of both logs.
    program: PathBuf,
    /// Where to write the proofs, which the app gives its devices with the program.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Give up when a log does not answer, or asks to be left alone, for this many seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    patience: u64,
}

/// Fetches, checks and writes the proofs.
pub fn run(args: &ProveArgs) -> anyhow::Result<()> {
    let program = Program::read(&args.program)?;
    let proofs = gather(&program, Duration::from_secs(args.patience))?;
    let text = serde_json::to_string_pretty(&proofs)?;
    logged::verify(&program, &text)?;
    std::fs::write(&args.output, text)
        .with_context(|| format!("{} cannot be written", args.output.display()))?;
    command_line::print(format_args!(
        "{} proves that both logs have all {} tasks of {}",
        args.output.display(),
        program.tasks().len(),
        program.name()
    ))
}

fn gather(program: &Program, patience: Duration) -> anyhow::Result<TaskProofs> {
    let policy = program.log().context(logged::NotLogged::NoLogs)?;
    let http = HttpClient::new(TIMEOUT)?;
    let of = |endpoint: &Url, trust| Log {
        base: format!("{}/log", endpoint.as_str().trim_end_matches('/')),
        trust,
        http: &http,
        patience,
    };
    let leader = of(program.leader(), policy.leader());
    let helper = of(program.helper(), policy.helper());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut proofs = TaskProofs::default();
        for task in program.tasks() {
            let leader = leader.proof(program, task).await?;
            let helper = helper.proof(program, task).await?;
            proofs.tasks.insert(task.task_id, TaskProof { leader, helper });
        }
        Ok(proofs)
    })
}

const TIMEOUT: Duration = Duration::from_secs(30);

/// One aggregator's log.
struct Log<'a> {
    base: String,
    trust: &'a Trust,
    http: &'a HttpClient,
    patience: Duration,
}

/// A log that does not give a proof.
#[derive(Debug, Error)]
enum AskError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error("{url} answers with status {status}, where a proof should be")]
    Status { url: String, status: u16, retry_after: Option<Duration> },
}

impl AskError {
    fn may_pass(&self) -> bool {
        match self {
            Self::Transport(error) => error.is_retryable(),
            Self::Status { status, .. } => is_retryable(*status),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Transport(_) => None,
            Self::Status { retry_after, .. } => *retry_after,
        }
    }
}

impl Log<'_> {
    async fn proof(&self, program: &Program, task: &CompiledTask) -> anyhow::Result<String> {
        let proof = self.persist(&EntryKey::task(&task.task_id)).await?;
        let proof = proof.with_context(|| {
            format!("{} does not have {}; has its operator taken it on?", self.base, task.name)
        })?;
        let proof = String::from_utf8(proof).context("the proof is not text")?;
        logged::check(program, task, self.trust, &proof)?;
        Ok(proof)
    }

    /// Asks again, as long as there is patience, where that may help.
    async fn persist(&self, key: &EntryKey) -> anyhow::Result<Option<Vec<u8>>> {
        let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(10));
        let started = Instant::now();
        loop {
            let error = match self.ask(key).await {
                Ok(proof) => return Ok(proof),
                Err(error) if !error.may_pass() => return Err(error.into()),
                Err(error) => error,
            };
            let wait = backoff.wait(error.retry_after());
            if started.elapsed() + wait > self.patience {
                let words = format!(
                    "no proof can be had within {} s; try again later, or with more --patience",
                    self.patience.as_secs()
                );
                return Err(anyhow::Error::new(error).context(words));
            }
            eprintln!("{error}; asking again in {:.1} s", wait.as_secs_f64());
            sleep(wait).await;
        }
    }

    /// A proof, or that there is none.
    async fn ask(&self, key: &EntryKey) -> Result<Option<Vec<u8>>, AskError> {
        let url = format!("{}/proof/{key}", self.base);
        let response = self.http.get(url.clone(), MAX_PROOF).await?;
        let retry_after = response.asked_to_wait();
        match response.status {
            200 => Ok(Some(response.body)),
            404 => Ok(None),
            status => Err(AskError::Status { url, status, retry_after }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::note::VerifierKey;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
    };

    /// What a log that gives these answers, one a connection, comes to.
    async fn asked(
        answers: &'static [&'static str],
        patience: u64,
    ) -> (anyhow::Result<Option<Vec<u8>>>, Duration) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/log", listener.local_addr().unwrap());
        let server = tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 4096];
                let _ = stream.read(&mut request).await.unwrap();
                let answer = format!("HTTP/1.1 {answer}\r\nconnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        let example = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        let key: VerifierKey = example.parse().unwrap();
        let trust = Trust::new(vec![key], vec![], 0).unwrap();
        let http = HttpClient::new(TIMEOUT).unwrap();
        let patience = Duration::from_secs(patience);
        let log = Log { base, trust: &trust, http: &http, patience };
        let started = Instant::now();
        let outcome = log.persist(&EntryKey::task(&crate::dap::ids::TaskId::new([1; 32]))).await;
        server.abort();
        (outcome, started.elapsed())
    }

    #[tokio::test]
    async fn a_log_that_is_down_or_busy_is_asked_again_and_one_that_refuses_is_not() {
        let (outcome, waited) =
            asked(&["", "503 Busy", "429 Too Many\r\nretry-after: 2", "404 Not Found"], 60).await;
        assert_eq!(outcome.unwrap(), None, "that it has none is an answer");
        assert!(waited >= Duration::from_secs(2), "{waited:?}");
        let (outcome, _) = asked(&["403 Forbidden", "404 Not Found"], 60).await;
        assert!(outcome.unwrap_err().to_string().contains("status 403"));
        let (outcome, waited) = asked(&["429 Too Many\r\nretry-after: 90"], 60).await;
        let words = command_line::story(&outcome.unwrap_err());
        assert!(words.contains("within 60 s") && words.contains("429"), "{words}");
        assert!(waited < Duration::from_secs(30), "it was told when: {waited:?}");
    }

    #[tokio::test]
    async fn a_log_that_nobody_serves_is_given_up_on_with_what_was_tried() {
        let (outcome, _) = asked(&[], 0).await;
        let words = command_line::story(&outcome.unwrap_err());
        assert!(words.contains("did not answer") && words.contains("--patience"), "{words}");
    }
}
