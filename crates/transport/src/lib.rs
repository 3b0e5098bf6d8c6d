//! Carries the exchanges of [`sottovoce_dap::exchange`] over HTTP.
//!
//! [`http`] sends one request and reads its bounded response; [`exchange`] asks until there is a
//! result, within a bound; [`retry`] says how long to wait before the next attempt; [`peers`] keeps
//! one bad partner from being everybody's; [`error`] says why an exchange did not end well. What a
//! response means is the exchange's business.
//!
//! ```no_run
//! use sottovoce_dap::{exchange::FetchHpkeConfigs, task::Url};
//! use sottovoce_transport::http::HttpClient;
//! use std::time::Duration;
//!
//! # async fn keys(endpoint: Url) -> Result<(), Box<dyn std::error::Error>> {
//! let http = HttpClient::new(Duration::from_secs(30))?;
//! let fetched = http.perform(&FetchHpkeConfigs { endpoint }, None).await?;
//! println!("{:?}", fetched.list);
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::cast_precision_loss))]

pub mod authority;
pub mod error;
pub mod exchange;
pub mod http;
pub mod peers;
pub mod retry;
#[cfg(any(test, feature = "test-util"))]
pub mod wire;
