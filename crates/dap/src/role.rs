//! The parties of the protocol (§4.1).

/// `Role`, with its code point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Asks for aggregates and is the only one to see them.
    Collector = 0,
    /// Sends reports.
    Client = 1,
    /// The aggregator that takes reports and coordinates.
    Leader = 2,
    /// The aggregator that the leader works with.
    Helper = 3,
}

impl serde::Serialize for Role {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Collector => "collector",
            Self::Client => "client",
            Self::Leader => "leader",
            Self::Helper => "helper",
        })
    }
}
