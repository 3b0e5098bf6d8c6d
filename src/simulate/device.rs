//! One device through all its windows: its engine, what its user does with it, and what goes wrong.
//!
//! Beside the engine runs a copy of what it should know: what was said since a window was closed.
//! When the engine closes a window, the copy says what there is to report; when the leader takes a
//! report, that is what was so. A report that the copy does not expect is an error: a device was
//! counted twice, or unasked.

use super::{
    aggregators::Inbox,
    behaviour::{Honesty, Person, Purpose, Seen, Visit, Voice, generator},
    scenario::Lie,
    truth::{Ballot, Key, said_to},
    world::{Results, World},
};
use anyhow::Context;
use rand::{RngExt, rngs::ChaCha8Rng};
use sottovoce_client::{
    engine::{self, Arrived, Engine, Request, Step},
    event::Event,
    storage::MemoryStorage,
};
use sottovoce_dap::time::Time;
use sottovoce_program::{
    answer::{Answer, Given},
    compile::CompiledTask,
    metric::Metric,
};
use std::{collections::BTreeMap, sync::Arc};

/// Runs a device from its first window to the end of its last one's grace.
pub(super) fn live(
    world: &World<'_>,
    number: u64,
    inbox: &mut Inbox,
    results: &mut Results,
) -> anyhow::Result<()> {
    let seed = world.options.seed;
    let mut person = Person::draw(world.scenario, &world.dimensions, seed, number);
    results.counts.took_part += u64::from(person.consents);
    let mishaps = Mishaps { rng: generator(seed, number, Purpose::Mishaps), crash_after: None };
    let mut device = Device { world, engine: None, mishaps, said: Vec::new() };
    let mut expected = BTreeMap::new();
    for index in 0..=world.options.windows {
        let is_last = index == world.options.windows;
        let visit = person.next_window(index, is_last);
        let Some(visit) = visit else {
            if person.is_gone() {
                break;
            }
            continue;
        };
        let window = world.first_window() + index;
        if !is_last {
            world.count_thoughts(&person, window, &visit, results);
        }
        match person.honesty {
            _ if !person.consents => {}
            Honesty::Honest | Honesty::Answers(_) => {
                let moment = world.moment(window, visit.moment);
                device.visit(&person, window, moment, &visit, &mut expected, inbox, results)?;
            }
            Honesty::Bare(lie) | Honesty::Forged(lie) if !is_last => {
                let forged = matches!(person.honesty, Honesty::Forged(_));
                let task = world.task_of(&person, lie)?;
                world.aggregators.deliver_foreign(inbox, task, window, lie.bin, forged)?;
                let count =
                    if forged { &mut results.counts.forged } else { &mut results.counts.bare };
                *count += 1;
            }
            Honesty::Bare(_) | Honesty::Forged(_) => {}
        }
    }
    for key in inbox.device_is_done() {
        let ballot = expected.remove(&key).with_context(|| {
            format!("device {number} was counted twice, or unasked, in {key:?}")
        })?;
        if person.honesty.is_honest() {
            results.truths.entry(key).or_default().contributed.count(&ballot);
        } else {
            results.counts.lies += 1;
        }
    }
    Ok(())
}

/// A device, and a copy of what its engine knows.
struct Device<'a> {
    world: &'a World<'a>,
    /// Nothing before the first visit.
    engine: Option<Engine<MemoryStorage>>,
    mishaps: Mishaps,
    /// What was said of each response since a window was closed.
    said: Vec<Said>,
}

/// What was said of one response.
struct Said {
    response: String,
    /// By metric.
    given: BTreeMap<usize, Given>,
}

/// What goes wrong, drawn apart from behaviour.
struct Mishaps {
    rng: ChaCha8Rng,
    /// Calls of the engine before the app is killed.
    crash_after: Option<u32>,
}

/// A crash comes within so many calls of the engine: about as many as a visit has.
const CALLS_OF_A_VISIT: u32 = 12;

impl Mishaps {
    fn chance(&mut self, probability: f64) -> bool {
        self.rng.random::<f64>() < probability
    }
}

impl Device<'_> {
    /// The app is opened: what is due is sent, and then the user talks to the model.
    #[expect(clippy::too_many_arguments, reason = "what a visit takes and gives")]
    fn visit(
        &mut self,
        person: &Person<'_>,
        window: u64,
        now: u64,
        visit: &Visit,
        expected: &mut BTreeMap<Key, Ballot>,
        inbox: &mut Inbox,
        results: &mut Results,
    ) -> anyhow::Result<()> {
        let scenario = self.world.scenario;
        let crashes = self.mishaps.chance(scenario.crash);
        let after = self.mishaps.rng.random_range(0..CALLS_OF_A_VISIT);
        self.mishaps.crash_after = crashes.then_some(after);
        results.counts.crashes += u64::from(crashes);
        self.open_engine(person, now)?;
        self.expect(person, window, now, expected)?;
        let now = self.deliver(now, self.world.latest(window), inbox, results)?;
        if let (Honesty::Answers(lie), false) = (person.honesty, visit.responses.is_empty()) {
            self.lie(lie, window, now)?;
        } else {
            let pause = self.world.rest_of(window, now) / (visit.responses.len() as u64 + 1);
            for (index, seen) in visit.responses.iter().enumerate() {
                let moment = now + pause * (index as u64 + 1);
                self.talk(person, format!("{window}-{index}"), seen, moment)?;
            }
        }
        if self.mishaps.crash_after.take().is_some() {
            self.reopen(now)?;
        }
        Ok(())
    }

    fn open_engine(&mut self, person: &Person<'_>, now: u64) -> anyhow::Result<()> {
        if self.engine.is_some() {
            return Ok(());
        }
        let mut engine = self.opened(MemoryStorage::default(), now)?;
        engine.give_consent(now)?;
        for (name, value) in &person.assigned {
            engine.assign(name, value, now)?;
        }
        self.engine = Some(engine);
        Ok(())
    }

    fn opened(&self, storage: MemoryStorage, now: u64) -> anyhow::Result<Engine<MemoryStorage>> {
        let options = engine::Options::default();
        Ok(Engine::open(Arc::clone(self.world.program), storage, options, now)?.0)
    }

    /// The app was killed and is opened again, with what it had stored.
    fn reopen(&mut self, now: u64) -> anyhow::Result<()> {
        if let Some(killed) = self.engine.take() {
            self.engine = Some(self.opened(killed.storage().clone(), now)?);
        }
        Ok(())
    }

    /// The engine for its next call, which a crash may come before.
    fn engine(&mut self, now: u64) -> anyhow::Result<&mut Engine<MemoryStorage>> {
        match self.mishaps.crash_after {
            Some(0) => {
                self.mishaps.crash_after = None;
                self.reopen(now)?;
            }
            Some(calls) => self.mishaps.crash_after = Some(calls - 1),
            None => {}
        }
        self.engine.as_mut().context("the device's first visit opens its engine")
    }

    /// Notes what the engine should draw when it closes a window of its own in time; later it carries on.
    fn expect(
        &mut self,
        person: &Person<'_>,
        current: u64,
        now: u64,
        expected: &mut BTreeMap<Key, Ballot>,
    ) -> anyhow::Result<()> {
        let engine = self.engine.as_ref().context("the device's first visit opens its engine")?;
        let (from, _) = engine.next_window().context("whoever visits takes part")?;
        let closed = self.world.program.window().time_at(from).0;
        if closed >= current || now > self.world.deadline(closed) {
            return Ok(());
        }
        for (index, asked) in self.world.scenario.metrics.iter().enumerate() {
            let task = self.world.task_among(person, &asked.tasks);
            let Some((place, task)) = task else { continue };
            let answers = self.answers(person, index, task, now)?;
            expected.insert((place, closed), Ballot::of(task, &answers));
        }
        self.said.clear();
        Ok(())
    }

    /// All that the engine may draw from for a metric.
    fn answers(
        &self,
        person: &Person<'_>,
        index: usize,
        task: &CompiledTask,
        now: u64,
    ) -> anyhow::Result<Vec<Answer>> {
        let engine = self.engine.as_ref().context("the device's first visit opens its engine")?;
        let metrics = &self.world.scenario.metrics;
        let mut segments = private(person, &task.metric);
        for dimension in &task.metric.dimensions {
            if let Some(is_in) = engine.is_held_out(&dimension.name) {
                let value = dimension.values[usize::from(is_in)].clone();
                segments.insert(dimension.name.clone(), value);
            }
        }
        let mut answers = Vec::new();
        for said in &self.said {
            let score = |metric: &str| {
                let score = engine.score(metric, &said.response, now).ok().flatten();
                score.map(|score| score.value)
            };
            if let Some(given) = said_to(metrics, index, &said.given, &score) {
                answers.push(Answer { given: Some(given), segments: segments.clone() });
            }
        }
        Ok(answers)
    }

    /// Sends all that the engine hands out until a moment. Gives when it was done.
    fn deliver(
        &mut self,
        mut now: u64,
        latest: u64,
        inbox: &mut Inbox,
        results: &mut Results,
    ) -> anyhow::Result<u64> {
        loop {
            match self.engine(now)?.next(now)? {
                Step::Send(request) => self.send(&request, now, inbox, results)?,
                Step::Wait { until } if until < latest => now = until.max(now + 1),
                Step::Wait { .. } | Step::Idle => return Ok(now),
            }
        }
    }

    fn send(
        &mut self,
        request: &Request,
        now: u64,
        inbox: &mut Inbox,
        results: &mut Results,
    ) -> anyhow::Result<()> {
        let scenario = self.world.scenario;
        let is_upload = !request.http.body.is_empty();
        results.counts.requests += 1;
        let arrived = if self.mishaps.chance(scenario.lost_request) {
            results.counts.lost += 1;
            Arrived::Nothing
        } else {
            let response = self.world.aggregators.answer(inbox, &request.http, now)?;
            if is_upload && self.mishaps.chance(scenario.lost_answer) {
                results.counts.lost += 1;
                Arrived::Nothing
            } else {
                Arrived::Response(response)
            }
        };
        if self.mishaps.crash_after == Some(0) {
            // The answer came to an app that was no longer there.
            return self.engine(now).map(|_| ());
        }
        Ok(self.engine(now)?.answered(request.id, arrived, now)?)
    }

    /// The user sees a response of the model, and says something of it or nothing.
    fn talk(
        &mut self,
        person: &Person<'_>,
        response: String,
        seen: &Seen,
        now: u64,
    ) -> anyhow::Result<()> {
        let mut kept = BTreeMap::new();
        for (index, thought) in &seen.thoughts {
            let Voice::Said { first, withdrawn } = &thought.voice else { continue };
            let metric = &self.world.scenario.metrics[*index].metric;
            let values = private(person, metric);
            for given in first.iter().chain([&thought.given]) {
                for event in events(&metric.name, given) {
                    let with =
                        |event: Event, (name, value): (&String, &String)| event.with(name, value);
                    let event = values.iter().fold(event.on(&response), with);
                    self.engine(now)?.record(event, now)?;
                }
            }
            if *withdrawn {
                self.engine(now)?.withdraw(&metric.name, &response, now)?;
            } else {
                kept.insert(*index, thought.given.clone());
            }
        }
        self.said.push(Said { response, given: kept });
        Ok(())
    }

    /// A user who lies says the same in each window.
    fn lie(&mut self, lie: &Lie, window: u64, now: u64) -> anyhow::Result<()> {
        let metric = &self.world.scenario.metrics[lie.metric].metric;
        let (given, values) = lie.answer.as_ref().context("the scenario has no such answer")?;
        let event = Event::answer(&metric.name, given.clone()).on(&format!("{window}-lie"));
        let event = values.iter().fold(event, |event, (name, value)| event.with(name, value));
        self.engine(now)?.record(event, now)?;
        Ok(())
    }
}

/// What an app tells the engine when a user says this: signals one by one, counts as they happen.
fn events(metric: &str, given: &Given) -> Vec<Event> {
    match given.signals() {
        Some(seen) => seen.iter().map(|signal| Event::signal(metric, signal)).collect(),
        None => vec![Event::answer(metric, given.clone())],
    }
}

/// The values of a metric's private dimensions, but for those that devices choose.
pub(super) fn private(person: &Person<'_>, metric: &Metric) -> BTreeMap<String, String> {
    let names = metric.dimensions.iter().map(|dimension| &dimension.name);
    names.filter_map(|name| Some((name.clone(), person.values.get(name)?.clone()))).collect()
}

impl World<'_> {
    /// The window that a simulation begins in.
    pub(super) fn first_window(&self) -> u64 {
        self.program.window().time_at(self.options.start).0
    }

    /// When a window's batch is over.
    fn deadline(&self, window: u64) -> u64 {
        self.program.window().start_of(Time(window + 1)) + self.program.grace()
    }

    /// The last moment of a window at which the window before it is still reported.
    fn latest(&self, window: u64) -> u64 {
        let grace = self.program.grace().min(self.program.window().seconds() - 1);
        self.program.window().start_of(Time(window)) + grace
    }

    /// When the app is opened in a window: in the first quarter of the time in which reports are
    /// taken, so that they are sent with the program's jitter.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share of a duration"
    )]
    fn moment(&self, window: u64, share: f64) -> u64 {
        let begin = self.program.window().start_of(Time(window));
        begin + (share * ((self.latest(window) - begin) / 4) as f64) as u64
    }

    /// Seconds until a window ends.
    fn rest_of(&self, window: u64, now: u64) -> u64 {
        (self.program.window().start_of(Time(window + 1)) - 1).saturating_sub(now)
    }

    /// The task that a person reports a lie to.
    fn task_of(&self, person: &Person<'_>, lie: &Lie) -> anyhow::Result<usize> {
        let tasks = &self.scenario.metrics[lie.metric].tasks;
        let found = self.task_among(person, tasks);
        found.map(|(index, _)| index).context("a person has a value of every public dimension")
    }

    /// The one of a metric's tasks that has a person's values of public dimensions.
    pub(super) fn task_among(
        &self,
        person: &Person<'_>,
        tasks: &[usize],
    ) -> Option<(usize, &CompiledTask)> {
        let tasks = tasks.iter().map(|index| (*index, &self.program.tasks()[*index]));
        let is_theirs =
            |task: &CompiledTask| task.public.iter().all(|value| person.assigned.contains(value));
        tasks.into_iter().find(|(_, task)| is_theirs(task))
    }

    /// Counts what a person thinks in a window, said or not.
    fn count_thoughts(
        &self,
        person: &Person<'_>,
        window: u64,
        visit: &Visit,
        results: &mut Results,
    ) {
        let metrics = &self.scenario.metrics;
        for (index, asked) in metrics.iter().enumerate() {
            let Some((place, task)) = self.task_among(person, &asked.tasks) else { continue };
            // Who is held out, only devices know.
            if task.metric.dimensions.iter().any(|d| d.chosen(&[0; 32]).is_some()) {
                continue;
            }
            let segments = private(person, &asked.metric);
            let thought = |seen: &Seen| {
                let thoughts = seen.thoughts.iter();
                let thoughts = thoughts.map(|(index, thought)| (*index, thought.given.clone()));
                let given = said_to(metrics, index, &thoughts.collect(), &|_| None)?;
                Some(Answer { given: Some(given), segments: segments.clone() })
            };
            let answers: Vec<_> = visit.responses.iter().filter_map(thought).collect();
            if !answers.is_empty() {
                let truth = results.truths.entry((place, window)).or_default();
                truth.everybody.count(&Ballot::of(task, &answers));
            }
        }
    }
}
