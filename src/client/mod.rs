//! The device: turns an answer into a sealed report.
//!
//! [`report`] randomizes an answer, shards it and seals the shares; [`hpke_configs`] keeps the
//! aggregators' keys as long as they allow; [`personal`] is what never leaves the device. Nothing here touches the network: the [`uploader`],
//! behind a feature of its own, carries what these produce.
//!
//! The order of types is the order of privacy. An [`Answer`](crate::program::answer::Answer)
//! never leaves [`Reporter::prepare`](report::Reporter::prepare); what comes out is a
//! [`Prepared`](report::Prepared) report, noise and all, and every retry starts from that.

pub mod hpke_configs;
pub mod personal;
pub mod report;
#[cfg(feature = "uploader")]
pub mod uploader;
