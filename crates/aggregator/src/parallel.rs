//! Work on all cores: a slice in as many parts as there are cores, results in order.

use rayon::prelude::*;
use std::ops::Range;

/// Maps consecutive parts of `items`, each with its place in the whole.
pub fn map_parts<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(Range<usize>, &[T]) -> R + Sync,
) -> Vec<R> {
    let parts = rayon::current_num_threads() * PARTS_PER_CORE;
    let size = items.len().div_ceil(parts).max(LEAST_ITEMS);
    items
        .par_chunks(size)
        .enumerate()
        .map(|(i, part)| work(i * size..i * size + part.len(), part))
        .collect()
}

/// Maps parts that were made before.
pub fn map_owned<T: Send, R: Send>(parts: Vec<T>, work: impl Fn(T) -> R + Sync + Send) -> Vec<R> {
    parts.into_par_iter().map(work).collect()
}

/// More parts than cores, so that a core that was kept busy by others does not hold up the rest.
const PARTS_PER_CORE: usize = 4;
/// Fewer reports than this are not worth handing to another core (about half a millisecond).
const LEAST_ITEMS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_in_order() {
        for len in [0, 1, 15, 16, 17, 1000] {
            let items: Vec<usize> = (0..len).collect();
            let parts = map_parts(&items, |range, part| {
                assert_eq!(range, part.first().copied().unwrap_or(0)..range.start + part.len());
                part.to_vec()
            });
            assert_eq!(parts.concat(), items);
        }
    }
}
