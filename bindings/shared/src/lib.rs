//! One façade of the device for every other language.
//!
//! [`Device`] is the state machine of `sottovoce_client::device` in plain data: numbers, text and bytes in; numbers,
//! text, bytes and JSON out. It has no rules of its own, no storage, no network, no callback and no lock. A binding
//! wraps it in what its language is used to, and drives it as every caller does: save what [`Next::Save`] has and
//! say [`Device::saved`]; send what [`Next::Send`] has and pass on what came back.
//!
//! What every language must answer to the same calls stands in `bindings/conformance/cases.json`.
//!
//! ```
//! use sottovoce_bindings::{Device, Next, Opening};
//! # let program = include_str!("../../conformance/programs/daily.toml");
//! let now = 1_800_000_000;
//! let (mut device, _found) = Device::open(program, Opening::default(), now)?;
//! device.consent(true, now)?;
//! device.record(r#"{"metric": "helpful", "answer": {"thumbs": "up"}, "response": "r17"}"#, now)?;
//! while let Next::Save(save) = device.next(now)? {
//!     // Made durable here.
//!     device.saved(save.version)?;
//! }
//! # Ok::<_, sottovoce_bindings::Error>(())
//! ```

mod device;
mod error;
mod wire;

pub use device::{Decision, Device, Found, Opening};
pub use error::{Error, Kind};
pub use sottovoce_client::device::{Aside, ErrorKind, Field, Recorded, Withdrawn};
pub use wire::{Next, Request, Response, Save};
