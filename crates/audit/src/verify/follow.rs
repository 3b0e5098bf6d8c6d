//! Follows a log from where it was left: every new entry, hashed anew, and every tile beside it.
//!
//! What is kept of the past is the tree's right edge. If that edge and the new entries lead to
//! the new checkpoint's root, the log only grew. A short past is read again all the same, and a long one in
//! [turns](super::reread): whether the log still has what it had, the edge does not say.
//!
//! A log may claim anything, and make up each file as it is asked for. So what it claims is
//! [`sampled`] before it is read, by a few files, and what is read is kept within [`Bounds`].

use super::{error::FollowError, sampled::sampled};
use crate::source::Reader;
use sottovoce_log::{
    checkpoint::{CheckpointError, Opened, Trust},
    tiles::{Content, Place, WIDTH, entries, hashes},
    tree::{Frontier, Hash},
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// What one audit reads of one log at most, whatever the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Entries that are new.
    pub entries: u64,
    /// Entries that an earlier audit read, and that are read again. A longer past is read in turns.
    pub reread: u64,
    /// For how long.
    pub time: Duration,
}

impl Default for Bounds {
    /// Far more than an honest log has, and what is read in an hour.
    fn default() -> Self {
        Self { entries: 10_000_000, reread: 1_000_000, time: Duration::from_secs(3600) }
    }
}

/// What is done with each entry, by its place.
pub type Each<'a> = dyn FnMut(u64, &[u8]) -> Result<(), FollowError> + 'a;

/// Reads a log from the end of `from` on, and gives each entry to `each`. It has to be the
/// continuation of `past`, of which `from` is a beginning. Returns the checkpoint and the tree that it
/// covers.
///
/// A checkpoint that too few witnesses cosigned is an error, but only after all that the log's own signature proves:
/// that it was rolled back, forked or altered is said also then.
pub fn follow(
    reader: &Reader,
    trust: &Trust,
    (from, past): (&Frontier, &Frontier),
    bounds: Bounds,
    each: &mut Each<'_>,
) -> Result<(Opened, Frontier), FollowError> {
    let started = Instant::now();
    let (opened, unwitnessed) = opened(trust, &reader.checkpoint()?)?;
    let (size, root) = (opened.checkpoint().size, opened.checkpoint().root);
    if size < past.size() {
        return Err(FollowError::RolledBack { before: past.size(), now: size });
    }
    if size == past.size() && root != past.root() {
        return Err(FollowError::Forked { size });
    }
    let seen = past.size().max(from.size());
    let new = size.saturating_sub(seen);
    if new > bounds.entries {
        return Err(FollowError::TooMany { size, new, most: bounds.entries });
    }
    if new > 0 {
        let in_time = || {
            let (read, most) = (seen, bounds.time);
            if started.elapsed() > most {
                return Err(FollowError::TooSlow { read, size, most });
            }
            Ok(())
        };
        sampled(reader, (size, &root), seen, &in_time)?;
    }
    let (mut tree, mut nodes) = (from.clone(), Nodes::default());
    let first = from.size() / WIDTH;
    let bundles = if size == from.size() { 0..0 } else { first..size.div_ceil(WIDTH) };
    for index in bundles {
        if started.elapsed() > bounds.time {
            return Err(FollowError::TooSlow { read: tree.size(), size, most: bounds.time });
        }
        let place = Place { content: Content::Entries, index };
        let (name, bytes) = reader.file(place, size)?;
        let known = tree.size() - index * WIDTH;
        for entry in entries(&name, &bytes)?.iter().skip(usize::try_from(known).unwrap_or(0)) {
            let at = tree.size();
            tree.push(Hash::leaf(entry), |level, index, hash| nodes.add(level, index, hash));
            if tree.size() == past.size() && tree.root() != past.root() {
                return Err(FollowError::Forked { size: past.size() });
            }
            each(at, entry)?;
        }
        nodes.compare(reader, size, false)?;
    }
    nodes.compare(reader, size, true)?;
    if tree.root() != root {
        return Err(FollowError::Root { size });
    }
    unwitnessed.map_or(Ok((opened, tree)), |error| Err(error.into()))
}

/// A checkpoint that the log signed, and what is wrong if only witnesses are missing.
fn opened(
    trust: &Trust,
    bytes: &[u8],
) -> Result<(Opened, Option<CheckpointError>), CheckpointError> {
    match trust.open(bytes) {
        Err(error @ CheckpointError::Quorum { .. }) => {
            Ok((trust.without_quorum().open(bytes)?, Some(error)))
        }
        opened => opened.map(|opened| (opened, None)),
    }
}

/// The hashes that tiles must have, until they are compared.
#[derive(Default)]
struct Nodes {
    tiles: BTreeMap<Place, (u64, Vec<Hash>)>,
}

impl Nodes {
    fn add(&mut self, level: u32, index: u64, hash: Hash) {
        if !level.is_multiple_of(8) {
            return;
        }
        let content = Content::Hashes(u8::try_from(level / 8).unwrap_or(u8::MAX));
        let place = Place { content, index: index / WIDTH };
        let (_, hashes) = self.tiles.entry(place).or_insert((index % WIDTH, Vec::new()));
        hashes.push(hash);
    }

    /// Compares the tiles that are complete, or all there are.
    fn compare(&mut self, reader: &Reader, size: u64, all: bool) -> Result<(), FollowError> {
        let complete = |(first, hashes): &(u64, Vec<Hash>)| first + hashes.len() as u64 == WIDTH;
        let due: Vec<_> = self.tiles.iter().filter(|(_, tile)| all || complete(tile)).collect();
        let due: Vec<Place> = due.into_iter().map(|(place, _)| *place).collect();
        for place in due {
            let Some((first, ours)) = self.tiles.remove(&place) else { continue };
            let (name, bytes) = reader.file(place, size)?;
            let theirs = hashes(&name, &bytes)?;
            let theirs = theirs.iter().skip(usize::try_from(first).unwrap_or(usize::MAX));
            if let Some(at) = ours.iter().zip(theirs).position(|(ours, theirs)| ours != theirs) {
                let (name, offset) = (name.to_string(), first + at as u64);
                return Err(FollowError::TileDiffers { name, offset });
            }
        }
        Ok(())
    }
}
