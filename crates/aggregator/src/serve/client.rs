//! The client of a request: its address, and whether it showed a client certificate.

use std::net::IpAddr;

/// Who is at the other end of a connection, as far as it proves that; an extension of each request.
#[derive(Clone, Copy, Debug)]
pub struct PeerIdentity {
    /// Its address.
    pub address: IpAddr,
    /// Whether it showed a certificate of the peer's authority.
    pub certified: bool,
}

/// Whose request it is, as limits count it: behind proxies not whose connection. An extension of each
/// request that anybody may make.
#[derive(Clone, Copy, Debug)]
pub struct ClientAddress(pub IpAddr);
