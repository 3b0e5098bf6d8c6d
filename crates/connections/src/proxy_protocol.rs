//! Who asks, when a balancer passes TCP connections on: the PROXY protocol, version 2
//! (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>).
//!
//! The balancer writes one header before the first byte of its client, so it must be read whole and not a byte
//! further. It is believed of balancers that we trust only: whoever connects could write one.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A connection that does not begin as it must.
#[derive(Debug, Error)]
pub enum ProxyError {
    /// The header of version 1, a line of text.
    #[error(
        "the balancer sends version 1 of the PROXY protocol; set it to version 2 (HAProxy: `send-proxy-v2`)"
    )]
    Version1,
    /// Anything else, such as a TLS handshake or a request.
    #[error(
        "the connection does not begin with a PROXY header; set the balancer to send version 2, or remove \
         proxy_protocol = true"
    )]
    Missing,
    /// A version, command, transport or length that the protocol does not have.
    #[error("the PROXY header is malformed: {0}; check the balancer's version")]
    Malformed(&'static str),
    /// A header that is longer than any balancer needs.
    #[error(
        "the PROXY header announces {found} bytes, and at most {LONGEST} are read; remove its TLV extensions"
    )]
    TooLong {
        /// Bytes after the fixed part.
        found: u16,
    },
    /// The connection broke within the header.
    #[error("the connection broke within the PROXY header: {0}")]
    Broken(#[from] io::Error),
}

/// Bytes after the fixed part: addresses take 216 at most, and the rest is for extensions, which are skipped.
const LONGEST: u16 = 2048;

/// What every header of version 2 begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Reads the header; gives the client's address, or nothing if the balancer speaks for itself (its health
/// checks), or for a client whose address is none of IP's.
pub async fn client_address(
    stream: &mut (impl AsyncRead + Unpin),
) -> Result<Option<IpAddr>, ProxyError> {
    let mut fixed = [0; 16];
    // First what tells other protocols: a client of theirs may wait for us before it sends sixteen bytes.
    stream.read_exact(&mut fixed[..6]).await?;
    if fixed[..6] == *b"PROXY " {
        return Err(ProxyError::Version1);
    }
    if fixed[..6] != SIGNATURE[..6] {
        return Err(ProxyError::Missing);
    }
    stream.read_exact(&mut fixed[6..]).await?;
    let (rest, head) = (u16::from_be_bytes([fixed[14], fixed[15]]), Head::parse(&fixed)?);
    if rest > LONGEST {
        return Err(ProxyError::TooLong { found: rest });
    }
    let mut addresses = vec![0; usize::from(rest)];
    stream.read_exact(&mut addresses).await?;
    head.source(&addresses)
}

/// What the fixed part says.
enum Head {
    Local,
    Ipv4,
    Ipv6,
    Unspecified,
}

impl Head {
    fn parse(fixed: &[u8; 16]) -> Result<Self, ProxyError> {
        if fixed[..12] != SIGNATURE {
            return Err(ProxyError::Missing);
        }
        match (fixed[12], fixed[13]) {
            // Whatever it says of addresses is to be ignored.
            (0x20, _) => Ok(Self::Local),
            (0x21, 0x11) => Ok(Self::Ipv4),
            (0x21, 0x21) => Ok(Self::Ipv6),
            // Unspecified, or a Unix socket of the balancer's machine.
            (0x21, 0x00 | 0x31) => Ok(Self::Unspecified),
            (0x21, _) => Err(ProxyError::Malformed("it is not about a TCP connection")),
            (0x20..=0x2f, _) => Err(ProxyError::Malformed("its command is unknown")),
            _ => Err(ProxyError::Malformed("its version is not 2")),
        }
    }

    fn source(&self, addresses: &[u8]) -> Result<Option<IpAddr>, ProxyError> {
        let short = ProxyError::Malformed("it is too short for its addresses");
        let address = match self {
            Self::Local | Self::Unspecified => None,
            // Source, destination, and two ports.
            Self::Ipv4 => {
                let all = addresses.first_chunk::<12>().ok_or(short)?;
                Some(Ipv4Addr::new(all[0], all[1], all[2], all[3]).into())
            }
            Self::Ipv6 => {
                addresses.first_chunk::<36>().ok_or(short)?;
                let source = addresses.first_chunk::<16>();
                source.map(|source| IpAddr::from(Ipv6Addr::from(*source)).to_canonical())
            }
        };
        Ok(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(command: u8, transport: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, transport], &length, rest].concat()
    }

    /// What is read of a connection, and what is left of it.
    fn read(bytes: &[u8]) -> (Result<Option<IpAddr>, ProxyError>, Vec<u8>) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut stream = bytes;
        let read = runtime.block_on(client_address(&mut stream));
        (read, stream.to_vec())
    }

    fn ipv4(address: Ipv4Addr, extensions: &[u8]) -> Vec<u8> {
        header(
            0x21,
            0x11,
            &[&address.octets()[..], &[10, 0, 0, 1, 1, 2, 3, 4], extensions].concat(),
        )
    }

    fn ipv6(address: Ipv6Addr, extensions: &[u8]) -> Vec<u8> {
        header(0x21, 0x21, &[&address.octets()[..], &[0; 20], extensions].concat())
    }

    #[test]
    fn a_health_check_and_a_client_without_an_address_have_none() {
        for bytes in [
            header(0x20, 0x00, &[]),
            header(0x20, 0x11, &[9; 12]),
            header(0x20, 0xff, &[9; 3]),
            header(0x21, 0x00, &[7; 40]),
            header(0x21, 0x31, &[7; 216]),
        ] {
            let (address, left) = read(&[&bytes[..], b"GET"].concat());
            assert!(matches!(address, Ok(None)), "{address:?}");
            assert_eq!(left, b"GET");
        }
    }

    #[test]
    fn an_ipv4_address_that_is_written_as_ipv6_is_that_address() {
        let (address, _) = read(&ipv6(Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped(), &[]));
        assert_eq!(address.unwrap(), Some(Ipv4Addr::new(192, 0, 2, 1).into()));
    }

    #[test]
    fn other_protocols_are_told_apart_and_refused() {
        let line = b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n";
        assert!(matches!(read(line).0, Err(ProxyError::Version1)));
        for other in [
            &b"GET / HTTP/1.1\r\n\r\n"[..],
            b"\x16\x03\x01\x02\x00\x01\x00\x01",
            b"\r\n\r\n\0\r\nQUIT\rxxxx",
        ] {
            assert!(matches!(read(other).0, Err(ProxyError::Missing)), "{other:?}");
        }
    }

    #[test]
    fn malformed_headers_are_refused() {
        use ProxyError::{Broken, Malformed, TooLong};
        let refused = |bytes: &[u8]| read(bytes).0.unwrap_err();
        for (command, transport) in
            [(0x11, 0x11), (0x31, 0x11), (0x22, 0x11), (0x21, 0x12), (0x21, 0x41)]
        {
            assert!(matches!(refused(&header(command, transport, &[0; 36])), Malformed(_)));
        }
        assert!(matches!(refused(&header(0x21, 0x11, &[0; 11])), Malformed(_)));
        assert!(matches!(refused(&header(0x21, 0x21, &[0; 35])), Malformed(_)));
        let long = usize::from(LONGEST) + 1;
        assert!(
            matches!(refused(&header(0x20, 0x00, &vec![0; long])), TooLong { found } if usize::from(found) == long)
        );
        let whole = ipv4(Ipv4Addr::LOCALHOST, &[1; 20]);
        for cut in 0..whole.len() {
            assert!(matches!(refused(&whole[..cut]), Broken(_)), "{cut}");
        }
    }

    proptest! {
        #[test]
        fn the_source_is_read_and_nothing_of_what_follows(
            address: IpAddr,
            extensions in prop::collection::vec(any::<u8>(), 0..2000),
            request: Vec<u8>,
        ) {
            let header = match address {
                IpAddr::V4(address) => ipv4(address, &extensions),
                IpAddr::V6(address) => ipv6(address, &extensions),
            };
            let (read, left) = read(&[header, request.clone()].concat());
            prop_assert_eq!(read.unwrap(), Some(address.to_canonical()));
            prop_assert_eq!(left, request);
        }

        #[test]
        fn nothing_makes_it_panic(
            command: u8,
            transport: u8,
            length: u16,
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut bytes = header(command, transport, &rest);
            bytes[14..16].copy_from_slice(&length.to_be_bytes());
            let _ = read(&bytes);
        }
    }
}
