//! Report IDs that count as replays, kept compactly: packed, 16 bytes each. An ID counts once per
//! task, whatever time its report has.
//!
//! A row or an index entry per ID would cost several times the ID itself, and random IDs would
//! touch a page each. So each commit adds its IDs of a task as one *fresh* run, however many times
//! they have. Fresh runs are compacted now and then: small ones into one, many into *parts* by the
//! IDs' first byte, and crowded parts by further bits. A run says from when to when its reports are,
//! in [spans](super::span), so that it can be forgotten once the last of them is too old.
//!
//! Whether an ID is known is first asked of a [`Filter`] in memory, one for each task and side, which
//! forgets nothing and errs on the side of *known*. Only what it suspects is looked up in the runs:
//! all fresh ones and one or two parts. A filter is a copy, never the truth: it notes how far it has
//! read, and takes over what other processes added since. Whoever works on a task's IDs has them alone
//! until the commit, which a backend sees to.
//!
//! Filters have a bound together, and a server takes all their memory when it starts ([`pieces`]). A task
//! whose filter finds no room works without: each of its IDs is
//! looked up. That costs reading the task's fresh runs and parts of bounded size, not memory.

mod compact;
mod filter;
mod pieces;

pub(super) use compact::{CROWDED, CROWDED_BYTES, Compacting, WORTH, WORTH_BYTES, compact, refine};
use filter::{Filter, pieces_for};
use pieces::{PIECE_BYTES, Pieces};

use super::span;
use sottovoce_dap::{ids::ReportId, time::Time};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
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

/// The IDs of one task, as one side remembers them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Scope {
    pub(super) task: i64,
    pub(super) side: Side,
}

/// The spans that the times of a run's reports lie in: all from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Spans {
    /// Of some times; `None` without any.
    pub(super) fn of(times: impl Iterator<Item = Time>) -> Option<Self> {
        let spans = times.map(span).map(|span| Self { first: span, last: span });
        spans.reduce(Self::and)
    }

    fn and(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// How far the fresh runs of a task are read: keys grow in the order of commits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(pub(super) i64);

/// A part: 0 to 255 by an ID's first byte, and those from [`FINE`] on by its first 14 bits. An ID is
/// in one of its two.
pub(super) type Part = u16;

const FINE: Part = 256;
/// Parts that there can be: as many as [`FINE`] and all of 14 bits.
pub(super) const PARTS: Part = FINE + (1 << 14);

/// What a backend keeps of a task's IDs, within a transaction that has them alone.
///
/// Runs are IDs end to end.
pub(super) trait Runs {
    type Error;

    /// How many IDs there are.
    fn count(&mut self, scope: Scope) -> Result<u64, Self::Error>;

    /// The last position whose runs were moved into parts: a reader that is not that far has
    /// missed some.
    fn parted(&mut self, scope: Scope) -> Result<Position, Self::Error>;

    /// Fresh runs after a position, in their order.
    fn fresh(
        &mut self,
        scope: Scope,
        after: Position,
        each: &mut dyn FnMut(Position, Spans, &[u8]),
    ) -> Result<(), Self::Error>;

    /// The runs of some parts, or of all.
    fn parts(
        &mut self,
        scope: Scope,
        of: Option<&[Part]>,
        each: &mut dyn FnMut(Spans, &[u8]),
    ) -> Result<(), Self::Error>;

    /// Adds a fresh run; gives its position, which is after all others of the task.
    fn add(&mut self, scope: Scope, spans: Spans, run: &[u8]) -> Result<Position, Self::Error>;
}

/// The IDs in a run.
pub(super) fn ids(run: &[u8]) -> impl Iterator<Item = ReportId> + '_ {
    run.as_chunks::<ID>().0.iter().map(|bytes| ReportId::new(*bytes))
}

const ID: usize = 16;

/// Filters of the tasks that were lately worked on.
pub(super) struct Known {
    cache: Mutex<Cache>,
    pieces: Pieces,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<Scope, Entry>,
    /// Counts sessions, for finding what was not used for long.
    clock: u64,
}

struct Entry {
    filter: Filter,
    read: Position,
    made: u64,
    used: u64,
}

/// Bytes that all filters together may take: of each, between two and three an ID.
const MOST_BYTES: usize = 32 << 20;
/// Sessions after which a filter that was not used makes room for another, and after which a task
/// that found no room looks again.
const IDLE: u64 = 1000;

impl Default for Known {
    fn default() -> Self {
        let pieces = Pieces::new(MOST_BYTES / PIECE_BYTES);
        Self { cache: Mutex::default(), pieces }
    }
}

impl Known {
    /// Takes all the memory that filters may ever have.
    pub(super) fn reserve(&self) {
        self.pieces.reserve();
    }

    /// Begins to work in a transaction.
    pub(super) fn session(&self) -> Session<'_> {
        Session { known: self, taken: HashMap::new() }
    }

    /// A filter for so many IDs, or one without room, and when it was made by the cache's clock. Filters
    /// that were not used for long make room for it.
    fn empty(&self, ids: usize) -> (Filter, u64) {
        let mut cache = self.cache();
        let wanted = pieces_for(ids, self.pieces.left() + cache.idle());
        cache.make_room(&self.pieces, wanted);
        (Filter::new(self.pieces.take(wanted)), cache.clock)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Filters in use by one transaction. Lost, to be read anew, unless the transaction commits.
pub(super) struct Session<'a> {
    known: &'a Known,
    taken: HashMap<Scope, Entry>,
}

impl Session<'_> {
    /// Those of the IDs that are known.
    pub(super) fn look<R: Runs>(
        &mut self,
        runs: &mut R,
        scope: Scope,
        ids: &[ReportId],
    ) -> Result<HashSet<ReportId>, R::Error> {
        let entry = self.entry(runs, scope)?;
        let suspects: HashSet<ReportId> =
            ids.iter().filter(|id| entry.filter.may_hold(id)).copied().collect();
        if suspects.is_empty() { Ok(suspects) } else { find(runs, scope, &suspects) }
    }

    /// Remembers reports, none of whose IDs is known.
    pub(super) fn add<R: Runs>(
        &mut self,
        runs: &mut R,
        scope: Scope,
        reports: &[(ReportId, Time)],
    ) -> Result<(), R::Error> {
        let Some(spans) = Spans::of(reports.iter().map(|(_, time)| *time)) else { return Ok(()) };
        let run: Vec<u8> = reports.iter().flat_map(|(id, _)| *id.as_bytes()).collect();
        let position = runs.add(scope, spans, &run)?;
        // One that was not looked at is read when it is needed.
        if let Some(entry) = self.taken.get_mut(&scope) {
            entry.read = position;
            for (id, _) in reports {
                entry.filter.insert(id);
            }
        }
        Ok(())
    }

    /// Keeps what was learned: after the commit, or if nothing was added.
    pub(super) fn committed(self) {
        let mut cache = self.known.cache();
        cache.clock += 1;
        for (scope, mut entry) in self.taken {
            entry.used = cache.clock;
            cache.entries.insert(scope, entry);
        }
    }

    /// The task's filter, with all that is in the runs.
    fn entry<R: Runs>(&mut self, runs: &mut R, scope: Scope) -> Result<&mut Entry, R::Error> {
        let mut entry = match self.taken.remove(&scope) {
            Some(entry) => entry,
            None => self.take(runs, scope)?,
        };
        let mut read = entry.read;
        let filter = &mut entry.filter;
        runs.fresh(scope, entry.read, &mut |position, _, run| {
            read = read.max(position);
            ids(run).for_each(|id| filter.insert(&id));
        })?;
        entry.read = read;
        if entry.filter.is_full() {
            // Two of them at once would be the most that this process ever takes.
            drop(entry);
            entry = self.read_all(runs, scope)?;
        }
        Ok(self.taken.entry(scope).or_insert(entry))
    }

    /// The filter at hand if it has missed nothing, or one that is read anew.
    fn take<R: Runs>(&mut self, runs: &mut R, scope: Scope) -> Result<Entry, R::Error> {
        let at_hand = {
            let mut cache = self.known.cache();
            let found = cache.entries.remove(&scope);
            let looks_again =
                |entry: &Entry| !entry.filter.has_room() && cache.clock >= entry.made + IDLE;
            found.filter(|entry| !looks_again(entry))
        };
        if let Some(entry) = at_hand
            && runs.parted(scope)? <= entry.read
        {
            return Ok(entry);
        }
        self.read_all(runs, scope)
    }

    /// Reads all IDs of a task, with room for twice as many, if there is room at all.
    fn read_all<R: Runs>(&mut self, runs: &mut R, scope: Scope) -> Result<Entry, R::Error> {
        let expected = usize::try_from(runs.count(scope)?).unwrap_or(usize::MAX);
        let (mut filter, made) = self.known.empty(expected);
        let mut read = runs.parted(scope)?;
        if filter.has_room() {
            runs.parts(scope, None, &mut |_, run| ids(run).for_each(|id| filter.insert(&id)))?;
        }
        runs.fresh(scope, Position::default(), &mut |position, _, run| {
            read = read.max(position);
            ids(run).for_each(|id| filter.insert(&id));
        })?;
        Ok(Entry { filter, read, made, used: made })
    }
}

impl Cache {
    /// Pieces of filters that were not used for long.
    fn idle(&self) -> usize {
        let idle = |entry: &&Entry| entry.used + IDLE <= self.clock;
        self.entries.values().filter(idle).map(|entry| entry.filter.pieces()).sum()
    }

    /// Drops what was not used for longest, until so many pieces are left.
    fn make_room(&mut self, pieces: &Pieces, wanted: usize) {
        while pieces.left() < wanted {
            let with_pieces = self.entries.iter().filter(|(_, entry)| entry.filter.pieces() > 0);
            let oldest = with_pieces.min_by_key(|(_, entry)| entry.used);
            let Some(scope) = oldest.map(|(scope, _)| *scope) else { return };
            self.entries.remove(&scope);
        }
    }
}

/// Those of the IDs that are in the runs.
fn find<R: Runs>(
    runs: &mut R,
    scope: Scope,
    wanted: &HashSet<ReportId>,
) -> Result<HashSet<ReportId>, R::Error> {
    let mut found = HashSet::new();
    let mut look = |run: &[u8]| found.extend(ids(run).filter(|id| wanted.contains(id)));
    runs.fresh(scope, Position::default(), &mut |_, _, run| look(run))?;
    let parts: BTreeSet<Part> = wanted.iter().flat_map(|id| [coarse(id), fine(id)]).collect();
    let parts: Vec<Part> = parts.into_iter().collect();
    runs.parts(scope, Some(&parts), &mut |_, run| look(run))?;
    Ok(found)
}

/// The part that an ID belongs to at first.
fn coarse(id: &ReportId) -> Part {
    id.as_bytes()[0].into()
}

/// The part that it belongs to once that one was crowded.
fn fine(id: &ReportId) -> Part {
    let [first, second, ..] = *id.as_bytes();
    FINE + (u16::from_be_bytes([first, second]) >> 2)
}

#[cfg(test)]
mod tests;
