//! The network of a simulation.

use super::error::TransportError;
use sottovoce_dap::{
    bearer_token::BearerToken,
    exchange::{Request, Response},
};
use std::{fmt::Debug, pin::Pin, time::Duration};
use tokio::time::timeout;

/// Takes a request to whom it is for, or loses it.
pub trait Wire: Debug + Send + Sync {
    /// What comes back, if anything does: else for what reason nothing does.
    fn carry(&self, request: Request, token: Option<&BearerToken>) -> Carried;
}

/// An answer that is on its way.
pub type Carried = Pin<Box<dyn Future<Output = Result<Response, String>> + Send>>;

/// Sends one request, and waits for the answer no longer than a client would.
pub(super) async fn send(
    wire: &dyn Wire,
    request: Request,
    token: Option<&BearerToken>,
    patience: Duration,
) -> Result<Response, TransportError> {
    let url = request.url.clone();
    let answer = timeout(patience, wire.carry(request, token)).await;
    let answer = answer.unwrap_or_else(|_| Err("timed out".to_owned()));
    answer.map_err(|reason| TransportError::NoResponse { url, reason })
}
