//! Faults of the machines and of the network between them, in the real servers: whatever dies,
//! fills up, gets lost or goes wrong, every report that was acknowledged counts exactly once.
//!
//! A [`stage`] is a leader and a helper, or more of each, over SQLite or PostgreSQL; [`reports`]
//! makes uploads and sends each until it is answered, and knows what the collector must find;
//! [`proxy`] stands between two servers, and [`shim`] between a server and its system. Every other module is a kind of fault. Faults are drawn
//! from a seed, which is printed: `SOTTOVOCE_FAULT_SEED` sets it, and `SOTTOVOCE_FAULT_ROUNDS`
//! how often each kind is drawn anew.

#![allow(clippy::unwrap_used, reason = "a fault that does harm panics")]
#![allow(clippy::unused_self, reason = "what a stage's parties do reads best as its verbs")]

#[path = "../support/mod.rs"]
mod support;

mod proxy;
mod reports;
mod shim;
mod stage;
mod tally;

mod clock;
mod disk;
mod kills;
mod network;
mod replicas;
