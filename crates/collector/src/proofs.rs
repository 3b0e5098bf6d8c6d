//! The proofs that both aggregators' logs have a release: fetched with it, checked, and kept beside
//! its figures, for whoever doubts them later.
//!
//! A log names a release by the share that was handed over, so that the proof is of exactly what
//! was opened here.

use serde::{Deserialize, Serialize};
use sottovoce_dap::{
    collect::{BatchSelector, CollectionJobResp, Query},
    exchange,
    hpke::HpkeCiphertext,
    ids::TaskId,
    role::Role,
    task::Url,
    time::Interval,
};
use sottovoce_log::{
    checkpoint::{CheckpointError, Trust},
    entry::{EntryKey, Event, Release, ShareDigest},
    proof::{MAX_PROOF, Proof, ProofError},
};
use sottovoce_program::{Program, log::LogPolicy};
use sottovoce_transport::{error::TransportError, http::HttpClient, retry::Backoff};
use std::{fmt, time::Duration};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout_at};

/// Why a log does not prove a release.
#[derive(Debug, Error)]
pub enum UnprovedError {
    /// The log does not answer.
    #[error("the {role}'s log: {source}")]
    Transport {
        /// Whose log.
        role: Role,
        /// What the network said.
        source: TransportError,
    },
    /// The log answers with something else.
    #[error(
        "the {role}'s log has no inclusion proof of this release: it answered with status {status}"
    )]
    Status {
        /// Whose log.
        role: Role,
        /// The HTTP status.
        status: u16,
        /// When to ask again, if the server says.
        retry_after: Option<Duration>,
    },
    /// The proof does not hold.
    #[error("the {role}'s log: {source}")]
    Proof {
        /// Whose log.
        role: Role,
        /// Why not.
        source: ProofError,
    },
    /// It proves something else.
    #[error(
        "the {role}'s log has this share with a different {what} than it sent to the collector; ask both operators"
    )]
    Other {
        /// Whose log.
        role: Role,
        /// What differs.
        what: &'static str,
    },
    /// The logs contradict each other.
    #[error("the two logs disagree on the {0} of this release; ask both operators")]
    Disagree(&'static str),
}

impl UnprovedError {
    /// Whether the proof may be there a little later: what is published has yet to be cosigned.
    fn may_pass(&self) -> bool {
        match self {
            Self::Transport { source, .. } => source.is_retryable(),
            Self::Status { status, .. } => *status == 404 || exchange::is_retryable(*status),
            Self::Proof { source, .. } => {
                matches!(source, ProofError::Checkpoint(CheckpointError::Quorum { .. }))
            }
            Self::Other { .. } | Self::Disagree(_) => false,
        }
    }

    /// How long the log wants to be left alone.
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// A release that a log is proved to have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logged {
    /// The log's name.
    pub log: String,
    /// The entry's place.
    pub index: u64,
    /// The proof, as it came (C2SP tlog-proof).
    pub proof: String,
}

/// The proofs of both logs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    /// The leader's.
    pub leader: Logged,
    /// The helper's.
    pub helper: Logged,
}

/// Why a release is not proved, log by log: what JSON has as `unproved`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unproved {
    /// Why not by the leader's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Why not by the helper's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub helper: Option<String>,
    /// Why not by the two together: each proves it, and they contradict each other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub both: Option<String>,
    /// Whether the proofs may be there later: no log has answered with something that is wrong.
    #[serde(skip)]
    pub may_pass: bool,
}

impl std::error::Error for Unproved {}

impl fmt::Display for Unproved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reasons: Vec<_> =
            [&self.leader, &self.helper, &self.both].into_iter().flatten().cloned().collect();
        f.write_str(&reasons.join("; "))
    }
}

/// What a release must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// Its task.
    pub task: TaskId,
    /// What was asked for.
    pub query: Query,
    /// What the leader answered.
    pub response: &'a CollectionJobResp,
}

/// Fetches both proofs and checks them. What is not there yet is waited for, as long as `patience`.
pub async fn proofs(
    http: &HttpClient,
    program: &Program,
    policy: &LogPolicy,
    expected: Expected<'_>,
    patience: Duration,
) -> Result<Proofs, Unproved> {
    let until = Instant::now() + patience;
    let response = expected.response;
    let leader = Asked {
        role: Role::Leader,
        endpoint: program.leader(),
        trust: policy.leader(),
        share: &response.leader_encrypted_agg_share,
    };
    let helper = Asked {
        role: Role::Helper,
        endpoint: program.helper(),
        trust: policy.helper(),
        share: &response.helper_encrypted_agg_share,
    };
    let leader = leader.wait(http, expected, until).await;
    // Without the leader's, the helper's is asked for only to say what is missing.
    let until = if leader.is_ok() { until } else { Instant::now() };
    let helper = helper.wait(http, expected, until).await;
    match (leader, helper) {
        (Ok((leader, one)), Ok((helper, other))) => match agree(&one, &other) {
            Ok(()) => Ok(Proofs { leader, helper }),
            Err(error) => Err(Unproved { both: Some(error.to_string()), ..Unproved::default() }),
        },
        (leader, helper) => {
            let errors = [leader.err(), helper.err()];
            let may_pass = errors.iter().flatten().all(UnprovedError::may_pass);
            let [leader, helper] = errors.map(|error| error.map(|error| error.to_string()));
            Err(Unproved { leader, helper, both: None, may_pass })
        }
    }
}

/// Whether both logs say the same of the batch.
fn agree(one: &Release, other: &Release) -> Result<(), UnprovedError> {
    let same = [
        ("batch", one.batch == other.batch),
        ("number of reports", one.report_count == other.report_count),
        ("checksum", one.checksum == other.checksum),
        ("interval", one.interval == other.interval),
        ("privacy loss", one.charged == other.charged),
    ];
    match same.into_iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(UnprovedError::Disagree(what)),
        None => Ok(()),
    }
}

/// What a log has for an answer when all patience is over.
const ONE_ATTEMPT: Duration = Duration::from_secs(10);

/// One log, and the share that it must have.
struct Asked<'a> {
    role: Role,
    endpoint: &'a Url,
    trust: &'a Trust,
    share: &'a HpkeCiphertext,
}

impl Asked<'_> {
    async fn wait(
        &self,
        http: &HttpClient,
        expected: Expected<'_>,
        until: Instant,
    ) -> Result<(Logged, Release), UnprovedError> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        loop {
            match self.ask_until(http, expected, until).await {
                Err(error) if error.may_pass() => {
                    let wait = backoff.wait(error.retry_after());
                    if Instant::now() + wait > until {
                        return Err(error);
                    }
                    sleep(wait).await;
                }
                answered => return answered,
            }
        }
    }

    /// Asks once. A log that holds its answer back holds up nobody for longer than the patience, or some seconds.
    async fn ask_until(
        &self,
        http: &HttpClient,
        expected: Expected<'_>,
        until: Instant,
    ) -> Result<(Logged, Release), UnprovedError> {
        let until = until.max(Instant::now() + ONE_ATTEMPT);
        timeout_at(until, self.ask(http, expected)).await.unwrap_or_else(|_| {
            let url = self.endpoint.as_str().to_owned();
            let reason = "no answer in time".to_owned();
            let source = TransportError::NoResponse { url, reason };
            Err(UnprovedError::Transport { role: self.role, source })
        })
    }

    async fn ask(
        &self,
        http: &HttpClient,
        expected: Expected<'_>,
    ) -> Result<(Logged, Release), UnprovedError> {
        let role = self.role;
        let key = EntryKey::release(&ShareDigest::of(self.share));
        let base = self.endpoint.as_str().trim_end_matches('/');
        let url = format!("{base}/log/proof/{key}");
        let response = http
            .get(url, MAX_PROOF)
            .await
            .map_err(|source| UnprovedError::Transport { role, source })?;
        let retry_after = response.asked_to_wait();
        match response.status {
            200 => self.check(&response.body, expected),
            status => Err(UnprovedError::Status { role, status, retry_after }),
        }
    }

    /// Checks a proof; gives it with what the log says of the release.
    fn check(
        &self,
        bytes: &[u8],
        expected: Expected<'_>,
    ) -> Result<(Logged, Release), UnprovedError> {
        let role = self.role;
        let proved = Proof::parse(bytes)
            .and_then(|proof| Ok((proof.to_string(), proof.verify(self.trust)?)));
        let (proof, proved) = proved.map_err(|source| UnprovedError::Proof { role, source })?;
        let other = |what| UnprovedError::Other { role, what };
        let Event::Release(release) = proved.entry.event else { return Err(other("kind")) };
        let response = expected.response;
        let same = [
            ("share", release.share == ShareDigest::of(self.share)),
            ("task", release.task == expected.task),
            ("number of reports", release.report_count == response.report_count),
            ("interval", release.interval == response.interval),
            ("batch", within(&release.batch, &expected.query, response.interval)),
        ];
        if let Some((what, _)) = same.into_iter().find(|(_, same)| !same) {
            return Err(other(what));
        }
        let log = self.trust.origin().to_owned();
        Ok((Logged { log, index: proved.index, proof }, release))
    }
}

/// Whether a batch is one that was asked for.
fn within(batch: &BatchSelector, query: &Query, reports: Interval) -> bool {
    match (batch, query) {
        (BatchSelector::TimeInterval(batch), Query::TimeInterval(query)) => {
            let (Some(batch), Some(query)) = (batch.interval(), query.interval()) else {
                return false;
            };
            query.covers(&batch) && batch.covers(&reports)
        }
        (BatchSelector::LeaderSelected(_), Query::LeaderSelected) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
