//! The wire: draft-ietf-ppm-dap-18, for VDAFs of one round (draft-irtf-cfrg-vdaf-20).
//!
//! Sections are cited as `§4.5.2` and mean that draft; its version appears nowhere else but in
//! [`VERSION`], which every domain separation tag is built from.
//!
//! Read in the order of a report's life: [`ids`], [`time`] and [`codec`] are the alphabet,
//! [`task`] is what all parties agree on, then one file per interaction: [`upload`],
//! [`aggregate`], [`collect`]. [`hpke`] and [`vdaf`] are the two kinds of cryptography,
//! [`problem`] is how a server says no, [`printable`] what of a peer's words is shown, and [`exchange`] is each request with the response it
//! wants, without a socket.
//!
//! Nothing here does input or output, reads a clock or knows who we are.

pub mod aggregate;
pub mod agreement;
pub mod bearer_token;
pub mod codec;
pub mod collect;
pub mod exchange;
pub mod extension;
#[cfg(test)]
mod hostile;
pub mod hpke;
pub mod hpke_config_list;
pub mod ids;
pub mod media_type;
pub mod printable;
pub mod problem;
pub mod role;
pub mod task;
pub mod time;
pub mod upload;
pub mod vdaf;

/// The draft that these messages are of, as it stands in domain separation tags (§4.4.2).
pub const VERSION: &str = "dap-18";
