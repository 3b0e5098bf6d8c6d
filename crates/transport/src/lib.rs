//! Carries the exchanges of [`crate::dap::exchange`] over HTTP.
//!
//! [`http`] sends one request and reads its bounded response; [`exchange`] asks until there is a
//! result, within a bound; [`retry`] says how long to wait before the next attempt; [`peers`] keeps
//! one bad partner from being everybody's; [`error`] says why an exchange did not end well. What a
//! response means is the exchange's business.

pub mod error;
pub mod exchange;
pub mod http;
pub mod peers;
pub mod retry;
#[cfg(test)]
pub(crate) mod wire;
