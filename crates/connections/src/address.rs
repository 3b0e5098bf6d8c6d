//! Addresses of clients, and networks of them.

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, de::Error as _};
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// An address as limits count it: an IPv6 client has a /64 to itself, and is counted by it.
pub fn counted(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => leading(address, 64).into(),
    }
}

/// Addresses that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Prefix {
    network: IpAddr,
    clients: usize,
}

impl Prefix {
    /// For how many clients it counts: one, or those that a wider network of IPv6 stands for.
    pub fn clients(&self) -> usize {
        self.clients
    }
}

/// What a client is counted by, the narrowest first. Whoever has a /48 or a /56 of IPv6 has as many /64s as
/// they like, so these are counted too: as more than one client, since they may be many.
pub fn prefixes(address: IpAddr) -> Vec<Prefix> {
    match address.to_canonical() {
        IpAddr::V4(address) => vec![Prefix { network: address.into(), clients: 1 }],
        IpAddr::V6(address) => WIDTHS
            .map(|(length, clients)| Prefix { network: leading(address, length).into(), clients })
            .into(),
    }
}

/// Lengths of prefixes, and for how many clients they count.
const WIDTHS: [(u32, usize); 3] = [(64, 1), (56, 2), (48, 4)];

fn leading(address: Ipv6Addr, length: u32) -> Ipv6Addr {
    Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << (u128::BITS - length)))
}

/// Addresses from one to all of a network's, such as `10.0.0.0/8` or `2001:db8::7`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    /// All addresses.
    pub fn everything() -> [Self; 2] {
        let (v4, v6) = (Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into());
        [v4, v6].map(|address: IpAddr| Self(IpNet::new_assert(address, 0)))
    }

    /// Whether an address is one of these. An IPv4 address that is written as IPv6 is that address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl FromStr for Network {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let one = text.parse().map(|address: IpAddr| IpNet::from(address.to_canonical()));
        one.or_else(|_| text.parse()).map(Self).map_err(|_| {
            format!("{text:?} must be an address or a network, such as 10.0.0.7 or 10.0.0.0/8")
        })
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn ipv6_is_counted_by_its_64_bits() {
        assert_eq!(counted(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
        assert_eq!(counted(ip("::ffff:192.0.2.1")), ip("192.0.2.1"));
    }

    #[test]
    fn ipv6_is_counted_by_wider_networks_too() {
        let counted = |text| {
            let each = prefixes(ip(text)).into_iter();
            each.map(|prefix| (prefix.network, prefix.clients())).collect::<Vec<_>>()
        };
        let three = [("2001:db8:1:2233::", 1), ("2001:db8:1:2200::", 2), ("2001:db8:1::", 4)];
        assert_eq!(counted("2001:db8:1:2233:4:5:6:7"), three.map(|(text, n)| (ip(text), n)));
        assert_eq!(counted("::ffff:192.0.2.1"), [(ip("192.0.2.1"), 1)]);
    }

    #[test]
    fn a_network_is_an_address_or_a_prefix() {
        let network: Network = "10.1.2.3/8".parse().unwrap();
        assert!(network.contains(ip("10.9.9.9")) && network.contains(ip("::ffff:10.9.9.9")));
        assert!("::ffff:10.0.0.7".parse::<Network>().unwrap().contains(ip("10.0.0.7")));
        let all = |text| Network::everything().iter().any(|network| network.contains(ip(text)));
        assert!(all("192.0.2.1") && all("::ffff:192.0.2.1") && all("2001:db8::1"));
        for wrong in ["10.0.0.0/33", "ten", "", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
