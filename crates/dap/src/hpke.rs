//! Hybrid public key encryption (RFC 9180): what is on the wire, and who can seal and open.
//!
//! Two implementations stand behind the same types: [`portable`] without C for devices and
//! [`native`] by aws-lc for servers and the collector. Both take the same suites: X25519 with
//! HKDF-SHA256 and AES-128-GCM, AES-256-GCM or ChaCha20-Poly1305.

#[cfg(any(feature = "native-hpke", target_arch = "x86_64", target_arch = "aarch64", test))]
mod base_mode;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod graviola;
#[cfg(feature = "native-hpke")]
pub mod native;
pub mod portable;
#[cfg(any(feature = "native-hpke", test))]
mod recipient;

use super::codec::{Decode, DecodeError, Encode, Opaque, Reader, U16, U32};
use thiserror::Error;
use zeroize::Zeroizing;

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

/// A private key with the configuration that others seal to.
#[derive(Clone)]
pub struct HpkeKeypair {
    /// What others see.
    pub config: HpkeConfig,
    /// The serialized private key.
    private_key: Zeroizing<Vec<u8>>,
}

impl HpkeKeypair {
    /// Joins the two halves; whether they fit shows only when something is opened.
    pub fn new(config: HpkeConfig, private_key: Zeroizing<Vec<u8>>) -> Self {
        Self { config, private_key }
    }

    /// The serialized private key, to be kept secret.
    pub fn secret_bytes(&self) -> &[u8] {
        &self.private_key
    }
}

impl std::fmt::Debug for HpkeKeypair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HpkeKeypair({:?}, ..)", self.config)
    }
}

/// Why something was not sealed or opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HpkeError {
    /// The algorithms are unknown here.
    #[error(
        "the HPKE suite ({0}) is not supported; use KEM 0x0020 (X25519) with KDF 0x0001 \
         (HKDF-SHA256) and AEAD 0x0001, 0x0002 or 0x0003"
    )]
    UnsupportedSuite(Suite),
    /// The public key is not one of its suite.
    #[error("the HPKE public key is not valid for its suite")]
    PublicKey,
    /// The private key is not one of its suite.
    #[error("the HPKE private key is not valid for its suite")]
    PrivateKey,
    /// The message was sealed to another of our keys.
    #[error("the message is encrypted to HPKE key {sealed_to}, not to key {ours}")]
    ConfigId {
        /// The key that the message names.
        sealed_to: u8,
        /// The key that was tried.
        ours: u8,
    },
    /// The message does not open: it is not for this key, context or associated data.
    #[error("the message does not decrypt with this key and context")]
    Open,
    /// The operating system gave no randomness, or the message is too long.
    #[error("HPKE encryption failed")]
    Seal,
}

/// AEAD code points of RFC 9180 §7.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Aead {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Suite {
    /// Whether messages can be sealed and opened with it here.
    pub fn is_supported(self) -> bool {
        self.aead().is_ok()
    }

    /// Says so if messages cannot be sealed and opened with it here.
    pub fn check(self) -> Result<(), HpkeError> {
        self.aead().map(|_| ())
    }

    /// The one algorithm that varies among the supported suites.
    fn aead(self) -> Result<Aead, HpkeError> {
        match self {
            Self { kem: 0x0020, kdf: 0x0001, aead: 0x0001 } => Ok(Aead::Aes128Gcm),
            Self { kem: 0x0020, kdf: 0x0001, aead: 0x0002 } => Ok(Aead::Aes256Gcm),
            Self { kem: 0x0020, kdf: 0x0001, aead: 0x0003 } => Ok(Aead::ChaCha20Poly1305),
            unsupported => Err(HpkeError::UnsupportedSuite(unsupported)),
        }
    }
}

/// Seals to the holder of `config` (`SealBase` of RFC 9180 §6.1), by the faster of the
/// implementations that this build has.
pub fn seal(
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    #[cfg(feature = "native-hpke")]
    return native::seal(config, info, aad, plaintext);
    #[cfg(not(feature = "native-hpke"))]
    portable::seal(config, info, aad, plaintext)
}

fn ciphertext(
    config_id: HpkeConfigId,
    enc: Vec<u8>,
    payload: Vec<u8>,
) -> Result<HpkeCiphertext, HpkeError> {
    Ok(HpkeCiphertext {
        config_id,
        enc: enc.try_into().map_err(|_| HpkeError::Seal)?,
        payload: payload.try_into().map_err(|_| HpkeError::Seal)?,
    })
}
