//! Who asks, when proxies stand in front: what they write into `X-Forwarded-For`, `Forwarded`
//! (RFC 7239) or a header of their own.
//!
//! Whoever connects can write any header, and proxies add at the right. So entries are read from the
//! right, and only as far as our own proxies reach: nothing that a client wrote is ever looked at.

use super::address::Network;
use axum::http::{HeaderMap, HeaderName, header::FORWARDED};
use std::net::IpAddr;
use thiserror::Error;

/// Which of the entries our own proxies wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Those of these addresses: only they are believed, and the client is the first that is none of
    /// them.
    Networks(Vec<Network>),
    /// The last so many, at least one, whoever connects.
    Hops(usize),
}

/// What proxies tell of clients, and which proxies are ours.
#[derive(Clone, Debug)]
pub struct Proxies {
    /// The header that they write.
    pub header: HeaderName,
    /// Whom we believe.
    pub trust: Trust,
}

/// A header that should name the client and does not.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum Unreadable {
    /// The proxy did not write it.
    #[error("the forwarding header is missing or has too few entries")]
    Missing,
    /// The proxy hides the client: `unknown`, or a name of its own (RFC 7239 §6.2, §6.3).
    #[error("the forwarding header has no address of the client, because the proxy hides it")]
    Hidden,
    /// It is written in no known way.
    #[error("the forwarding header has an entry that is not an address")]
    Malformed,
}

impl Proxies {
    /// The address of the client whose request came over a connection from `peer`.
    pub fn client_address(&self, headers: &HeaderMap, peer: IpAddr) -> Result<IpAddr, Unreadable> {
        let peer = peer.to_canonical();
        if !self.believes(peer) {
            return Ok(peer);
        }
        // Lines of one name are one list, in their order (RFC 9110 §5.3).
        let lines: Vec<_> = headers.get_all(&self.header).iter().collect();
        let mut entries = lines.iter().rev().flat_map(|line| {
            let quoted = self.header == FORWARDED;
            FromRight { rest: Some(line.as_bytes()), separator: b',', quoted }
        });
        match &self.trust {
            Trust::Hops(hops) => self.read(entries.nth(hops.saturating_sub(1))),
            Trust::Networks(networks) => {
                let is_ours = |address| networks.iter().any(|network| network.contains(address));
                let mut nearest = self.read(entries.next())?;
                while is_ours(nearest)
                    && let Some(entry) = entries.next()
                {
                    nearest = self.read(Some(entry))?;
                }
                Ok(nearest)
            }
        }
    }

    /// Whether what comes over a connection from `peer` was written by a proxy of ours.
    pub fn believes(&self, peer: IpAddr) -> bool {
        match &self.trust {
            Trust::Hops(_) => true,
            Trust::Networks(networks) => networks.iter().any(|network| network.contains(peer)),
        }
    }

    fn read(&self, entry: Option<&[u8]>) -> Result<IpAddr, Unreadable> {
        let entry = entry.ok_or(Unreadable::Missing)?;
        let node = if self.header == FORWARDED { node_of(entry)? } else { unquoted(entry)? };
        address(node)
    }
}

/// Entries of a list, from the right. Empty ones are none (RFC 9110 §5.6.1).
///
/// Read from the right too where separators may be quoted: a client's own quote, never closed, would
/// swallow what our proxies add after it.
struct FromRight<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
    quoted: bool,
}

impl<'a> Iterator for FromRight<'a> {
    type Item = &'a [u8];
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            let rest = self.rest?;
            let mut is_open = false;
            let at = (0..rest.len()).rev().find(|&at| {
                let escaped =
                    || rest[..at].iter().rev().take_while(|b| **b == b'\\').count() % 2 == 1;
                is_open ^= self.quoted && rest[at] == b'"' && !escaped();
                rest[at] == self.separator && !is_open
            });
            self.rest = at.map(|at| &rest[..at]);
            let entry = rest[at.map_or(0, |at| at + 1)..].trim_ascii();
            if !entry.is_empty() {
                return Some(entry);
            }
        }
    }
}

/// The node after `for` in an element of `Forwarded` (RFC 7239 §4).
fn node_of(element: &[u8]) -> Result<&[u8], Unreadable> {
    let mut node = None;
    for pair in (FromRight { rest: Some(element), separator: b';', quoted: true }) {
        let equals = pair.iter().position(|byte| *byte == b'=').ok_or(Unreadable::Malformed)?;
        let (name, value) = (pair[..equals].trim_ascii(), pair[equals + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"for") && node.replace(value).is_some() {
            return Err(Unreadable::Malformed);
        }
    }
    unquoted(node.ok_or(Unreadable::Hidden)?)
}

/// Without quotes around it. No address needs what is escaped within.
fn unquoted(value: &[u8]) -> Result<&[u8], Unreadable> {
    match value {
        [b'"', inside @ .., b'"'] => Ok(inside.trim_ascii()),
        [b'"', ..] | [.., b'"'] => Err(Unreadable::Malformed),
        plain => Ok(plain),
    }
}

/// An address as proxies write it: with or without a port, brackets and a zone.
fn address(node: &[u8]) -> Result<IpAddr, Unreadable> {
    let text = std::str::from_utf8(node).map_err(|_| Unreadable::Malformed)?;
    if text.is_empty() || text.starts_with('_') || text.starts_with(':') && !text.contains("::") {
        return Err(Unreadable::Hidden);
    }
    let (host, port) = host_and_port(text).ok_or(Unreadable::Malformed)?;
    if !port.is_none_or(is_port) {
        return Err(Unreadable::Malformed);
    }
    if host.eq_ignore_ascii_case("unknown") {
        return Err(Unreadable::Hidden);
    }
    let host = host.split_once('%').map_or(host, |(host, _zone)| host);
    host.parse().map(|address: IpAddr| address.to_canonical()).map_err(|_| Unreadable::Malformed)
}

fn host_and_port(text: &str) -> Option<(&str, Option<&str>)> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match text.split_once(':') {
        // More than one colon, and no brackets: an IPv6 address without a port.
        Some((host, port)) if !port.contains(':') => Some((host, Some(port))),
        _ => Some((text, None)),
    }
}

/// A number, or a name that stands for one (RFC 7239 §6).
fn is_port(text: &str) -> bool {
    text.starts_with('_') || text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let value = |line: &&str| HeaderValue::from_bytes(line.as_bytes()).unwrap();
        lines.iter().map(|line| (name.clone(), value(line))).collect()
    }

    fn proxies(name: &str, trust: Trust) -> Proxies {
        Proxies { header: name.parse().unwrap(), trust }
    }

    fn ours() -> Trust {
        Trust::Networks(vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()])
    }

    fn asked(name: &str, trust: Trust, lines: &[&str]) -> Result<IpAddr, Unreadable> {
        let proxies = proxies(name, trust);
        proxies.client_address(&headers(&proxies.header, lines), "10.0.0.1".parse().unwrap())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn every_form_that_proxies_write_is_read() {
        for (text, expected) in [
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 \t", "192.0.2.1"),
            ("192.0.2.1:4711", "192.0.2.1"),
            ("\"192.0.2.1:4711\"", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
            ("\"[2001:db8::1]:80\"", "2001:db8::1"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%25eth0]:80", "fe80::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:80", "192.0.2.1"),
            ("198.51.100.9,192.0.2.1", "192.0.2.1"),
            ("198.51.100.9 , 192.0.2.1, 10.1.1.1, fd00::7", "192.0.2.1"),
            ("192.0.2.1, , 10.1.1.1,", "192.0.2.1"),
        ] {
            assert_eq!(asked("x-forwarded-for", ours(), &[text]), Ok(ip(expected)), "{text}");
        }
        for (text, expected) in [
            ("for=192.0.2.1", "192.0.2.1"),
            ("For=\"192.0.2.1:80\";proto=https", "192.0.2.1"),
            ("proto=https;by=10.0.0.1;FOR=192.0.2.1", "192.0.2.1"),
            ("for=\"[2001:db8::1]:4711\" ; host=\"a,b;c\"", "2001:db8::1"),
            ("for=\"192.0.2.1:_gazonk\"", "192.0.2.1"),
            ("for=198.51.100.9, for=192.0.2.1;host=\"\\\",\", for=10.2.3.4", "192.0.2.1"),
        ] {
            assert_eq!(asked("forwarded", ours(), &[text]), Ok(ip(expected)), "{text}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        let lines = ["203.0.113.5, 192.0.2.1", "10.1.1.1"];
        assert_eq!(asked("x-forwarded-for", ours(), &lines), Ok(ip("192.0.2.1")));
        assert_eq!(asked("x-forwarded-for", Trust::Hops(2), &lines), Ok(ip("192.0.2.1")));
        let lines = ["for=203.0.113.5", "for=192.0.2.1", "for=\"[fd00::1]\""];
        assert_eq!(asked("forwarded", ours(), &lines), Ok(ip("192.0.2.1")));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        use Unreadable::*;
        for (name, text, expected) in [
            ("x-forwarded-for", "", Missing),
            ("x-forwarded-for", " , ", Missing),
            ("x-forwarded-for", "unknown", Hidden),
            ("x-forwarded-for", "192.0.2.1:", Malformed),
            ("x-forwarded-for", "192.0.2.1:99999", Malformed),
            ("x-forwarded-for", "[::1", Malformed),
            ("x-forwarded-for", "[::1]x", Malformed),
            ("x-forwarded-for", "\"192.0.2.1", Malformed),
            ("x-forwarded-for", "client.example", Malformed),
            ("forwarded", "for=unknown", Hidden),
            ("forwarded", "for=_hidden", Hidden),
            ("forwarded", "for=\"_hidden:80\"", Hidden),
            ("forwarded", "proto=https", Hidden),
            ("forwarded", "for=192.0.2.1;for=192.0.2.2", Malformed),
            ("forwarded", "192.0.2.1", Malformed),
        ] {
            assert_eq!(asked(name, ours(), &[text]), Err(expected), "{name}: {text}");
        }
        let none = proxies("x-forwarded-for", Trust::Hops(1));
        assert_eq!(none.client_address(&HeaderMap::new(), ip("10.0.0.1")), Err(Missing));
        assert_eq!(asked("x-forwarded-for", Trust::Hops(3), &["1.1.1.1, 2.2.2.2"]), Err(Missing));
    }

    #[test]
    fn a_stranger_is_not_believed() {
        let proxies = proxies("x-forwarded-for", ours());
        let headers = headers(&proxies.header, &["192.0.2.1"]);
        assert_eq!(proxies.client_address(&headers, ip("203.0.113.5")), Ok(ip("203.0.113.5")));
        assert_eq!(proxies.client_address(&headers, ip("::ffff:10.0.0.9")), Ok(ip("192.0.2.1")));
    }

    #[test]
    fn a_client_that_is_a_proxy_of_ours_is_the_first_of_the_list() {
        assert_eq!(asked("x-forwarded-for", ours(), &["10.1.1.1, 10.2.2.2"]), Ok(ip("10.1.1.1")));
    }

    /// A node as a proxy writes it, in a list or in `Forwarded`.
    fn written(address: IpAddr, port: Option<u16>) -> String {
        match (address, port) {
            (IpAddr::V4(address), Some(port)) => format!("{address}:{port}"),
            (IpAddr::V6(address), Some(port)) => format!("[{address}]:{port}"),
            (address, None) => address.to_string(),
        }
    }

    proptest! {
        #[test]
        fn what_a_client_writes_changes_nothing(
            theirs in prop::collection::vec(0x20..0x7f_u8, 0..60),
            address: IpAddr,
            port: Option<u16>,
            hops in 1..4_usize,
            own_line: bool,
        ) {
            let (theirs, node) = (String::from_utf8(theirs).unwrap(), written(address, port));
            let nodes = [node, "10.0.0.2".into(), "10.0.0.3".into()];
            let list = nodes[..hops].join(", ");
            let element = |node: &String| format!("for=\"{node}\";host=\"a,;b\"");
            let elements = nodes[..hops].iter().map(element).collect::<Vec<_>>().join(",");
            for (name, ours) in [("x-forwarded-for", list), ("forwarded", elements)] {
                let joined = format!("{theirs}, {ours}");
                let lines = if own_line { vec![&*theirs, &*ours] } else { vec![&*joined] };
                let read = asked(name, Trust::Hops(hops), &lines);
                prop_assert_eq!(read, Ok(address.to_canonical()), "{}: {:?}", name, lines);
            }
        }

        #[test]
        fn nothing_makes_it_panic(line in prop::collection::vec(any::<u8>(), 0..80), hops: usize) {
            if let Ok(value) = HeaderValue::from_bytes(&line) {
                for name in ["x-forwarded-for", "forwarded"] {
                    for trust in [Trust::Hops(hops), ours()] {
                        let proxies = proxies(name, trust);
                        let headers = [(proxies.header.clone(), value.clone())].into_iter().collect();
                        let _ = proxies.client_address(&headers, ip("10.0.0.1"));
                    }
                }
            }
        }
    }
}
