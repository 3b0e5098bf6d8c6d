//! sottovoce: hear the users of an LLM app without overhearing any of them.
//!
//! Users give feedback; their devices randomize it and split it into secret shares; two
//! aggregators that do not collude add the shares up over the IETF's Distributed Aggregation
//! Protocol; a collector sees noisy totals with honest error bars, and nobody sees more.
//!
//! A report's life, in reading order:
//!
//! 1. [`program`]: what is asked, by one file that every party holds.
//! 2. `client::report`: an answer is randomized ([`privacy`]), sharded and sealed ([`dap`]).
//! 3. `aggregator::leader`: uploaded, stored, verified together with `aggregator::helper`.
//! 4. Both say in public what they hand over: [`log`], which an `audit` verifies from outside.
//! 5. `collector`: the batch is opened and turned into figures ([`estimate`]) and words
//!    ([`findings`]).
//!
//! [`plan`] says before all of that what to expect.
//!
//! | feature | what it adds |
//! |---|---|
//! | `client` | the device: pure Rust, no I/O; builds for `wasm32-unknown-unknown` |
//! | `uploader` | sends what the client seals |
//! | `leader`, `helper` | the servers' roles |
//! | `sqlite` | their embedded storage |
//! | `collector` | collecting and presenting |
//! | `auditor` | verifying logs, probing clients, witnessing |
//! | `schema` | the JSON Schema of program files |
//! | `full` (default) | all of it, the binaries and the demo |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

#[cfg(feature = "aggregator")]
pub mod aggregator;
#[cfg(feature = "auditor")]
pub mod audit;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "collector")]
pub mod collector;
#[cfg(feature = "command-line")]
pub mod command_line;
#[cfg(any(feature = "aggregator", feature = "auditor"))]
pub mod connections;
pub mod dap;
#[cfg(feature = "full")]
pub mod demo;
pub mod estimate;
pub mod findings;
#[cfg(feature = "full")]
pub mod keygen;
#[cfg(feature = "full")]
pub mod load;
#[cfg(feature = "full")]
pub mod local_servers;
pub mod log;
pub mod plan;
pub mod privacy;
pub mod program;
#[cfg(feature = "full")]
pub mod simulate;
#[cfg(feature = "transport")]
pub mod transport;
pub mod whole_file;
