//! Balancers of ours that pass TCP connections on, and say whose each is.

use super::log_limit::LogLimit;
use crate::config::limits::Limits;
use sottovoce_connections::{Connection, Ended, address::Network, proxy_protocol::client_address};
use std::{
    fmt::Display,
    net::IpAddr,
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// Balancers that speak the PROXY protocol. No other address is served.
pub(super) struct Balancers {
    networks: Vec<Network>,
    refused: LogLimit,
}

impl Balancers {
    /// Those of the configuration, if it says that there are any.
    pub(super) fn new(limits: &Limits) -> Option<Self> {
        let networks = limits.trusted_proxies.clone();
        limits.proxy_protocol.then(|| Self { networks, refused: LogLimit::new(WARN_EVERY) })
    }

    /// The client that a balancer's connection is from, which counts among that client's from now on. Those of
    /// the balancer itself, such as health checks, are its own.
    pub(super) async fn client(
        &self,
        stream: &mut TcpStream,
        balancer: IpAddr,
        connection: Connection,
    ) -> Result<(IpAddr, Connection), Ended> {
        if !self.networks.iter().any(|network| network.contains(balancer)) {
            return Err(self.refuse(balancer, &STRANGER));
        }
        let read = connection.handshake(client_address(stream)).await;
        match read.map_err(|reason| self.refuse(balancer, &reason))? {
            Some(client) => Ok((client, connection.of_client(client)?)),
            None => Ok((balancer, connection)),
        }
    }

    fn refuse(&self, address: IpAddr, reason: &dyn Display) -> Ended {
        if let Some(times) = self.refused.count(Instant::now()) {
            tracing::warn!(times, %address, %reason, "refused a connection that no trusted balancer passed on");
        }
        Ended::Broken(reason.to_string())
    }
}

const STRANGER: &str = "limits.proxy_protocol is set, and the address is not in limits.trusted_proxies; connect \
                        through the balancer, or add its address";

/// How often refusals are said in the log.
const WARN_EVERY: Duration = Duration::from_secs(60);
