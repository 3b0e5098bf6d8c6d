//! One run: what happens to the parties, and what has to be true at the end.

use super::{
    collector::{self, Answer},
    device,
    plan::{CALM, LinkFault, Plan, WINDOWS, What},
    server::Host,
    task::{BEGIN, HELPERS, LEAST},
    world::World,
};
use crate::{clock::simulated, store::Datastore};
use sottovoce_dap::problem::ProblemType;
use sottovoce_transport::retry::seeded;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

/// How long the honest parties have, once faults are over.
const PATIENCE: u64 = 60 * 60_000;

/// What is seen of a run.
pub(super) struct Outcome {
    pub(super) wrong: Vec<String>,
    pub(super) trace: Vec<String>,
    /// Faults of disks that did not happen: nobody called the verb.
    pub(super) unspent: usize,
}

/// Carries a plan out.
pub(super) fn run(plan: &Plan) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    seeded::set(Some(plan.seed));
    let played = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            simulated::begin(BEGIN, 1 + HELPERS.len(), plan.seed);
            let world = World::new(plan);
            world.clone().play(plan).await;
            world.check();
            let unspent = *world.unspent.lock().unwrap();
            (world.wrong(), world.trace.lock().unwrap().clone(), unspent)
        })
    }));
    let (mut wrong, trace, unspent) = played.unwrap_or_default();
    drop(runtime);
    seeded::set(None);
    wrong.extend(simulated::end().into_iter().map(|said| format!("panicked: {said}")));
    Outcome { wrong, trace, unspent }
}

impl World {
    async fn play(self: Arc<Self>, plan: &Plan) {
        for host in self.hosts() {
            host.start().await;
        }
        let mut under_way = JoinSet::new();
        for step in &plan.steps {
            sleep_until(step.at).await;
            self.note(&format!("{:?}", step.what));
            self.take(&step.what, &mut under_way);
        }
        sleep_until(CALM).await;
        self.calm(&mut under_way).await;
        self.collect_all(0).await;
        while collector::collect_next(&self, 1).await == Answer::Released {}
        self.check_batches();
        self.turn_good(plan).await;
    }

    fn take(self: &Arc<Self>, what: &What, under_way: &mut JoinSet<()>) {
        let world = Arc::clone(self);
        match what.clone() {
            What::Upload { task, reports, tries, twice } => {
                under_way.spawn(device::upload(world, task, reports, (tries, twice)));
            }
            What::Ask { task, first, windows } => {
                let windows = first..first + windows;
                self.asked.lock().unwrap().push((task, windows.clone()));
                under_way.spawn(async move {
                    collector::collect(&world, task, windows).await;
                });
            }
            What::Link { link, fault, lasts } => {
                self.network.add(link, fault, simulated::elapsed() + lasts);
            }
            What::Disk { server, verb, when } => {
                if let Some(store) = self.host(server).store() {
                    store.fail(verb, when);
                }
            }
            What::End { server, calls, down } => {
                let host = Arc::clone(self.host(server));
                under_way.spawn(async move { end(&host, calls, down).await });
            }
            What::Clock { server, ahead } => {
                simulated::set_ahead(self.host(server).party, ahead);
            }
        }
    }

    /// Ends all faults that are not for good.
    async fn calm(&self, under_way: &mut JoinSet<()>) {
        self.network.mend();
        for host in self.hosts() {
            simulated::set_ahead(host.party, 0);
            if let Some(store) = host.store() {
                *self.unspent.lock().unwrap() += store.faults_left();
                store.mend();
            }
        }
        while under_way.join_next().await.is_some() {}
        for host in self.hosts() {
            // Also one whose process was to end and had no reason to notice.
            if host.store().is_some_and(|store| store.ping().is_err()) {
                host.end();
            }
            host.start().await;
        }
        self.note("calm");
    }

    /// Once the bad partner has become a good one, its task goes on too.
    async fn turn_good(&self, plan: &Plan) {
        let Some(fault) = plan.bad_partner else { return };
        if (0..WINDOWS).any(|window| self.tally(2).is_collected(window)) {
            return self.fail("a partner that gives no share has a result".to_owned());
        }
        self.network.forgive();
        self.note("the bad partner is good");
        // One that refuses may have had reports given up.
        if fault != LinkFault::Refuses {
            self.collect_all(2).await;
        }
    }

    /// Collects what is left of a time-interval task.
    async fn collect_all(&self, task: usize) {
        let until = simulated::elapsed() + PATIENCE;
        // With the first, all of the same partner.
        let tasks: &[usize] = if task == 0 { &[0, 1] } else { &[2] };
        while !self.are_aggregated(tasks) {
            if simulated::elapsed() > until {
                return self.fail(format!("reports are not aggregated: {}", self.waiting()));
            }
            sleep(Duration::from_secs(2)).await;
        }
        self.note("all is aggregated");
        self.ask_again(task, until).await;
        for window in 0..WINDOWS {
            self.collect_window(task, window, until).await;
        }
    }

    /// Of a leader-selected task, what is left of a window fills no batch. Each report that the helper refuses
    /// may have begun one more batch: while it was in flight, another seemed full.
    fn check_batches(&self) {
        let tally = self.tally(1);
        let mut left = 0;
        for window in 0..WINDOWS {
            let of_window = tally.left(window);
            let batches = if window == 0 { 1 + tally.refused_by_helper } else { 1 };
            if of_window >= LEAST * batches {
                self.fail(format!(
                    "{of_window} reports of window {window} are in no batch that is full"
                ));
            }
            left += of_window;
        }
        let batches = self.leaders[0].disk.batches(&self.tasks[1].id).unwrap();
        let kept = batches.iter().map(|batch| batch.reports).sum::<u64>();
        if kept < left {
            self.fail(format!(
                "{left} acknowledged reports wait for a batch, and {kept} are there"
            ));
        }
    }

    /// Asks for all that was asked for before, until each question has an answer.
    async fn ask_again(&self, task: usize, until: u64) {
        let asked = self.asked.lock().unwrap().clone();
        for (_, windows) in asked.into_iter().filter(|(of, _)| *of == task) {
            while collector::collect(self, task, windows.clone()).await == Answer::Nothing {
                if simulated::elapsed() > until {
                    return self.fail(format!("the question for {windows:?} has no answer"));
                }
            }
        }
    }

    async fn collect_window(&self, task: usize, window: u64, until: u64) {
        while !self.tally(task).is_collected(window) {
            let left = self.tally(task).left(window);
            match collector::collect(self, task, window..window + 1).await {
                Answer::Refused(ProblemType::BatchOverlap) => {
                    return self.tally(task).closed(window);
                }
                Answer::Released | Answer::Refused(_) if left < LEAST => return,
                _ if simulated::elapsed() > until => {
                    return self.fail(format!("window {window} has {left} reports and no result"));
                }
                _ => sleep(Duration::from_secs(5)).await,
            }
        }
    }
}

/// Ends a process some calls from now, and starts it again.
async fn end(host: &Arc<Host>, calls: usize, down: u64) {
    if let Some(store) = host.store() {
        store.end_after(calls);
        // In the middle of what those calls are for.
        while calls > 0 && store.ping().is_ok() {
            sleep(Duration::from_millis(100)).await;
        }
    }
    host.end();
    sleep(Duration::from_millis(down)).await;
    host.start().await;
}

async fn sleep_until(at: u64) {
    sleep(Duration::from_millis(at.saturating_sub(simulated::elapsed()))).await;
}
