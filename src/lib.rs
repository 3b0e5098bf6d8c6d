//! The binaries of sottovoce as a library: their commands, and what tries the whole out on one machine.
//!
//! sottovoce hears the users of an LLM app without overhearing any of them. Users give feedback; their
//! devices randomize it and split it into secret shares; two aggregators that do not collude add the
//! shares up over the IETF's Distributed Aggregation Protocol; a collector sees noisy totals with honest
//! error bars, and nobody sees more.
//!
//! What is done stands in crates of its own, in the order of a report's life:
//!
//! 1. `sottovoce-program`: what is asked, by one file that every party holds.
//! 2. `sottovoce-client`: an answer is randomized (`sottovoce-privacy`), sharded and sealed
//!    (`sottovoce-dap`); `sottovoce-courier` sends it.
//! 3. `sottovoce-aggregator`: the leader takes it, stores it and verifies it together with the helper.
//! 4. Both say in public what they hand over (`sottovoce-log`), which `sottovoce-audit` verifies from
//!    outside.
//! 5. `sottovoce-collector`: the batch is opened and turned into figures and words
//!    (`sottovoce-estimate`, which also says before all of that what to expect).
//!
//! An app takes `sottovoce-client`, and nothing of what is here.
//!
//! | feature | what it adds |
//! |---|---|
//! | `leader`, `helper` | the servers, over SQLite |
//! | `postgres`, `otel` | their other storage; their spans |
//! | `collector` | collecting and presenting |
//! | `auditor` | verifying logs, probing clients, witnessing |
//! | `full` (default) | all of it, the demo, the load and the simulation |
//!
//! What `sottovoce init` writes is a program that compiles as it stands:
//!
//! ```
//! use sottovoce_program::{Program, ProgramKind, template::template};
//!
//! let text = template(ProgramKind::Feedback, "my-app")?;
//! Program::parse("program.toml", &text)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

#[cfg(feature = "auditor")]
pub mod auditor;
#[cfg(feature = "collector")]
pub mod collector;
pub mod command_line;
#[cfg(feature = "full")]
pub mod demo;
#[cfg(feature = "full")]
pub mod keygen;
#[cfg(feature = "full")]
pub mod load;
#[cfg(feature = "full")]
pub mod local_servers;
#[cfg(feature = "servers")]
pub mod servers;
#[cfg(feature = "full")]
pub mod simulate;
