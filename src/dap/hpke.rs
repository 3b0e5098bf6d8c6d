//! Hybrid public key encryption (RFC 9180): what is on the wire, and who can seal and open.
//!
//! Two implementations stand behind the same types: `portable` in pure Rust for devices and
//! `native` by aws-lc for servers and the collector.

use super::codec::{Decode, DecodeError, Encode, Opaque, Reader, U16, U32};

/// Which of a party's keys a message was sealed to (§4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HpkeConfigId(pub u8);

/// A sealed message and what is needed to open it (§4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HpkeCiphertext {
    /// The recipient's key.
    pub config_id: HpkeConfigId,
    /// The encapsulated secret.
    pub enc: Opaque<1, U16>,
    /// The ciphertext with its tag.
    pub payload: Opaque<1, U32>,
}

impl Encode for HpkeCiphertext {
    fn encode(&self, out: &mut Vec<u8>) {
        self.config_id.0.encode(out);
        self.enc.encode(out);
        self.payload.encode(out);
    }
}

impl Decode for HpkeCiphertext {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            config_id: HpkeConfigId(reader.u8("HPKE config ID")?),
            enc: Opaque::decode(reader)?,
            payload: Opaque::decode(reader)?,
        })
    }
}

/// A public key and the algorithms to use it with (§4.4.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HpkeConfig {
    /// Distinct among the keys of one party.
    pub id: HpkeConfigId,
    /// The algorithms.
    pub suite: Suite,
    /// The serialized public key.
    pub public_key: Opaque<1, U16>,
}

/// Code points of RFC 9180 §7, supported here or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Suite {
    /// Key encapsulation mechanism.
    pub kem: u16,
    /// Key derivation function.
    pub kdf: u16,
    /// Authenticated encryption.
    pub aead: u16,
}

impl Suite {
    /// What every DAP party must support (§7): DHKEM(X25519), HKDF-SHA256, AES-128-GCM.
    pub const DEFAULT: Self = Self { kem: 0x0020, kdf: 0x0001, aead: 0x0001 };
}

impl std::fmt::Display for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kem, kdf, aead } = self;
        write!(f, "KEM {kem:#06x}, KDF {kdf:#06x}, AEAD {aead:#06x}")
    }
}

impl Encode for HpkeConfig {
    fn encode(&self, out: &mut Vec<u8>) {
        self.id.0.encode(out);
        self.suite.kem.encode(out);
        self.suite.kdf.encode(out);
        self.suite.aead.encode(out);
        self.public_key.encode(out);
    }
}

impl Decode for HpkeConfig {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            id: HpkeConfigId(reader.u8("HPKE config ID")?),
            suite: Suite {
                kem: reader.u16("HPKE KEM ID")?,
                kdf: reader.u16("HPKE KDF ID")?,
                aead: reader.u16("HPKE AEAD ID")?,
            },
            public_key: Opaque::decode(reader)?,
        })
    }
}
