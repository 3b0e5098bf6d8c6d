//! A witness (C2SP tlog-witness): a small server that cosigns checkpoints of logs that only grow.
//!
//! An aggregator's log proves nothing to whoever could be shown a log of their own. Two organisations
//! that run a witness each, and name each other's logs and keys, make that impossible: a checkpoint
//! that both have cosigned is what everybody sees.
//!
//! The rules are [`sottovoce_log::witness`]'s. [`records`] keeps what was cosigned, one file for each log,
//! before it is given out; [`evidence`] keeps what contradicts that, [`tally`] counts what was refused; [`key`] is the
//! witness's own key; [`config`] says which logs; [`serve`]
//! answers over plain HTTP, on loopback or behind a proxy that does TLS: requests and responses are
//! public, and hold by their signatures alone.

pub mod config;
pub mod evidence;
pub mod key;
pub mod records;
pub mod serve;
pub mod tally;
