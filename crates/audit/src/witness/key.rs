//! A witness's key: one line in a file that only its owner reads.

use base64::{Engine, engine::general_purpose::STANDARD};
use rand::{TryRng, rngs::SysRng};
use ring::signature::{Ed25519KeyPair, KeyPair};
use sottovoce_log::{
    checkpoint::Signer,
    note::{KeyKind, KeyName, VerifierKey},
};
use sottovoce_whole_file::{self as whole_file, Readers};
use std::{fmt, io, path::Path};
use thiserror::Error;
use zeroize::Zeroizing;

/// How the line begins: the name, the hash of the public key and the secret follow.
const PREFIX: &str = "PRIVATE+KEY+";
/// What the secret begins with: an Ed25519 key of a witness.
const ALGORITHM: u8 = 0x04;

/// Signs as a witness. Shows its public key and nothing else.
pub struct WitnessKey {
    pair: Ed25519KeyPair,
    public: VerifierKey,
}

/// Why there is no key.
#[derive(Debug, Error)]
pub enum KeyFileError {
    /// The file cannot be read.
    #[error("the witness's private key cannot be read from {0}: {1}; `witness init` creates one")]
    Read(String, io::Error),
    /// The file cannot be made.
    #[error(
        "the witness's private key cannot be written to {0}: {1}; choose a new file in a writable folder"
    )]
    Write(String, io::Error),
    /// What it says is no key. What that is, is not repeated.
    #[error("{0} is not a witness's private key, or is damaged; restore it from a backup")]
    Form(String),
    /// No key could be drawn.
    #[error("the operating system has no randomness for a key: {0}")]
    NoRandomness(String),
}

impl WitnessKey {
    /// Draws a key and writes it to a new file.
    pub fn create(name: &KeyName, path: &Path) -> Result<Self, KeyFileError> {
        let mut seed = Zeroizing::new([0; 32]);
        let drawn = SysRng.try_fill_bytes(seed.as_mut());
        drawn.map_err(|error| KeyFileError::NoRandomness(error.to_string()))?;
        let form = || KeyFileError::Form(path.display().to_string());
        let key = Self::from_seed(name.clone(), seed.as_slice()).ok_or_else(form)?;
        let written = whole_file::create(path, key.secret_line(&seed).as_bytes(), Readers::Owner);
        written.map_err(|error| KeyFileError::Write(path.display().to_string(), error))?;
        Ok(key)
    }

    /// Reads a key that [`create`](Self::create) wrote.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| KeyFileError::Read(shown.clone(), error))?;
        Self::parse(text.trim_end()).ok_or(KeyFileError::Form(shown))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix(PREFIX)?.splitn(3, '+');
        let (name, hash, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let secret = Zeroizing::new(STANDARD.decode(secret).ok()?);
        let seed = secret.strip_prefix(&[ALGORITHM])?;
        let key = Self::from_seed(KeyName::new(name).ok()?, seed)?;
        (key.hash() == hash).then_some(key)
    }

    fn from_seed(name: KeyName, seed: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        let public = VerifierKey::new(name, KeyKind::Witness, public)?;
        Some(Self { pair, public })
    }

    fn secret_line(&self, seed: &[u8; 32]) -> Zeroizing<String> {
        let mut secret = Zeroizing::new(Vec::with_capacity(33));
        secret.push(ALGORITHM);
        secret.extend_from_slice(seed);
        let secret = Zeroizing::new(STANDARD.encode(secret.as_slice()));
        let (name, hash) = (self.public.name(), self.hash());
        Zeroizing::new(format!("{PREFIX}{name}+{hash}+{}\n", secret.as_str()))
    }

    fn hash(&self) -> String {
        format!("{:08x}", u32::from_be_bytes(self.public.id()))
    }
}

impl Signer for WitnessKey {
    fn verifier_key(&self) -> &VerifierKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WitnessKey({})", self.public)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn created(folder: &Path) -> WitnessKey {
        let name = KeyName::new("witness.example/w1").unwrap();
        WitnessKey::create(&name, &folder.join("witness.key")).unwrap()
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_signs() {
        let folder = tempfile::tempdir().unwrap();
        let key = created(folder.path());
        let again = WitnessKey::read(&folder.path().join("witness.key")).unwrap();
        assert_eq!(again.verifier_key(), key.verifier_key());
        assert_eq!(again.sign(b"message"), key.sign(b"message"));
        let other = tempfile::tempdir().unwrap();
        assert_ne!(created(other.path()).verifier_key(), key.verifier_key());
    }

    #[test]
    fn no_changed_or_cut_key_is_taken_and_none_is_repeated() {
        let folder = tempfile::tempdir().unwrap();
        created(folder.path());
        let path = folder.path().join("witness.key");
        let line = fs::read_to_string(&path).unwrap();
        for at in 0..line.len() - 1 {
            let mut changed = line.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            for changed in [&changed[..], &line.as_bytes()[..at]] {
                fs::write(&path, changed).unwrap();
                let error = WitnessKey::read(&path).unwrap_err().to_string();
                assert!(!error.contains("PRIVATE"), "{at}: {error}");
            }
        }
    }

    #[test]
    fn a_key_shows_nothing_of_its_secret() {
        let folder = tempfile::tempdir().unwrap();
        let key = created(folder.path());
        let line = fs::read_to_string(folder.path().join("witness.key")).unwrap();
        // Base 64 has a `+` of its own.
        let secret = line.trim_end().strip_prefix(PREFIX).unwrap().splitn(3, '+').nth(2).unwrap();
        let shown = format!("{key:?}");
        assert!(secret.len() == 44 && (0..38).all(|at| !shown.contains(&secret[at..at + 6])));
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_a_key() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        created(folder.path());
        let metadata = fs::metadata(folder.path().join("witness.key")).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    }
}
