//! Reads entries again that an earlier audit read: an operator who altered or deleted them would otherwise be
//! found out only by auditors who come later.
//!
//! A history that is short is read whole in each audit, by [`follow`](super::follow::follow) from its first entry
//! on. Of a longer one, each audit reads the next part; here.

use super::{error::FollowError, sampled::Tiles};
use sottovoce_log::{
    tiles::{Content, Place, WIDTH, entries, hashes},
    tree::Hash,
};
use std::ops::Range;

/// The bundles that are read again in this audit, of a history of `size` entries: as many as hold `most` entries,
/// from `next` on, and from the first again after the last.
pub(super) fn turn(size: u64, next: u64, most: u64) -> Range<u64> {
    let all = size.div_ceil(WIDTH);
    let start = if next < all { next } else { 0 };
    start..all.min(start.saturating_add(most.div_ceil(WIDTH)))
}

/// Reads bundles again of a log's first `size` entries, and gives the number of these that are in them. Each entry must
/// be the one that its tile has, and each tile one of the tree with this root.
pub(super) fn reread(
    tiles: &mut Tiles<'_>,
    root: &Hash,
    size: u64,
    bundles: Range<u64>,
) -> Result<u64, FollowError> {
    let mut read = 0;
    for index in bundles {
        let (name, bytes) = tiles.read(Place { content: Content::Entries, index })?;
        let ours: Vec<_> = entries(&name, &bytes)?.iter().map(|entry| Hash::leaf(entry)).collect();
        let (name, bytes) = tiles.read(Place { content: Content::Hashes(0), index })?;
        let theirs = hashes(&name, &bytes)?;
        if let Some(at) = ours.iter().zip(&theirs).position(|(ours, theirs)| ours != theirs) {
            return Err(FollowError::TileDiffers { name: name.to_string(), offset: at as u64 });
        }
        // The proof of one entry takes all hashes of its tile.
        tiles.look_for(index * WIDTH, root)?;
        read += (size - index * WIDTH).min(WIDTH);
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_of_a_history_has_its_turn() {
        let (size, most) = (10 * WIDTH + 7, 3 * WIDTH - 5);
        let (mut next, mut seen) = (0, Vec::new());
        for _ in 0..4 {
            let turn = turn(size, next, most);
            next = turn.end;
            seen.extend(turn);
        }
        assert_eq!(seen, (0..11).collect::<Vec<_>>(), "the last is not full");
        assert_eq!(turn(size, next, most), 0..3, "and then the first again");
        assert_eq!(turn(WIDTH - 1, 0, 1), 0..1);
        assert_eq!(turn(0, 0, most), 0..0);
        assert_eq!(turn(size, u64::MAX, u64::MAX), 0..11);
    }
}
