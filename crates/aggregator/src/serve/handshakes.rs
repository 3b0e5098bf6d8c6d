//! TLS handshakes that come to nothing: counted each, and said in the log with the reason, a few a minute however
//! many there are. Only a client that shows a certificate is named by its address: that is a server, and no device.

use crate::metrics::{Metrics, RefusedHandshake};
use sottovoce_connections::Ended;
use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What was refused of late.
pub(super) struct Handshakes {
    metrics: Arc<Metrics>,
    minute: Mutex<Minute>,
}

/// What was said in a minute, and how much was not.
#[derive(Debug, Default)]
struct Minute {
    began: Option<Instant>,
    said: HashSet<(Option<IpAddr>, String)>,
    unsaid: u64,
}

/// What there is to say of one that was refused.
#[derive(Debug, PartialEq, Eq)]
struct Say {
    /// The refusal itself, unless its like was said a moment ago or too many others were.
    this: bool,
    /// How many of the last minute were not said.
    unsaid: u64,
}

const MINUTE: Duration = Duration::from_secs(60);
/// Clients, and reasons, that are said in a minute.
const NAMED: usize = 10;

impl Handshakes {
    /// None yet.
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { metrics, minute: Mutex::default() }
    }

    /// There is no TLS with a client. One that gave up its slot to another was not refused.
    pub(super) fn refused(&self, client: IpAddr, ended: &Ended) {
        let Some(why) = why(ended) else { return };
        self.metrics.handshake_refused(why);
        let server = (why == RefusedHandshake::ClientCertificate).then_some(client);
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        let say = minute.count(server, &ended.to_string(), Instant::now());
        drop(minute);
        if say.unsaid > 0 {
            tracing::warn!(
                times = say.unsaid,
                "more TLS handshakes were refused, of the same clients or of others"
            );
        }
        if say.this {
            let (reason, client) = (why.word(), server.map(tracing::field::display));
            tracing::warn!(client, reason, error = %ended, "refused a TLS handshake: {}", in_words(why));
        }
    }
}

impl Minute {
    fn count(&mut self, server: Option<IpAddr>, error: &str, now: Instant) -> Say {
        let mut unsaid = 0;
        if self.began.is_none_or(|began| now.saturating_duration_since(began) >= MINUTE) {
            unsaid = self.unsaid;
            *self = Self { began: Some(now), ..Self::default() };
        }
        let this = self.said.len() < NAMED && self.said.insert((server, error.to_owned()));
        self.unsaid += u64::from(!this);
        Say { this, unsaid }
    }
}

fn why(ended: &Ended) -> Option<RefusedHandshake> {
    match ended {
        Ended::Idle | Ended::Evicted | Ended::Refused(_) => None,
        Ended::Handshake => Some(RefusedHandshake::Timeout),
        // The text is rustls': a client's alert is about our certificate, and what we find is about theirs.
        Ended::Broken(error) if error.contains("fatal alert") && is_about_certificates(error) => {
            Some(RefusedHandshake::OurCertificate)
        }
        Ended::Broken(error)
            if error.contains("peer certificate") || error.contains("peer sent no certificate") =>
        {
            Some(RefusedHandshake::ClientCertificate)
        }
        Ended::Broken(_) => Some(RefusedHandshake::Protocol),
    }
}

fn is_about_certificates(alert: &str) -> bool {
    ["ertificate", "UnknownCA", "DecryptError", "AccessDenied"]
        .iter()
        .any(|word| alert.contains(word))
}

fn in_words(why: RefusedHandshake) -> &'static str {
    match why {
        RefusedHandshake::ClientCertificate => {
            "the client's certificate is not valid here; check its dates, and `tls.peer_ca`"
        }
        RefusedHandshake::OurCertificate => {
            "the client does not accept our certificate; check its dates and names, and which authority the client trusts"
        }
        RefusedHandshake::Timeout => "it was not over in time",
        RefusedHandshake::Protocol => "the client hung up, or does not speak our TLS",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_few_are_said_each_minute_and_all_are_counted() {
        let (mut minute, now) = (Minute::default(), Instant::now());
        let mut said = 0;
        for number in 0..200 {
            said += u64::from(minute.count(Some(client(number)), "expired", now).this);
        }
        assert_eq!(said, NAMED as u64);
        let next = minute.count(Some(client(1)), "expired", now + MINUTE);
        assert_eq!(next, Say { this: true, unsaid: 200 - said });
        // The same client for the same reason is not said twice; for another one it is.
        assert!(!minute.count(Some(client(1)), "expired", now + MINUTE).this);
        assert!(minute.count(Some(client(1)), "unknown issuer", now + MINUTE).this);
        assert_eq!(minute.count(Some(client(2)), "expired", now + MINUTE * 2).unsaid, 1);
    }

    #[test]
    fn whose_certificate_is_at_fault_is_told_apart() {
        for (ended, expected) in [
            (Ended::Idle, None),
            (Ended::Evicted, None),
            (Ended::Handshake, Some(RefusedHandshake::Timeout)),
            (
                broken("received fatal alert: CertificateExpired"),
                Some(RefusedHandshake::OurCertificate),
            ),
            (broken("received fatal alert: UnknownCA"), Some(RefusedHandshake::OurCertificate)),
            (broken("received fatal alert: HandshakeFailure"), Some(RefusedHandshake::Protocol)),
            (
                broken("invalid peer certificate: certificate expired: …"),
                Some(RefusedHandshake::ClientCertificate),
            ),
            (broken("peer sent no certificates"), Some(RefusedHandshake::ClientCertificate)),
            (broken("tls handshake eof"), Some(RefusedHandshake::Protocol)),
        ] {
            assert_eq!(why(&ended), expected, "{ended}");
        }
    }

    fn broken(error: &str) -> Ended {
        Ended::Broken(error.to_owned())
    }
}
