//! The HPKE key pairs that clients seal to, kept sealed in the database.
//!
//! A key is *pending* while replicas learn of it, *active* while it is offered to clients, and
//! *expired* once another took its place: it still opens what clients sealed before, until nothing
//! can need it. The state follows from when each key is offered from, so that all replicas agree on it
//! without telling one another.

use super::{
    clock,
    config::limits::HpkeKeys,
    log::entries,
    store::{
        Datastore, KeyRecord, KeyUse, StoreError, Timestamp,
        sealed::{DatabaseKeys, Place, SealedError},
    },
};
use sottovoce_dap::{
    codec::{Decode, DecodeError, Encode},
    hpke::{
        HpkeConfig, HpkeConfigId, HpkeError, HpkeKeypair, Suite,
        native::{self, Opener},
    },
    hpke_config_list::HpkeConfigList,
};
use sottovoce_log::entry::{EntryTooLong, KeyChange};
use std::sync::{Arc, PoisonError, RwLock};
use thiserror::Error;

/// Our key pairs, as they are now.
#[derive(Debug)]
pub struct Keyring {
    keys: RwLock<Arc<Keys>>,
}

/// Key pairs, ready to open what was sealed to them.
#[derive(Debug)]
pub struct Keys {
    list: HpkeConfigList,
    openers: Vec<(HpkeConfigId, Opener)>,
}

/// Where a key is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// Opens reports, but is not offered yet; until then.
    Pending(Timestamp),
    /// Offered to clients.
    Active,
    /// Opens reports, and is offered no more; since then.
    Expired(Timestamp),
}

/// Keys that could not be loaded or made.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The private key cannot be sealed or opened.
    #[error("HPKE key {id}: {source}")]
    Sealed {
        /// The key's ID.
        id: u8,
        /// Why not.
        source: SealedError,
    },
    /// The stored key is not one that this version wrote.
    #[error(
        "the stored HPKE key {id} does not decode ({source}); restore the database from a backup"
    )]
    Stored {
        /// The key's ID.
        id: u8,
        /// Where decoding failed.
        source: DecodeError,
    },
    /// A key cannot be made or used.
    #[error(transparent)]
    Hpke(#[from] HpkeError),
    /// The keys do not make a list to publish.
    #[error("the stored HPKE keys cannot be published: {0}")]
    List(DecodeError),
    /// The log cannot say it.
    #[error(transparent)]
    Entry(#[from] EntryTooLong),
    /// There are as many keys as there are IDs.
    #[error(
        "all 256 HPKE key IDs are in use; wait until old keys are destroyed, or lower hpke.keep_days"
    )]
    NoFreeId,
}

impl Keyring {
    /// Loads the keys of a database; makes a first one if there is none.
    pub fn load(
        store: &dyn Datastore,
        database_keys: &DatabaseKeys,
        now: Timestamp,
    ) -> Result<Self, KeyringError> {
        if store.keys(KeyUse::Hpke)?.is_empty() {
            // The first of all has nothing to wait for: without it nobody could report.
            make(store, database_keys, now)?;
        }
        let keys = read(store, database_keys, now)?;
        Ok(Self { keys: RwLock::new(Arc::new(keys)) })
    }

    /// The keys as they are now. Whoever opens many reports keeps what this returns meanwhile.
    pub fn keys(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Makes a new key if one is due, destroys those that nobody needs any more, and takes over
    /// what other replicas did. `needed_since` is when the oldest report arrived that waits to be
    /// opened.
    pub fn rotate(
        &self,
        store: &dyn Datastore,
        database_keys: &DatabaseKeys,
        schedule: &HpkeKeys,
        now: Timestamp,
        needed_since: Option<Timestamp>,
    ) -> Result<(), KeyringError> {
        if is_due(&store.keys(KeyUse::Hpke)?, schedule, now) {
            let id = make(store, database_keys, now.after(schedule.pending))?;
            tracing::info!(id, "created an HPKE key; it is pending");
        }
        for (key, state) in states(store.keys(KeyUse::Hpke)?, now) {
            if is_over(state, schedule, now, needed_since) {
                destroy(store, &key, now)?;
                tracing::info!(id = key.id, "destroyed an expired HPKE key");
            }
        }
        let keys = Arc::new(read(store, database_keys, now)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }
}

impl Keys {
    /// What clients are told, in decreasing order of preference (§4.4.1).
    pub fn config_list(&self) -> &HpkeConfigList {
        &self.list
    }

    /// The key that a message names.
    pub fn opener(&self, id: HpkeConfigId) -> Option<&Opener> {
        self.openers.iter().find(|(opener_id, _)| *opener_id == id).map(|(_, opener)| opener)
    }
}

/// Makes a key under a free ID, pending until `offered`.
pub fn make(
    store: &dyn Datastore,
    database_keys: &DatabaseKeys,
    offered: Timestamp,
) -> Result<u8, KeyringError> {
    let taken: Vec<u8> = store.keys(KeyUse::Hpke)?.iter().map(|key| key.id).collect();
    let start: u8 = rand::random();
    let mut free = (0..=u8::MAX).map(|step| start.wrapping_add(step));
    let id = free.find(|id| !taken.contains(id)).ok_or(KeyringError::NoFreeId)?;
    let keypair = native::generate(HpkeConfigId(id), Suite::DEFAULT)?;
    let sealed = database_keys
        .seal(place(&[id]), keypair.secret_bytes())
        .map_err(|source| KeyringError::Sealed { id, source })?;
    let public = keypair.config.to_bytes().into();
    // Said first: killed in between, the log knows of a key that nobody seals to.
    store.log(&[entries::hpke_key(KeyChange::Added, keypair.config.clone(), clock::now())?])?;
    let record = KeyRecord { id, offered, public, sealed: sealed.into() };
    store.put_key(KeyUse::Hpke, &record)?;
    Ok(id)
}

/// Destroys a key: what was sealed to it can be opened no more.
pub fn destroy(store: &dyn Datastore, key: &KeyRecord, now: Timestamp) -> Result<(), KeyringError> {
    let config = HpkeConfig::from_bytes(&key.public)
        .map_err(|source| KeyringError::Stored { id: key.id, source })?;
    store.log(&[entries::hpke_key(KeyChange::Retired, config, now)?])?;
    Ok(store.delete_key(KeyUse::Hpke, key.id)?)
}

/// Each key with its state, oldest first.
pub fn states(mut keys: Vec<KeyRecord>, now: Timestamp) -> Vec<(KeyRecord, KeyState)> {
    keys.sort_by_key(|key| (key.offered, key.id));
    let offered: Vec<_> = keys.iter().map(|key| key.offered).collect();
    let state = |at: usize| match offered.get(at + 1) {
        // If nothing else is on offer, by a clock that was put back, the oldest key is.
        _ if at > 0 && offered[at] > now => KeyState::Pending(offered[at]),
        Some(&next) if next <= now => KeyState::Expired(next),
        _ => KeyState::Active,
    };
    let states: Vec<_> = (0..keys.len()).map(state).collect();
    keys.into_iter().zip(states).collect()
}

/// Where a private key is sealed for.
pub fn place(id: &[u8]) -> Place<'_> {
    Place { table: "hpke key", row: id }
}

fn is_due(keys: &[KeyRecord], schedule: &HpkeKeys, now: Timestamp) -> bool {
    let newest = keys.iter().map(|key| key.offered).max();
    !schedule.rotate_after.is_zero()
        && newest.is_some_and(|newest| newest.after(schedule.rotate_after) <= now)
}

fn is_over(
    state: KeyState,
    schedule: &HpkeKeys,
    now: Timestamp,
    needed_since: Option<Timestamp>,
) -> bool {
    let KeyState::Expired(since) = state else { return false };
    let over = since.after(schedule.keep);
    over <= now && needed_since.is_none_or(|needed| over < needed)
}

fn read(
    store: &dyn Datastore,
    database_keys: &DatabaseKeys,
    now: Timestamp,
) -> Result<Keys, KeyringError> {
    let states = states(store.keys(KeyUse::Hpke)?, now);
    let mut openers = Vec::with_capacity(states.len());
    let mut offered = Vec::new();
    for (record, state) in states {
        let keypair = open(&record, database_keys)?;
        openers.push((keypair.config.id, Opener::new(&keypair)?));
        if state == KeyState::Active {
            offered.push(keypair.config.clone());
        }
    }
    Ok(Keys { list: HpkeConfigList::new(offered).map_err(KeyringError::List)?, openers })
}

fn open(stored: &KeyRecord, database_keys: &DatabaseKeys) -> Result<HpkeKeypair, KeyringError> {
    let id = stored.id;
    let private_key = database_keys
        .open(place(&[id]), &stored.sealed)
        .map_err(|source| KeyringError::Sealed { id, source })?;
    let config = HpkeConfig::from_bytes(&stored.public)
        .map_err(|source| KeyringError::Stored { id, source })?;
    Ok(HpkeKeypair::new(config, private_key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::SqliteStore;
    use std::time::Duration;

    const HOUR: u64 = 3_600_000;
    const SCHEDULE: HpkeKeys = HpkeKeys {
        rotate_after: Duration::from_secs(10 * 3600),
        pending: Duration::from_secs(3600),
        keep: Duration::from_secs(5 * 3600),
    };

    fn at(hours: u64) -> Timestamp {
        Timestamp(hours * HOUR)
    }

    fn offered(keyring: &Keyring) -> Vec<u8> {
        keyring.keys().config_list().iter().map(|config| config.id.0).collect()
    }

    #[test]
    fn a_key_is_pending_then_active_then_expired_then_gone() {
        let store = SqliteStore::in_memory().unwrap();
        let keys = DatabaseKeys::random().unwrap();
        let keyring = Keyring::load(&store, &keys, at(100)).unwrap();
        let turn = |hours, needed| {
            keyring.rotate(&store, &keys, &SCHEDULE, at(hours), needed).unwrap();
            (offered(&keyring), store.keys(KeyUse::Hpke).unwrap().len())
        };
        let first = offered(&keyring);
        assert_eq!(turn(109, None), (first.clone(), 1));
        // Made, loaded and able to open, but not offered yet.
        assert_eq!(turn(110, None), (first.clone(), 2));
        let second = store.keys(KeyUse::Hpke).unwrap()[1].id;
        assert!(keyring.keys().opener(HpkeConfigId(second)).is_some());
        assert_eq!(turn(111, None), (vec![second], 2));
        assert!(keyring.keys().opener(HpkeConfigId(first[0])).is_some());
        assert_eq!(turn(115, None), (vec![second], 2));
        // A report that arrived while the old key opened still waits.
        assert_eq!(turn(116, Some(at(112))), (vec![second], 2));
        assert_eq!(turn(117, Some(at(117))), (vec![second], 1));
        assert!(keyring.keys().opener(HpkeConfigId(first[0])).is_none());
    }

    #[test]
    fn a_key_for_use_at_once_takes_over_from_one_that_is_just_made() {
        let store = SqliteStore::in_memory().unwrap();
        let keys = DatabaseKeys::random().unwrap();
        let keyring = Keyring::load(&store, &keys, at(100)).unwrap();
        let pending = make(&store, &keys, at(101)).unwrap();
        let at_once = make(&store, &keys, Timestamp(at(100).0 + 1)).unwrap();
        let turn = |now| {
            keyring.rotate(&store, &keys, &SCHEDULE, now, None).unwrap();
            offered(&keyring)
        };
        assert_eq!(turn(Timestamp(at(100).0 + 1)), [at_once]);
        assert_eq!(turn(at(101)), [pending]);
    }

    #[test]
    fn the_only_key_is_never_destroyed() {
        let store = SqliteStore::in_memory().unwrap();
        let keys = DatabaseKeys::random().unwrap();
        let never = HpkeKeys { rotate_after: Duration::ZERO, ..SCHEDULE };
        let keyring = Keyring::load(&store, &keys, at(0)).unwrap();
        keyring.rotate(&store, &keys, &never, at(1_000_000), None).unwrap();
        assert_eq!(offered(&keyring).len(), 1);
    }
}
