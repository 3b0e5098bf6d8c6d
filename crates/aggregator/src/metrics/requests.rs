//! What is counted of connections and requests, whoever makes them.

use super::labels::{Answered, OfReason, OfRoute, OfStatus};
use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        histogram::{Histogram, exponential_buckets},
    },
    registry::Registry,
};
use sottovoce_connections::{Event, slots::Refused};
use std::time::Duration;

/// Series of connections and requests.
pub(super) struct RequestMetrics {
    requests: Family<Answered, Counter>,
    durations: Family<OfRoute, Histogram, fn() -> Histogram>,
    refused: Family<OfStatus, Counter>,
    unreadable_addresses: Counter,
    connections: Family<OfReason, Counter>,
    handshakes: Family<OfReason, Counter>,
}

/// Why a TLS handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedHandshake {
    /// We do not accept the client's certificate.
    ClientCertificate,
    /// The client does not accept ours.
    OurCertificate,
    /// It was not over in time.
    Timeout,
    /// The client hung up, or does not speak TLS as we do.
    Protocol,
}

impl RefusedHandshake {
    const ALL: [Self; 4] =
        [Self::ClientCertificate, Self::OurCertificate, Self::Timeout, Self::Protocol];

    /// As metrics and logs have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::ClientCertificate => "client_certificate",
            Self::OurCertificate => "our_certificate",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
        }
    }
}

/// All resources of both roles, by the ends of their patterns. Any other is [`OTHER`], so that there are no
/// more series than these.
const ROUTES: [&str; 14] = [
    "/hpke_config",
    "/tasks/{task_id}/agreement",
    "/tasks/{task_id}/comparison",
    "/tasks/{task_id}/reports",
    "/tasks/{task_id}/aggregation_jobs",
    "/tasks/{task_id}/aggregation_jobs/{id}",
    "/tasks/{task_id}/aggregate_shares",
    "/tasks/{task_id}/aggregate_shares/{id}",
    "/tasks/{task_id}/collection_jobs",
    "/tasks/{task_id}/collection_jobs/{id}",
    "/log/checkpoint",
    "/log/tile/{*name}",
    "/log/proof/{key}",
    "/healthz",
];
/// What no resource answered.
const OTHER: &str = "other";

/// Statuses of errors that there are.
const STATUSES: [u16; 12] = [400, 401, 403, 404, 405, 408, 413, 415, 429, 500, 502, 503];
/// Classes of statuses.
const CODES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

impl RequestMetrics {
    /// Nothing yet: all series are there, and at 0.
    pub(super) fn new() -> Self {
        let durations = || Histogram::new(exponential_buckets(0.001, 4.0, 9));
        let new = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            refused: Family::default(),
            unreadable_addresses: Counter::default(),
            connections: Family::default(),
            handshakes: Family::default(),
        };
        for route in ROUTES.into_iter().chain([OTHER]) {
            let _ = new.durations.get_or_create(&OfRoute { route });
            for code in CODES {
                let _ = new.requests.get_or_create(&Answered { route, code });
            }
        }
        for status in STATUSES {
            let _ = new.refused.get_or_create(&OfStatus { status });
        }
        for event in EVENTS {
            let _ = new.connections.get_or_create(&OfReason { reason: ended(event) });
        }
        for refused in RefusedHandshake::ALL {
            let _ = new.handshakes.get_or_create(&OfReason { reason: refused.word() });
        }
        new
    }

    /// Names them, with what they are.
    pub(super) fn register(&self, registry: &mut Registry) {
        super::register!(registry, self, {
            "requests", requests, "Requests answered, by resource and class of the HTTP status";
            "request_duration_seconds", durations,
                "Time from a request's head to the head of its response, by resource";
            "requests_refused", refused, "Requests answered with an error, by HTTP status";
            "client_addresses_unreadable", unreadable_addresses,
                "Requests whose forwarding header has no valid client address";
            "connections_ended", connections,
                "Connections that the server refused or closed, by reason";
            "tls_handshakes_refused", handshakes, "TLS handshakes that failed, by reason";
        });
    }

    /// `pattern` is that of the route that answered, if any did.
    pub(super) fn answered(&self, pattern: Option<&str>, status: u16, took: Duration) {
        let ends = |route: &&str| pattern.is_some_and(|pattern| pattern.ends_with(route));
        let route = ROUTES.into_iter().find(ends).unwrap_or(OTHER);
        let code = match status {
            ..300 => CODES[0],
            300..400 => CODES[1],
            400..500 => CODES[2],
            500.. => CODES[3],
        };
        self.requests.get_or_create(&Answered { route, code }).inc();
        self.durations.get_or_create(&OfRoute { route }).observe(took.as_secs_f64());
        if status >= 400 {
            self.refused.get_or_create(&OfStatus { status }).inc();
        }
    }

    pub(super) fn connection(&self, event: Event) {
        self.connections.get_or_create(&OfReason { reason: ended(event) }).inc();
    }

    pub(super) fn unreadable_address(&self) {
        self.unreadable_addresses.inc();
    }

    pub(super) fn handshake_refused(&self, why: RefusedHandshake) {
        self.handshakes.get_or_create(&OfReason { reason: why.word() }).inc();
    }
}

const EVENTS: [Event; 4] =
    [Event::Refused(Refused::Client), Event::Refused(Refused::Full), Event::Idle, Event::Evicted];

fn ended(event: Event) -> &'static str {
    match event {
        Event::Refused(Refused::Client) => "client_full",
        Event::Refused(Refused::Full) => "full",
        Event::Idle => "idle",
        Event::Evicted => "displaced",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The patterns that the files of routes have, some of them in parts.
    #[test]
    fn each_resource_has_series_of_its_own() {
        let files = [
            include_str!("../routes.rs"),
            include_str!("../leader/routes.rs"),
            include_str!("../helper/routes.rs"),
            include_str!("../log/routes.rs"),
        ];
        let texts = files.iter().flat_map(|file| file.split('"').skip(1).step_by(2));
        let patterns: Vec<_> =
            texts.filter(|text| text.starts_with("/tasks/") || text.starts_with("/log/")).collect();
        assert!(patterns.len() > 8, "{patterns:?}");
        for pattern in patterns {
            assert!(ROUTES.iter().any(|route| route.ends_with(pattern)), "{pattern}");
        }
    }

    #[test]
    fn a_request_is_counted_by_its_resource_wherever_the_endpoint_is() {
        let metrics = RequestMetrics::new();
        let at = |route, code| metrics.requests.get_or_create(&Answered { route, code }).get();
        metrics.answered(Some("/dap/tasks/{task_id}/reports"), 200, Duration::ZERO);
        metrics.answered(Some("/dap/tasks/{task_id}/aggregation_jobs/{id}"), 404, Duration::ZERO);
        metrics.answered(Some("/never/heard/of"), 503, Duration::ZERO);
        metrics.answered(None, 404, Duration::ZERO);
        assert_eq!(at("/tasks/{task_id}/reports", "2xx"), 1);
        assert_eq!(at("/tasks/{task_id}/aggregation_jobs/{id}", "4xx"), 1);
        assert_eq!((at(OTHER, "5xx"), at(OTHER, "4xx")), (1, 1));
        assert_eq!(metrics.refused.get_or_create(&OfStatus { status: 404 }).get(), 2);
    }
}
