//! Many small runs become few large ones.

use super::{FINE, ID, Part, Position, Runs, Scope, Spans, coarse, fine, ids};
use sottovoce_dap::ids::ReportId;
use std::collections::BTreeMap;

/// What a backend does for compaction, within a transaction that has the task's IDs alone.
pub(in crate::store) trait Compacting: Runs {
    /// Puts one fresh run in the place of all up to `last`, at the position `last`.
    fn replace_fresh(
        &mut self,
        scope: Scope,
        last: Position,
        spans: Spans,
        run: &[u8],
    ) -> Result<(), Self::Error>;

    /// Deletes the fresh runs up to `last` and adds runs to parts; `parted` gives `last` from then
    /// on.
    fn part_fresh(
        &mut self,
        scope: Scope,
        last: Position,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), Self::Error>;

    /// A part by first byte that has [`CROWDED`] runs or more, or [`CROWDED_BYTES`].
    fn crowded(&mut self, scope: Scope) -> Result<Option<Part>, Self::Error>;

    /// Deletes the runs of a part, and adds runs to others in their place.
    fn replace_part(
        &mut self,
        scope: Scope,
        part: Part,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), Self::Error>;
}

/// Fresh runs from which on it is worth it. A backend looks for tasks with as many.
pub(in crate::store) const WORTH: usize = 64;
/// IDs from which on fresh runs go into parts: 64 of them in a part, so 1 KiB.
const PART_AT: usize = 1 << 14;
/// Bytes of fresh runs from which on it is worth it too, however few they are: a look-up reads them all.
pub(in crate::store) const WORTH_BYTES: usize = PART_AT * ID;
/// IDs from which on further runs wait for the next time: what is compacted is in memory, which the
/// allocator keeps.
const MOST: usize = 1 << 15;
/// Runs from which on a part is crowded: about as many IDs, so that they become 64 runs of 4 KiB.
pub(in crate::store) const CROWDED: usize = 256;
/// The same in bytes, since a large run has more.
pub(in crate::store) const CROWDED_BYTES: usize = 64 * 4096;

/// Compacts the fresh runs of a task; says whether there was anything to do.
pub(in crate::store) fn compact<R: Compacting>(
    runs: &mut R,
    scope: Scope,
) -> Result<bool, R::Error> {
    let (mut all, mut count, mut last) = (Vec::new(), 0, Position::default());
    let mut covered: Option<Spans> = None;
    runs.fresh(scope, Position::default(), &mut |position, spans, run| {
        if all.len() / ID >= MOST {
            return;
        }
        count += 1;
        last = last.max(position);
        covered = Some(covered.map_or(spans, |covered| covered.and(spans)));
        all.extend_from_slice(run);
    })?;
    let Some(spans) = covered else { return Ok(false) };
    if all.len() / ID >= PART_AT {
        runs.part_fresh(scope, last, spans, &by_part(&all, coarse))?;
        return Ok(true);
    }
    if count < WORTH {
        return Ok(false);
    }
    runs.replace_fresh(scope, last, spans, &all)?;
    Ok(true)
}

/// Cuts up a crowded part, so that what is read for one ID stays small; says whether there was one.
pub(in crate::store) fn refine<R: Compacting>(
    runs: &mut R,
    scope: Scope,
) -> Result<bool, R::Error> {
    let Some(part) = runs.crowded(scope)? else { return Ok(false) };
    debug_assert!(part < FINE, "a fine part is never cut up");
    let (mut all, mut covered) = (Vec::new(), None::<Spans>);
    runs.parts(scope, Some(&[part]), &mut |spans, run| {
        covered = Some(covered.map_or(spans, |covered| covered.and(spans)));
        all.extend_from_slice(run);
    })?;
    let Some(spans) = covered else { return Ok(false) };
    runs.replace_part(scope, part, spans, &by_part(&all, fine))?;
    Ok(true)
}

fn by_part(run: &[u8], part: fn(&ReportId) -> Part) -> Vec<(Part, Vec<u8>)> {
    let mut parts = BTreeMap::<Part, Vec<u8>>::new();
    for id in ids(run) {
        parts.entry(part(&id)).or_default().extend_from_slice(id.as_bytes());
    }
    parts.into_iter().collect()
}
