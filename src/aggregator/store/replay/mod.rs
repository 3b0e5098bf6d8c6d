//! Report IDs that count as replays, kept compactly: packed 16 bytes each, by window of the
//! reports' times.
//!
//! A row or an index entry per ID would cost several times the ID itself, and random IDs would
//! touch a page each. So each commit adds its IDs of a window as one *fresh* run. Fresh runs are
//! compacted now and then: small ones into one, many into *parts* by the IDs' first byte.
//!
//! Whether an ID is known is first asked of a [`Filter`] in memory, which forgets nothing and errs
//! on the side of *known*. Only what it suspects is looked up in the runs: all fresh ones and one
//! part. A filter is a copy, never the truth: it notes how far it has read, and takes over what
//! other processes added since. Whoever works on a window has it alone until the commit, which a
//! backend sees to.

mod compact;
mod filter;

pub(super) use compact::{Compacting, WORTH, compact};
use filter::Filter;

use crate::dap::ids::ReportId;
use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, PoisonError},
};

/// Whose memory of an ID it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Side {
    /// The leader's, since the report was uploaded.
    Uploaded,
    /// The helper's, since it was aggregated.
    Aggregated,
}

/// The IDs of one task and one span of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Window {
    pub(super) task: i64,
    pub(super) side: Side,
    pub(super) span: i64,
}

/// How far the fresh runs of a window are read: keys grow in the order of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(pub(super) i64);

/// What a backend keeps of a window, within a transaction that has the window alone.
///
/// Runs are IDs end to end.
pub(super) trait Runs {
    type Error;

    /// The last position whose runs were moved into parts: a reader that is not that far has
    /// missed some.
    fn parted(&mut self, window: Window) -> Result<Position, Self::Error>;

    /// Fresh runs after a position, in their order.
    fn fresh(
        &mut self,
        window: Window,
        after: Position,
        each: &mut dyn FnMut(Position, &[u8]),
    ) -> Result<(), Self::Error>;

    /// The runs of some parts, or of all.
    fn parts(
        &mut self,
        window: Window,
        of: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Self::Error>;

    /// Adds a fresh run; gives its position, which is after all others of the window.
    fn add(&mut self, window: Window, run: &[u8]) -> Result<Position, Self::Error>;
}

/// The IDs in a run.
pub(super) fn ids(run: &[u8]) -> impl Iterator<Item = ReportId> + '_ {
    run.as_chunks::<ID>().0.iter().map(|bytes| ReportId::new(*bytes))
}

const ID: usize = 16;

/// Filters of the windows that were lately worked on.
#[derive(Default)]
pub(super) struct Known(Mutex<Cache>);

#[derive(Default)]
struct Cache {
    entries: HashMap<Window, Entry>,
    bytes: usize,
    /// Counts sessions, for finding what was not used for long.
    clock: u64,
}

struct Entry {
    filter: Filter,
    read: Position,
    used: u64,
}

/// Bytes that all filters together may take; about three for each ID.
const MOST_BYTES: usize = 16 << 20;

impl Known {
    /// Begins to work in a transaction.
    pub(super) fn session(&self) -> Session<'_> {
        Session { known: self, taken: HashMap::new() }
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Filters in use by one transaction. Lost, to be read anew, unless the transaction commits.
pub(super) struct Session<'a> {
    known: &'a Known,
    taken: HashMap<Window, Entry>,
}

impl Session<'_> {
    /// Those of the IDs that are known.
    pub(super) fn look<R: Runs>(
        &mut self,
        runs: &mut R,
        window: Window,
        ids: &[ReportId],
    ) -> Result<HashSet<ReportId>, R::Error> {
        let entry = self.entry(runs, window)?;
        let suspects: HashSet<ReportId> =
            ids.iter().filter(|id| entry.filter.may_hold(id)).copied().collect();
        if suspects.is_empty() { Ok(suspects) } else { find(runs, window, &suspects) }
    }

    /// Remembers IDs, none of which is known.
    pub(super) fn add<R: Runs>(
        &mut self,
        runs: &mut R,
        window: Window,
        ids: &[ReportId],
    ) -> Result<(), R::Error> {
        if ids.is_empty() {
            return Ok(());
        }
        let run: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
        let position = runs.add(window, &run)?;
        // One that was not looked at is read when it is needed.
        if let Some(entry) = self.taken.get_mut(&window) {
            entry.read = position;
            for id in ids {
                entry.filter.insert(id);
            }
        }
        Ok(())
    }

    /// Keeps what was learned: after the commit, or if nothing was added.
    pub(super) fn committed(self) {
        let mut cache = self.known.cache();
        cache.clock += 1;
        for (window, mut entry) in self.taken {
            entry.used = cache.clock;
            cache.bytes += entry.filter.bytes();
            if let Some(replaced) = cache.entries.insert(window, entry) {
                cache.bytes -= replaced.filter.bytes();
            }
        }
        cache.shrink();
    }

    /// The window's filter, with all that is in the runs.
    fn entry<R: Runs>(&mut self, runs: &mut R, window: Window) -> Result<&mut Entry, R::Error> {
        let mut entry = match self.taken.remove(&window) {
            Some(entry) => entry,
            None => self.take(runs, window)?,
        };
        let mut read = entry.read;
        let filter = &mut entry.filter;
        runs.fresh(window, entry.read, &mut |position, run| {
            read = read.max(position);
            ids(run).for_each(|id| filter.insert(&id));
        })?;
        entry.read = read;
        if entry.filter.is_full() {
            let expected = entry.filter.len();
            // Two of them at once would be the most that this process ever takes.
            drop(entry);
            entry = read_all(runs, window, expected)?;
        }
        Ok(self.taken.entry(window).or_insert(entry))
    }

    /// The filter at hand if it has missed nothing, or one that is read anew.
    fn take<R: Runs>(&mut self, runs: &mut R, window: Window) -> Result<Entry, R::Error> {
        let at_hand = {
            let mut cache = self.known.cache();
            let found = cache.entries.remove(&window);
            cache.bytes -= found.as_ref().map_or(0, |entry| entry.filter.bytes());
            found
        };
        match at_hand {
            Some(entry) if runs.parted(window)? <= entry.read => Ok(entry),
            at_hand => read_all(runs, window, at_hand.map_or(0, |entry| entry.filter.len())),
        }
    }
}

impl Cache {
    /// Drops what was not used for longest, until the rest fits.
    fn shrink(&mut self) {
        while self.bytes > MOST_BYTES && self.entries.len() > 1 {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            let Some(window) = oldest.map(|(window, _)| *window) else { return };
            if let Some(entry) = self.entries.remove(&window) {
                self.bytes -= entry.filter.bytes();
            }
        }
    }
}

/// Reads a whole window, with room for twice as many IDs.
fn read_all<R: Runs>(runs: &mut R, window: Window, expected: usize) -> Result<Entry, R::Error> {
    let mut filter = Filter::with_room_for(2 * expected, MOST_BYTES / 2);
    let mut read = runs.parted(window)?;
    runs.parts(window, None, &mut |run| ids(run).for_each(|id| filter.insert(&id)))?;
    runs.fresh(window, Position::default(), &mut |position, run| {
        read = read.max(position);
        ids(run).for_each(|id| filter.insert(&id));
    })?;
    Ok(Entry { filter, read, used: 0 })
}

/// Those of the IDs that are in the runs.
fn find<R: Runs>(
    runs: &mut R,
    window: Window,
    wanted: &HashSet<ReportId>,
) -> Result<HashSet<ReportId>, R::Error> {
    let mut found = HashSet::new();
    let mut look = |run: &[u8]| found.extend(ids(run).filter(|id| wanted.contains(id)));
    runs.fresh(window, Position::default(), &mut |_, run| look(run))?;
    let mut parts: Vec<u8> = wanted.iter().map(part).collect();
    parts.sort_unstable();
    parts.dedup();
    runs.parts(window, Some(&parts), &mut look)?;
    Ok(found)
}

/// The part that an ID belongs to.
fn part(id: &ReportId) -> u8 {
    id.as_bytes()[0]
}

#[cfg(test)]
mod tests;
