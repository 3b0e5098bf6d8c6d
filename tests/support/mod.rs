//! What the stories, the abuse suite and the suite of faults share: the real servers as processes of
//! their own, and the parties that talk to them.

#![allow(dead_code, reason = "each of them uses its part")]

pub(crate) mod device;
pub(crate) mod forger;
pub(crate) mod http;
pub(crate) mod impostor;
pub(crate) mod leaks;
pub(crate) mod peer;
pub(crate) mod server;
pub(crate) mod task;
pub(crate) mod world;
