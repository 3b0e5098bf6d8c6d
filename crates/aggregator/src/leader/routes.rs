//! The leader's resources (DAP's HTTP resources reference).

use super::{Leader, Progress};
use crate::{
    agreement, clock, comparison,
    http::{
        Failure, InPath, authenticate, blocking, expect_media_type, hpke_config_list, json,
        located, message, parse_id, parse_task_id, pending,
    },
    log,
    serve::{edge::Edge, held::long_message},
    task::LeaderTask,
};
use axum::{
    Router,
    extract::{Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sottovoce_dap::{
    codec::{Decode, Encode},
    ids::CollectionJobId,
    media_type::MediaType,
    role::Role,
    upload::{ReportUploadStatus, UploadRequest},
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};

/// The leader behind its routes.
pub fn router(leader: Arc<Leader>, edge: Edge) -> Router {
    let log = log::routes::router(Arc::clone(&leader.log), &edge);
    let jobs = "/tasks/{task_id}/collection_jobs";
    let devices = Router::new()
        .route("/hpke_config", get(hpke_config))
        .route("/tasks/{task_id}/agreement", post(agree).get(tell_collector))
        .route("/tasks/{task_id}/comparison", post(compare))
        .route("/tasks/{task_id}/reports", post(upload_reports));
    edge.for_devices(devices)
        .route(jobs, post(create_collection))
        .route(&format!("{jobs}/{{id}}"), get(poll_collection).delete(delete_collection))
        .with_state(Served { leader, edge })
        .merge(log)
}

#[derive(Clone)]
struct Served {
    leader: Arc<Leader>,
    edge: Edge,
}

/// Ours, not the draft's: whether the other aggregator holds the same task.
async fn agree(
    State(served): State<Served>,
    InPath(task_id): InPath<String>,
    request: Request,
) -> Result<Response, Failure> {
    let task = served.task(&task_id).await?;
    let limit = served.edge.limits.request_bytes.min(agreement::LONGEST);
    let body = served.edge.intake.read(request, limit).await?;
    let keys = served.leader.keyring.keys();
    let answered = served
        .edge
        .intake
        .look(move |now| agreement::answer(&task.task, Role::Leader, &keys, body.bytes(), now));
    json(&answered.await?)
}

/// Ours, not the draft's: what we hold, for the collector to compare.
async fn tell_collector(
    State(served): State<Served>,
    InPath(task_id): InPath<String>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let task = served.collectors_task(&task_id, &headers).await?;
    json(&agreement::held(&task.task, clock::now()))
}

/// Ours, not the draft's: what we hold of the batches that are not collected.
async fn compare(
    State(served): State<Served>,
    InPath(task_id): InPath<String>,
    request: Request,
) -> Result<Response, Failure> {
    let task = served.task(&task_id).await?;
    let limit = served.edge.limits.request_bytes.min(comparison::LONGEST);
    let body = served.edge.intake.read(request, limit).await?;
    let store = Arc::clone(&served.leader.store);
    let answered = served.edge.intake.look(move |now| {
        comparison::answer(&task.task, Role::Leader, store.as_ref(), body.bytes(), now)
    });
    json(&answered.await?)
}

async fn hpke_config(State(served): State<Served>) -> Response {
    let keys = served.leader.keyring.keys();
    hpke_config_list(keys.config_list(), served.edge.limits.hpke_config_lifetime)
}

async fn upload_reports(
    State(served): State<Served>,
    InPath(task_id): InPath<String>,
    request: Request,
) -> Result<Response, Failure> {
    let task = served.task(&task_id).await?;
    let id = task.task.id;
    expect_media_type(request.headers(), MediaType::UploadReq, &id)?;
    let asker = request.extensions().get().copied();
    let limit = served.edge.limits.upload_bytes;
    let body = served.edge.intake.read(request, limit).await?;
    let request =
        UploadRequest::from_bytes(body.bytes()).map_err(|e| Failure::malformed(&id, &e))?;
    // Before anything is stored: for the answer, should each of them fail.
    let longest = request.reports.len() * ReportUploadStatus::LENGTH;
    let room_to_answer = served.edge.intake.room(asker, longest)?;
    // The bytes go; the room stays taken, for the reports themselves.
    let room = body.into_room();
    let errors = served.leader.upload(&task, request, room, clock::now()).await?;
    if errors.status.is_empty() {
        return Ok(().into_response());
    }
    Ok(long_message(MediaType::UploadErrors, errors.to_bytes(), room_to_answer))
}

async fn create_collection(
    State(served): State<Served>,
    InPath(task_id): InPath<String>,
    request: Request,
) -> Result<Response, Failure> {
    let task = served.collectors_task(&task_id, request.headers()).await?;
    expect_media_type(request.headers(), MediaType::CollectionJobReq, &task.task.id)?;
    let limit = served.edge.limits.request_bytes;
    let body = served.edge.intake.read_known(request, limit).await?;
    let leader = Arc::clone(&served.leader);
    let (task, job, progress) = blocking(move |now| {
        let (job, progress) = leader.collect(&task, body.bytes(), now)?;
        Ok((task, job, progress))
    })
    .await?;
    served.leader.collections.notify_one();
    // What it waits for leaves at once.
    served.leader.reports.notify_one();
    let location = task.task.resource_path("collection_jobs", job);
    // What became of it is for whoever polls: this request did what it asked for.
    let progress = served.wait(task, job, progress).await.unwrap_or(Progress::Pending);
    located(respond(progress), &location)
}

async fn poll_collection(
    State(served): State<Served>,
    InPath((task_id, job)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let task = served.collectors_task(&task_id, &headers).await?;
    let job: CollectionJobId = parse_id(&job)?;
    let (leader, polled) = (Arc::clone(&served.leader), Arc::clone(&task));
    let progress = blocking(move |_| leader.collected(&polled, job)).await?;
    served.wait(task, job, progress).await.map(respond)
}

async fn delete_collection(
    State(served): State<Served>,
    InPath((task_id, job)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let task = served.collectors_task(&task_id, &headers).await?;
    let job: CollectionJobId = parse_id(&job)?;
    let leader = Arc::clone(&served.leader);
    blocking(move |_| leader.forget_collection(&task, job)).await?;
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
const LOOK_ANYWAY: Duration = Duration::from_millis(250);
/// Requests whose answers are held back at the same time; further ones are answered at once.
pub(super) const WAITING: usize = 32;

impl Served {
    /// How a collection job stands, or is about to stand: waits a moment if it is not over, unless too many
    /// wait already or the server stops.
    async fn wait(
        &self,
        task: Arc<LeaderTask>,
        job: CollectionJobId,
        mut progress: Progress,
    ) -> Result<Progress, Failure> {
        let Ok(_room) = self.leader.waiting.try_acquire() else { return Ok(progress) };
        let (until, mut stop) = (Instant::now() + SOON, self.leader.stop.clone());
        while matches!(progress, Progress::Pending) && Instant::now() < until {
            // Before the look: what ends after it is noticed.
            let ended = self.leader.ended.notified();
            let (leader, task) = (Arc::clone(&self.leader), Arc::clone(&task));
            progress = blocking(move |_| leader.collected(&task, job)).await?;
            if !matches!(progress, Progress::Pending) {
                break;
            }
            tokio::select! {
                biased;
                () = ended => {}
                () = sleep_until(until.min(Instant::now() + LOOK_ANYWAY)) => {}
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        Ok(progress)
    }

    async fn task(&self, task_id: &str) -> Result<Arc<LeaderTask>, Failure> {
        let id = parse_task_id(task_id)?;
        if let Some(task) = self.leader.tasks.at_hand(&id) {
            return Ok(task);
        }
        if self.leader.tasks.is_missing(&id) {
            return Err(Failure::unknown_task(&id));
        }
        let leader = Arc::clone(&self.leader);
        let found =
            self.edge.intake.look(move |_| leader.tasks.find(&id).map_err(Failure::from)).await?;
        found.ok_or_else(|| Failure::unknown_task(&id))
    }

    /// The task of a request that proves to come from its collector.
    async fn collectors_task(
        &self,
        task_id: &str,
        headers: &HeaderMap,
    ) -> Result<Arc<LeaderTask>, Failure> {
        let task = self.task(task_id).await?;
        authenticate(headers, &task.collector_token)?;
        Ok(task)
    }
}
