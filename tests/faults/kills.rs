//! Leader, helper and database are killed (SIGKILL) at moments drawn from a seed, alone and
//! together, while reports come in, are aggregated and are collected.

use crate::{
    reports::Reports,
    stage::{Setting, Stage, databases, postgres, two_modes},
    support::{server::Server, world::seeded},
    tally::{Tally, first_seed, rounds},
};
use rand::{RngExt, rngs::StdRng};
use sottovoce_aggregator::test_support::postgres::TemporaryPostgres;
use std::{thread, time::Duration};

/// Reports of a round: of a time-interval task, and of a leader-selected one whose batches they
/// fill.
const REPORTS: [usize; 2] = [3500, 1500];
const BATCH: u64 = 100;
const WINDOWS: u64 = 4;
/// Strikes while reports come in, while the last are aggregated, and while they are collected.
const STRIKES: [usize; 3] = [7, 2, 3];
const ROUNDS: u64 = 5;

#[test]
fn every_acknowledged_report_counts_once_whoever_is_killed_on_sqlite() {
    kill_in_rounds(None, first_seed(2000));
}

#[test]
fn every_acknowledged_report_counts_once_whoever_is_killed_on_postgres() {
    if let Some(server) = postgres() {
        kill_in_rounds(Some(server), first_seed(3000));
    }
}

fn kill_in_rounds(mut postgres: Option<TemporaryPostgres>, first_seed: u64) {
    let (mut tally, rounds) = (Tally::new(), rounds(ROUNDS));
    for seed in first_seed..first_seed + rounds {
        round(postgres.as_mut(), seed, &mut tally);
        println!("after seed {seed}: {tally}");
    }
    if rounds >= ROUNDS {
        assert!(tally.kills() >= 55, "only {tally}");
        let kinds = [tally.leader_kills, tally.helper_kills];
        assert!(kinds.iter().all(|kills| *kills >= 10), "only {tally}");
        assert!(postgres.is_none() || tally.database_kills >= 10, "only {tally}");
        let hit = [tally.uploads_hit as u64, tally.waiting_hit, tally.jobs_hit];
        assert!(hit.iter().all(|hit| *hit > 0), "nothing was under way: {tally}");
    }
}

fn round(postgres: Option<&mut TemporaryPostgres>, seed: u64, tally: &mut Tally) {
    let mut rng = seeded(seed);
    let tasks = two_modes(BATCH);
    let urls = postgres.as_ref().map(|server| databases(server, seed));
    let stage = Stage::start(&Setting { tasks, postgres: urls, ..Setting::default() });
    let reports = Reports::draw(&stage, &REPORTS, WINDOWS, &mut rng);
    let mut killer = Killer { stage: &stage, reports: &reports, postgres, rng, tally };

    let mut moments: Vec<_> =
        (0..STRIKES[0]).map(|_| killer.rng.random_range(0..reports.uploads())).collect();
    moments.sort_unstable();
    reports.upload(|| {
        for moment in moments {
            reports.wait_for(moment);
            killer.strike(25);
        }
    });
    (0..STRIKES[1]).for_each(|_| killer.strike(300));
    thread::scope(|scope| {
        scope.spawn(|| reports.expect(&stage));
        (0..STRIKES[2]).for_each(|_| killer.strike(400));
    });
    reports.replay();
    tally.round(&reports);
}

/// Kills at random, and starts again what it killed.
struct Killer<'a> {
    stage: &'a Stage,
    reports: &'a Reports,
    postgres: Option<&'a mut TemporaryPostgres>,
    rng: StdRng,
    tally: &'a mut Tally,
}

impl Killer<'_> {
    /// Kills somebody within so many milliseconds, and starts them again a moment later.
    fn strike(&mut self, within: u64) {
        let (leader, helper, database) = self.victims();
        thread::sleep(Duration::from_millis(self.rng.random_range(0..within)));
        // Looked at before, while the database can still be asked.
        let under_way = self.stage.under_way();
        self.tally.hit(self.reports, under_way, leader);
        let doomed = [(leader, self.stage.leader()), (helper, self.stage.helper())];
        if database {
            self.postgres.as_mut().unwrap().kill().unwrap();
        }
        doomed.iter().filter(|(doomed, _)| *doomed).for_each(|(_, server)| server.kill());
        thread::sleep(Duration::from_millis(self.rng.random_range(0..150)));
        if database {
            self.postgres.as_mut().unwrap().start_again().unwrap();
        }
        let start = |(_, server): &(bool, &Server)| server.start();
        doomed.iter().filter(|(doomed, _)| *doomed).for_each(start);
        self.tally.leader_kills += u32::from(leader);
        self.tally.helper_kills += u32::from(helper);
        self.tally.database_kills += u32::from(database);
    }

    /// Leader, helper, database: mostly one of them.
    fn victims(&mut self) -> (bool, bool, bool) {
        let drawn = self.rng.random_range(0..20);
        match (drawn, self.postgres.is_some()) {
            (0..6, _) | (12..15, false) => (true, false, false),
            (6..12, _) | (15..18, false) => (false, true, false),
            (12..17, true) => (false, false, true),
            (17, true) => (true, false, true),
            (18, true) => (false, true, true),
            (19, true) => (true, true, true),
            (_, _) => (true, true, false),
        }
    }
}
