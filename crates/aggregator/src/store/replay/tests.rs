use super::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{collections::BTreeMap, convert::Infallible};

/// Runs in memory, as a backend would keep them; counts what is read.
#[derive(Default)]
struct Memory {
    fresh: BTreeMap<Position, (Spans, Vec<u8>)>,
    parts: Vec<(Part, Spans, Vec<u8>)>,
    parted: Position,
    next: i64,
    read: usize,
}

impl Runs for Memory {
    type Error = Infallible;

    fn count(&mut self, _: Scope) -> Result<u64, Infallible> {
        let fresh = self.fresh.values().map(|(_, run)| run.len());
        Ok((fresh.chain(self.parts.iter().map(|(_, _, run)| run.len())).sum::<usize>() / ID) as u64)
    }

    fn parted(&mut self, _: Scope) -> Result<Position, Infallible> {
        Ok(self.parted)
    }

    fn fresh(
        &mut self,
        _: Scope,
        after: Position,
        each: &mut dyn FnMut(Position, Spans, &[u8]),
    ) -> Result<(), Infallible> {
        for (position, (spans, run)) in self.fresh.iter().filter(|(at, _)| **at > after) {
            self.read += run.len();
            each(*position, *spans, run);
        }
        Ok(())
    }

    fn parts(
        &mut self,
        _: Scope,
        of: Option<&[Part]>,
        each: &mut dyn FnMut(Spans, &[u8]),
    ) -> Result<(), Infallible> {
        for (part, spans, run) in &self.parts {
            if of.is_none_or(|of| of.contains(part)) {
                self.read += run.len();
                each(*spans, run);
            }
        }
        Ok(())
    }

    fn add(&mut self, _: Scope, spans: Spans, run: &[u8]) -> Result<Position, Infallible> {
        self.next += 1;
        self.fresh.insert(Position(self.next), (spans, run.to_vec()));
        Ok(Position(self.next))
    }
}

impl Compacting for Memory {
    fn replace_fresh(
        &mut self,
        _: Scope,
        last: Position,
        spans: Spans,
        run: &[u8],
    ) -> Result<(), Infallible> {
        self.fresh = self.fresh.split_off(&Position(last.0 + 1));
        self.fresh.insert(last, (spans, run.to_vec()));
        Ok(())
    }

    fn part_fresh(
        &mut self,
        _: Scope,
        last: Position,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), Infallible> {
        self.fresh = self.fresh.split_off(&Position(last.0 + 1));
        self.parts.extend(parts.iter().map(|(part, run)| (*part, spans, run.clone())));
        self.parted = last;
        Ok(())
    }

    fn crowded(&mut self, _: Scope) -> Result<Option<Part>, Infallible> {
        let mut counts = BTreeMap::<Part, usize>::new();
        for (part, ..) in self.parts.iter().filter(|(part, ..)| *part < FINE) {
            *counts.entry(*part).or_default() += 1;
        }
        // Smaller than in earnest, so that tests come to it.
        Ok(counts.into_iter().find(|(_, count)| *count >= 4).map(|(part, _)| part))
    }

    fn replace_part(
        &mut self,
        _: Scope,
        part: Part,
        spans: Spans,
        parts: &[(Part, Vec<u8>)],
    ) -> Result<(), Infallible> {
        self.parts.retain(|(other, ..)| *other != part);
        self.parts.extend(parts.iter().map(|(part, run)| (*part, spans, run.clone())));
        Ok(())
    }
}

const SCOPE: Scope = Scope { task: 1, side: Side::Uploaded };

fn random(rng: &mut StdRng, count: usize) -> Vec<ReportId> {
    (0..count).map(|_| ReportId::new(rng.random())).collect()
}

/// Looks and adds in one transaction that commits; gives those that were known.
fn remember(known: &Known, runs: &mut Memory, scope: Scope, ids: &[ReportId]) -> HashSet<ReportId> {
    let mut session = known.session();
    let Ok(found) = session.look(runs, scope, ids);
    let fresh = ids.iter().filter(|id| !found.contains(id));
    // Each at a time of its own, far from the others.
    let fresh: Vec<_> = fresh.zip(0..).map(|(id, at): (_, u64)| (*id, Time(at << 20))).collect();
    let Ok(()) = session.add(runs, scope, &fresh);
    session.committed();
    found
}

#[test]
fn every_id_is_new_once_whoever_adds_it_and_however_runs_are_compacted() {
    for seed in 0..4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let replicas = [Known::default(), Known::default()];
        let mut runs = Memory::default();
        let mut members = HashSet::new();
        for round in 0..200 {
            let count = rng.random_range(1..2000);
            let mut ids = random(&mut rng, count);
            ids.extend(members.iter().take(rng.random_range(0..3)).copied().collect::<Vec<_>>());
            ids.shuffle(&mut rng);
            let replica = &replicas[rng.random_range(0..2)];
            let found = remember(replica, &mut runs, SCOPE, &ids);
            let expected = ids.iter().filter(|id| members.contains(*id)).copied().collect();
            assert_eq!(found, expected, "seed {seed}, round {round}");
            members.extend(ids);
            if rng.random_bool(0.1) {
                let Ok(_) = compact(&mut runs, SCOPE);
                let Ok(_) = refine(&mut runs, SCOPE);
            }
        }
        assert!(runs.parts.iter().any(|(part, ..)| *part >= FINE), "seed {seed}: nothing refined");
        let Ok(count) = runs.count(SCOPE);
        assert_eq!(count, members.len() as u64);
    }
}

#[test]
fn what_was_not_committed_is_not_known() {
    let (known, mut runs) = (Known::default(), Memory::default());
    let ids = random(&mut StdRng::seed_from_u64(1), 10);
    let mut session = known.session();
    let reports: Vec<_> = ids.iter().map(|id| (*id, Time(1))).collect();
    let Ok(()) = session.add(&mut runs, SCOPE, &reports);
    drop(session);
    runs.fresh.clear();
    assert!(remember(&known, &mut runs, SCOPE, &ids).is_empty());
    assert_eq!(remember(&known, &mut runs, SCOPE, &ids).len(), 10);
}

#[test]
fn strangers_cost_no_reading_and_a_replay_only_a_part() {
    let mut rng = StdRng::seed_from_u64(1);
    let (known, mut runs) = (Known::default(), Memory::default());
    let mut some = Vec::new();
    for _ in 0..300 {
        let ids = random(&mut rng, 500);
        some.push(ids[0]);
        remember(&known, &mut runs, SCOPE, &ids);
        let Ok(_) = compact(&mut runs, SCOPE);
    }
    let before = runs.read;
    for _ in 0..10 {
        remember(&known, &mut runs, SCOPE, &random(&mut rng, 100));
    }
    // Only what it added itself, and now and then a suspect.
    assert!(runs.read - before < 4 << 20, "{}", runs.read - before);
    let before = runs.read;
    assert_eq!(remember(&known, &mut runs, SCOPE, &some[..1]).len(), 1);
    assert!(runs.read - before < (2 << 20), "{}", runs.read - before);
}

/// However many times its reports have, an upload is one run and one filter.
#[test]
fn reports_of_many_times_cost_no_more_than_those_of_one() {
    let (known, mut runs) = (Known::default(), Memory::default());
    let ids = random(&mut StdRng::seed_from_u64(1), 30_000);
    remember(&known, &mut runs, SCOPE, &ids);
    assert_eq!(runs.fresh.len(), 1);
    let cache = known.cache();
    assert_eq!(cache.entries.len(), 1);
    let bytes = cache.entries[&SCOPE].filter.pieces() * PIECE_BYTES;
    assert!(bytes <= 8 * ids.len(), "{bytes} bytes");
}

#[test]
fn filters_together_are_bounded_and_who_finds_no_room_errs_no_more() {
    let known = Known::default();
    let mut rng = StdRng::seed_from_u64(1);
    let mut stores = Vec::new();
    for task in 0..5000 {
        let (mut runs, ids) = (Memory::default(), random(&mut rng, 2));
        let scope = Scope { task, ..SCOPE };
        assert!(remember(&known, &mut runs, scope, &ids).is_empty());
        stores.push((scope, runs, ids));
    }
    {
        let cache = known.cache();
        let used = cache.entries.values().map(|entry| entry.filter.pieces()).sum::<usize>();
        assert_eq!((used, known.pieces.left()), (MOST_BYTES / PIECE_BYTES, 0));
    }
    for (scope, runs, ids) in &mut stores {
        assert_eq!(remember(&known, runs, *scope, ids).len(), 2);
        assert!(remember(&known, runs, *scope, &random(&mut rng, 2)).is_empty());
    }
}

/// Filters that were not used for long make room for others, and go no earlier than they must.
#[test]
fn a_filter_takes_the_room_of_those_that_were_not_used_for_long() {
    let (known, mut runs) = (Known::default(), Memory::default());
    let all = MOST_BYTES / PIECE_BYTES;
    let scope = |task| Scope { task, ..SCOPE };
    for (task, pieces, used) in [(2, all - 10, IDLE), (3, 10, 0)] {
        let filter = Filter::new(known.pieces.take(pieces));
        let entry = Entry { filter, read: Position::default(), made: 0, used };
        known.cache().entries.insert(scope(task), entry);
    }
    known.cache().clock = IDLE;
    remember(&known, &mut runs, SCOPE, &random(&mut StdRng::seed_from_u64(1), 2));
    let kept: HashSet<i64> = known.cache().entries.keys().map(|scope| scope.task).collect();
    assert_eq!((kept, known.pieces.left()), (HashSet::from([1, 2]), 9));
}

/// The largest task of all, as if there were no room for its filter.
#[test]
fn without_room_all_is_looked_up_and_only_parts_are_read() {
    let (known, mut runs) = (Known::default(), Memory::default());
    let mut rng = StdRng::seed_from_u64(1);
    let ids = random(&mut rng, 100_000);
    for some in ids.chunks(20_000) {
        remember(&known, &mut runs, SCOPE, some);
        let Ok(_) = compact(&mut runs, SCOPE);
        while refine(&mut runs, SCOPE) == Ok(true) {}
    }
    // Another large one takes all the room, in use.
    let known = Known::default();
    let full = Filter::new(known.pieces.take(MOST_BYTES / PIECE_BYTES));
    assert!(full.has_room());
    let entry = Entry { filter: full, read: Position::default(), made: 0, used: u64::MAX / 2 };
    known.cache().entries.insert(Scope { task: 2, ..SCOPE }, entry);
    assert_eq!(remember(&known, &mut runs, SCOPE, &ids[..1]).len(), 1);
    assert_eq!(known.cache().entries[&SCOPE].filter.pieces(), 0);
    let before = runs.read;
    assert!(remember(&known, &mut runs, SCOPE, &random(&mut rng, 10)).is_empty());
    assert_eq!(remember(&known, &mut runs, SCOPE, &ids[7..9]).len(), 2);
    assert!(runs.read - before < 400_000, "{} bytes", runs.read - before);
}
