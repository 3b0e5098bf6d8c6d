//! Many small runs become few large ones.

use super::{ID, Position, Runs, Window, ids, part};

/// What a backend does for compaction, within a transaction that has the window alone.
pub(in crate::aggregator::store) trait Compacting: Runs {
    /// Puts one fresh run in the place of all up to `last`, at the position `last`.
    fn replace_fresh(
        &mut self,
        window: Window,
        last: Position,
        run: &[u8],
    ) -> Result<(), Self::Error>;

    /// Deletes the fresh runs up to `last` and adds runs to parts; `parted` gives `last` from then
    /// on.
    fn part_fresh(
        &mut self,
        window: Window,
        last: Position,
        parts: &[(u8, Vec<u8>)],
    ) -> Result<(), Self::Error>;
}

/// Fresh runs from which on it is worth it. A backend looks for windows with as many.
pub(in crate::aggregator::store) const WORTH: usize = 64;
/// IDs from which on fresh runs go into parts: 64 of them in a part, so 1 KiB. More would be read at
/// once, in memory that the allocator keeps for each thread that ever compacted.
const PART_AT: usize = 1 << 14;

/// Compacts the fresh runs of a window; says whether there was anything to do.
pub(in crate::aggregator::store) fn compact<R: Compacting>(
    runs: &mut R,
    window: Window,
) -> Result<bool, R::Error> {
    let (mut all, mut count, mut last) = (Vec::new(), 0, Position::default());
    runs.fresh(window, Position::default(), &mut |position, run| {
        count += 1;
        last = last.max(position);
        all.extend_from_slice(run);
    })?;
    if all.len() / ID >= PART_AT {
        runs.part_fresh(window, last, &parts(&all))?;
        return Ok(true);
    }
    if count < WORTH {
        return Ok(false);
    }
    runs.replace_fresh(window, last, &all)?;
    Ok(true)
}

fn parts(run: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut parts: Vec<_> = (0..=u8::MAX).map(|part| (part, Vec::new())).collect();
    for id in ids(run) {
        parts[usize::from(part(&id))].1.extend_from_slice(id.as_bytes());
    }
    parts
}
