//! A collection job from request to response (§4.6.1).

use crate::{
    dap::{
        bearer_token::BearerToken,
        codec::{Encode, Opaque},
        collect::{CollectionJobReq, CollectionJobResp, Query},
        exchange::{Create, Created, Delete, ExchangeError, Poll, Polled},
        extension::UncheckedExtensions,
        ids::TaskId,
        task::Url,
    },
    log::entry::ShareDigest,
    transport::{
        http::{HttpClient, TransportError},
        retry::Backoff,
    },
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use std::time::Duration;
use thiserror::Error;
use tokio::time::Instant;

/// A collection that did not come to its end.
#[derive(Debug, Error)]
pub enum CollectError {
    /// The leader refuses, or does not answer.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The leader's response leads nowhere.
    #[error("the leader: {0}")]
    Location(#[from] ExchangeError),
    /// The leader is not ready.
    #[error(
        "the leader is not ready after {0:?}; it goes on by itself, so the same request may be \
         made again later"
    )]
    Patience(Duration),
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

/// Asks for a batch and waits for it. Asking again for the same batch finds the same job.
///
/// `waiting` is called before each wait with the time waited so far.
pub async fn collect(
    http: &HttpClient,
    collection: &Collection,
    request: &CollectionJobReq,
    mut waiting: impl FnMut(Duration),
) -> Result<Collected, CollectError> {
    let create = Create::new(&collection.leader, &collection.task, request.to_bytes());
    let token = Some(&collection.token);
    let started = Instant::now();
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));
    let Created { location, mut state } = http.perform(&create, token).await?;
    loop {
        match state {
            Polled::Ready(response) => return Ok(Collected { response, location }),
            Polled::Pending { retry_after } => {
                waiting(started.elapsed());
                let wait = backoff.wait(retry_after);
                if started.elapsed() + wait > collection.patience {
                    return Err(CollectError::Patience(collection.patience));
                }
                tokio::time::sleep(wait).await;
            }
        }
        let poll = Poll::new(&create, location.as_deref())?;
        state = http.perform(&poll, token).await?;
    }
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
        http.perform(&Delete::new(location), Some(&collection.token)).await
    }
}
