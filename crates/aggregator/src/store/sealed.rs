//! Secrets at rest: AES-256-GCM under a key that is not in the database.
//!
//! A sealed blob is `version (1) || key ID (4) || nonce (12) || ciphertext and tag`. It is bound
//! to the place it was sealed for: copied to another row it does not open. The key ID tells a
//! wrong key from damage, and lets several keys live side by side while one replaces another:
//! [`DatabaseKeys`] seals under the first and opens under any.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use rand::{TryRng, rngs::SysRng};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use sha2::{Digest, Sha256};
use sottovoce_dap::ids::NoRandomness;
use std::{fmt, str::FromStr};
use thiserror::Error;
use zeroize::Zeroizing;

/// The key to all secrets in a database. It shows itself nowhere and is wiped when dropped.
#[derive(Clone)]
pub struct DatabaseKey(Zeroizing<[u8; 32]>);

/// The key that secrets are sealed under now, and older ones that still open some.
#[derive(Clone)]
pub struct DatabaseKeys {
    current: DatabaseKey,
    older: Vec<DatabaseKey>,
}

/// What a secret belongs to; part of what is authenticated.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Kind of row, such as `task`. At most 255 bytes count.
    pub table: &'static str,
    /// The row's own ID.
    pub row: &'a [u8],
}

/// Names a key without revealing it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyId([u8; 4]);

/// Why a secret could not be sealed or opened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SealedError {
    /// The text is no key.
    #[error(
        "a database key must be 32 bytes in URL-safe Base 64 without padding (43 characters), and is {len} characters; generate a new one or correct it"
    )]
    NotAKey {
        /// Characters found.
        len: usize,
    },
    /// The text holds no key at all.
    #[error("there is no database key; provide one or more, one per line, the newest first")]
    NoKey,
    /// No random bytes.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The blob is shorter than any sealed one.
    #[error(
        "a secret of {table} is {len} bytes long, and must be at least {min}; restore the database from a backup"
    )]
    TooShort {
        /// Kind of row.
        table: &'static str,
        /// Bytes found.
        len: usize,
        /// Bytes that even an empty secret takes.
        min: usize,
    },
    /// The blob was sealed by a later program.
    #[error(
        "a secret of {table} has format {found}, and this program reads {ours}; install the newer version"
    )]
    Version {
        /// Kind of row.
        table: &'static str,
        /// Format found.
        found: u8,
        /// Format of this program.
        ours: u8,
    },
    /// The blob was sealed under another key.
    #[error(
        "wrong database key: a secret of {table} is encrypted with key {found}, and the given key is {given}; provide the key of this database"
    )]
    WrongKey {
        /// Kind of row.
        table: &'static str,
        /// Key that it was sealed under.
        found: KeyId,
        /// Key that it was opened with.
        given: KeyId,
    },
    /// The right key, but other bytes or another row.
    #[error(
        "a secret of {table} was changed or moved after it was encrypted; restore the database from a backup"
    )]
    Damaged {
        /// Kind of row.
        table: &'static str,
    },
}

impl DatabaseKey {
    /// From its bytes, which must be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A fresh key from the operating system's randomness.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut bytes = Zeroizing::new([0; 32]);
        SysRng.try_fill_bytes(&mut *bytes).map_err(|_| NoRandomness)?;
        Ok(Self(bytes))
    }

    /// The key as text, in the form that [`FromStr`] reads.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.0))
    }

    /// Names the key in messages and blobs.
    pub fn id(&self) -> KeyId {
        let digest = Sha256::new().chain_update(ID_DOMAIN).chain_update(*self.0).finalize();
        KeyId([digest[0], digest[1], digest[2], digest[3]])
    }

    /// Encrypts a secret for its place.
    pub fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Vec<u8>, SealedError> {
        let mut nonce = [0; NONCE_LEN];
        SysRng.try_fill_bytes(&mut nonce).map_err(|_| NoRandomness)?;
        let aad = Aad::from(associated(place, self.id()));
        let mut text = Zeroizing::new(secret.to_vec());
        let tag = self.cipher().and_then(|cipher| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            cipher.seal_in_place_separate_tag(nonce, aad, &mut text)
        });
        // The cipher refuses only what does not fit in memory.
        let tag = tag.map_err(|_| SealedError::Damaged { table: place.table })?;
        Ok([&[VERSION], &self.id().0[..], &nonce, &text, tag.as_ref()].concat())
    }

    /// Decrypts the secret of a place.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        let table = place.table;
        let (nonce, text) = self.parse(table, sealed)?;
        let mut text = Zeroizing::new(text.to_vec());
        let aad = Aad::from(associated(place, self.id()));
        let opened = self.cipher().and_then(|cipher| {
            Ok(cipher.open_in_place(Nonce::assume_unique_for_key(nonce), aad, &mut text)?.len())
        });
        text.truncate(opened.map_err(|_| SealedError::Damaged { table })?);
        Ok(text)
    }

    fn parse<'a>(
        &self,
        table: &'static str,
        sealed: &'a [u8],
    ) -> Result<([u8; NONCE_LEN], &'a [u8]), SealedError> {
        let short = SealedError::TooShort { table, len: sealed.len(), min: MIN_LEN };
        let Some((&[found], rest)) = sealed.split_first_chunk() else { return Err(short) };
        if found != VERSION {
            return Err(SealedError::Version { table, found, ours: VERSION });
        }
        let Some((&id, rest)) = rest.split_first_chunk() else { return Err(short) };
        let Some((&nonce, text)) = rest.split_first_chunk() else { return Err(short) };
        if text.len() < AES_256_GCM.tag_len() {
            return Err(short);
        }
        match KeyId(id) {
            found if found == self.id() => Ok((nonce, text)),
            found => Err(SealedError::WrongKey { table, found, given: self.id() }),
        }
    }

    fn cipher(&self) -> Result<LessSafeKey, ring::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM, &*self.0).map(LessSafeKey::new)
    }
}

impl DatabaseKeys {
    /// One fresh key.
    pub fn random() -> Result<Self, NoRandomness> {
        Ok(Self { current: DatabaseKey::random()?, older: Vec::new() })
    }

    /// The key that secrets are sealed under.
    pub fn current(&self) -> &DatabaseKey {
        &self.current
    }

    /// Encrypts a secret for its place, under the current key.
    pub fn seal(&self, place: Place<'_>, secret: &[u8]) -> Result<Vec<u8>, SealedError> {
        self.current.seal(place, secret)
    }

    /// Decrypts the secret of a place, by the key that it was sealed under.
    pub fn open(&self, place: Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealedError> {
        let opened = self.current.open(place, sealed);
        let Err(SealedError::WrongKey { found, .. }) = &opened else { return opened };
        match self.older.iter().find(|key| key.id() == *found) {
            Some(key) => key.open(place, sealed),
            None => opened,
        }
    }

    /// The secret sealed under the current key; `None` if it is already.
    pub fn reseal(&self, place: Place<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, SealedError> {
        match self.current.open(place, sealed) {
            Ok(_) => Ok(None),
            Err(SealedError::WrongKey { .. }) => {
                Ok(Some(self.current.seal(place, &self.open(place, sealed)?)?))
            }
            Err(error) => Err(error),
        }
    }
}

/// Several keys, the newest first, apart from one another by commas or white space.
impl FromStr for DatabaseKeys {
    type Err = SealedError;

    fn from_str(text: &str) -> Result<Self, SealedError> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty());
        let mut keys = words.map(str::parse).collect::<Result<Vec<_>, _>>()?.into_iter();
        Ok(Self { current: keys.next().ok_or(SealedError::NoKey)?, older: keys.collect() })
    }
}

impl FromStr for DatabaseKey {
    type Err = SealedError;

    fn from_str(text: &str) -> Result<Self, SealedError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().map(Zeroizing::new);
        let array = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
        array.map(Self::new).ok_or(SealedError::NotAKey { len: text.len() })
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The table's name behind its length, so that no table and row read as another pair.
fn associated(place: Place<'_>, key: KeyId) -> Vec<u8> {
    let len = (place.table.len() as u64).to_be_bytes();
    [&[VERSION], &key.0[..], &len, place.table.as_bytes(), place.row].concat()
}

const VERSION: u8 = 1;
const ID_DOMAIN: &[u8] = b"sottovoce database key ID";
/// Version, key ID, nonce and tag.
const MIN_LEN: usize = 1 + 4 + NONCE_LEN + 16;

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place<'static> = Place { table: "task", row: b"one" };

    fn key() -> DatabaseKey {
        DatabaseKey::new([7; 32])
    }

    #[test]
    fn another_key_is_told_from_damage() {
        let sealed = key().seal(HERE, b"secret").unwrap();
        let other = DatabaseKey::new([8; 32]);
        let error = other.open(HERE, &sealed).unwrap_err();
        assert_eq!(
            error,
            SealedError::WrongKey { table: "task", found: key().id(), given: other.id() }
        );
    }

    #[test]
    fn no_changed_byte_opens() {
        let sealed = key().seal(HERE, b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key().open(HERE, &changed).is_err(), "byte {at}");
            assert!(key().open(HERE, &sealed[..at]).is_err(), "cut to {at}");
        }
    }

    #[test]
    fn what_an_older_key_sealed_is_opened_and_sealed_anew() {
        let older = DatabaseKey::new([8; 32]);
        let text = format!("{}\n{}\n", *key().to_text(), *older.to_text());
        let keys: DatabaseKeys = text.parse().unwrap();
        let sealed = older.seal(HERE, b"secret").unwrap();
        assert_eq!(keys.open(HERE, &sealed).unwrap().as_slice(), b"secret");
        let anew = keys.reseal(HERE, &sealed).unwrap().unwrap();
        assert_eq!(key().open(HERE, &anew).unwrap().as_slice(), b"secret");
        assert_eq!(keys.reseal(HERE, &anew), Ok(None));
        let only: DatabaseKeys = key().to_text().parse().unwrap();
        assert!(matches!(only.reseal(HERE, &sealed), Err(SealedError::WrongKey { .. })));
    }

    #[test]
    fn a_secret_opens_only_in_its_place() {
        let sealed = key().seal(Place { table: "task", row: b"1x" }, b"secret").unwrap();
        for place in [
            Place { table: "task", row: b"2x" },
            Place { table: "keys", row: b"1x" },
            Place { table: "task1", row: b"x" },
        ] {
            let error = key().open(place, &sealed).unwrap_err();
            assert_eq!(error, SealedError::Damaged { table: place.table });
        }
    }

    #[test]
    fn a_newer_format_is_named() {
        let mut sealed = key().seal(HERE, b"secret").unwrap();
        sealed[0] = 2;
        let error = key().open(HERE, &sealed).unwrap_err();
        assert_eq!(error, SealedError::Version { table: "task", found: 2, ours: 1 });
    }

    #[test]
    fn secrets_come_back_and_never_look_alike() {
        for secret in [&b""[..], b"secret"] {
            let (one, two) = (key().seal(HERE, secret).unwrap(), key().seal(HERE, secret).unwrap());
            assert_ne!(one, two);
            assert_eq!(one.len(), MIN_LEN + secret.len());
            assert_eq!(key().open(HERE, &one).unwrap().as_slice(), secret);
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_nothing_else_is() {
        let text = key().to_text();
        assert!(text.parse::<DatabaseKey>().unwrap().id() == key().id());
        for wrong in ["", "secret", &text[1..], &format!("{}=", *text)] {
            let error = wrong.parse::<DatabaseKey>().map(|_| ()).unwrap_err();
            assert_eq!(error, SealedError::NotAKey { len: wrong.len() });
        }
    }
}
