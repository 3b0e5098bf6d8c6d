//! Where a device keeps its state: one blob, replaced whole.

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod file;

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
pub use file::FileStorage;

use thiserror::Error;

/// A place for one blob that outlives the process.
///
/// The engine calls it from one thread at a time and expects that no other engine uses the same
/// place; a place that can be reached twice must refuse the second ([`StorageError::InUse`]).
pub trait Storage {
    /// The blob that was stored last; `None` before the first one and after it was erased.
    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError>;

    /// Replaces the blob. When this returns, the new one is durable; after an error or a crash the
    /// old one or the new one is there, whole. Nothing that depends on it is sent before.
    fn store(&mut self, blob: &[u8]) -> Result<(), StorageError>;

    /// Keeps a durable copy of the blob for people to look at, and says where. The blob itself stays until the
    /// next [`store`](Self::store) replaces it, so that a device that is killed in between is not new. Nothing
    /// is done if there is none.
    fn set_aside(&mut self) -> Result<String, StorageError>;

    /// Removes all that was set aside, and whatever a crash left beside the blob, but not the blob. After
    /// an error or a crash some of it may be left; calling again removes the rest.
    fn discard_aside(&mut self) -> Result<(), StorageError>;

    /// Removes the blob. When this returns, that is durable; after an error or a crash the blob is there,
    /// whole, or it is not.
    fn erase(&mut self) -> Result<(), StorageError>;
}

/// A blob that was not stored or loaded. What was stored before is as it was.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum StorageError {
    /// Another engine has it.
    #[error("{place} is in use by another process; open only one engine for a state")]
    InUse {
        /// Where.
        place: String,
    },
    /// No space is left.
    #[error("{place} cannot be written: the disk is full; make room and try again")]
    Full {
        /// Where.
        place: String,
    },
    /// Writing is not allowed.
    #[error("{place} cannot be used: {reason}; choose a folder that the app may write to")]
    Denied {
        /// Where.
        place: String,
        /// What the system said.
        reason: String,
    },
    /// There is more than any engine writes.
    #[error("{place} has {bytes} bytes, and a state has at most {most}; is it another file?")]
    TooLong {
        /// Where.
        place: String,
        /// How much is there.
        bytes: u64,
        /// How much there may be.
        most: u64,
    },
    /// Anything else, in the place's own words.
    #[error("{place}: {reason}")]
    Other {
        /// Where.
        place: String,
        /// What happened.
        reason: String,
    },
}

/// No state is longer: bytes beyond are not read.
pub const MOST_BYTES: u64 = 4 << 20;

/// State that ends with the process: for tests, simulations, and apps that ask for one session.
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    blob: Option<Vec<u8>>,
    aside: Vec<Vec<u8>>,
}

impl MemoryStorage {
    /// With a blob that was kept elsewhere.
    pub fn with(blob: Vec<u8>) -> Self {
        Self { blob: Some(blob), aside: Vec::new() }
    }

    /// The blob as it is now.
    pub fn blob(&self) -> Option<&[u8]> {
        self.blob.as_deref()
    }

    /// What was set aside.
    pub fn aside(&self) -> &[Vec<u8>] {
        &self.aside
    }
}

impl Storage for MemoryStorage {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.blob.clone())
    }

    fn store(&mut self, blob: &[u8]) -> Result<(), StorageError> {
        let kept = self.blob.get_or_insert_default();
        kept.clear();
        kept.extend_from_slice(blob);
        Ok(())
    }

    fn set_aside(&mut self) -> Result<String, StorageError> {
        self.aside.extend(self.blob.clone());
        Ok("memory".to_owned())
    }

    fn discard_aside(&mut self) -> Result<(), StorageError> {
        self.aside.clear();
        Ok(())
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        self.blob = None;
        Ok(())
    }
}

/// A place that is lent, so that what is in it can be looked at while an engine has it.
impl<S: Storage> Storage for &mut S {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        (**self).load()
    }

    fn store(&mut self, blob: &[u8]) -> Result<(), StorageError> {
        (**self).store(blob)
    }

    fn set_aside(&mut self) -> Result<String, StorageError> {
        (**self).set_aside()
    }

    fn discard_aside(&mut self) -> Result<(), StorageError> {
        (**self).discard_aside()
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        (**self).erase()
    }
}

/// Any place, for callers that choose at run time.
impl Storage for Box<dyn Storage + Send> {
    fn load(&mut self) -> Result<Option<Vec<u8>>, StorageError> {
        (**self).load()
    }

    fn store(&mut self, blob: &[u8]) -> Result<(), StorageError> {
        (**self).store(blob)
    }

    fn set_aside(&mut self) -> Result<String, StorageError> {
        (**self).set_aside()
    }

    fn discard_aside(&mut self) -> Result<(), StorageError> {
        (**self).discard_aside()
    }

    fn erase(&mut self) -> Result<(), StorageError> {
        (**self).erase()
    }
}
