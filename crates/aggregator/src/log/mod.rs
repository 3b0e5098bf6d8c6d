//! The aggregator's transparency log: what must be published before an aggregate share is sent.
//!
//! Entries are written into the database with what they are about ([`entries`] makes them),
//! and published by [`PublicLog`]: given their places, hashed, and covered by a checkpoint that
//! [`keys`] sign. [`Covered`] is the proof that all of that has happened: only with one does a
//! share get out. [`routes`] serves the log to anybody, and [`export`] writes it as files.

pub mod entries;
mod error;
pub mod export;
pub mod keys;
mod publish;
mod refusal_limit;
mod refusals;
pub mod routes;

pub use error::LogError;
pub use publish::{Covered, PublicLog};
