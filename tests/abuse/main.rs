//! What attackers send: each case must get the refusal that the draft names, in a problem
//! document, and leave the servers and their tasks as they were.
//!
//! A file per resource, each with its own leader and helper on a [`stage`]: first attacks that
//! must change nothing at all, then plots that need honest reports to play against, at last an
//! honest batch that must come out to the last digit. [`message`] knows a message's fields and how
//! to break each; [`raw`] sends bytes that no HTTP client would.

#![allow(clippy::unwrap_used, reason = "a case that fails panics")]
#![allow(clippy::unused_self, reason = "what a world's parties do reads best as the world's verbs")]

#[path = "../support/mod.rs"]
mod support;

mod message;
mod raw;
mod refusal;
mod stage;

mod aggregate_share;
mod aggregation;
mod collection;
mod http;
mod slow;
mod upload;
