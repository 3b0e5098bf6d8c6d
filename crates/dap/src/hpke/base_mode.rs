//! Base mode of RFC 9180 for one message, with DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256: the key schedule, over
//! the primitives of any library.

use super::{Aead, HpkeCiphertext, HpkeConfig, HpkeError, Suite, ciphertext};
use zeroize::Zeroizing;

/// What X25519 and HMAC-SHA256 give.
pub(super) type Secret = Zeroizing<[u8; 32]>;
/// An AEAD's nonce (Nn of RFC 9180 §7.3).
pub(super) type Nonce = [u8; 12];

/// X25519, HMAC-SHA256 and the AEADs of one library.
pub(super) trait Primitives {
    /// Of X25519, parsed.
    type PrivateKey;
    /// Of HMAC-SHA256.
    type MacKey;

    /// A fresh key; `None` without randomness.
    fn generate() -> Option<Self::PrivateKey>;
    /// The key that others seal to.
    fn public_key(private: &Self::PrivateKey) -> Option<[u8; 32]>;
    /// X25519; `None` if the result is zero, as with a public key of small order (RFC 7748 §6.1).
    fn agree(private: &Self::PrivateKey, public: &[u8; 32]) -> Option<Secret>;
    /// A key of any length.
    fn mac_key(bytes: &[u8]) -> Self::MacKey;
    /// HMAC-SHA256 of the parts end to end.
    fn mac(key: &Self::MacKey, parts: &[&[u8]]) -> Secret;
    /// Seals `buffer` in place and adds the tag.
    fn seal(aead: Aead, key: &[u8], nonce: &Nonce, aad: &[u8], buffer: &mut Vec<u8>) -> Option<()>;
}

/// Seals to the holder of `config` (`SealBase`, §6.1).
pub(super) fn seal<P: Primitives>(
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    let ephemeral = P::generate().ok_or(HpkeError::Seal)?;
    seal_from::<P>(&ephemeral, config, info, aad, plaintext)
}

pub(super) fn seal_from<P: Primitives>(
    ephemeral: &P::PrivateKey,
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    let aead = config.suite.aead()?;
    let recipient = config.public_key.as_bytes().try_into().map_err(|_| HpkeError::PublicKey)?;
    let enc = P::public_key(ephemeral).ok_or(HpkeError::Seal)?;
    let dh = P::agree(ephemeral, recipient).ok_or(HpkeError::PublicKey)?;
    let (key, nonce) = schedule::<P>(config.suite, aead, info, &shared::<P>(&dh, &enc, recipient));
    let mut buffer = Vec::with_capacity(plaintext.len() + TAG);
    buffer.extend_from_slice(plaintext);
    P::seal(aead, &key[..aead.key_len()], &nonce, aad, &mut buffer).ok_or(HpkeError::Seal)?;
    ciphertext(config.id, enc.to_vec(), buffer)
}

impl Aead {
    /// Bytes of a key (Nk, §7.3).
    pub(super) fn key_len(self) -> usize {
        match self {
            Self::Aes128Gcm => 16,
            Self::Aes256Gcm | Self::ChaCha20Poly1305 => 32,
        }
    }
}

/// Bytes that sealing adds (Nt, §7.3).
pub(super) const TAG: usize = 16;
const VERSION: &[u8] = b"HPKE-v1";
const KEM: &[u8] = b"KEM\x00\x20";
const MODE_BASE: &[u8] = &[0];

/// `ExtractAndExpand` (§4.1).
pub(super) fn shared<P: Primitives>(dh: &Secret, enc: &[u8; 32], recipient: &[u8; 32]) -> Secret {
    let prk = extract::<P>(&P::mac_key(&[]), KEM, b"eae_prk", dh.as_slice());
    expand::<P>(&P::mac_key(prk.as_slice()), KEM, b"shared_secret", [enc, recipient, &[]], 32)
}

/// `KeySchedule` (§5.1): the key, as long as the AEAD's are, and the nonce of the only message.
pub(super) fn schedule<P: Primitives>(
    suite: Suite,
    aead: Aead,
    info: &[u8],
    shared: &Secret,
) -> (Secret, Nonce) {
    let id = suite_id(suite);
    let no_salt = P::mac_key(&[]);
    let psk_id_hash = extract::<P>(&no_salt, &id, b"psk_id_hash", &[]);
    let info_hash = extract::<P>(&no_salt, &id, b"info_hash", info);
    let context = [MODE_BASE, psk_id_hash.as_slice(), info_hash.as_slice()];
    let secret = extract::<P>(&P::mac_key(shared.as_slice()), &id, b"secret", &[]);
    let secret = P::mac_key(secret.as_slice());
    let mut nonce = Nonce::default();
    let length = nonce.len();
    let long = expand::<P>(&secret, &id, b"base_nonce", context, length);
    nonce.copy_from_slice(&long[..length]);
    (expand::<P>(&secret, &id, b"key", context, aead.key_len()), nonce)
}

fn suite_id(suite: Suite) -> [u8; 10] {
    let mut id = *b"HPKE\0\0\0\0\0\0";
    for (place, code) in id[4..].chunks_exact_mut(2).zip([suite.kem, suite.kdf, suite.aead]) {
        place.copy_from_slice(&code.to_be_bytes());
    }
    id
}

/// `LabeledExtract` (§4).
fn extract<P: Primitives>(salt: &P::MacKey, id: &[u8], label: &[u8], secret: &[u8]) -> Secret {
    P::mac(salt, &[VERSION, id, label, secret])
}

/// `LabeledExpand` (§4) of at most 32 bytes, which one round of HKDF-Expand makes; the rest has no meaning.
fn expand<P: Primitives>(
    prk: &P::MacKey,
    id: &[u8],
    label: &[u8],
    [a, b, c]: [&[u8]; 3],
    length: usize,
) -> Secret {
    debug_assert!(length <= 32, "one round makes no more");
    let length = [0, u8::try_from(length).unwrap_or(32)];
    P::mac(prk, &[&length, VERSION, id, label, a, b, c, &[1]])
}
