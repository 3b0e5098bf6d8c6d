//! sottovoce: hear the users of an LLM app without overhearing any of them.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "aggregator")]
pub mod aggregator;
pub mod dap;
