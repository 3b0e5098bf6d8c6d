//! Carries the exchanges of [`crate::dap::exchange`] over HTTP.
//!
//! [`http`] sends one request and reads its bounded response; [`retry`] says how long to wait
//! before the next attempt. What a response means is the exchange's business.

pub mod http;
pub mod retry;
