//! Publication: gives pending entries their places in the log and signs a checkpoint that covers them.
//!
//! Killed before a publication commits, nothing of it happened, and the same entries wait. Killed
//! after, they are published. No share leaves in between: [`PublicLog::cover`] looks again.

use super::{
    LogError,
    keys::{self, LogKey},
    refusal_limit::RefusalLimit,
};
use crate::{
    clock,
    store::{
        Blob, Datastore, Edition, LogEntry, LogHead, LogPage, LogState, Published, StoreError,
        sealed::DatabaseKeys,
    },
};
use sottovoce_log::{
    checkpoint::{Checkpoint, Signer},
    entry::EntryKey,
    note::{KeyName, Note},
    proof::Proof,
    tiles::{Content, Edge, Files, Place, TileName, TileNodes, WIDTH, entries, narrowed},
    tree::{Hash, consistency_proof, inclusion_proof},
};
use std::{collections::BTreeMap, sync::Arc};

/// This aggregator's log. Blocking: call it where blocking is fine.
pub struct PublicLog {
    pub(super) store: Arc<dyn Datastore>,
    keys: DatabaseKeys,
    pub(super) refusal_limit: RefusalLimit,
}

/// Something that may leave: whatever was written in the log before, a checkpoint covers it,
/// durably. Only [`PublicLog::cover`] makes one.
#[derive(Debug)]
pub struct Covered<T>(T);

impl<T> Covered<T> {
    /// What may leave.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl PublicLog {
    /// The log of a database whose secrets are sealed under `keys`.
    pub fn new(store: Arc<dyn Datastore>, keys: DatabaseKeys) -> Self {
        Self { store, keys, refusal_limit: RefusalLimit::default() }
    }

    /// Writes entries, to be published later.
    pub fn write(&self, entries: &[LogEntry]) -> Result<(), LogError> {
        self.store.log(entries)?;
        Ok(())
    }

    /// Lets something out, once a checkpoint covers all that was written before.
    pub fn cover<T>(&self, value: T) -> Result<Covered<T>, LogError> {
        let head = self.store.log_head()?;
        if head.waiting > 0 || head.checkpoint.is_none() {
            self.publish()?;
        }
        Ok(Covered(value))
    }

    /// Publishes all that waits; gives the log's size.
    pub fn publish(&self) -> Result<u64, LogError> {
        loop {
            let (keys, mut reason) = (self.keys()?, None);
            let published = self.store.publish(&mut |state| match edition(&keys, state) {
                Ok(edition) => Ok(Some(edition)),
                Err(LogError::Store(error)) => Err(error),
                Err(error) => {
                    reason = Some(error);
                    Ok(None)
                }
            })?;
            match published {
                Published::Nothing => return Ok(self.store.log_head()?.size),
                Published::Done { size, more: false } => return Ok(size),
                Published::Done { more: true, .. } => {}
                Published::Refused => return Err(reason.unwrap_or(LogError::NoKey)),
            }
        }
    }

    /// Where the log stands.
    pub fn head(&self) -> Result<LogHead, LogError> {
        Ok(self.store.log_head()?)
    }

    /// The newest checkpoint; the first one is made if there is none.
    pub fn checkpoint(&self) -> Result<Note, LogError> {
        let mut head = self.store.log_head()?;
        if head.checkpoint.is_none() {
            self.publish()?;
            head = self.store.log_head()?;
        }
        Ok(Note::parse(&head.checkpoint.ok_or(LogError::NoKey)?)?)
    }

    /// A file of the log, if it has grown that far.
    pub fn file(&self, name: &TileName) -> Result<Vec<u8>, LogError> {
        let kept = self.store.log_page(page_of(name.place()))?.ok_or(LogError::NotThere)?;
        narrowed(name, &kept).ok_or(LogError::NotThere)
    }

    /// The proof that an entry is in the log, by the newest checkpoint.
    pub fn proof(&self, key: &EntryKey) -> Result<Proof, LogError> {
        let index = self.store.log_index(&key.0)?.ok_or(LogError::NotThere)?;
        let checkpoint = self.checkpoint()?;
        let size = Checkpoint::parse(checkpoint.text())?.size;
        let mut reader = Reader(self);
        let hashes = inclusion_proof(&mut TileNodes::new(&mut reader, size), index, size)?;
        Ok(Proof { entry: self.entry(index, size)?, index, hashes, checkpoint })
    }

    fn entry(&self, index: u64, size: u64) -> Result<Vec<u8>, LogError> {
        let place = Place { content: Content::Entries, index: index / WIDTH };
        let name = TileName::of(place, size).ok_or(LogError::NotThere)?;
        let file = self.file(&name)?;
        let entries = entries(&name, &file)?;
        let at = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        entries.get(at).map(|entry| entry.to_vec()).ok_or(LogError::NotThere)
    }

    /// The proof that the log went on from a tree of `old` entries to one of `size`.
    pub fn consistency(&self, old: u64, size: u64) -> Result<Vec<Hash>, LogError> {
        let mut reader = Reader(self);
        consistency_proof(&mut TileNodes::new(&mut reader, size), old, size)
    }

    /// Keeps a checkpoint with more signatures, unless the log has grown since.
    pub fn keep_signatures(&self, from: &Note, to: &Note) -> Result<bool, LogError> {
        let (from, to) = (from.to_string(), to.to_string());
        Ok(self.store.replace_checkpoint(from.as_bytes(), to.as_bytes())?)
    }

    /// The keys that sign.
    pub fn keys(&self) -> Result<Vec<LogKey>, LogError> {
        keys::load(self.store.as_ref(), &self.keys)
    }

    /// Makes the first key if there is none, for a log of this name.
    pub fn begin(&self, name: &KeyName) -> Result<(), LogError> {
        keys::first(self.store.as_ref(), &self.keys, name, clock::now())?;
        Ok(())
    }
}

/// What is published when all that waits is added to the log as it stands.
fn edition(keys: &[LogKey], state: &mut LogState<'_>) -> Result<Edition, LogError> {
    let mut edge = edge(state.head, state.page)?;
    for entry in state.waiting {
        edge.push(&entry.bytes)?;
    }
    let name = keys.first().ok_or(LogError::NoKey)?.verifier_key().name();
    let signers: Vec<_> = keys.iter().map(|key| key as &dyn Signer).collect();
    let checkpoint = Checkpoint::new(name.as_str(), edge.frontier()).sign(&signers);
    let page = |(place, bytes): (Place, Vec<u8>)| (page_of(place), Blob::from(bytes));
    Ok(Edition {
        checkpoint: checkpoint.to_string().into_bytes().into(),
        pages: edge.take_changed().into_iter().map(page).collect(),
    })
}

/// The log's right edge. What does not lead to the last checkpoint's root is never signed again.
fn edge(
    head: &LogHead,
    page: &mut dyn FnMut(LogPage) -> Result<Option<Blob>, StoreError>,
) -> Result<Edge, LogError> {
    let mut files = BTreeMap::new();
    for place in Edge::places(head.size) {
        let missing = || LogError::Damaged(format!("{place:?} is missing"));
        files.insert(place, page(page_of(place))?.ok_or_else(missing)?.into_bytes());
    }
    let edge = Edge::new(head.size, files)?;
    if let Some(checkpoint) = &head.checkpoint {
        let last = Checkpoint::parse(Note::parse(checkpoint)?.text())?;
        if (last.size, last.root) != (head.size, edge.frontier().root()) {
            let what = "the root of its files is not its checkpoint's";
            return Err(LogError::Damaged(what.to_owned()));
        }
    }
    Ok(edge)
}

fn page_of(place: Place) -> LogPage {
    LogPage { content: place.content.code(), index: place.index }
}

/// Reads the log's own files for its proofs.
struct Reader<'a>(&'a PublicLog);

impl Files for Reader<'_> {
    type Error = LogError;

    fn file(&mut self, name: &TileName) -> Result<Vec<u8>, LogError> {
        self.0.file(name)
    }
}
