//! The leader's own resources (DAP's HTTP resources reference).

use super::{Leader, Progress};
use crate::{
    agreement, clock,
    http::{Failure, blocking, expect_media_type, json, located, message, pending},
    keyring::Keyring,
    log::PublicLog,
    routes::{self, Aggregator, Authenticated, NamedTask, ResourceId, Served},
    serve::{PeerIdentity, edge::Edge, response_body::long_message},
    store::Datastore,
    task::LeaderTask,
    tasks::Tasks,
};
use axum::{
    Router,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sottovoce_dap::{
    bearer_token::TokenHash,
    codec::{Decode, Encode},
    ids::CollectionJobId,
    media_type::MediaType,
    upload::{ReportUploadStatus, UploadRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// The leader behind its routes.
pub fn router(leader: Arc<Leader>, edge: Edge) -> Router {
    let devices = Router::new()
        .route("/tasks/{task_id}/agreement", get(agreement_for_collector))
        .route("/tasks/{task_id}/reports", post(upload_reports));
    let jobs = "/tasks/{task_id}/collection_jobs";
    let collector = Router::new()
        .route(jobs, post(create_collection))
        .route(&format!("{jobs}/{{id}}"), get(poll_collection).delete(delete_collection));
    routes::router(leader, edge, devices, collector)
}

impl Aggregator for Leader {
    type Task = LeaderTask;

    fn tasks(&self) -> &Tasks<LeaderTask> {
        &self.tasks
    }

    fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    fn store(&self) -> &Arc<dyn Datastore> {
        &self.store
    }

    fn log(&self) -> &Arc<PublicLog> {
        &self.log
    }

    /// A collector has no certificate.
    fn check_connection(_: &Edge, _: Option<&PeerIdentity>) -> Result<(), Failure> {
        Ok(())
    }

    fn accepted_token(task: &LeaderTask) -> &TokenHash {
        &task.collector_token
    }
}

/// Ours, not the draft's: what we hold, for the collector to compare.
async fn agreement_for_collector(
    Authenticated(task): Authenticated<Leader>,
) -> Result<Response, Failure> {
    json(&agreement::held(&task.task, clock::now()))
}

async fn upload_reports(
    State(served): State<Served<Leader>>,
    NamedTask(task): NamedTask<Leader>,
    request: Request,
) -> Result<Response, Failure> {
    let id = task.task.id;
    expect_media_type(request.headers(), MediaType::UploadReq, &id)?;
    let client = request.extensions().get().copied();
    let limit = served.edge.limits.upload_bytes;
    let body = served.edge.admission.read(request, limit).await?;
    let request =
        UploadRequest::from_bytes(body.bytes()).map_err(|e| Failure::malformed(&id, &e))?;
    // Before anything is stored: for the answer, should each of them fail.
    let longest = request.reports.len() * ReportUploadStatus::LENGTH;
    let memory_to_answer = served.edge.admission.memory(client, longest)?;
    // The bytes go; their memory stays taken, for the reports themselves.
    let memory = body.into_memory();
    let errors = served.role.upload(&task, request, memory, clock::now()).await?;
    if errors.status.is_empty() {
        return Ok(().into_response());
    }
    Ok(long_message(MediaType::UploadErrors, errors.to_bytes(), memory_to_answer))
}

async fn create_collection(
    State(served): State<Served<Leader>>,
    Authenticated(task): Authenticated<Leader>,
    request: Request,
) -> Result<Response, Failure> {
    let (limit, expected) = (served.edge.limits.request_bytes, MediaType::CollectionJobReq);
    let body = served.read_message(request, expected, &task.task.id, limit).await?;
    let leader = Arc::clone(&served.role);
    let (task, job, progress) = blocking(move |now| {
        let (job, progress) = leader.collect(&task, body.bytes(), now)?;
        Ok((task, job, progress))
    })
    .await?;
    served.role.collections.notify_one();
    // What it waits for leaves at once.
    served.role.reports.notify_one();
    let location = task.task.resource_path("collection_jobs", job);
    // What became of it is for whoever polls: this request did what it asked for.
    let progress = wait(&served.role, task, job, progress).await.unwrap_or(Progress::Pending);
    located(respond(progress), &location)
}

async fn poll_collection(
    State(served): State<Served<Leader>>,
    Authenticated(task): Authenticated<Leader>,
    ResourceId(job): ResourceId<CollectionJobId>,
) -> Result<Response, Failure> {
    let (leader, polled) = (Arc::clone(&served.role), Arc::clone(&task));
    let progress = blocking(move |_| leader.collected(&polled, job)).await?;
    wait(&served.role, task, job, progress).await.map(respond)
}

async fn delete_collection(
    State(served): State<Served<Leader>>,
    Authenticated(task): Authenticated<Leader>,
    ResourceId(job): ResourceId<CollectionJobId>,
) -> Result<Response, Failure> {
    blocking(move |_| served.role.forget_collection(&task, job)).await?;
    Ok(().into_response())
}

fn respond(progress: Progress) -> Response {
    match progress {
        Progress::Pending => pending(Duration::from_secs(1)),
        Progress::Done(response) => message(MediaType::CollectionJobResp, response.into_inner()),
    }
}

/// How long an answer is held back for a result that may be there soon: what is aggregated is collected
/// in a fraction of this.
const SOON: Duration = Duration::from_millis(1500);
/// Looks anyway, since another replica may have ended the collection.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// Requests whose answers are held back at the same time; further ones are answered at once.
pub(super) const WAITING: usize = 32;

/// How a collection job stands, or is about to stand: waits a moment if it is not over, unless too many
/// wait already or the server stops.
async fn wait(
    leader: &Arc<Leader>,
    task: Arc<LeaderTask>,
    job: CollectionJobId,
    mut progress: Progress,
) -> Result<Progress, Failure> {
    let Ok(_room) = leader.waiting.try_acquire() else { return Ok(progress) };
    let (until, mut stop) = (Instant::now() + SOON, leader.stop.clone());
    while matches!(progress, Progress::Pending) && Instant::now() < until {
        // Before the look: what ends after it is noticed.
        let ended = leader.ended.notified();
        let (looking, task) = (Arc::clone(leader), Arc::clone(&task));
        progress = blocking(move |_| looking.collected(&task, job)).await?;
        if !matches!(progress, Progress::Pending) {
            break;
        }
        tokio::select! {
            biased;
            () = ended => {}
            () = sleep_until(until.min(Instant::now() + POLL_EVERY)) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    Ok(progress)
}
