//! Bounds on what a server takes from others, and on what it does at once.

use super::{milliseconds, seconds};
use axum::http::HeaderName;
use serde::{Deserialize, Deserializer};
use sottovoce_connections::{
    Bounds,
    address::Network,
    forwarded::{Proxies, Trust},
};
use std::time::Duration;

/// Bounds on what a server takes from others.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Bytes of an upload.
    pub upload_bytes: usize,
    /// Bytes of an aggregation job's request.
    pub aggregation_job_bytes: usize,
    /// Bytes of any other request.
    pub request_bytes: usize,
    /// How long clients keep our HPKE configurations.
    #[serde(rename = "hpke_config_seconds", deserialize_with = "seconds")]
    pub hpke_config_lifetime: Duration,
    /// Connections open at once. Of these, the last eighth is for addresses that have none; if all are
    /// taken, one on which nothing happens gives way, or one of many whose request is still on its way.
    pub connections: usize,
    /// Connections of one client address at once; IPv6 addresses count by /64, a /56 may have twice and a
    /// /48 four times as many. Trusted proxies may have any number.
    pub connections_per_client: usize,
    /// How long a connection may be open without a request that is worked on, or an answer of which
    /// the client takes something; also of each answer by itself, which must be taken in twice that, and a
    /// second for each 16 KiB.
    #[serde(rename = "idle_seconds", deserialize_with = "seconds")]
    pub idle_time: Duration,
    /// How long a client may take for a request's head, and then for its body.
    #[serde(rename = "request_seconds", deserialize_with = "seconds")]
    pub request_time: Duration,
    /// Bodies at once, on their way and until the database has them, in bytes; more get 503.
    /// Those of the collector and of the other aggregator have as much for themselves. On their way, those
    /// of one client address may take a quarter, or one longest upload.
    pub waiting_bytes: usize,
    /// Requests of one client address in a second, on average; 0 for any number.
    pub requests_per_second: u32,
    /// Requests that one client address may make at once, after a pause.
    pub request_burst: u32,
    /// The header in which proxies of ours name the client's address: `x-forwarded-for` if proxies are
    /// given, `forwarded`, or one of their own. The connection's address counts without proxies.
    #[serde(deserialize_with = "header_name")]
    pub client_address_header: Option<HeaderName>,
    /// Addresses and networks of proxies of ours. The header is believed of connections from them
    /// only; the client is the last of its entries that is none of them.
    pub trusted_proxies: Vec<Network>,
    /// The proxies are balancers of TCP connections, which begin each with a header of the PROXY protocol,
    /// version 2. It is required of them, and nobody else is served.
    pub proxy_protocol: bool,
    /// Instead: how many proxies of ours each request passes, each of which adds an entry. Only for a
    /// server that nobody reaches but through them: whoever connects is one of them, and may have any
    /// number of connections.
    pub trusted_hops: usize,
}

impl Limits {
    /// Proxies that stand in front, or why what is said of them cannot be meant.
    pub fn proxies(&self) -> Result<Option<Proxies>, String> {
        if self.proxy_protocol {
            let by_header = self.client_address_header.is_some() || self.trusted_hops > 0;
            return match (self.trusted_proxies.is_empty(), by_header) {
                (true, _) => Err(NO_BALANCERS.to_owned()),
                (_, true) => Err(BALANCERS_ONLY.to_owned()),
                // Each connection is its client's own.
                (false, false) => Ok(None),
            };
        }
        let trust = match (self.trusted_proxies.is_empty(), self.trusted_hops) {
            (true, 0) if self.client_address_header.is_none() => return Ok(None),
            (true, 0) => return Err(UNTRUSTED.to_owned()),
            (true, hops) => Trust::Hops(hops),
            (false, 0) => Trust::Networks(self.trusted_proxies.clone()),
            (false, _) => return Err(TWICE.to_owned()),
        };
        let usual = HeaderName::from_static("x-forwarded-for");
        let header = self.client_address_header.clone().unwrap_or(usual);
        Ok(Some(Proxies { header, trust }))
    }

    /// Bounds on connections.
    pub fn bounds(&self) -> Bounds {
        let proxies = match self.trusted_hops {
            0 => self.trusted_proxies.clone(),
            _ => Network::everything().to_vec(),
        };
        Bounds {
            connections: self.connections,
            of_one_client: self.connections_per_client,
            proxies,
            patience: self.request_time,
            idle: self.idle_time,
            read_ahead: READ_AHEAD,
        }
    }
}

/// Bytes that a connection keeps before anyone takes them, a request's whole head among them: what
/// every stranger may have, on top of what the intake has room for.
const READ_AHEAD: usize = 64 << 10;

const UNTRUSTED: &str = "limits.client_address_header needs limits.trusted_proxies (the addresses of \
     your proxies) or limits.trusted_hops (their number); otherwise clients could forge any address";
const NO_BALANCERS: &str = "limits.proxy_protocol needs limits.trusted_proxies (the addresses of your balancers); \
     otherwise clients could forge any address";
const BALANCERS_ONLY: &str = "limits.proxy_protocol cannot be combined with limits.client_address_header or \
     limits.trusted_hops; remove them";
const TWICE: &str = "limits.trusted_proxies and limits.trusted_hops cannot be combined; remove one";

fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<HeaderName>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let wrong = |_| serde::de::Error::custom(format!("{text:?} is not a valid HTTP header name"));
    text.parse().map(Some).map_err(wrong)
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            upload_bytes: 8 << 20,
            aggregation_job_bytes: 64 << 20,
            request_bytes: 1 << 20,
            hpke_config_lifetime: Duration::from_secs(86_400),
            connections: 1024,
            connections_per_client: 128,
            idle_time: Duration::from_secs(60),
            request_time: Duration::from_secs(30),
            waiting_bytes: 32 << 20,
            requests_per_second: 0,
            request_burst: 100,
            client_address_header: None,
            trusted_proxies: Vec::new(),
            trusted_hops: 0,
            proxy_protocol: false,
        }
    }
}

/// How the leader cuts aggregation into jobs.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aggregation {
    /// Reports of one job, about.
    pub job_reports: u64,
    /// Bytes of one job's reports, about.
    pub job_bytes: u64,
    /// How long a few reports wait for more before they become a job.
    #[serde(rename = "linger_milliseconds", deserialize_with = "milliseconds")]
    pub linger: Duration,
    /// Jobs at the same time with one helper; with all helpers together up to eight times as many.
    pub jobs: usize,
    /// How long a job belongs to the process that took it. It waits for the helper for two thirds of that, and
    /// for a minute at most, so that a job is not done twice at once.
    #[serde(rename = "lease_seconds", deserialize_with = "seconds")]
    pub lease: Duration,
}

impl Default for Aggregation {
    fn default() -> Self {
        Self {
            job_reports: 512,
            job_bytes: 8 << 20,
            linger: Duration::from_millis(500),
            jobs: 2,
            lease: Duration::from_secs(120),
        }
    }
}

/// When HPKE keys come and go.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HpkeKeys {
    /// How long a key is offered to clients before the next one takes its place; 0 for ever.
    #[serde(rename = "rotate_days", deserialize_with = "days")]
    pub rotate_after: Duration,
    /// How long a new key waits before it is offered, so that all replicas have it by then.
    #[serde(rename = "pending_minutes", deserialize_with = "minutes")]
    pub pending: Duration,
    /// How long a key still opens reports after it was last offered; then it is destroyed.
    #[serde(rename = "keep_days", deserialize_with = "days")]
    pub keep: Duration,
}

impl Default for HpkeKeys {
    fn default() -> Self {
        Self {
            rotate_after: Duration::from_secs(90 * DAY),
            pending: Duration::from_secs(600),
            keep: Duration::from_secs(30 * DAY),
        }
    }
}

/// How long what is over is kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// Reports older than this are refused (`report_dropped`), so that the IDs of reports before
    /// may be forgotten; 0 for never.
    #[serde(rename = "report_days", deserialize_with = "days")]
    pub reports: Duration,
    /// How long the answer to a collection, and to an aggregation job, can be asked for again.
    #[serde(rename = "response_days", deserialize_with = "days")]
    pub responses: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { reports: Duration::ZERO, responses: Duration::from_secs(30 * DAY) }
    }
}

const DAY: u64 = 86_400;

fn days<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(|days| Duration::from_secs(days.saturating_mul(DAY)))
}

fn minutes<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(|minutes| Duration::from_secs(minutes.saturating_mul(60)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sottovoce_connections::slots::Slots;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_proxy_that_is_known_by_hops_only_has_all_connections() {
        let places = |trusted_hops| {
            let limits = Limits { trusted_hops, connections: 40, ..Limits::default() };
            let limits = Limits { connections_per_client: 4, ..limits };
            let places = Arc::new(Slots::new(&limits.bounds()));
            // With something to do on each.
            let take = |_| {
                let place = places.take([10, 0, 0, 1].into()).ok()?;
                let working = place.activity().work();
                Some((place, working))
            };
            (0..100).map_while(take).collect::<Vec<_>>().len()
        };
        assert_eq!((places(0), places(1)), (4, 40));
    }
}
