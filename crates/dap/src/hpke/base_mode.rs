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
    /// Parses a key.
    fn private_key(bytes: &[u8; 32]) -> Option<Self::PrivateKey>;
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
    /// Opens `buffer` in place and takes the tag off; `None` if it was not sealed so.
    fn open(aead: Aead, key: &[u8], nonce: &Nonce, aad: &[u8], buffer: &mut Vec<u8>) -> Option<()>;
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

fn seal_from<P: Primitives>(
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

/// A private key, parsed once.
pub(super) struct Recipient<P: Primitives> {
    suite: Suite,
    aead: Aead,
    private: P::PrivateKey,
    public: [u8; 32],
}

impl<P: Primitives> Recipient<P> {
    /// Parses a serialized private key.
    pub(super) fn new(suite: Suite, private_key: &[u8]) -> Result<Self, HpkeError> {
        let aead = suite.aead()?;
        let bytes = private_key.try_into().map_err(|_| HpkeError::PrivateKey)?;
        let private = P::private_key(bytes).ok_or(HpkeError::PrivateKey)?;
        let public = P::public_key(&private).ok_or(HpkeError::PrivateKey)?;
        Ok(Self { suite, aead, private, public })
    }

    /// Opens a message (`OpenBase`, §6.1).
    pub(super) fn open(
        &self,
        sealed: &HpkeCiphertext,
        info: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        let enc = sealed.enc.as_bytes().try_into().map_err(|_| HpkeError::Open)?;
        let dh = P::agree(&self.private, enc).ok_or(HpkeError::Open)?;
        let shared = shared::<P>(&dh, enc, &self.public);
        let (key, nonce) = schedule::<P>(self.suite, self.aead, info, &shared);
        let mut buffer = Zeroizing::new(sealed.payload.as_bytes().to_vec());
        let key = &key[..self.aead.key_len()];
        P::open(self.aead, key, &nonce, aad, &mut buffer).ok_or(HpkeError::Open)?;
        Ok(buffer)
    }
}

impl Aead {
    /// Bytes of a key (Nk, §7.3).
    fn key_len(self) -> usize {
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
fn shared<P: Primitives>(dh: &Secret, enc: &[u8; 32], recipient: &[u8; 32]) -> Secret {
    let prk = extract::<P>(&P::mac_key(&[]), KEM, b"eae_prk", dh.as_slice());
    expand::<P>(&P::mac_key(prk.as_slice()), KEM, b"shared_secret", [enc, recipient, &[]], 32)
}

/// `KeySchedule` (§5.1): the key, as long as the AEAD's are, and the nonce of the only message.
fn schedule<P: Primitives>(
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

#[cfg(test)]
pub(super) mod tests {
    use super::{super::HpkeConfigId, *};

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    }

    /// Seals and opens the first message of RFC 9180 A.1.1 byte for byte.
    pub(in super::super) fn is_as_in_the_rfc<P: Primitives>() {
        let (info, aad) = (b"Ode on a Grecian Urn", b"Count-0");
        let plaintext = b"Beauty is truth, truth beauty";
        let ephemeral = hex("52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736");
        let recipient: [u8; 32] =
            hex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8");
        let public: [u8; 32] =
            hex("3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d");
        let enc: [u8; 32] = hex("37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431");
        let payload: [u8; 45] = hex(
            "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
        );
        let config = HpkeConfig {
            id: HpkeConfigId(1),
            suite: Suite::DEFAULT,
            public_key: public.to_vec().try_into().unwrap(),
        };
        let ephemeral = P::private_key(&ephemeral).unwrap();
        let sealed = seal_from::<P>(&ephemeral, &config, info, aad, plaintext).unwrap();
        assert_eq!(sealed.enc.as_bytes(), enc);
        assert_eq!(sealed.payload.as_bytes(), payload);
        let recipient = Recipient::<P>::new(Suite::DEFAULT, &recipient).unwrap();
        assert_eq!(recipient.public, public);
        assert_eq!(recipient.open(&sealed, info, aad).unwrap().as_slice(), plaintext);
    }

    /// What is cut, changed, or sealed to a key of small order leads to errors.
    pub(in super::super) fn refuses_what_is_wrong<P: Primitives>() {
        for aead in 1..=3 {
            let suite = Suite { aead, ..Suite::DEFAULT };
            let recipient = Recipient::<P>::new(suite, &[7; 32]).unwrap();
            let public_key = recipient.public.to_vec().try_into().unwrap();
            let config = HpkeConfig { id: HpkeConfigId(1), suite, public_key };
            let sealed = seal::<P>(&config, b"info", b"aad", b"a share").unwrap();
            assert_eq!(recipient.open(&sealed, b"info", b"aad").unwrap().as_slice(), b"a share");
            for len in 0..sealed.payload.as_bytes().len() {
                let mut cut = sealed.payload.as_bytes()[..len].to_vec();
                let mut wrong = sealed.clone();
                if let Ok(payload) = cut.clone().try_into() {
                    wrong.payload = payload;
                    assert_eq!(recipient.open(&wrong, b"info", b"aad"), Err(HpkeError::Open));
                }
                cut.resize(sealed.payload.as_bytes().len(), 0);
                wrong.payload = cut.try_into().unwrap();
                assert_eq!(recipient.open(&wrong, b"info", b"aad"), Err(HpkeError::Open));
            }
            for enc in [vec![0; 32], vec![1; 31], vec![1; 33], vec![255; 1]] {
                let wrong = HpkeCiphertext { enc: enc.try_into().unwrap(), ..sealed.clone() };
                assert_eq!(recipient.open(&wrong, b"info", b"aad"), Err(HpkeError::Open));
            }
            for public_key in [vec![0; 32], vec![1; 31], vec![1; 33]] {
                let wrong =
                    HpkeConfig { public_key: public_key.try_into().unwrap(), ..config.clone() };
                assert_eq!(seal::<P>(&wrong, b"", b"", b""), Err(HpkeError::PublicKey));
            }
        }
        for private_key in [vec![], vec![1; 31], vec![1; 33]] {
            let refused = Recipient::<P>::new(Suite::DEFAULT, &private_key);
            assert_eq!(refused.err(), Some(HpkeError::PrivateKey));
        }
    }
}
