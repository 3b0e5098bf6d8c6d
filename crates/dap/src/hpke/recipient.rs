//! The recipient: opens messages in base mode of RFC 9180, with a private key that is parsed once.

use super::{
    Aead, HpkeCiphertext, HpkeError, Suite,
    base_mode::{Nonce, Primitives, schedule, shared},
};
use zeroize::Zeroizing;

/// What opening takes beside sealing.
pub(super) trait OpenPrimitives: Primitives {
    /// Parses a key.
    fn private_key(bytes: &[u8; 32]) -> Option<Self::PrivateKey>;
    /// Opens `buffer` in place and takes the tag off; `None` if it was not sealed so.
    fn open(aead: Aead, key: &[u8], nonce: &Nonce, aad: &[u8], buffer: &mut Vec<u8>) -> Option<()>;
}

/// A private key, parsed once.
pub(super) struct Recipient<P: OpenPrimitives> {
    suite: Suite,
    aead: Aead,
    private: P::PrivateKey,
    public: [u8; 32],
}

impl<P: OpenPrimitives> Recipient<P> {
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

#[cfg(test)]
pub(super) mod tests {
    use super::{
        super::{
            HpkeConfig, HpkeConfigId,
            base_mode::{seal, seal_from},
        },
        *,
    };

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
    }

    /// Seals and opens the first message of RFC 9180 A.1.1 byte for byte.
    pub(in super::super) fn is_as_in_the_rfc<P: OpenPrimitives>() {
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
    pub(in super::super) fn refuses_what_is_wrong<P: OpenPrimitives>() {
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
