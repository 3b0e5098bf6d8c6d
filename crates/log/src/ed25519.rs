//! Checks Ed25519 signatures (RFC 8032 §5.1.7) over the curve that devices have already.
//!
//! Signing is for servers, by another library. Verification is strict: `s` below the group's order,
//! one spelling for each point, no point of small order, and the equation without the cofactor,
//! so that nobody finds a signature valid that another refuses.

use curve25519_dalek::{EdwardsPoint, Scalar, edwards::CompressedEdwardsY};
use sha2::{Digest, Sha512};

/// Whether `signature` is one of `key` over `message`.
pub(super) fn verify(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let (commitment, s) = signature.split_at(32);
    let (Ok(commitment), Ok(s)) = (<[u8; 32]>::try_from(commitment), s.try_into()) else {
        return false;
    };
    let (Some(point), Some(_)) = (usable(key), usable(&commitment)) else { return false };
    let Some(s) = Option::<Scalar>::from(Scalar::from_canonical_bytes(s)) else { return false };
    let hash = Sha512::new().chain_update(commitment).chain_update(key).chain_update(message);
    let challenge = Scalar::from_bytes_mod_order_wide(&hash.finalize().into());
    // s·B − k·A is the commitment; what is compared is public.
    EdwardsPoint::vartime_double_scalar_mul_basepoint(&challenge, &-point, &s).compress().0
        == commitment
}

/// Whether anything can be signed by the key.
pub(super) fn is_key(key: &[u8; 32]) -> bool {
    usable(key).is_some()
}

/// A point in its one spelling that is not of small order.
fn usable(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    let point = CompressedEdwardsY(*bytes).decompress()?;
    (point.compress().0 == *bytes && !point.is_small_order()).then_some(point)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let byte = |i: usize| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap();
        std::array::from_fn(byte)
    }

    /// RFC 8032 §7.1, tests 1 to 3.
    const VECTORS: [(&str, &[u8], &str); 3] = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            b"",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            b"\x72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            b"\xaf\x82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ];

    #[test]
    fn known_signatures_are_valid_and_no_changed_bit_is() {
        for (key, message, signature) in VECTORS {
            let (key, signature): ([u8; 32], [u8; 64]) = (hex(key), hex(signature));
            assert!(verify(&key, message, &signature));
            assert!(!verify(&key, b"another message", &signature));
            for bit in 0..512 {
                let mut changed = signature;
                changed[bit / 8] ^= 1 << (bit % 8);
                assert!(!verify(&key, message, &changed), "{bit}");
            }
        }
    }

    #[test]
    fn a_second_spelling_of_a_signature_is_refused() {
        // s plus the group's order gives the same point.
        let order: [u8; 32] =
            hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let (key, message, signature) = VECTORS[1];
        let mut signature: [u8; 64] = hex(signature);
        let mut carry = 0;
        for (byte, add) in signature[32..].iter_mut().zip(order) {
            let sum = u16::from(*byte) + u16::from(add) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        assert!(!verify(&hex(key), message, &signature));
    }

    #[test]
    fn keys_of_small_order_are_none() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(!is_key(&identity) && !is_key(&[0; 32]) && !is_key(&[0xff; 32]));
        assert!(!verify(&identity, b"anything", &[0; 64]));
        assert!(is_key(&hex(VECTORS[0].0)));
    }
}
