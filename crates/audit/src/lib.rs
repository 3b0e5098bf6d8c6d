//! What outsiders hold aggregators to.
//!
//! [`verify`] reads both aggregators' logs from a [`source`], and judges what they say by [`rules`];
//! each [`finding`] names its rule and its entry, and [`report`] makes documents of it. [`probe`] puts a
//! client to the test. [`webhook`] is what is said to a receiver when something is wrong. [`witness`] remembers logs, so that they cannot become others.
//!
//! ```
//! use sottovoce_audit::finding::{At, Findings, Severity};
//! use sottovoce_dap::role::Role;
//!
//! let mut findings = Findings::default();
//! let message = "the batch has 12 reports and needs 3000".to_owned();
//! findings.add(Severity::Violation, "batch-too-small", At::log(Role::Leader), message);
//! assert!(findings.broken());
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod finding;
pub mod probe;
pub mod report;
pub mod rules;
pub mod source;
pub mod verify;
pub mod webhook;
pub mod witness;
