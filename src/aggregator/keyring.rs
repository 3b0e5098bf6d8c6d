//! The HPKE key pairs that clients seal to, kept sealed in the database.

use super::{
    clock,
    store::{
        Datastore, KeyRecord, StoreError,
        sealed::{DatabaseKey, Place, SealedError},
    },
};
use crate::dap::{
    codec::{Decode, DecodeError, Encode},
    hpke::{
        HpkeConfig, HpkeConfigId, HpkeError, HpkeKeypair, Suite,
        native::{self, Opener},
    },
    hpke_config_list::HpkeConfigList,
};
use thiserror::Error;

/// Our key pairs, ready to open what was sealed to them.
#[derive(Debug)]
pub struct Keyring {
    list: HpkeConfigList,
    openers: Vec<(HpkeConfigId, Opener)>,
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
}

impl Keyring {
    /// Loads the keys of a database; makes a first one if there is none.
    pub fn load(store: &dyn Datastore, key: &DatabaseKey) -> Result<Self, KeyringError> {
        let mut stored = store.keys()?;
        if stored.is_empty() {
            let id = HpkeConfigId(rand::random());
            let keypair = native::generate(id, Suite::DEFAULT)?;
            let sealed = key
                .seal(place(&[id.0]), keypair.secret_bytes())
                .map_err(|source| KeyringError::Sealed { id: id.0, source })?;
            store.put_key(&KeyRecord {
                id: id.0,
                added: clock::now(),
                public: keypair.config.to_bytes().into(),
                sealed: sealed.into(),
            })?;
            stored = store.keys()?;
        }
        let keypairs: Vec<_> =
            stored.iter().map(|stored| open(stored, key)).collect::<Result<_, _>>()?;
        Self::new(&keypairs)
    }

    fn new(keypairs: &[HpkeKeypair]) -> Result<Self, KeyringError> {
        let configs = keypairs.iter().map(|keypair| keypair.config.clone()).collect();
        let opener = |keypair: &HpkeKeypair| Ok((keypair.config.id, Opener::new(keypair)?));
        Ok(Self {
            list: HpkeConfigList::new(configs).map_err(KeyringError::List)?,
            openers: keypairs.iter().map(opener).collect::<Result<_, HpkeError>>()?,
        })
    }

    /// What clients are told, in decreasing order of preference (§4.4.1).
    pub fn config_list(&self) -> &HpkeConfigList {
        &self.list
    }

    /// The key that a message names.
    pub fn opener(&self, id: HpkeConfigId) -> Option<&Opener> {
        self.openers.iter().find(|(opener_id, _)| *opener_id == id).map(|(_, opener)| opener)
    }
}

/// Where a private key is sealed for.
fn place(id: &[u8]) -> Place<'_> {
    Place { table: "hpke key", row: id }
}

fn open(stored: &KeyRecord, key: &DatabaseKey) -> Result<HpkeKeypair, KeyringError> {
    let id = stored.id;
    let private_key = key
        .open(place(&[id]), &stored.sealed)
        .map_err(|source| KeyringError::Sealed { id, source })?;
    let config = HpkeConfig::from_bytes(&stored.public)
        .map_err(|source| KeyringError::Stored { id, source })?;
    Ok(HpkeKeypair::new(config, private_key))
}
