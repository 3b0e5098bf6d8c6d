//! HPKE by aws-lc: for servers and the collector, where C is welcome.

use super::{
    Aead, HpkeCiphertext, HpkeConfig, HpkeConfigId, HpkeError, HpkeKeypair, Suite,
    base_mode::{self, Nonce, Primitives, Secret},
    recipient::{OpenPrimitives, Recipient},
};
use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, CHACHA20_POLY1305, LessSafeKey, UnboundKey},
    agreement::{PrivateKey, UnparsedPublicKey, X25519, agree},
    hmac::{self, HMAC_SHA256},
    rand,
};
use zeroize::Zeroizing;

/// Makes a fresh key pair of `suite` from the operating system's randomness.
pub fn generate(id: HpkeConfigId, suite: Suite) -> Result<HpkeKeypair, HpkeError> {
    suite.check()?;
    let mut private_key = Zeroizing::new([0; 32]);
    rand::fill(private_key.as_mut()).map_err(|_| HpkeError::Seal)?;
    let parsed = AwsLc::private_key(&private_key).ok_or(HpkeError::PrivateKey)?;
    let public_key = AwsLc::public_key(&parsed).ok_or(HpkeError::PrivateKey)?.to_vec();
    let public_key = public_key.try_into().map_err(|_| HpkeError::PublicKey)?;
    let config = HpkeConfig { id, suite, public_key };
    Ok(HpkeKeypair::new(config, Zeroizing::new(private_key.to_vec())))
}

/// Seals to the holder of `config` (`SealBase` of RFC 9180 §6.1).
pub fn seal(
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    base_mode::seal::<AwsLc>(config, info, aad, plaintext)
}

/// A key pair that is ready to open many messages.
pub struct Opener {
    id: HpkeConfigId,
    recipient: Recipient<AwsLc>,
}

impl Opener {
    /// Prepares a key pair; fails if its suite is not supported.
    pub fn new(keypair: &HpkeKeypair) -> Result<Self, HpkeError> {
        let recipient = Recipient::new(keypair.config.suite, keypair.secret_bytes())?;
        Ok(Self { id: keypair.config.id, recipient })
    }

    /// Opens a message that was sealed to this key (`OpenBase` of RFC 9180 §6.1).
    pub fn open(
        &self,
        sealed: &HpkeCiphertext,
        info: &[u8],
        aad: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        if sealed.config_id != self.id {
            return Err(HpkeError::ConfigId { sealed_to: sealed.config_id.0, ours: self.id.0 });
        }
        self.recipient.open(sealed, info, aad)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({:?}, ..)", self.id)
    }
}

struct AwsLc;

impl Primitives for AwsLc {
    type PrivateKey = PrivateKey;
    type MacKey = hmac::Key;

    fn generate() -> Option<PrivateKey> {
        PrivateKey::generate(&X25519).ok()
    }

    fn public_key(private: &PrivateKey) -> Option<[u8; 32]> {
        private.compute_public_key().ok()?.as_ref().try_into().ok()
    }

    fn agree(private: &PrivateKey, public: &[u8; 32]) -> Option<Secret> {
        let public = UnparsedPublicKey::new(&X25519, public);
        let copied = |shared: &[u8]| shared.try_into().map(Zeroizing::new).map_err(drop);
        agree(private, public, (), copied).ok()
    }

    fn mac_key(bytes: &[u8]) -> hmac::Key {
        hmac::Key::new(HMAC_SHA256, bytes)
    }

    fn mac(key: &hmac::Key, parts: &[&[u8]]) -> Secret {
        let mut context = hmac::Context::with_key(key);
        for part in parts {
            context.update(part);
        }
        let mut mac = Secret::default();
        mac.copy_from_slice(context.sign().as_ref());
        mac
    }

    fn seal(aead: Aead, key: &[u8], nonce: &Nonce, aad: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(*nonce);
        aead_key(aead, key)?.seal_in_place_append_tag(nonce, Aad::from(aad), buffer).ok()
    }
}

impl OpenPrimitives for AwsLc {
    fn private_key(bytes: &[u8; 32]) -> Option<PrivateKey> {
        PrivateKey::from_private_key(&X25519, bytes).ok()
    }

    fn open(aead: Aead, key: &[u8], nonce: &Nonce, aad: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
        let nonce = aws_lc_rs::aead::Nonce::assume_unique_for_key(*nonce);
        let opened = aead_key(aead, key)?.open_in_place(nonce, Aad::from(aad), buffer).ok()?.len();
        buffer.truncate(opened);
        Some(())
    }
}

fn aead_key(aead: Aead, key: &[u8]) -> Option<LessSafeKey> {
    let algorithm: &'static Algorithm = match aead {
        Aead::Aes128Gcm => &AES_128_GCM,
        Aead::Aes256Gcm => &AES_256_GCM,
        Aead::ChaCha20Poly1305 => &CHACHA20_POLY1305,
    };
    UnboundKey::new(algorithm, key).ok().map(LessSafeKey::new)
}

#[cfg(test)]
mod tests {
    use super::{super::recipient::tests, *};

    #[test]
    fn it_seals_and_opens_as_the_rfc_says() {
        tests::is_as_in_the_rfc::<AwsLc>();
    }

    #[test]
    fn what_is_wrong_is_refused() {
        tests::refuses_what_is_wrong::<AwsLc>();
    }

    #[test]
    fn a_message_opens_with_the_same_key_info_and_associated_data_only() {
        let keypair = generate(HpkeConfigId(7), Suite::DEFAULT).unwrap();
        let other = generate(HpkeConfigId(7), Suite::DEFAULT).unwrap();
        let sealed = seal(&keypair.config, b"info", b"aad", b"plaintext").unwrap();
        let opener = Opener::new(&keypair).unwrap();

        assert_eq!(opener.open(&sealed, b"info", b"aad").unwrap().as_slice(), b"plaintext");
        assert_eq!(opener.open(&sealed, b"other", b"aad"), Err(HpkeError::Open));
        assert_eq!(opener.open(&sealed, b"info", b"other"), Err(HpkeError::Open));
        let wrong_key = Opener::new(&other).unwrap();
        assert_eq!(wrong_key.open(&sealed, b"info", b"aad"), Err(HpkeError::Open));
    }

    #[test]
    fn a_message_to_another_key_id_is_not_tried() {
        let keypair = generate(HpkeConfigId(7), Suite::DEFAULT).unwrap();
        let mut sealed = seal(&keypair.config, b"", b"", b"plaintext").unwrap();
        sealed.config_id = HpkeConfigId(8);
        let error = Opener::new(&keypair).unwrap().open(&sealed, b"", b"").unwrap_err();
        assert_eq!(error, HpkeError::ConfigId { sealed_to: 8, ours: 7 });
    }

    #[test]
    fn an_unsupported_suite_is_refused_by_name() {
        let p256 = Suite { kem: 0x0010, ..Suite::DEFAULT };
        let error = generate(HpkeConfigId(1), p256).unwrap_err();
        assert!(error.to_string().contains("KEM 0x0010"), "{error}");
    }

    #[test]
    fn a_secret_never_shows() {
        let keypair = generate(HpkeConfigId(7), Suite::DEFAULT).unwrap();
        let shown = format!("{keypair:?} {:?}", Opener::new(&keypair).unwrap());
        assert!(!shown.contains(&format!("{:?}", keypair.secret_bytes())), "{shown}");
    }
}
