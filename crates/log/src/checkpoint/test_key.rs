//! Keys for tests.

#![allow(clippy::unwrap_used, reason = "tests only")]

use super::Signer;
use crate::note::{KeyKind, KeyName, VerifierKey};
use ring::signature::{Ed25519KeyPair, KeyPair};

/// A key from a seed, for tests.
#[derive(Debug)]
pub struct TestKey {
    pair: Ed25519KeyPair,
    pub(super) key: VerifierKey,
}

impl TestKey {
    /// As many as there are seeds.
    pub fn new(name: &str, kind: KeyKind, seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        let public = pair.public_key().as_ref().try_into().unwrap();
        let key = VerifierKey::new(KeyName::new(name).unwrap(), kind, public).unwrap();
        Self { pair, key }
    }
}

impl Signer for TestKey {
    fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().unwrap()
    }
}
