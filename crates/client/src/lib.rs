//! The device: from what users say to sealed reports on their way.
//!
//! [`engine`] is what an app embeds: it takes [`event`]s, closes windows, pays from the ledger,
//! draws the noise, and says what to send. It does no I/O: its state is a blob in a [`storage`] of
//! the app's choice, and requests are handed to whoever has a network, such as [`courier`] behind a
//! feature of its own. [`consent`] comes before everything, and [`personal`] is what never leaves
//! the device.
//!
//! Below it, [`report`] randomizes one answer, shards it and seals the shares, and [`hpke_configs`]
//! keeps the aggregators' keys as long as they allow.
//!
//! The order of types is the order of privacy. An [`Answer`](crate::program::answer::Answer)
//! never leaves [`Reporter::draw`](report::Reporter::draw); what comes out is
//! [`Drawn`](report::Drawn), noise, shares, ID and all, and every seal and every retry starts from that.

mod assignment;
pub mod consent;
#[cfg(feature = "uploader")]
pub mod courier;
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
#[cfg(feature = "uploader")]
pub mod uploader;
mod verdict;

pub use ledger::Fate;
pub use state::StateKey;
