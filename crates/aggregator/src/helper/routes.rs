//! The helper's resources (DAP's HTTP resources reference).

use super::Helper;
use crate::{
    agreement, comparison,
    http::{
        Failure, InPath, authenticate, blocking, expect_media_type, hpke_config_list, json,
        located, message, parse_id, parse_task_id,
    },
    log,
    serve::{Client, edge::Edge, held::long_message},
    task::HelperTask,
};
use axum::{
    Extension, Router,
    extract::{RawQuery, Request, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sottovoce_dap::{
    aggregate::AggregationJobContinueReq,
    codec::Decode,
    ids::{AggregateShareId, AggregationJobId, TaskId},
    media_type::MediaType,
    problem::ProblemType,
    role::Role,
};
use std::sync::Arc;

/// The helper behind its routes.
pub fn router(helper: Arc<Helper>, edge: Edge) -> Router {
    let log = log::routes::router(Arc::clone(&helper.log), &edge);
    let jobs = "/tasks/{task_id}/aggregation_jobs";
    let shares = "/tasks/{task_id}/aggregate_shares";
    let devices = Router::new()
        .route("/hpke_config", get(hpke_config))
        .route("/tasks/{task_id}/agreement", post(agree))
        .route("/tasks/{task_id}/comparison", post(compare));
    edge.for_devices(devices)
        .route(jobs, post(create_job))
        .route(&format!("{jobs}/{{id}}"), get(poll_job).post(continue_job).delete(delete_job))
        .route(shares, post(create_share))
        .route(&format!("{shares}/{{id}}"), get(poll_share).delete(delete_share))
        .with_state(Served { helper, edge })
        .merge(log)
}

/// Who is at the other end, if the server knows.
type Knocking = Option<Extension<Client>>;

#[derive(Clone)]
struct Served {
    helper: Arc<Helper>,
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
    let keys = served.helper.keyring.keys();
    let answered = served
        .edge
        .intake
        .look(move |now| agreement::answer(&task.task, Role::Helper, &keys, body.bytes(), now));
    json(&answered.await?)
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
    let store = Arc::clone(&served.helper.store);
    let answered = served.edge.intake.look(move |now| {
        comparison::answer(&task.task, Role::Helper, store.as_ref(), body.bytes(), now)
    });
    json(&answered.await?)
}

async fn hpke_config(State(served): State<Served>) -> Response {
    let keys = served.helper.keyring.keys();
    hpke_config_list(keys.config_list(), served.edge.limits.hpke_config_lifetime)
}

async fn create_job(
    State(served): State<Served>,
    client: Knocking,
    InPath(task_id): InPath<String>,
    request: Request,
) -> Result<Response, Failure> {
    let task = served.leaders_task(&task_id, request.headers(), client).await?;
    let id = task.task.id;
    expect_media_type(request.headers(), MediaType::AggregationJobInitReq, &id)?;
    let limit = served.edge.limits.aggregation_job_bytes;
    let body = served.edge.intake.read_known(request, limit).await?;
    let helper = Arc::clone(&served.helper);
    let turn = served.edge.intake.turn().await?;
    let (location, response, room) = blocking(move |now| {
        // Taken along: the work goes on when its leader hangs up.
        let _turn = turn;
        let (job, response) = helper.aggregate(&task, body.bytes(), now)?;
        Ok((task.task.resource_path("aggregation_jobs", job), response, body.into_room()))
    })
    .await?;
    located(long_message(MediaType::AggregationJobResp, response, room), &location)
}

async fn poll_job(
    State(served): State<Served>,
    client: Knocking,
    InPath((task_id, job)): InPath<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let task = served.leaders_task(&task_id, &headers, client).await?;
    let job: AggregationJobId = parse_id(&job)?;
    let id = task.task.id;
    let helper = Arc::clone(&served.helper);
    let response = blocking(move |_| helper.aggregated(&task, job)).await?;
    // An unknown job has no step to disagree about.
    if !query.is_some_and(|query| query.split('&').any(|pair| pair == "step=0")) {
        return Err(step_mismatch(&id));
    }
    let room = served.edge.intake.room_for_known(response.len())?;
    Ok(long_message(MediaType::AggregationJobResp, response, room))
}

/// All VDAFs here verify in one round, so that there is nothing to continue.
async fn continue_job(
    State(served): State<Served>,
    client: Knocking,
    InPath((task_id, job)): InPath<(String, String)>,
    request: Request,
) -> Result<Response, Failure> {
    let task = served.leaders_task(&task_id, request.headers(), client).await?;
    let id = task.task.id;
    let job: AggregationJobId = parse_id(&job)?;
    expect_media_type(request.headers(), MediaType::AggregationJobContinueReq, &id)?;
    let limit = served.edge.limits.aggregation_job_bytes;
    let body = served.edge.intake.read_known(request, limit).await?;
    let helper = Arc::clone(&served.helper);
    let body = blocking(move |_| helper.aggregated(&task, job).map(|_| body)).await?;
    let continuation = AggregationJobContinueReq::from_bytes(body.bytes())
        .map_err(|error| Failure::malformed(&id, &error))?;
    if continuation.step == 0 {
        return Err(Failure::problem(
            ProblemType::InvalidMessage,
            Some(&id),
            "step 0 is the initialization and cannot be continued to",
        ));
    }
    Err(step_mismatch(&id))
}

async fn delete_job(
    State(served): State<Served>,
    client: Knocking,
    InPath((task_id, job)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let task = served.leaders_task(&task_id, &headers, client).await?;
    let job: AggregationJobId = parse_id(&job)?;
    let helper = Arc::clone(&served.helper);
    blocking(move |_| helper.forget_job(&task, job)).await?;
    Ok(().into_response())
}

async fn create_share(
    State(served): State<Served>,
    client: Knocking,
    InPath(task_id): InPath<String>,
    request: Request,
) -> Result<Response, Failure> {
    let task = served.leaders_task(&task_id, request.headers(), client).await?;
    let id = task.task.id;
    expect_media_type(request.headers(), MediaType::AggregateShareReq, &id)?;
    let limit = served.edge.limits.request_bytes;
    let body = served.edge.intake.read_known(request, limit).await?;
    let helper = Arc::clone(&served.helper);
    let (location, response) = blocking(move |now| {
        let (share, response) = helper.release(&task, body.bytes(), now)?;
        Ok((task.task.resource_path("aggregate_shares", share), response))
    })
    .await?;
    located(message(MediaType::AggregateShare, response.into_inner()), &location)
}

async fn poll_share(
    State(served): State<Served>,
    client: Knocking,
    InPath((task_id, share)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let task = served.leaders_task(&task_id, &headers, client).await?;
    let share: AggregateShareId = parse_id(&share)?;
    let helper = Arc::clone(&served.helper);
    let response = blocking(move |_| helper.released(&task, share)).await?;
    Ok(message(MediaType::AggregateShare, response.into_inner()))
}

async fn delete_share(
    State(served): State<Served>,
    client: Knocking,
    InPath((task_id, share)): InPath<(String, String)>,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let task = served.leaders_task(&task_id, &headers, client).await?;
    let share: AggregateShareId = parse_id(&share)?;
    let helper = Arc::clone(&served.helper);
    blocking(move |_| helper.forget_share(&task, share)).await?;
    Ok(().into_response())
}

fn step_mismatch(task: &TaskId) -> Failure {
    Failure::problem(
        ProblemType::StepMismatch,
        Some(task),
        "aggregation jobs of this task are over after step 0",
    )
}

impl Served {
    /// The task of a request that proves to come from its leader.
    async fn leaders_task(
        &self,
        task_id: &str,
        headers: &HeaderMap,
        client: Knocking,
    ) -> Result<Arc<HelperTask>, Failure> {
        self.edge.check_peer(client.as_deref())?;
        let task = self.task(task_id).await?;
        authenticate(headers, &task.leader_token)?;
        Ok(task)
    }

    async fn task(&self, task_id: &str) -> Result<Arc<HelperTask>, Failure> {
        let id = parse_task_id(task_id)?;
        if let Some(task) = self.helper.tasks.at_hand(&id) {
            return Ok(task);
        }
        if self.helper.tasks.is_missing(&id) {
            return Err(Failure::unknown_task(&id));
        }
        let helper = Arc::clone(&self.helper);
        let found =
            self.edge.intake.look(move |_| helper.tasks.find(&id).map_err(Failure::from)).await?;
        found.ok_or_else(|| Failure::unknown_task(&id))
    }
}
