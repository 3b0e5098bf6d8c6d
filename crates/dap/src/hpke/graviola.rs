//! HPKE by graviola: without C, and with assembler that is proved correct (s2n-bignum). For devices whose
//! processor has what it needs.

use super::{
    Aead,
    base_mode::{Nonce, Primitives, Secret, TAG},
};
use graviola::{
    aead::{AesGcm, ChaCha20Poly1305},
    hashing::{Sha256, hmac::Hmac},
    key_agreement::x25519::{PublicKey, StaticPrivateKey},
    util::is_cpu_supported,
};
use zeroize::Zeroizing;

/// Whether this processor has what it needs: without, it would panic. It asks for all but BMI2, which its
/// curve uses too.
pub(super) fn is_supported() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has_bmi2 = std::arch::is_x86_feature_detected!("bmi2");
    #[cfg(not(target_arch = "x86_64"))]
    let has_bmi2 = true;
    has_bmi2 && is_cpu_supported()
}

pub(super) struct Graviola;

impl Primitives for Graviola {
    type PrivateKey = StaticPrivateKey;
    type MacKey = Hmac<Sha256>;

    fn generate() -> Option<StaticPrivateKey> {
        StaticPrivateKey::new_random().ok()
    }

    fn public_key(private: &StaticPrivateKey) -> Option<[u8; 32]> {
        Some(private.public_key().as_bytes())
    }

    fn agree(private: &StaticPrivateKey, public: &[u8; 32]) -> Option<Secret> {
        let shared = private.diffie_hellman(&PublicKey::from_array(public)).ok()?;
        Some(Zeroizing::new(shared.0))
    }

    fn mac_key(bytes: &[u8]) -> Hmac<Sha256> {
        Hmac::new(bytes)
    }

    fn mac(key: &Hmac<Sha256>, parts: &[&[u8]]) -> Secret {
        let mut hmac = key.clone();
        for part in parts {
            hmac.update(part);
        }
        let mut mac = Secret::default();
        mac.copy_from_slice(hmac.finish().as_ref());
        mac
    }

    fn seal(aead: Aead, key: &[u8], nonce: &Nonce, aad: &[u8], buffer: &mut Vec<u8>) -> Option<()> {
        let mut tag = [0; TAG];
        match Cipher::new(aead, key)? {
            Cipher::Aes(cipher) => cipher.encrypt(nonce, aad, buffer, &mut tag),
            Cipher::ChaCha20(cipher) => cipher.encrypt(nonce, aad, buffer, &mut tag),
        }
        buffer.extend_from_slice(&tag);
        Some(())
    }
}

enum Cipher {
    Aes(Box<AesGcm>),
    ChaCha20(ChaCha20Poly1305),
}

impl Cipher {
    /// `None` for a key of another length than the AEAD's, where graviola would panic.
    fn new(aead: Aead, key: &[u8]) -> Option<Self> {
        match (aead, key.len()) {
            (Aead::Aes128Gcm, 16) | (Aead::Aes256Gcm, 32) => {
                Some(Self::Aes(Box::new(AesGcm::new(key))))
            }
            (Aead::ChaCha20Poly1305, 32) => {
                Some(Self::ChaCha20(ChaCha20Poly1305::new(key.try_into().ok()?)))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::recipient::{OpenPrimitives, tests},
        *,
    };
    use zeroize::Zeroize;

    /// Devices only seal.
    impl OpenPrimitives for Graviola {
        fn private_key(bytes: &[u8; 32]) -> Option<StaticPrivateKey> {
            Some(StaticPrivateKey::from_array(bytes))
        }

        fn open(
            aead: Aead,
            key: &[u8],
            nonce: &Nonce,
            aad: &[u8],
            buffer: &mut Vec<u8>,
        ) -> Option<()> {
            let length = buffer.len().checked_sub(TAG)?;
            let (text, tag) = buffer.split_at_mut(length);
            let opened = match Cipher::new(aead, key)? {
                Cipher::Aes(cipher) => cipher.decrypt(nonce, aad, text, tag),
                Cipher::ChaCha20(cipher) => cipher.decrypt(nonce, aad, text, tag),
            };
            opened.ok()?;
            tag.zeroize();
            buffer.truncate(length);
            Some(())
        }
    }

    #[test]
    fn it_seals_and_opens_as_the_rfc_says() {
        if is_supported() {
            tests::is_as_in_the_rfc::<Graviola>();
        }
    }

    #[test]
    fn what_is_wrong_is_refused() {
        if is_supported() {
            tests::refuses_what_is_wrong::<Graviola>();
        }
    }
}
