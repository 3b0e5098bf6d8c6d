//! Whether a log has what its checkpoint claims, told from a few of its files before all of them are read.
//!
//! Each entry that is looked for takes one bundle, and the tiles between it and the root: so many as
//! the tree is high. A log that claims entries that it does not have is found out by the last one, or by
//! one that it could not guess.

use super::error::FollowError;
use crate::source::Reader;
use rand::RngExt;
use sottovoce_log::{
    tiles::{Content, Files, Place, TileName, TileNodes, WIDTH, entries},
    tree::{Hash, TreeError, inclusion_proof, verify_inclusion},
};

/// So many entries beside the last are looked for, anywhere among those that are new.
const SAMPLES: usize = 4;

/// A log with fewer new entries is read as quickly as it is sampled.
const FEW: u64 = WIDTH * WIDTH;

/// Looks for the last entry and some others, of a log of this size and root that was read up to `from`.
/// `in_time` fails once the time is over; it is asked before each file.
pub(super) fn sampled(
    reader: &Reader,
    (size, root): (u64, &Hash),
    from: u64,
    in_time: &dyn Fn() -> Result<(), FollowError>,
) -> Result<(), FollowError> {
    let mut tiles = Tiles { reader, size, in_time };
    tiles.look_for(size - 1, root)?;
    if size - from <= FEW {
        return Ok(());
    }
    let mut rng = rand::rng();
    (0..SAMPLES).try_for_each(|_| tiles.look_for(rng.random_range(from..size), root))
}

/// The tiles of a log, as it serves them.
pub(super) struct Tiles<'a> {
    pub(super) reader: &'a Reader,
    /// Entries that the log has.
    pub(super) size: u64,
    /// Fails once the time is over; it is asked before each file.
    pub(super) in_time: &'a dyn Fn() -> Result<(), FollowError>,
}

impl Tiles<'_> {
    /// One file, if there is still time.
    pub(super) fn read(&self, place: Place) -> Result<(TileName, Vec<u8>), FollowError> {
        (self.in_time)()?;
        Ok(self.reader.file(place, self.size)?)
    }

    /// Looks for one entry, in its bundle and in the tiles above it.
    pub(super) fn look_for(&mut self, index: u64, root: &Hash) -> Result<(), FollowError> {
        let size = self.size;
        let place = Place { content: Content::Entries, index: index / WIDTH };
        let (name, bytes) = self.read(place)?;
        let at = usize::try_from(index % WIDTH).unwrap_or(usize::MAX);
        let leaf = entries(&name, &bytes)?.get(at).map(|entry| Hash::leaf(entry));
        let leaf = leaf.ok_or(TreeError::NoEntry { index, size })?;
        let proof = inclusion_proof(&mut TileNodes::new(self, size), index, size)?;
        verify_inclusion(&leaf, index, size, &proof, root).map_err(|source| FollowError::Unbacked {
            index,
            size,
            source,
        })
    }
}

impl Files for Tiles<'_> {
    type Error = FollowError;

    fn file(&mut self, name: &TileName) -> Result<Vec<u8>, FollowError> {
        self.read(name.place()).map(|(_, bytes)| bytes)
    }
}
