//! The keys that sign this aggregator's log, kept sealed in its database.

use super::LogError;
use crate::{
    clock,
    store::{
        Datastore, KeyRecord, KeyUse, LogEntry, Put, StoreError, Timestamp,
        sealed::{DatabaseKeys, Place},
    },
};
use rand::{TryRng, rngs::SysRng};
use ring::signature::{Ed25519KeyPair, KeyPair};
use sottovoce_log::{
    checkpoint::Signer,
    entry::{Entry, Event, KeyChange},
    note::{KeyKind, KeyName, VerifierKey},
};
use std::fmt;
use zeroize::Zeroizing;

/// A key pair that signs the log. Shows its public part only.
pub struct LogKey {
    id: u8,
    key: VerifierKey,
    pair: Ed25519KeyPair,
}

impl LogKey {
    /// Its ID in the database.
    pub fn id(&self) -> u8 {
        self.id
    }

    fn open(record: &KeyRecord, database_keys: &DatabaseKeys) -> Result<Self, LogError> {
        let id = record.id;
        let stored = || LogError::StoredKey(id);
        let text = std::str::from_utf8(&record.public).map_err(|_| stored())?;
        let key: VerifierKey = text.parse().map_err(|_| stored())?;
        let seed = database_keys
            .open(place(&[id]), &record.sealed)
            .map_err(|source| LogError::SealedKey { id, source })?;
        let pair = Ed25519KeyPair::from_seed_and_public_key(&seed, key.public_key());
        Ok(Self { id, key, pair: pair.map_err(|_| stored())? })
    }
}

impl Signer for LogKey {
    fn verifier_key(&self) -> &VerifierKey {
        &self.key
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.copy_from_slice(self.pair.sign(message).as_ref());
        signature
    }
}

impl fmt::Debug for LogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogKey({})", self.key)
    }
}

/// The keys that sign, oldest first.
pub fn load(store: &dyn Datastore, keys: &DatabaseKeys) -> Result<Vec<LogKey>, LogError> {
    store.keys(KeyUse::Log)?.iter().map(|record| LogKey::open(record, keys)).collect()
}

/// Makes a key for the log `name`, which signs from now on beside those that do; gives its ID.
pub fn make(
    store: &dyn Datastore,
    database_keys: &DatabaseKeys,
    name: &KeyName,
    now: Timestamp,
) -> Result<u8, LogError> {
    let known = store.keys(KeyUse::Log)?;
    let id = known.iter().map(|key| key.id).max().map_or(Some(0), |last| last.checked_add(1));
    let id = id.ok_or(LogError::NoFreeId)?;
    let mut seed = Zeroizing::new([0; 32]);
    SysRng.try_fill_bytes(&mut *seed).map_err(|_| LogError::NoRandomness)?;
    let pair = Ed25519KeyPair::from_seed_unchecked(&*seed).map_err(|_| LogError::NoRandomness)?;
    let public = pair.public_key().as_ref().try_into().map_err(|_| LogError::NoRandomness)?;
    let key = VerifierKey::new(name.clone(), KeyKind::Log, public).ok_or(LogError::NoRandomness)?;
    let sealed = database_keys
        .seal(place(&[id]), &*seed)
        .map_err(|source| LogError::SealedKey { id, source })?;
    let public = key.to_string().into_bytes().into();
    let record = KeyRecord { id, offered: now, public, sealed: sealed.into() };
    // Said first: killed in between, the log knows of a key that never signs.
    store.log(&[changed(KeyChange::Added, key, now)?])?;
    store.put_key(KeyUse::Log, &record)?;
    Ok(id)
}

/// Makes the first key of the log `name` if there is none.
pub fn first(
    store: &dyn Datastore,
    database_keys: &DatabaseKeys,
    name: &KeyName,
    now: Timestamp,
) -> Result<Put, LogError> {
    if !store.keys(KeyUse::Log)?.is_empty() {
        return Ok(Put::AlreadyThere);
    }
    match make(store, database_keys, name, now) {
        Ok(_) => Ok(Put::Added),
        // Another replica was quicker.
        Err(LogError::Store(StoreError::KeyConflict(_))) => Ok(Put::AlreadyThere),
        Err(error) => Err(error),
    }
}

/// Ends a key: it signs nothing more, and nobody can sign with it again.
pub fn retire(
    store: &dyn Datastore,
    database_keys: &DatabaseKeys,
    id: u8,
    now: Timestamp,
) -> Result<(), LogError> {
    let keys = load(store, database_keys)?;
    let key = keys.iter().find(|key| key.id == id).ok_or(LogError::NoSuchKey(id))?;
    if keys.len() == 1 {
        return Err(LogError::OnlyKey(id));
    }
    store.log(&[changed(KeyChange::Retired, key.key.clone(), now)?])?;
    Ok(store.delete_key(KeyUse::Log, id)?)
}

fn changed(change: KeyChange, key: VerifierKey, now: Timestamp) -> Result<LogEntry, LogError> {
    let time = clock::seconds(now);
    Ok(super::entries::stored(&Entry { time, event: Event::LogKey(change, key) })?)
}

/// Where a private key is sealed for.
pub fn place(id: &[u8]) -> Place<'_> {
    Place { table: "log key", row: id }
}
