//! The memory of all filters of a store: pieces of one size, of which there are never more than so many.
//!
//! A server [reserves](Pieces::reserve) them all when it starts. From then on filters come, grow and go
//! within memory that the process has: it takes as much after a million reports as after the first one,
//! and leaves no holes of odd sizes.

use std::sync::{Arc, Mutex, PoisonError};

/// Four fingerprints.
pub(super) type Bucket = [u16; BUCKET];

/// Slots of a bucket: with four, a filter can be as full as it is allowed to be.
pub(super) const BUCKET: usize = 4;
/// Buckets of a piece.
pub(super) const PIECE: usize = 1024;
/// Bytes of a piece.
pub(super) const PIECE_BYTES: usize = PIECE * size_of::<Bucket>();

type Piece = Box<[Bucket; PIECE]>;

/// Pieces that are taken and given back.
#[derive(Clone, Debug)]
pub(super) struct Pieces(Arc<Mutex<Pool>>);

struct Pool {
    /// Each as its last filter left it.
    free: Vec<Piece>,
    /// Those that may still be made.
    unmade: usize,
}

impl Pieces {
    /// So many, none of which is made yet.
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(Mutex::new(Pool { free: Vec::new(), unmade: most })))
    }

    /// Makes all that there may be, and writes to each: the system gives memory only then.
    pub(super) fn reserve(&self) {
        let mut pool = self.pool();
        let unmade = std::mem::take(&mut pool.unmade);
        pool.free.extend((0..unmade).map(|_| made()));
    }

    /// Empty buckets in so many pieces; none if there are fewer.
    pub(super) fn take(&self, pieces: usize) -> Buckets {
        let mut pool = self.pool();
        let taken = if pieces <= pool.left() { pool.take(pieces) } else { Vec::new() };
        drop(pool);
        Buckets { taken, of: self.clone() }
    }

    /// Pieces that can be taken.
    pub(super) fn left(&self) -> usize {
        self.pool().left()
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn take(&mut self, pieces: usize) -> Vec<Piece> {
        let kept = self.free.len().saturating_sub(pieces);
        let mut taken = self.free.split_off(kept);
        for piece in &mut taken {
            piece.fill(EMPTY);
        }
        let more = pieces - taken.len();
        self.unmade -= more;
        taken.extend((0..more).map(|_| {
            let mut piece = made();
            piece.fill(EMPTY);
            piece
        }));
        taken
    }

    fn left(&self) -> usize {
        self.free.len() + self.unmade
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} pieces left]", self.left())
    }
}

const EMPTY: Bucket = [0; BUCKET];

/// A piece that holds anything but zeros, which the system would not give memory for.
fn made() -> Piece {
    let buckets = vec![[u16::MAX; BUCKET]; PIECE].into_boxed_slice();
    buckets.try_into().unwrap_or_else(|_| Box::new([EMPTY; PIECE]))
}

/// Buckets of one filter; their pieces go back when it is dropped.
#[derive(Debug)]
pub(super) struct Buckets {
    taken: Vec<Piece>,
    of: Pieces,
}

impl Buckets {
    pub(super) fn len(&self) -> usize {
        self.taken.len() * PIECE
    }

    pub(super) fn pieces(&self) -> usize {
        self.taken.len()
    }
}

impl std::ops::Index<usize> for Buckets {
    type Output = Bucket;

    fn index(&self, at: usize) -> &Bucket {
        &self.taken[at / PIECE][at % PIECE]
    }
}

impl std::ops::IndexMut<usize> for Buckets {
    fn index_mut(&mut self, at: usize) -> &mut Bucket {
        &mut self.taken[at / PIECE][at % PIECE]
    }
}

impl Drop for Buckets {
    fn drop(&mut self) {
        let mut pool = self.of.pool();
        pool.free.append(&mut self.taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_never_more_pieces_than_so_many_and_all_come_back() {
        let pieces = Pieces::new(3);
        assert_eq!(pieces.take(4).pieces(), 0);
        let (two, one) = (pieces.take(2), pieces.take(1));
        assert_eq!((two.pieces(), two.len(), one.pieces()), (2, 2 * PIECE, 1));
        assert_eq!((pieces.take(1).pieces(), pieces.left()), (0, 0));
        drop(two);
        assert_eq!((pieces.left(), pieces.take(2).pieces()), (2, 2));
    }

    #[test]
    fn a_reserved_store_makes_no_piece_later_and_no_filter_sees_anothers_buckets() {
        let pieces = Pieces::new(2);
        pieces.reserve();
        assert_eq!(pieces.pool().unmade, 0);
        for _ in 0..2 {
            let mut buckets = pieces.take(2);
            assert!((0..buckets.len()).all(|at| buckets[at] == EMPTY));
            (0..buckets.len()).for_each(|at| buckets[at] = [7; BUCKET]);
            assert_eq!(pieces.pool().unmade, 0);
        }
    }
}
