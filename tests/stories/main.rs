//! Stories of the whole system: the real servers as processes of their own, driven over HTTP by
//! clients, collectors, peers and strangers that are written here.
//!
//! [`world`] starts a leader and a helper with fresh keys and databases; [`task`] and [`device`]
//! make tasks and reports as any DAP party would; [`peer`] plays the leader towards the helper and
//! [`impostor`] the helper towards the leader. Every other module is a chapter of stories. The
//! stories share nothing and may run side by side.

#![allow(clippy::unwrap_used, reason = "a story that fails panics")]
#![allow(clippy::unused_self, reason = "what a world's parties do reads best as the world's verbs")]

#[path = "../support/mod.rs"]
mod support;
use support::{device, forger, http, impostor, leaks, peer, server, task, world};

mod audit;
mod collector;
mod culprit;
mod doors;
mod driven;
mod engine;
mod first_report;
mod forged;
mod forged_logs;
mod happy;
mod helper;
mod hostile;
mod hostile_log;
mod json_lines;
mod kills;
mod locations;
mod log;
mod lost;
mod noise;
mod once;
mod operations;
mod outage;
mod partners;
mod probe;
mod repaired;
mod resealed;
mod rotation;
mod secrets;
mod simulate;
mod startup;
mod tampered;
mod tls;
mod tools;
mod traces;
mod two_hosts;
mod verification_key;
mod weeks;
mod windows;
mod witness;
