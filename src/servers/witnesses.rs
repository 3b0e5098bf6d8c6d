//! Has others cosign our checkpoints (C2SP tlog-witness), so that nobody can be shown another log.
//!
//! No release waits for a witness: who is away is asked again, ever less often, and a cosignature
//! is added to its checkpoint as long as that is the newest.

use sottovoce_aggregator::{
    config::Witness,
    log::{LogError, PublicLog},
    metrics::Metrics,
    outages::Outages,
};
use sottovoce_dap::exchange::{Method, Request as HttpRequest};
use sottovoce_log::{
    checkpoint::{Checkpoint, CheckpointError, cosigners},
    note::{Note, NoteError, SignatureLine},
    witness::{Answer, AnswerError, MAX_ANSWER, Refusal, Request},
};
use sottovoce_transport::{
    error::TransportError,
    http::{HttpClient, SetupError},
    retry::Backoff,
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use thiserror::Error;
use tokio::{sync::watch, task::spawn_blocking, time::sleep};

/// Asks until `stop`.
pub(super) async fn run(
    log: Arc<PublicLog>,
    witnesses: Vec<Witness>,
    metrics: Arc<Metrics>,
    mut stop: watch::Receiver<bool>,
) -> Result<(), SetupError> {
    let http = HttpClient::new(TIMEOUT)?;
    let mut states: Vec<_> = witnesses.into_iter().map(WitnessState::new).collect();
    while !states.is_empty() {
        tokio::select! {
            ended = round(&log, &http, &metrics, &mut states) => if let Err(error) = ended {
                tracing::warn!(%error, "cannot request cosignatures for the log's checkpoint");
            },
            // Whoever was asked is asked again after the next start.
            _ = stop.wait_for(|stop| *stop) => break,
        }
        tokio::select! {
            () = sleep(POLL_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    Ok(())
}

const TIMEOUT: Duration = Duration::from_secs(10);
const POLL_EVERY: Duration = Duration::from_secs(1);
static OUTAGES: Outages = Outages::new("a witness does not cosign the public log");
/// A witness that fails is asked again after this, and then ever less often.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// Whether a witness cosigns a checkpoint of our log now, asked outside of the server: the log may grow meanwhile.
pub(super) async fn cosigns(
    log: &Arc<PublicLog>,
    witness: &Witness,
    note: &Note,
) -> Result<(), WitnessError> {
    let mut asked = WitnessState::new(witness.clone());
    ask(log, &HttpClient::new(TIMEOUT)?, &mut asked, note).await.map(drop)
}

/// A witness, and what we know of it.
struct WitnessState {
    witness: Witness,
    /// The size that it cosigned last, as far as we know.
    size: u64,
    failures: u32,
    due: Instant,
    /// Since when the log has had entries that it has not cosigned.
    behind: Option<Instant>,
}

impl WitnessState {
    fn new(witness: Witness) -> Self {
        Self { witness, size: 0, failures: 0, due: Instant::now(), behind: None }
    }

    fn answered(&mut self, size: u64) {
        (self.size, self.failures) = (size, 0);
    }

    fn failed(&mut self, error: &WitnessError, metrics: &Metrics) {
        let name = self.witness.key.name();
        metrics.witness_failed(name.as_str());
        self.failures += 1;
        self.due = Instant::now() + Backoff::at_attempt(FIRST_WAIT, LONGEST_WAIT, self.failures);
        OUTAGES.fails(name.as_str(), error);
    }

    /// Whether it has cosigned all of the log, as of now.
    fn looked_at(&mut self, has_cosigned: bool, metrics: &Metrics, now: Instant) {
        let name = self.witness.key.name().as_str();
        if has_cosigned {
            self.behind = None;
            OUTAGES.ends(name);
        } else {
            self.behind.get_or_insert(now);
        }
        let lag = self.behind.map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        metrics.witness_lags(name, lag);
    }
}

/// Why a witness did not cosign.
#[derive(Debug, Error)]
pub(super) enum WitnessError {
    #[error(transparent)]
    Setup(#[from] SetupError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Note(#[from] NoteError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Request(#[from] Refusal),
    #[error(transparent)]
    Answer(#[from] AnswerError),
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(
        "the public log was rolled back: the witness has cosigned {theirs} entries, and the log has {ours}: this database was restored from an old \
         copy, or the log's key is used with another database; see the runbook on restoring"
    )]
    RolledBack { theirs: u64, ours: u64 },
    #[error("reading the log stopped: {0}")]
    Stopped(#[from] tokio::task::JoinError),
}

/// Asks those who have not cosigned the newest checkpoint and are due.
async fn round(
    log: &Arc<PublicLog>,
    http: &HttpClient,
    metrics: &Metrics,
    asked: &mut [WitnessState],
) -> Result<(), WitnessError> {
    let now = Instant::now();
    let note = blocking(log, PublicLog::checkpoint).await?;
    let keys: Vec<_> = asked.iter().map(|asked| asked.witness.key.clone()).collect();
    let have: Vec<_> = cosigners(&note, &keys)?.into_iter().map(|(key, _)| key.clone()).collect();
    let mut more = note.clone();
    for asked in asked {
        let has_cosigned = have.contains(&asked.witness.key);
        asked.looked_at(has_cosigned, metrics, now);
        if has_cosigned || asked.due > now {
            continue;
        }
        match ask(log, http, asked, &note).await {
            Ok(lines) => more.add(lines),
            Err(error) => asked.failed(&error, metrics),
        }
    }
    if more != note {
        // If the log has grown meanwhile, the newer checkpoint is cosigned in the next round.
        blocking(log, move |log| log.keep_signatures(&note, &more)).await?;
    }
    Ok(())
}

/// One witness's cosignatures of a checkpoint.
async fn ask(
    log: &Arc<PublicLog>,
    http: &HttpClient,
    asked: &mut WitnessState,
    note: &Note,
) -> Result<Vec<SignatureLine>, WitnessError> {
    let ours = Checkpoint::parse(note.text())?.size;
    let mut old = asked.size.min(ours);
    for _ in 0..2 {
        let proof = blocking(log, move |log| log.consistency(old, ours)).await?;
        let request = Request::new(old, proof, note.clone())?;
        let response =
            http.send(add_checkpoint(&asked.witness, &request), None, MAX_ANSWER).await?;
        let keys = std::slice::from_ref(&asked.witness.key);
        match request.answer(response.status, &response.body, keys)? {
            Answer::Cosigned(lines) => {
                asked.answered(ours);
                return Ok(lines);
            }
            Answer::Conflict(theirs) if theirs > ours => {
                return Err(WitnessError::RolledBack { theirs, ours });
            }
            // It knows an earlier checkpoint than we thought, or a later one than we knew of.
            Answer::Conflict(theirs) => old = theirs,
        }
    }
    Err(AnswerError::Form(409).into())
}

fn add_checkpoint(witness: &Witness, request: &Request) -> HttpRequest {
    HttpRequest {
        method: Method::Post,
        url: format!("{}/add-checkpoint", witness.url.trim_end_matches('/')),
        media_type: None,
        body: request.to_string().into_bytes(),
        authorized: false,
    }
}

async fn blocking<T: Send + 'static>(
    log: &Arc<PublicLog>,
    work: impl FnOnce(&PublicLog) -> Result<T, LogError> + Send + 'static,
) -> Result<T, WitnessError> {
    let log = Arc::clone(log);
    Ok(spawn_blocking(move || work(&log)).await??)
}
