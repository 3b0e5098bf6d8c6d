//! HPKE by aws-lc through rustls: for servers and the collector, where C is welcome.

use super::{
    Aead, HpkeCiphertext, HpkeConfig, HpkeConfigId, HpkeError, HpkeKeypair, Suite, ciphertext,
};
use rustls::crypto::{
    aws_lc_rs::hpke::{
        DH_KEM_X25519_HKDF_SHA256_AES_128, DH_KEM_X25519_HKDF_SHA256_AES_256,
        DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305,
    },
    hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey, HpkePublicKey},
};
use zeroize::Zeroizing;

/// Makes a fresh key pair of `suite` from the operating system's randomness.
pub fn generate(id: HpkeConfigId, suite: Suite) -> Result<HpkeKeypair, HpkeError> {
    let (public_key, private_key) =
        algorithms(suite)?.generate_key_pair().map_err(|_| HpkeError::Seal)?;
    let public_key = public_key.0.try_into().map_err(|_| HpkeError::PublicKey)?;
    Ok(HpkeKeypair::new(
        HpkeConfig { id, suite, public_key },
        Zeroizing::new(private_key.secret_bytes().to_vec()),
    ))
}

/// Seals to the holder of `config` (`SealBase` of RFC 9180 §6.1).
pub fn seal(
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    let public_key = HpkePublicKey(config.public_key.as_bytes().to_vec());
    let (enc, payload) = algorithms(config.suite)?
        .seal(info, aad, plaintext, &public_key)
        .map_err(|_| HpkeError::PublicKey)?;
    ciphertext(config.id, enc.0, payload)
}

/// A key pair that is ready to open many messages.
pub struct Opener {
    id: HpkeConfigId,
    algorithms: &'static dyn Hpke,
    private_key: HpkePrivateKey,
}

impl Opener {
    /// Prepares a key pair; fails if its suite is not supported.
    pub fn new(keypair: &HpkeKeypair) -> Result<Self, HpkeError> {
        Ok(Self {
            id: keypair.config.id,
            algorithms: algorithms(keypair.config.suite)?,
            private_key: HpkePrivateKey::from(keypair.secret_bytes().to_vec()),
        })
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
        let enc = EncapsulatedSecret(sealed.enc.as_bytes().to_vec());
        self.algorithms
            .open(&enc, info, aad, sealed.payload.as_bytes(), &self.private_key)
            .map(Zeroizing::new)
            .map_err(|_| HpkeError::Open)
    }
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({:?}, ..)", self.id)
    }
}

fn algorithms(suite: Suite) -> Result<&'static dyn Hpke, HpkeError> {
    Ok(match suite.aead()? {
        Aead::Aes128Gcm => DH_KEM_X25519_HKDF_SHA256_AES_128,
        Aead::Aes256Gcm => DH_KEM_X25519_HKDF_SHA256_AES_256,
        Aead::ChaCha20Poly1305 => DH_KEM_X25519_HKDF_SHA256_CHACHA20_POLY1305,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
