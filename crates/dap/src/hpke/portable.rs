//! HPKE without C: for devices, which seal and never open.
//!
//! By graviola where the processor has what it needs, which takes less than half the time;
//! else, and in browsers, by RustCrypto.

use super::{Aead, HpkeCiphertext, HpkeConfig, HpkeError, ciphertext};
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use super::{base_mode, graviola};
use hpke::{
    Deserializable, OpModeS, Serializable,
    aead::{self, AesGcm128, AesGcm256, ChaCha20Poly1305},
    kdf::HkdfSha256,
    kem::{Kem, X25519HkdfSha256},
    single_shot_seal_with_rng,
};
use rand::{
    SeedableRng, TryRng,
    rngs::{ChaCha20Rng, SysRng},
};
use zeroize::Zeroizing;

/// Seals to the holder of `config` (`SealBase` of RFC 9180 §6.1).
pub fn seal(
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    if graviola::is_supported() {
        return base_mode::seal::<graviola::Graviola>(config, info, aad, plaintext);
    }
    rust_crypto(config, info, aad, plaintext)
}

/// The same on any processor.
fn rust_crypto(
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<HpkeCiphertext, HpkeError> {
    let (enc, payload) = match config.suite.aead()? {
        Aead::Aes128Gcm => seal_with::<AesGcm128>(config, info, aad, plaintext)?,
        Aead::Aes256Gcm => seal_with::<AesGcm256>(config, info, aad, plaintext)?,
        Aead::ChaCha20Poly1305 => seal_with::<ChaCha20Poly1305>(config, info, aad, plaintext)?,
    };
    ciphertext(config.id, enc, payload)
}

fn seal_with<A: aead::Aead>(
    config: &HpkeConfig,
    info: &[u8],
    aad: &[u8],
    plaintext: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), HpkeError> {
    let public_key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(config.public_key.as_bytes())
        .map_err(|_| HpkeError::PublicKey)?;
    let (enc, payload) = single_shot_seal_with_rng::<A, HkdfSha256, X25519HkdfSha256>(
        &OpModeS::Base,
        &public_key,
        info,
        plaintext,
        aad,
        &mut fresh_generator()?,
    )
    .map_err(|_| HpkeError::Seal)?;
    Ok((enc.to_bytes().to_vec(), payload))
}

/// A generator for one encapsulation, so that a failure of the operating system's randomness is
/// an error and not the panic of the convenience function.
fn fresh_generator() -> Result<ChaCha20Rng, HpkeError> {
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(seed.as_mut()).map_err(|_| HpkeError::Seal)?;
    Ok(ChaCha20Rng::from_seed(*seed))
}

#[cfg(all(test, feature = "native-hpke"))]
mod tests {
    use super::super::{HpkeConfigId, Suite, native};
    use super::*;

    #[test]
    fn what_a_device_seals_a_server_opens_in_every_suite() {
        for aead in 1..=3 {
            let suite = Suite { aead, ..Suite::DEFAULT };
            let keypair = native::generate(HpkeConfigId(3), suite).unwrap();
            for seal in [seal, rust_crypto, native::seal] {
                let sealed = seal(&keypair.config, b"info", b"aad", b"a share").unwrap();
                let opened = native::Opener::new(&keypair).unwrap().open(&sealed, b"info", b"aad");
                assert_eq!(opened.unwrap().as_slice(), b"a share");
            }
        }
    }

    #[test]
    fn two_seals_of_one_message_differ() {
        let keypair = native::generate(HpkeConfigId(3), Suite::DEFAULT).unwrap();
        let seal = || seal(&keypair.config, b"info", b"aad", b"a share").unwrap();
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_public_key_of_the_wrong_length_is_refused() {
        let mut config = native::generate(HpkeConfigId(3), Suite::DEFAULT).unwrap().config;
        config.public_key = vec![1; 31].try_into().unwrap();
        for seal in [seal, rust_crypto, native::seal] {
            assert_eq!(seal(&config, b"", b"", b""), Err(HpkeError::PublicKey));
        }
    }
}
