//! The resources that leader and helper have alike, and what comes before any other: which task a request
//! is about, and whether its sender is authenticated.
//!
//! A role implements [`Aggregator`] and gives [`router`] the resources of its own. Their handlers take the
//! task as [`NamedTask`] where anybody may ask, else as [`Authenticated`], which cannot be had without
//! the task's bearer token.

use crate::{
    agreement, comparison,
    http::{
        Failure, InPath, authenticate, expect_media_type, hpke_config_list, json, parse_id,
        parse_task_id,
    },
    keyring::Keyring,
    log::{self, PublicLog},
    serve::{PeerIdentity, admission::BufferedBody, edge::Edge},
    store::Datastore,
    task::StoredTask,
    tasks::Tasks,
};
use axum::{
    Router,
    extract::{FromRequestParts, Request, State},
    http::{header::DATE, request::Parts},
    response::Response,
    routing::{get, post},
};
use serde::Deserialize;
use sottovoce_dap::{bearer_token::TokenHash, ids::TaskId, media_type::MediaType};
use std::{str::FromStr, sync::Arc};

/// A role, as its routes see it.
pub(crate) trait Aggregator: Send + Sync + 'static {
    /// A task as this role holds it.
    type Task: StoredTask;

    /// Where tasks are found.
    fn tasks(&self) -> &Tasks<Self::Task>;

    /// What reports of this role's tasks are sealed to.
    fn keyring(&self) -> &Keyring;

    /// The database.
    fn store(&self) -> &Arc<dyn Datastore>;

    /// The public log.
    fn log(&self) -> &Arc<PublicLog>;

    /// Checks the connection of whoever has to authenticate, before anything is looked up for them.
    fn check_connection(edge: &Edge, client: Option<&PeerIdentity>) -> Result<(), Failure>;

    /// Recognizes whoever may use what is not for everybody: the leader, or the collector.
    fn accepted_token(task: &Self::Task) -> &TokenHash;

    /// Hears of the date of a request of the other aggregator, where that asks.
    fn note_date(&self, _task: &Self::Task, _date: &str) {}
}

/// A role behind its routes: the state of each handler.
pub(crate) struct Served<R> {
    /// The role.
    pub(crate) role: Arc<R>,
    /// Its bounds.
    pub(crate) edge: Edge,
}

impl<R> Clone for Served<R> {
    fn clone(&self) -> Self {
        Self { role: Arc::clone(&self.role), edge: self.edge.clone() }
    }
}

/// All routes of a role: those that both have, those of its own that `devices` may use, and those of
/// its own for `peers`, who authenticate.
pub(crate) fn router<R: Aggregator>(
    role: Arc<R>,
    edge: Edge,
    devices: Router<Served<R>>,
    peers: Router<Served<R>>,
) -> Router {
    let log = log::routes::router(Arc::clone(role.log()), &edge);
    let shared = Router::new()
        .route("/hpke_config", get(hpke_config::<R>))
        .route("/tasks/{task_id}/agreement", post(agree::<R>))
        .route("/tasks/{task_id}/comparison", post(compare::<R>));
    edge.for_devices(shared.merge(devices))
        .merge(peers)
        .with_state(Served { role, edge })
        .merge(log)
}

async fn hpke_config<R: Aggregator>(State(served): State<Served<R>>) -> Response {
    let keys = served.role.keyring().keys();
    hpke_config_list(keys.config_list(), served.edge.limits.hpke_config_lifetime)
}

/// Ours, not the draft's: whether the other aggregator holds the same task.
async fn agree<R: Aggregator>(
    State(served): State<Served<R>>,
    NamedTask(task): NamedTask<R>,
    request: Request,
) -> Result<Response, Failure> {
    let body = served.read_question(request, agreement::LONGEST).await?;
    let keys = served.role.keyring().keys();
    let answered = served.edge.admission.query(move |now| {
        agreement::answer(task.task(), R::Task::role(), &keys, body.bytes(), now)
    });
    json(&answered.await?)
}

/// Ours, not the draft's: what we hold of the batches that are not collected.
async fn compare<R: Aggregator>(
    State(served): State<Served<R>>,
    NamedTask(task): NamedTask<R>,
    request: Request,
) -> Result<Response, Failure> {
    let body = served.read_question(request, comparison::LONGEST).await?;
    let store = Arc::clone(served.role.store());
    let answered = served.edge.admission.query(move |now| {
        comparison::answer(task.task(), R::Task::role(), store.as_ref(), body.bytes(), now)
    });
    json(&answered.await?)
}

/// The task that the path names, for anybody.
pub(crate) struct NamedTask<R: Aggregator>(pub(crate) Arc<R::Task>);

impl<R: Aggregator> FromRequestParts<Served<R>> for NamedTask<R> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, served: &Served<R>) -> Result<Self, Failure> {
        let InPath(TaskSegment { task_id }) = InPath::from_request_parts(parts, served).await?;
        served.task(&task_id).await.map(Self)
    }
}

/// The task that the path names, of a request that proves to come from the task's leader or collector
/// (§3.5).
pub(crate) struct Authenticated<R: Aggregator>(pub(crate) Arc<R::Task>);

impl<R: Aggregator> FromRequestParts<Served<R>> for Authenticated<R> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, served: &Served<R>) -> Result<Self, Failure> {
        let InPath(TaskSegment { task_id }) = InPath::from_request_parts(parts, served).await?;
        R::check_connection(&served.edge, parts.extensions.get())?;
        let task = served.task(&task_id).await?;
        authenticate(&parts.headers, R::accepted_token(&task))?;
        if let Some(date) = parts.headers.get(DATE).and_then(|date| date.to_str().ok()) {
            served.role.note_date(&task, date);
        }
        Ok(Self(task))
    }
}

/// The ID of a job or share in the path. Taken after [`Authenticated`]: a stranger learns nothing of what
/// IDs look like.
pub(crate) struct ResourceId<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr> FromRequestParts<S> for ResourceId<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let InPath(ResourceSegment { id }) = InPath::from_request_parts(parts, state).await?;
        parse_id(&id).map(Self)
    }
}

#[derive(Deserialize)]
struct TaskSegment {
    task_id: String,
}

#[derive(Deserialize)]
struct ResourceSegment {
    id: String,
}

impl<R: Aggregator> Served<R> {
    /// Reads a message from somebody who is authenticated.
    pub(crate) async fn read_message(
        &self,
        request: Request,
        expected: MediaType,
        task: &TaskId,
        limit: usize,
    ) -> Result<BufferedBody, Failure> {
        expect_media_type(request.headers(), expected, task)?;
        self.edge.admission.read_authenticated(request, limit).await
    }

    /// Reads what may be a question of the other aggregator: it can be authenticated only once it is read.
    async fn read_question(
        &self,
        request: Request,
        longest: usize,
    ) -> Result<BufferedBody, Failure> {
        let limit = self.edge.limits.request_bytes.min(longest);
        self.edge.admission.read(request, limit).await
    }

    async fn task(&self, task_id: &str) -> Result<Arc<R::Task>, Failure> {
        let id = parse_task_id(task_id)?;
        if let Some(task) = self.role.tasks().at_hand(&id) {
            return Ok(task);
        }
        if self.role.tasks().is_missing(&id) {
            return Err(Failure::unknown_task(&id));
        }
        let role = Arc::clone(&self.role);
        let found = self.edge.admission.query(move |_| Ok(role.tasks().find(&id)?)).await?;
        found.ok_or_else(|| Failure::unknown_task(&id))
    }
}
