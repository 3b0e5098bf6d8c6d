//! Requests that were handed out, as plain data with an ID, and what each is about.

use super::super::hpke_configs::CachedConfig;
use sottovoce_dap::{
    exchange::{self, FetchHpkeConfigs, Upload},
    ids::ReportId,
    role::Role,
};
use std::collections::VecDeque;

/// Tells requests apart: counted from a random number on, so that an answer that is meant for another device, or for
/// the same one before it was opened again, answers nothing. Less than 2⁵³.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A request for the caller to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// To be named to [`Device::answered`](super::Device::answered).
    pub id: RequestId,
    /// What to send.
    pub http: exchange::Request,
    /// The longest response in bytes that makes sense; read no more.
    pub max_response_len: usize,
}

/// What a request is about.
#[derive(Debug)]
pub(super) enum Purpose {
    Keys(Role, FetchHpkeConfigs),
    /// That the log has a key.
    KeyProof(Role, CachedConfig),
    Reports(Upload, Vec<Sent>),
}

impl Purpose {
    /// Whether one answer serves both. An upload changes what is in doubt, so each has an answer of its own.
    fn asks_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keys(role, _), Self::Keys(other, _)) => role == other,
            (Self::KeyProof(role, key), Self::KeyProof(other, other_key)) => {
                role == other && key.config() == other_key.config()
            }
            _ => false,
        }
    }
}

/// A report of an upload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: ReportId,
    /// Whether it was in doubt before.
    pub(super) in_doubt: bool,
    /// Whether it had been sealed afresh.
    pub(super) resealed: bool,
}

/// Answers are understood of so many requests, if an app sends again before it has one.
const MOST_UNANSWERED: usize = 8;

/// All requests that have no answer yet.
#[derive(Debug)]
pub(super) struct Requests {
    /// An upload that leaves once the state that calls it in doubt is saved.
    held: Option<(Request, Purpose)>,
    unanswered: VecDeque<(RequestId, Purpose)>,
    last: u64,
}

impl Requests {
    /// None yet. `first` is random.
    pub(super) fn none(first: u64) -> Self {
        Self { held: None, unanswered: VecDeque::new(), last: first }
    }

    pub(super) fn number(&mut self, http: exchange::Request, max_response_len: usize) -> Request {
        self.last = self.last.saturating_add(1);
        Request { id: RequestId(self.last), http, max_response_len }
    }

    /// Hands out a request that changes nothing: under the same ID as long as it has no answer.
    pub(super) fn repeat(
        &mut self,
        http: exchange::Request,
        max_response_len: usize,
        purpose: Purpose,
    ) -> Request {
        let same = self.unanswered.iter().find(|(_, known)| known.asks_the_same(&purpose));
        match same {
            Some((id, _)) => Request { id: *id, http, max_response_len },
            None => {
                let request = self.number(http, max_response_len);
                self.hand_out(request, purpose)
            }
        }
    }

    /// Keeps an upload back until all of memory is saved.
    pub(super) fn hold(&mut self, request: Request, purpose: Purpose) {
        self.held = Some((request, purpose));
    }

    /// The upload that was kept back.
    pub(super) fn release(&mut self) -> Option<(Request, Purpose)> {
        self.held.take()
    }

    /// Memory is what it was before the upload was made.
    pub(super) fn take_back(&mut self) {
        self.held = None;
    }

    pub(super) fn hand_out(&mut self, request: Request, purpose: Purpose) -> Request {
        if self.unanswered.len() >= MOST_UNANSWERED {
            self.unanswered.pop_front();
        }
        self.unanswered.push_back((request.id, purpose));
        request
    }

    /// What a request was about, once.
    pub(super) fn answered(&mut self, id: RequestId) -> Option<Purpose> {
        let place = self.unanswered.iter().position(|(known, _)| *known == id)?;
        self.unanswered.remove(place).map(|(_, purpose)| purpose)
    }
}
