//! The transparency log of an aggregator: an append-only public record of its tasks and releases.
//!
//! Each aggregator writes down every task that it takes on and every release, before the share
//! leaves its hands, as [`entry`]s of an append-only log. [`tree`] hashes them into one root;
//! [`checkpoint`] is that root, signed as a [`note`] and cosigned by witnesses, who make sure that
//! there is one log and not one for each reader; [`tiles`] is how a log is served, as files that
//! anybody can keep; [`proof`] is what an entry takes along that has to be believed far away;
//! [`witness`] is what a log and its witness say to each other, and [`contradiction`] what is wrong if a log has signed
//! what cannot both be true.
//!
//! The formats are those of C2SP (tlog-tiles, tlog-checkpoint, tlog-cosignature, tlog-proof,
//! signed-note), so that other logs' tools read ours. Nothing here reads or sends: parties do.
//!
//! A log's root, from its entries:
//!
//! ```
//! use sottovoce_log::tree::{Frontier, Hash};
//!
//! let mut tree = Frontier::new();
//! for entry in [b"one".as_slice(), b"two"] {
//!     tree.push(Hash::leaf(entry), |_, _, _| {});
//! }
//! assert_eq!(tree.size(), 2);
//! assert_eq!(tree.root(), Hash::node(&Hash::leaf(b"one"), &Hash::leaf(b"two")));
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod checkpoint;
pub mod claim;
pub mod contradiction;
mod ed25519;
pub mod entry;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod interop;
pub mod note;
pub mod proof;
pub mod tiles;
pub mod tree;
pub mod witness;
