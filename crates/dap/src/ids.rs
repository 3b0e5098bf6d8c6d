//! Identifiers (§4.1, §4.2, §3.2): fixed strings of bytes, one type each.
//!
//! In a URL an identifier is written in URL-safe Base 64 without padding (§3); that is also how
//! it is displayed.

use super::codec::{Decode, DecodeError, Encode, Reader};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};
use thiserror::Error;

/// Text that is not an identifier.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{name} must be {len} bytes in URL-safe Base 64 without padding")]
pub struct ParseIdError {
    name: &'static str,
    len: usize,
}

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident, $len:literal, $words:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// From its bytes.
            pub const fn new(bytes: [u8; $len]) -> Self {
                Self(bytes)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let bytes = URL_SAFE_NO_PAD.decode(text).ok();
                let array = bytes.and_then(|bytes| bytes.try_into().ok());
                array.map(Self).ok_or(ParseIdError { name: $words, len: $len })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl Encode for $name {
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.0);
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
                reader.array($words).map(Self)
            }
        }
    };
}

identifier!(
    /// Names a task (§4.2). Ours are the SHA-256 of the task's configuration.
    TaskId, 32, "a task ID"
);
identifier!(
    /// Names a report within its task, and is the nonce of its VDAF (§4.1).
    ReportId, 16, "a report ID"
);
identifier!(
    /// Names a batch of the leader-selected mode (§5.2).
    BatchId, 32, "a batch ID"
);
identifier!(
    /// Names an aggregation job within its task; chosen by the helper (§4.5).
    AggregationJobId, 16, "an aggregation job ID"
);
identifier!(
    /// Names a collection job within its task; chosen by the leader (§4.6).
    CollectionJobId, 16, "a collection job ID"
);
identifier!(
    /// Names the helper's aggregate share within its task; chosen by the helper (§4.6.4).
    AggregateShareId, 16, "an aggregate share ID"
);

/// The operating system gave no random bytes.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the operating system's random number generator failed")]
pub struct NoRandomness;

impl ReportId {
    /// A fresh ID from the operating system's randomness (§4.4.2).
    pub fn random() -> Result<Self, NoRandomness> {
        random().map(Self)
    }
}

impl BatchId {
    /// A fresh ID from the operating system's randomness.
    pub fn random() -> Result<Self, NoRandomness> {
        random().map(Self)
    }
}

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SysRng.try_fill_bytes(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// Derives a resource's ID from the request that creates it (§3.2), so that a retry finds the
/// same resource. `domain` keeps kinds of resources apart.
pub fn content_derived(domain: &str, task: &TaskId, request: &[u8]) -> [u8; 16] {
    let mut hash = Sha256::new();
    hash.update((domain.len() as u64).to_be_bytes());
    hash.update(domain);
    hash.update(task.as_bytes());
    hash.update(request);
    let digest = hash.finalize();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_in_the_drafts_example() {
        let id = TaskId::new([
            0xf0, 0x16, 0x34, 0x47, 0x36, 0x4c, 0xcf, 0x1b, 0xc0, 0xe3, 0xaf, 0xfc, 0xca, 0x68,
            0x73, 0xc9, 0xc3, 0x81, 0xf6, 0x4a, 0xcd, 0xf9, 0x02, 0x06, 0x62, 0xf8, 0x3f, 0x46,
            0xc0, 0x72, 0x19, 0xe7,
        ]);
        assert_eq!(id.to_string(), "8BY0RzZMzxvA46_8ymhzycOB9krN-QIGYvg_RsByGec");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn padding_and_other_lengths_are_refused() {
        assert!("8BY0RzZMzxvA46_8ymhzycOB9krN-QIGYvg_RsByGec=".parse::<TaskId>().is_err());
        assert!("8BY0".parse::<ReportId>().is_err());
    }

    #[test]
    fn the_same_request_names_the_same_resource_in_one_domain_only() {
        let task = TaskId::new([7; 32]);
        let id = content_derived("aggregation job", &task, b"request");
        assert_eq!(id, content_derived("aggregation job", &task, b"request"));
        assert_ne!(id, content_derived("aggregate share", &task, b"request"));
        assert_ne!(id, content_derived("aggregation job", &TaskId::new([8; 32]), b"request"));
    }
}
