//! A collector of one program: collects windows, opens them, and has both logs prove the releases.

use super::{
    collect::{CollectError, Collected, Collection, collect, request},
    open::{OpenError, open},
    proofs::{Expected, Proofs, Unproved, proofs},
    release::{Release, ReleaseError},
    secrets::CollectorSecrets,
};
use sottovoce_dap::{collect::Query, hpke::HpkeError};
use sottovoce_program::{Program, compile::CompiledTask};
use sottovoce_transport::{
    authority::Authority,
    error::TransportError,
    http::{HttpClient, SetupError},
};
use std::time::{Duration, Instant};
use thiserror::Error;

/// Hears how a collection goes on.
pub trait Progress {
    /// Called before each wait for the leader, with the time waited so far and, if the leader failed, how.
    fn waiting(&mut self, task: &CompiledTask, waited: Duration, failure: Option<&TransportError>);
}

/// For whoever wants the result only.
impl Progress for () {
    fn waiting(&mut self, _: &CompiledTask, _: Duration, _: Option<&TransportError>) {}
}

/// A batch that gives no release.
#[derive(Debug, Error)]
pub enum CollectorError {
    /// The secrets are another collector's.
    #[error("the secrets are not those of the collector that the program names")]
    OtherCollector,
    /// There is no HTTP client.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The leader gave no batch.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The private key is of no use.
    #[error(transparent)]
    Key(#[from] HpkeError),
    /// The batch does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The batch gives no figures.
    #[error(transparent)]
    Release(#[from] ReleaseError),
    /// The program demands proofs, and the logs give none.
    #[error(
        "figures withheld: the program requires inclusion proofs from both logs; collect the same batch again later, or raise --patience"
    )]
    Unproved(#[source] Unproved),
}

impl CollectorError {
    /// Whether the same batch may be collected later, without anybody doing anything but wait: the leader is away or not
    /// ready, or the logs have no proofs yet.
    pub fn is_not_yet(&self) -> bool {
        match self {
            Self::Collect(CollectError::Patience(_) | CollectError::Away { .. }) => true,
            Self::Unproved(unproved) => unproved.may_pass,
            _ => false,
        }
    }
}

/// A batch that was collected and opened.
#[derive(Debug)]
pub struct Batch {
    /// What it says, with the proofs that both logs have it, or why there are none.
    pub release: Release,
    query: Query,
    collection: Collection,
    collected: Collected,
}

/// A collector of one program.
pub struct Collector<'a> {
    program: &'a Program,
    secrets: CollectorSecrets,
    http: HttpClient,
    patience: Duration,
}

impl<'a> Collector<'a> {
    /// A collector that waits for the leader, and for proofs that the program demands, for as long as
    /// `patience`. The secrets must be those of the collector that the program names.
    pub fn new(
        program: &'a Program,
        secrets: CollectorSecrets,
        patience: Duration,
    ) -> Result<Self, CollectorError> {
        if secrets.hpke_config != *program.collector() {
            return Err(CollectorError::OtherCollector);
        }
        let http = HttpClient::new(REQUEST_TIMEOUT)?;
        Ok(Self { program, secrets, http, patience })
    }

    /// Trusts a private authority besides those of the system.
    pub fn trusting(self, authority: Option<&Authority>) -> Result<Self, CollectorError> {
        Ok(Self { http: HttpClient::trusting(REQUEST_TIMEOUT, authority)?, ..self })
    }

    /// Collects one batch of one task of the program and opens it. Asking again for the same batch gives the
    /// same release.
    pub async fn collect(
        &self,
        task: &CompiledTask,
        query: Query,
        progress: &mut impl Progress,
    ) -> Result<Batch, CollectorError> {
        let until = Instant::now() + self.patience;
        let (collection, request) = (self.collection(task), request(query));
        let waiting = |waited: Duration, failure: Option<&TransportError>| {
            progress.waiting(task, waited, failure);
        };
        let collected = collect(&self.http, &collection, &request, waiting).await?;
        let response = &collected.response;
        let (id, configuration) = (&task.task_id, &task.configuration);
        let aggregate = open(id, configuration, &request, response, &self.secrets.opener()?)?;
        let (reports, interval) = (response.report_count, response.interval);
        let mut release = Release::new(self.program, task, &aggregate, reports, interval)?;
        release.batch = (query == Query::LeaderSelected).then(|| collected.batch_name());
        release.proofs = self.proofs(task, query, &collected, until).await?;
        Ok(Batch { release, query, collection, collected })
    }

    /// Tells the leader that a leader-selected batch is in good hands, so that the same query asks for
    /// the next one. For after its figures are safe; other batches can be asked for again.
    pub async fn forget(&self, batch: Batch) -> Result<(), TransportError> {
        if batch.query == Query::LeaderSelected {
            batch.collected.delete(&self.http, &batch.collection).await?;
        }
        Ok(())
    }

    /// Waits for so long from now on.
    pub fn set_patience(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// How long it waits for a batch and its proofs.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// The proofs that both logs have the release, if the program names logs, or why there are none. Where
    /// it demands them, that is an error.
    async fn proofs(
        &self,
        task: &CompiledTask,
        query: Query,
        collected: &Collected,
        until: Instant,
    ) -> Result<Option<Result<Proofs, Unproved>>, CollectorError> {
        let Some(policy) = self.program.log() else { return Ok(None) };
        let expected = Expected { task: task.task_id, query, response: &collected.response };
        let required = policy.collector_requires();
        // What nobody insists on is not waited for.
        let left = until.saturating_duration_since(Instant::now());
        let patience = if required { left } else { Duration::ZERO };
        match proofs(&self.http, self.program, policy, expected, patience).await {
            Err(error) if required => Err(CollectorError::Unproved(error)),
            proved => Ok(Some(proved)),
        }
    }

    fn collection(&self, task: &CompiledTask) -> Collection {
        Collection {
            leader: self.program.leader().clone(),
            task: task.task_id,
            token: self.secrets.collector_token.clone(),
            patience: self.patience,
        }
    }
}

/// Longer than a leader holds an answer back for a result that may be there soon.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
