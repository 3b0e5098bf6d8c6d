use super::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{collections::BTreeMap, convert::Infallible};

/// Runs in memory, as a backend would keep them; counts what is read.
#[derive(Default)]
struct Memory {
    fresh: BTreeMap<Position, Vec<u8>>,
    parts: Vec<(u8, Vec<u8>)>,
    parted: Position,
    next: i64,
    read: usize,
}

impl Runs for Memory {
    type Error = Infallible;

    fn parted(&mut self, _: Window) -> Result<Position, Infallible> {
        Ok(self.parted)
    }

    fn fresh(
        &mut self,
        _: Window,
        after: Position,
        each: &mut dyn FnMut(Position, &[u8]),
    ) -> Result<(), Infallible> {
        for (position, run) in self.fresh.iter().filter(|(position, _)| **position > after) {
            self.read += run.len();
            each(*position, run);
        }
        Ok(())
    }

    fn parts(
        &mut self,
        _: Window,
        of: Option<&[u8]>,
        each: &mut dyn FnMut(&[u8]),
    ) -> Result<(), Infallible> {
        for (part, run) in &self.parts {
            if of.is_none_or(|of| of.contains(part)) {
                self.read += run.len();
                each(run);
            }
        }
        Ok(())
    }

    fn add(&mut self, _: Window, run: &[u8]) -> Result<Position, Infallible> {
        self.next += 1;
        self.fresh.insert(Position(self.next), run.to_vec());
        Ok(Position(self.next))
    }
}

impl Compacting for Memory {
    fn replace_fresh(&mut self, _: Window, last: Position, run: &[u8]) -> Result<(), Infallible> {
        self.fresh = self.fresh.split_off(&Position(last.0 + 1));
        self.fresh.insert(last, run.to_vec());
        Ok(())
    }

    fn part_fresh(
        &mut self,
        _: Window,
        last: Position,
        parts: &[(u8, Vec<u8>)],
    ) -> Result<(), Infallible> {
        self.fresh = self.fresh.split_off(&Position(last.0 + 1));
        self.parts.extend(parts.iter().filter(|(_, run)| !run.is_empty()).cloned());
        self.parted = last;
        Ok(())
    }
}

const WINDOW: Window = Window { task: 1, side: Side::Uploaded, span: 7 };

fn random(rng: &mut StdRng, count: usize) -> Vec<ReportId> {
    (0..count).map(|_| ReportId::new(rng.random())).collect()
}

/// Looks and adds in one transaction that commits; gives those that were known.
fn remember(known: &Known, runs: &mut Memory, ids: &[ReportId]) -> HashSet<ReportId> {
    let mut session = known.session();
    let Ok(found) = session.look(runs, WINDOW, ids);
    let fresh: Vec<_> = ids.iter().filter(|id| !found.contains(id)).copied().collect();
    let Ok(()) = session.add(runs, WINDOW, &fresh);
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
            let found = remember(replica, &mut runs, &ids);
            let expected = ids.iter().filter(|id| members.contains(*id)).copied().collect();
            assert_eq!(found, expected, "seed {seed}, round {round}");
            members.extend(ids);
            if rng.random_bool(0.1) {
                let Ok(_) = compact(&mut runs, WINDOW);
            }
        }
        assert!(!runs.parts.is_empty(), "seed {seed} never came to parts");
    }
}

#[test]
fn what_was_not_committed_is_not_known() {
    let (known, mut runs) = (Known::default(), Memory::default());
    let ids = random(&mut StdRng::seed_from_u64(1), 10);
    let mut session = known.session();
    let Ok(()) = session.add(&mut runs, WINDOW, &ids);
    drop(session);
    runs.fresh.clear();
    assert!(remember(&known, &mut runs, &ids).is_empty());
    assert_eq!(remember(&known, &mut runs, &ids).len(), 10);
}

#[test]
fn strangers_cost_no_reading_and_a_replay_only_a_part() {
    let mut rng = StdRng::seed_from_u64(1);
    let (known, mut runs) = (Known::default(), Memory::default());
    let mut some = Vec::new();
    for _ in 0..300 {
        let ids = random(&mut rng, 500);
        some.push(ids[0]);
        remember(&known, &mut runs, &ids);
        let Ok(_) = compact(&mut runs, WINDOW);
    }
    let before = runs.read;
    for _ in 0..10 {
        remember(&known, &mut runs, &random(&mut rng, 100));
    }
    // Only what it added itself, and now and then a suspect.
    assert!(runs.read - before < 4 << 20, "{}", runs.read - before);
    let before = runs.read;
    assert_eq!(remember(&known, &mut runs, &some[..1]).len(), 1);
    assert!(runs.read - before < (2 << 20), "{}", runs.read - before);
}

#[test]
fn filters_together_are_bounded() {
    let known = Known::default();
    let mut rng = StdRng::seed_from_u64(1);
    for span in 0..5000 {
        let mut runs = Memory::default();
        let window = Window { span, ..WINDOW };
        let mut session = known.session();
        let Ok(()) = session.add(&mut runs, window, &random(&mut rng, 1));
        session.committed();
    }
    let cache = known.cache();
    assert!(cache.bytes <= MOST_BYTES);
    assert_eq!(cache.bytes, cache.entries.values().map(|e| e.filter.bytes()).sum::<usize>());
}
