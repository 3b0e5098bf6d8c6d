//! A collection job from request to response (§4.6.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sottovoce_dap::{
    bearer_token::BearerToken,
    codec::{Encode, Opaque},
    collect::{CollectionJobReq, CollectionJobResp, Query},
    exchange::{Create, Delete},
    extension::UncheckedExtensions,
    ids::TaskId,
    task::Url,
};
use sottovoce_log::entry::ShareDigest;
use sottovoce_transport::{
    error::TransportError,
    exchange::{Completed, IncompleteError, Patience, complete, perform_patiently},
    http::HttpClient,
};
use std::time::Duration;
use thiserror::Error;

/// A collection that did not come to its end.
#[derive(Debug, Error)]
pub enum CollectError {
    /// The leader refuses, or answers nonsense.
    #[error(transparent)]
    Leader(TransportError),
    /// The leader is not ready.
    #[error(
        "the leader is not ready after {} s; it continues with the collection, so run the same command again later", .0.as_secs()
    )]
    Patience(Duration),
    /// The leader is away, or out of order.
    #[error(
        "gave up after retries for {} s ({last}); a collection that the leader has accepted is not lost, so run \
         the same command again when it is back", waited.as_secs()
    )]
    Away {
        /// All the patience that there was.
        waited: Duration,
        /// What went wrong last.
        last: TransportError,
    },
}

impl From<IncompleteError> for CollectError {
    fn from(error: IncompleteError) -> Self {
        match error {
            IncompleteError::Transport(error) => Self::Leader(error),
            IncompleteError::NotReady { waited, .. } => Self::Patience(waited),
            IncompleteError::Failing { waited, last } => Self::Away { waited, last },
        }
    }
}

/// Where and as whom to collect.
#[derive(Clone, Debug)]
pub struct Collection {
    /// The leader's endpoint.
    pub leader: Url,
    /// The task.
    pub task: TaskId,
    /// Presented to the leader.
    pub token: BearerToken,
    /// How long to wait for the leader.
    pub patience: Duration,
}

/// The request for a batch.
pub fn request(query: Query) -> CollectionJobReq {
    CollectionJobReq {
        query,
        agg_param: Opaque::default(),
        extensions: UncheckedExtensions::default(),
    }
}

/// Asks for a batch and waits for it, also while the leader is away. Asking again for the same batch finds
/// the same job.
///
/// `waiting` is called before each wait with the time waited so far, and what is wrong if something is.
pub async fn collect(
    http: &HttpClient,
    collection: &Collection,
    request: &CollectionJobReq,
    waiting: impl FnMut(Duration, Option<&TransportError>),
) -> Result<Collected, CollectError> {
    let create = Create::new(&collection.leader, &collection.task, request.to_bytes());
    let (token, patience) = (Some(&collection.token), patience(collection.patience));
    let Completed { value: response, location } =
        complete(http, &create, token, &patience, waiting).await?;
    Ok(Collected { response, location })
}

/// Often at first, since what is aggregated is there soon.
fn patience(total: Duration) -> Patience {
    let (first, longest) = (Duration::from_millis(50), Duration::from_secs(10));
    Patience { first, longest, total, through_failures: true }
}

/// A collected batch, still encrypted.
#[derive(Debug)]
pub struct Collected {
    /// The leader's response.
    pub response: CollectionJobResp,
    location: Option<String>,
}

impl Collected {
    /// What tells the batch from others that the leader selected. The collector is not told a batch's ID; the
    /// helper's share is of this batch only, and the public logs name it by the same digest.
    pub fn batch_name(&self) -> String {
        URL_SAFE_NO_PAD.encode(ShareDigest::of(&self.response.helper_encrypted_agg_share).0)
    }

    /// Tells the leader that the response is in good hands. For a leader-selected task this is
    /// also what makes the same query ask for the next batch.
    pub async fn delete(
        &self,
        http: &HttpClient,
        collection: &Collection,
    ) -> Result<(), TransportError> {
        let Some(location) = &self.location else { return Ok(()) };
        let (delete, token) = (Delete::new(location), Some(&collection.token));
        perform_patiently(http, &delete, token, &patience(collection.patience)).await
    }
}
