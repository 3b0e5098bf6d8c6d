//! Carries sealed reports to the leader, and keeps the aggregators' keys fresh.
//!
//! What was sealed is sent as the same bytes however often it takes. The one exception is the
//! draft's own: a report that the leader cannot read because its key is outdated is sealed once
//! more to the new key: the same shares, under the same ID.

use sottovoce_client::{
    Fate,
    hpke_configs::{CachedConfig, HpkeConfigs, NoUsableConfig},
    logged::{self, KeyNotLogged, KeyProof, MAX_PROOF, NotLogged},
    report::{Prepared, ReportError as MakeReportError, Reporter},
    verdict::{Sent, Verdict, verdict},
};
use sottovoce_dap::{
    exchange::{FetchHpkeConfigs, Upload},
    ids::{ReportId, TaskId},
    role::Role,
    task::Url,
    upload::ReportError,
};
use sottovoce_program::{Program, log::LogPolicy};
use sottovoce_transport::{error::TransportError, http::HttpClient, retry::Backoff};
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use thiserror::Error;
use tokio::sync::RwLock;

/// An upload that did not come to its end. Nothing is lost: what has no answer yet is still in the
/// caller's list, to be sent again as it is.
#[derive(Debug, Error)]
pub enum UploadError {
    /// A server did not do its part.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// An aggregator offers no usable key.
    #[error(transparent)]
    Config(#[from] NoUsableConfig),
    /// The program demands proofs of devices, and an aggregator's key has none.
    #[error(transparent)]
    NotLogged(#[from] NotLogged),
    /// The proof of a key does not come, or is not cosigned by enough witnesses yet.
    #[error("the {0} cannot prove yet that its HPKE key is in its log; try again later")]
    NotProvedYet(Role),
    /// A report could not be sealed afresh.
    #[error(transparent)]
    Report(#[from] MakeReportError),
}

/// How an upload ended.
#[derive(Debug, Default)]
pub struct Uploaded {
    /// Reports that the leader has, now or since an earlier attempt.
    pub accepted: usize,
    /// Reports that it will not take, and why.
    pub refused: Vec<(ReportId, ReportError)>,
    /// Reports that it may have from an attempt whose answer was lost, and would not take now. To randomize
    /// those answers anew could tell more of them.
    pub unknown: Vec<(ReportId, ReportError)>,
    /// Bytes sent, retries included.
    pub bytes: u64,
}

/// Uploads to the leader of one program.
#[derive(Debug)]
pub struct Uploader {
    http: HttpClient,
    leader: Url,
    helper: Url,
    configs: RwLock<Option<HpkeConfigs>>,
    /// What keys are proved by, if they have to be.
    policy: Option<LogPolicy>,
    attempts: u32,
}

impl Uploader {
    /// An uploader to a program's aggregators, which tries each request up to `attempts` times. A program
    /// that demands proofs of devices, that both logs have its tasks, is refused without them; its tasks
    /// are those of the [`Reporter`]s that go with it.
    pub fn new(
        http: HttpClient,
        program: &Program,
        proofs: Option<&str>,
        attempts: u32,
    ) -> Result<Self, NotLogged> {
        logged::insist(program, proofs)?;
        let (leader, helper) = (program.leader().clone(), program.helper().clone());
        let (configs, attempts) = (RwLock::new(None), attempts.max(1));
        let policy = program.log().filter(|policy| policy.devices_require()).cloned();
        Ok(Self { http, leader, helper, configs, policy, attempts })
    }

    /// The keys to seal to: those at hand while they are fresh, or fetched. `now` is in seconds
    /// since the Epoch.
    pub async fn hpke_configs(&self, now: u64) -> Result<HpkeConfigs, UploadError> {
        if let Some(configs) = self.configs.read().await.as_ref()
            && configs.are_fresh(now)
        {
            return Ok(configs.clone());
        }
        let mut at_hand = self.configs.write().await;
        if let Some(configs) = at_hand.as_ref().filter(|configs| configs.are_fresh(now)) {
            return Ok(configs.clone());
        }
        let configs = HpkeConfigs {
            leader: self.fetch(Role::Leader, &self.leader, now).await?,
            helper: self.fetch(Role::Helper, &self.helper, now).await?,
        };
        Ok(at_hand.insert(configs).clone())
    }

    async fn fetch(
        &self,
        role: Role,
        endpoint: &Url,
        now: u64,
    ) -> Result<CachedConfig, UploadError> {
        let exchange = FetchHpkeConfigs { endpoint: endpoint.clone() };
        let (fetched, _) = self.persist(&exchange).await?;
        let chosen = CachedConfig::choose(role, &fetched.list, fetched.lifetime, now)?;
        if let Some(policy) = &self.policy {
            self.prove_key(role, endpoint, policy, &chosen).await?;
        }
        Ok(chosen)
    }

    /// Asks the log of a server for its key, which all have to see.
    async fn prove_key(
        &self,
        role: Role,
        endpoint: &Url,
        policy: &LogPolicy,
        key: &CachedConfig,
    ) -> Result<(), UploadError> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        for attempt in 1.. {
            let url = logged::key_proof_url(endpoint, key.config());
            let proved = match self.http.get(url, MAX_PROOF).await {
                Ok(answer) if answer.status == 200 => {
                    logged::check_key(role, key.config(), policy, KeyProof::Given(&answer.body))
                }
                Ok(answer) if answer.status == 404 => {
                    logged::check_key(role, key.config(), policy, KeyProof::None)
                }
                _ => Err(KeyNotLogged::NotYet),
            };
            match proved {
                Ok(()) => return Ok(()),
                Err(KeyNotLogged::Refused(reason)) => return Err(reason.into()),
                Err(KeyNotLogged::NotYet) if attempt < self.attempts => {
                    tokio::time::sleep(backoff.wait(None)).await;
                }
                Err(KeyNotLogged::NotYet) => break,
            }
        }
        Err(UploadError::NotProvedYet(role))
    }

    /// Sends reports of one task; seals those afresh, once, that the leader could not read.
    ///
    /// Takes out of `reports` what the leader answered for. After an error the rest is still there, and so is
    /// what comes too early for the leader: call again with it, later, rather than randomize those answers anew.
    pub async fn upload(
        &self,
        reporter: &Reporter,
        reports: &mut Vec<Prepared>,
        now: u64,
    ) -> Result<Uploaded, UploadError> {
        let mut uploaded = Uploaded::default();
        let outdated = self.send(reporter.task(), reports, &mut uploaded).await?;
        if outdated.is_empty() {
            return Ok(uploaded);
        }
        *self.configs.write().await = None;
        let configs = self.hpke_configs(now).await?;
        for report in reports.iter_mut().filter(|report| outdated.contains(&report.report().id())) {
            reporter.reseal(report, &configs)?;
        }
        self.send(reporter.task(), reports, &mut uploaded).await?;
        Ok(uploaded)
    }

    /// Sends reports as they are, and leaves those that the leader may still take. Gives the IDs of those
    /// that are to be sealed afresh before.
    async fn send(
        &self,
        task: TaskId,
        reports: &mut Vec<Prepared>,
        uploaded: &mut Uploaded,
    ) -> Result<HashSet<ReportId>, UploadError> {
        let request: Vec<u8> =
            reports.iter().flat_map(|report| report.report().bytes()).copied().collect();
        uploaded.bytes += request.len() as u64;
        let exchange = Upload { endpoint: self.leader.clone(), task, request };
        let (errors, in_doubt) = self.persist(&exchange).await?;
        let errors: HashMap<_, _> =
            errors.status.into_iter().map(|status| (status.id, status.error)).collect();
        let mut outdated = HashSet::new();
        reports.retain(|report| {
            let id = report.report().id();
            let error = errors.get(&id).copied();
            let sent = Sent { in_doubt, can_be_resealed: !report.is_resealed() };
            match (verdict(error, sent), error) {
                (Verdict::Reseal, _) => return outdated.insert(id),
                (Verdict::Later, _) => return true,
                (Verdict::Over(Fate::Delivered), _) | (_, None) => uploaded.accepted += 1,
                (Verdict::Over(Fate::Unknown), Some(error)) => uploaded.unknown.push((id, error)),
                (Verdict::Over(_), Some(error)) => uploaded.refused.push((id, error)),
            }
            false
        });
        Ok(outdated)
    }

    /// Asks until there is an answer; says whether an earlier attempt had none, and may have been heard.
    async fn persist<E: sottovoce_dap::exchange::Exchange>(
        &self,
        exchange: &E,
    ) -> Result<(E::Output, bool), TransportError> {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        for attempt in 1.. {
            match self.http.perform(exchange, None).await {
                Err(error) if error.is_retryable() && attempt < self.attempts => {
                    tokio::time::sleep(backoff.wait(None)).await;
                }
                outcome => return outcome.map(|output| (output, attempt > 1)),
            }
        }
        unreachable!("the last attempt returns")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_log::{
        checkpoint::{Signer, TestKey},
        note::KeyKind,
    };
    use sottovoce_program::{ProgramKind, template::template};

    /// The table of a program that names two logs.
    fn table(more: &str) -> String {
        let [leader, helper] = ["leader", "helper"].map(|role| {
            let key = TestKey::new(&format!("{role}.example/log"), KeyKind::Log, 1);
            key.verifier_key().to_string()
        });
        format!("[log]\nleader = [\"{leader}\"]\nhelper = [\"{helper}\"]\n{more}\n")
    }

    #[test]
    fn nothing_is_sent_to_a_program_that_insists_on_proofs_without_them() {
        let text = template(ProgramKind::Feedback, "support").unwrap();
        let uploader = |more: &str| {
            let text = format!("{text}\n{}", table(more));
            let program = Program::parse("program.toml", &text).unwrap();
            let http = HttpClient::new(Duration::from_secs(1)).unwrap();
            Uploader::new(http, &program, None, 1).map(drop)
        };
        uploader("required_by = [\"collector\"]").unwrap();
        assert_eq!(uploader("required_by = [\"devices\"]"), Err(NotLogged::Missing));
    }
}
