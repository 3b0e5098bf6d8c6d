//! What happens in a simulation, all of it drawn from a seed; and how a plan that fails is made smaller.

use crate::store::faulty::{Verb, When};
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::IndexedRandom};

/// Windows that devices report of, of [`WINDOW`] milliseconds each.
pub(super) const WINDOWS: u64 = 3;
pub(super) const WINDOW: u64 = 60_000;
/// Honest reports that a task has of one window, at most: each has a bin of its own.
pub(super) const EACH: u64 = 7;
/// When faults are over, in milliseconds.
pub(super) const CALM: u64 = 330_000;

/// A leader, its helpers, and all that happens to them.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    /// Leaders over one database.
    pub(super) replicas: usize,
    /// Whether the aggregators' HPKE keys come and go.
    pub(super) rotates: bool,
    /// What the second helper is like, for good; there is none else.
    pub(super) bad_partner: Option<LinkFault>,
    pub(super) steps: Vec<Step>,
}

/// Something that begins at a time, in milliseconds.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) at: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    /// Sent until there is an answer, at most so many times; and once more after it, or not.
    Upload {
        task: usize,
        reports: Vec<Kind>,
        tries: u32,
        twice: bool,
    },
    Ask {
        task: usize,
        first: u64,
        windows: u64,
    },
    Link {
        link: Link,
        fault: LinkFault,
        lasts: u64,
    },
    Disk {
        server: Server,
        verb: Verb,
        when: When,
    },
    /// Ends the process in the middle of what it does, some calls to its database later.
    End {
        server: Server,
        calls: usize,
        down: u64,
    },
    Clock {
        server: Server,
        ahead: i64,
    },
}

/// A report that a device sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Honest {
        window: u64,
        number: u64,
    },
    /// The leader cannot open its share, or the helper its own.
    SealedToNobody {
        at_helper: bool,
    },
    /// The proof does not hold.
    Forged,
    /// The ID of an honest report that the same task has, with another time and content.
    Repeated,
    TooLong,
    Future,
    Ancient,
    Extended,
}

/// Who has a database and a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Server {
    Leader(usize),
    Helper(usize),
}

/// Between whom requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Devices,
    Collector,
    Helper(usize),
}

/// What goes wrong on a link, or at its far end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkFault {
    /// Some requests, and some answers, get lost.
    Lossy,
    /// Some requests arrive twice.
    Doubling,
    /// Requests and answers take up to so many milliseconds.
    Slow(u64),
    /// Nothing is answered.
    Frozen,
    /// This status is the answer.
    Says(u16),
    /// A problem document is the answer: the message is invalid.
    Refuses,
    NotYet,
    /// The answer is no message.
    Garbage,
}

impl Plan {
    pub(super) fn of(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let replicas = if rng.random_ratio(1, 4) { 2 } else { 1 };
        let bad_partner = rng.random_ratio(1, 3).then(|| bad_partner(&mut rng));
        let rotates = rng.random_ratio(1, 4);
        let tasks = if bad_partner.is_some() { 3 } else { 2 };
        let mut steps = Vec::new();
        for task in 0..tasks {
            uploads(task, &mut rng, &mut steps);
        }
        for _ in 0..rng.random_range(0..4) {
            steps.push(ask(tasks, &mut rng));
        }
        for _ in 0..rng.random_range(0..9) {
            steps.push(fault(replicas, &mut rng));
        }
        steps.sort_by_key(|step| step.at);
        Self { seed, replicas, rotates, bad_partner, steps }
    }

    /// A quiet run but for one verb that fails once, when it is first called after the start.
    pub(super) fn with_one_fault(server: Server, verb: Verb, when: When) -> Self {
        let upload = |(task, window)| {
            let reports = (0..4).map(|number| Kind::Honest { window, number }).collect();
            let what = What::Upload { task, reports, tries: 12, twice: true };
            Step { at: window * WINDOW + 1_000, what }
        };
        let ask = |window| {
            let what = What::Ask { task: 0, first: window, windows: 1 };
            Step { at: (window + 1) * WINDOW + 35_000, what }
        };
        let mut steps = vec![Step { at: 0, what: What::Disk { server, verb, when } }];
        steps.extend(
            (0..2).flat_map(|task| (0..WINDOWS).map(move |window| (task, window))).map(upload),
        );
        steps.extend((0..WINDOWS).map(ask));
        steps.sort_by_key(|step| step.at);
        Self { seed: 0, replicas: 1, rotates: false, bad_partner: None, steps }
    }

    /// A plan that fails likewise with as few steps as can be found.
    pub(super) fn shrunk(self, fails: impl Fn(&Self) -> bool) -> Self {
        let mut plan = self;
        let mut size = plan.steps.len().div_ceil(2);
        while size > 0 {
            let mut at = 0;
            while at < plan.steps.len() {
                let mut less = plan.clone();
                less.steps.drain(at..(at + size).min(plan.steps.len()));
                if fails(&less) { plan = less } else { at += size }
            }
            size = if size == 1 { 0 } else { size.div_ceil(2) };
        }
        plan
    }
}

fn bad_partner(rng: &mut StdRng) -> LinkFault {
    let all = [
        LinkFault::Frozen,
        LinkFault::Says(500),
        LinkFault::Says(503),
        LinkFault::Refuses,
        LinkFault::NotYet,
        LinkFault::Garbage,
    ];
    *all.choose(rng).unwrap_or(&LinkFault::Frozen)
}

/// The honest reports of a task, in uploads of a few, with others among them.
fn uploads(task: usize, rng: &mut StdRng, steps: &mut Vec<Step>) {
    for window in 0..WINDOWS {
        let number = rng.random_range(0..=EACH);
        let mut honest = (0..number).map(|number| Kind::Honest { window, number }).peekable();
        while honest.peek().is_some() {
            let some = rng.random_range(1..=4);
            let mut reports: Vec<Kind> = honest.by_ref().take(some).collect();
            if rng.random_ratio(1, 3) {
                reports.insert(rng.random_range(0..=reports.len()), hostile(rng));
            }
            // Mostly in time, some late: then the batch may be collected.
            let late = if rng.random_ratio(1, 6) { 2 * WINDOW } else { 0 };
            let at = window * WINDOW + rng.random_range(0..WINDOW) + late;
            let (tries, twice) = (rng.random_range(1..12), rng.random_ratio(1, 5));
            steps.push(Step { at, what: What::Upload { task, reports, tries, twice } });
        }
    }
}

fn hostile(rng: &mut StdRng) -> Kind {
    match rng.random_range(0..8) {
        0 => Kind::SealedToNobody { at_helper: false },
        1 => Kind::SealedToNobody { at_helper: true },
        2 => Kind::Forged,
        3 => Kind::Repeated,
        4 => Kind::TooLong,
        5 => Kind::Future,
        6 => Kind::Ancient,
        _ => Kind::Extended,
    }
}

/// A collector that asks, at a good time or a bad one, for one window or several.
fn ask(tasks: usize, rng: &mut StdRng) -> Step {
    let task = if tasks > 2 && rng.random_ratio(1, 3) { 2 } else { 0 };
    let first = rng.random_range(0..WINDOWS);
    let windows = rng.random_range(1..=WINDOWS - first);
    let at = (first + windows) * WINDOW + rng.random_range(0..60_000);
    Step { at, what: What::Ask { task, first, windows } }
}

fn fault(replicas: usize, rng: &mut StdRng) -> Step {
    let server = match rng.random_range(0..3) {
        0 => Server::Helper(0),
        _ => Server::Leader(rng.random_range(0..replicas)),
    };
    let what = match rng.random_range(0..8) {
        0..3 => {
            let link = link(rng);
            What::Link {
                link,
                fault: link_fault(link, rng),
                lasts: rng.random_range(1_000..120_000),
            }
        }
        3..5 => What::Disk { server, verb: verb(rng), when: when(rng) },
        5..7 => {
            What::End { server, calls: rng.random_range(0..12), down: rng.random_range(10..60_000) }
        }
        _ => What::Clock { server, ahead: rng.random_range(-500_000..500_000) },
    };
    Step { at: rng.random_range(0..CALM - 30_000), what }
}

fn link(rng: &mut StdRng) -> Link {
    match rng.random_range(0..4) {
        0 => Link::Devices,
        1 => Link::Collector,
        _ => Link::Helper(0),
    }
}

/// Whoever speaks for the leader has its certificate, and tells devices no lies.
fn link_fault(link: Link, rng: &mut StdRng) -> LinkFault {
    let most = if matches!(link, Link::Helper(_)) { 8 } else { 6 };
    match rng.random_range(0..most) {
        0..2 => LinkFault::Lossy,
        2 => LinkFault::Doubling,
        3 => LinkFault::Slow(rng.random_range(10..40_000)),
        4 => LinkFault::Frozen,
        5 => LinkFault::Says(if rng.random() { 500 } else { 503 }),
        6 => LinkFault::NotYet,
        _ => LinkFault::Garbage,
    }
}

fn when(rng: &mut StdRng) -> When {
    if rng.random() { When::BeforeCommit } else { When::AfterCommit }
}

fn verb(rng: &mut StdRng) -> Verb {
    let all = [
        Verb::Task,
        Verb::AcceptReports,
        Verb::LeaseJobs,
        Verb::CommitLeaderJob,
        Verb::ReleaseJob,
        Verb::SplitJob,
        Verb::CommitHelperJob,
        Verb::ReplayJob,
        Verb::DeleteJob,
        Verb::StartCollection,
        Verb::PendingCollections,
        Verb::CloseBatch,
        Verb::FinishCollection,
        Verb::Collection,
        Verb::Log,
        Verb::Publish,
        Verb::LogHead,
    ];
    *all.choose(rng).unwrap_or(&Verb::Ping)
}
