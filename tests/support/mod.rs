//! What the stories and the abuse suite share: the real servers as processes of their own, and the
//! parties that talk to them.

#![allow(dead_code, reason = "each of the two uses its part")]

pub(crate) mod device;
pub(crate) mod http;
pub(crate) mod leaks;
pub(crate) mod peer;
pub(crate) mod server;
pub(crate) mod task;
pub(crate) mod world;
