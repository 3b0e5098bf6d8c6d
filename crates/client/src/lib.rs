//! The device: from what users say to sealed reports on their way.
//!
//! [`device`] is the state machine: it takes [`event`]s and the time, closes windows, pays from the ledger,
//! draws the noise, and says what to save and what to send. It has no storage, no network and no clock.
//! [`engine`] is what a program in Rust embeds: a device with a [`storage`], stored before each call returns.
//! Requests are handed out to whoever has a network, such as the crate `sottovoce-courier`. [`consent`] comes
//! before everything, and [`personal`] is what never leaves the device.
//!
//! Below it, [`report`] randomizes one answer, shards it and seals the shares, and [`hpke_configs`]
//! keeps the aggregators' keys as long as they allow.
//!
//! The order of types is the order of privacy. An [`Answer`](sottovoce_program::answer::Answer)
//! never leaves [`Reporter::draw`](report::Reporter::draw); what comes out is
//! [`Drawn`](report::Drawn), noise, shares, ID and all, and every seal and every retry starts from that.
//!
//! ```
//! use sottovoce_client::{
//!     engine::{Engine, Options},
//!     event::Event,
//!     storage::MemoryStorage,
//! };
//! use sottovoce_program::{
//!     Program, ProgramKind,
//!     answer::{Given, Thumb},
//!     template::template,
//! };
//! use std::sync::Arc;
//!
//! let program = Program::parse("program.toml", &template(ProgramKind::Feedback, "my-app")?)?;
//! let now = 1_800_000_000;
//! let (mut engine, _) =
//!     Engine::open(Arc::new(program), MemoryStorage::default(), Options::default(), now)?;
//! println!("{}", engine.explain());
//! engine.give_consent(now)?;
//! # if false {
//! engine.record(Event::answer("helpful", Given::Thumbs(Thumb::Up)).on("response 17"), now)?;
//! # }
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! ```
//!
//! `examples/` has a chat turn and a session as programs. Who sends what the engine hands out is the app's
//! choice: `sottovoce-courier` does it over HTTP.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

mod assignment;
pub mod consent;
pub mod device;
pub mod engine;
pub mod event;
pub mod hpke_configs;
mod ledger;
pub mod logged;
mod outbox;
mod participation;
mod pending;
pub mod personal;
pub mod report;
mod state;
pub mod storage;
pub mod verdict;

pub use ledger::Fate;
pub use state::StateKey;
