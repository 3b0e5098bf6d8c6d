//! The servers: what leader and helper share, and each role in a folder of its own.
//!
//! [`store`] is the database: few transactions over opaque blobs. Above it stand [`task`] and [`tasks`]
//! (what is agreed on and what is secret), [`keyring`] (what clients seal to), [`open`] and
//! [`batch`] (one report share, one batch), [`collection`] (what both do when a batch is
//! collected), [`log`] (what must be said in public first). [`http`] is the only way from an error to a
//! status, and `routes` has the resources of both roles. A program is made of it with [`config`], [`task_file`], [`serve`] and [`upkeep`].
//!
//! [`leader`] and [`helper`] know all of this and never each other.
//!
//! The configuration that a server begins with:
//!
//! ```
//! use sottovoce_aggregator::config::template;
//!
//! let text = template::text("leader");
//! assert!(text.contains("listen = "));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod agreement;
pub mod batch;
pub mod blocking;
pub mod clock;
pub mod collection;
pub mod comparison;
pub mod config;
pub mod helper;
pub mod http;
pub mod keyring;
pub mod leader;
pub mod log;
pub mod metrics;
pub mod noise;
pub mod open;
pub mod outages;
pub mod parallel;
pub mod repair;
mod routes;
pub mod serve;
#[cfg(all(test, feature = "sqlite"))]
mod simulation;
pub mod skew;
pub mod store;
pub mod task;
pub mod task_file;
pub mod tasks;
#[cfg(all(unix, feature = "postgres", any(test, feature = "test-util")))]
pub mod test_support;
pub mod upkeep;
