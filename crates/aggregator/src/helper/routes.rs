//! The helper's own resources (DAP's HTTP resources reference).

use super::Helper;
use crate::{
    clock,
    http::{Failure, blocking, located, message},
    keyring::Keyring,
    log::PublicLog,
    routes::{self, Aggregator, Authenticated, ResourceId, Served},
    serve::{PeerIdentity, edge::Edge, response_body::long_message},
    store::Datastore,
    task::HelperTask,
    tasks::Tasks,
};
use axum::{
    Router,
    extract::{RawQuery, Request, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use sottovoce_dap::{
    aggregate::AggregationJobContinueReq,
    bearer_token::TokenHash,
    codec::Decode,
    ids::{AggregateShareId, AggregationJobId, TaskId},
    media_type::MediaType,
    problem::ProblemType,
};
use std::sync::Arc;

/// The helper behind its routes.
pub fn router(helper: Arc<Helper>, edge: Edge) -> Router {
    let jobs = "/tasks/{task_id}/aggregation_jobs";
    let shares = "/tasks/{task_id}/aggregate_shares";
    let leader = Router::new()
        .route(jobs, post(create_job))
        .route(&format!("{jobs}/{{id}}"), get(poll_job).post(continue_job).delete(delete_job))
        .route(shares, post(create_share))
        .route(&format!("{shares}/{{id}}"), get(poll_share).delete(delete_share));
    routes::router(helper, edge, Router::new(), leader)
}

impl Aggregator for Helper {
    type Task = HelperTask;

    fn tasks(&self) -> &Tasks<HelperTask> {
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

    fn check_connection(edge: &Edge, client: Option<&PeerIdentity>) -> Result<(), Failure> {
        edge.check_peer(client)
    }

    fn accepted_token(task: &HelperTask) -> &TokenHash {
        &task.leader_token
    }

    fn note_date(&self, task: &HelperTask, date: &str) {
        let leader = &task.task.configuration.leader_aggregator_endpoint;
        self.skew.note(leader.as_str(), date, clock::now());
    }
}

async fn create_job(
    State(served): State<Served<Helper>>,
    Authenticated(task): Authenticated<Helper>,
    request: Request,
) -> Result<Response, Failure> {
    let limit = served.edge.limits.aggregation_job_bytes;
    let expected = MediaType::AggregationJobInitReq;
    let body = served.read_message(request, expected, &task.task.id, limit).await?;
    let permit = served.edge.admission.work_permit().await?;
    let (location, response, memory) = blocking(move |now| {
        // Taken along: the work goes on when its leader hangs up.
        let _permit = permit;
        let (job, response) = served.role.aggregate(&task, body.bytes(), now)?;
        Ok((task.task.resource_path("aggregation_jobs", job), response, body.into_memory()))
    })
    .await?;
    located(long_message(MediaType::AggregationJobResp, response, memory), &location)
}

async fn poll_job(
    State(served): State<Served<Helper>>,
    Authenticated(task): Authenticated<Helper>,
    ResourceId(job): ResourceId<AggregationJobId>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let (helper, id) = (Arc::clone(&served.role), task.task.id);
    let response = blocking(move |_| helper.aggregated(&task, job)).await?;
    // An unknown job has no step to disagree about.
    if !query.is_some_and(|query| query.split('&').any(|pair| pair == "step=0")) {
        return Err(step_mismatch(&id));
    }
    let memory = served.edge.admission.memory_for_authenticated(response.len())?;
    Ok(long_message(MediaType::AggregationJobResp, response, memory))
}

/// All VDAFs here verify in one round, so that there is nothing to continue.
async fn continue_job(
    State(served): State<Served<Helper>>,
    Authenticated(task): Authenticated<Helper>,
    ResourceId(job): ResourceId<AggregationJobId>,
    request: Request,
) -> Result<Response, Failure> {
    let (id, limit) = (task.task.id, served.edge.limits.aggregation_job_bytes);
    let expected = MediaType::AggregationJobContinueReq;
    let body = served.read_message(request, expected, &id, limit).await?;
    let body = blocking(move |_| served.role.aggregated(&task, job).map(|_| body)).await?;
    let continuation = AggregationJobContinueReq::from_bytes(body.bytes())
        .map_err(|error| Failure::malformed(&id, &error))?;
    if continuation.step == 0 {
        return Err(Failure::problem(
            ProblemType::InvalidMessage,
            Some(&id),
            "step 0 is the initialization; a job cannot be continued to it",
        ));
    }
    Err(step_mismatch(&id))
}

async fn delete_job(
    State(served): State<Served<Helper>>,
    Authenticated(task): Authenticated<Helper>,
    ResourceId(job): ResourceId<AggregationJobId>,
) -> Result<Response, Failure> {
    blocking(move |_| served.role.forget_job(&task, job)).await?;
    Ok(().into_response())
}

async fn create_share(
    State(served): State<Served<Helper>>,
    Authenticated(task): Authenticated<Helper>,
    request: Request,
) -> Result<Response, Failure> {
    let (limit, expected) = (served.edge.limits.request_bytes, MediaType::AggregateShareReq);
    let body = served.read_message(request, expected, &task.task.id, limit).await?;
    let (location, response) = blocking(move |now| {
        let (share, response) = served.role.release(&task, body.bytes(), now)?;
        Ok((task.task.resource_path("aggregate_shares", share), response))
    })
    .await?;
    located(message(MediaType::AggregateShare, response.into_inner()), &location)
}

async fn poll_share(
    State(served): State<Served<Helper>>,
    Authenticated(task): Authenticated<Helper>,
    ResourceId(share): ResourceId<AggregateShareId>,
) -> Result<Response, Failure> {
    let response = blocking(move |_| served.role.released(&task, share)).await?;
    Ok(message(MediaType::AggregateShare, response.into_inner()))
}

async fn delete_share(
    State(served): State<Served<Helper>>,
    Authenticated(task): Authenticated<Helper>,
    ResourceId(share): ResourceId<AggregateShareId>,
) -> Result<Response, Failure> {
    blocking(move |_| served.role.forget_share(&task, share)).await?;
    Ok(().into_response())
}

fn step_mismatch(task: &TaskId) -> Failure {
    Failure::problem(
        ProblemType::StepMismatch,
        Some(task),
        "aggregation jobs of this task end after step 0",
    )
}
