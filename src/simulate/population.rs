//! Everybody: one engine after the other, each through all its windows, on all cores.

use super::{
    Options,
    aggregators::{Aggregators, Inbox, Sums},
    behaviour::{Person, say},
    scenario::{Scenario, metrics},
};
use crate::{
    client::{
        engine::{self, Arrived, Engine, Step},
        event::Event,
        storage::MemoryStorage,
    },
    dap::{task::VdafConfig, time::Time, vdaf::shard::Measurement},
    program::{
        Program,
        answer::{Answer, Given},
        compile::CompiledTask,
        encoding::Encoded,
        joint::Part,
        metric::{Metric, MetricKind},
    },
};
use anyhow::{Context, ensure};
use rand::{RngExt, SeedableRng, rngs::ChaCha8Rng};
use rayon::prelude::*;
use std::{collections::BTreeMap, sync::Arc};

/// What came of everybody.
#[derive(Default)]
pub(super) struct Results {
    pub(super) sums: Sums,
    pub(super) truths: BTreeMap<(usize, u64), Truth>,
    /// Reports that verification refused.
    pub(super) refused: u64,
    /// Reports by devices that do not run the engine, without noise and forged.
    pub(super) bare: u64,
    pub(super) forged: u64,
    /// Devices whose users took part.
    pub(super) took_part: u64,
}

/// What was so in a window of a task, of those whose reports were taken.
#[derive(Default)]
pub(super) struct Truth {
    /// Devices for each bin. One that could have reported either of several answers counts in parts.
    pub(super) bins: Vec<f64>,
    pub(super) devices: u64,
}

/// Devices that one worker runs before its sums are handed on.
const CHUNK: u64 = 256;

/// Runs everybody. What memory it takes does not depend on how many they are.
pub(super) fn run(
    program: &Arc<Program>,
    scenario: &Scenario,
    options: Options,
    aggregators: &Aggregators,
    progress: &(dyn Fn(u64) + Sync),
) -> anyhow::Result<Results> {
    let world = World { program, scenario, options, aggregators };
    let chunks = options.devices.div_ceil(CHUNK);
    (0..chunks)
        .into_par_iter()
        .map(|chunk| {
            let (mut results, mut inbox) = (Results::default(), Inbox::default());
            for device in chunk * CHUNK..options.devices.min((chunk + 1) * CHUNK) {
                world.live(device, &mut inbox, &mut results)?;
                progress(1);
            }
            (results.sums, results.refused) = aggregators.finish(inbox)?;
            Ok(results)
        })
        .try_reduce(Results::default, |mut one, other| {
            one.merge(other, aggregators)?;
            Ok(one)
        })
}

impl Results {
    fn merge(&mut self, other: Self, aggregators: &Aggregators) -> anyhow::Result<()> {
        aggregators.merge(&mut self.sums, other.sums)?;
        for (key, truth) in other.truths {
            self.truths.entry(key).or_default().add(&truth.bins, truth.devices);
        }
        self.refused += other.refused;
        self.bare += other.bare;
        self.forged += other.forged;
        self.took_part += other.took_part;
        Ok(())
    }
}

impl Truth {
    fn add(&mut self, bins: &[f64], devices: u64) {
        self.bins.resize(self.bins.len().max(bins.len()), 0.0);
        for (sum, more) in self.bins.iter_mut().zip(bins) {
            *sum += more;
        }
        self.devices += devices;
    }
}

struct World<'a> {
    program: &'a Arc<Program>,
    scenario: &'a Scenario,
    options: Options,
    aggregators: &'a Aggregators,
}

/// A device and what its user said since a window was closed.
struct Device<'a> {
    engine: Engine<MemoryStorage>,
    person: Person<'a>,
    assigned: Vec<(String, String)>,
    rng: ChaCha8Rng,
    /// For each response, what was said to each metric.
    said: Vec<BTreeMap<String, Given>>,
    /// The window that is open.
    open: u64,
    /// What the engine should report, by task and window.
    expected: BTreeMap<(usize, u64), Vec<f64>>,
}

impl<'a> World<'a> {
    fn live(&self, number: u64, inbox: &mut Inbox, results: &mut Results) -> anyhow::Result<()> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        rng.set_stream(number);
        if rng.random::<f64>() >= self.scenario.consent {
            return Ok(());
        }
        results.took_part += 1;
        let assigned = assign(self.program, &mut rng);
        let kind = rng.random::<f64>();
        let (bare, forged) = (self.scenario.dishonest.bare, self.scenario.dishonest.forged);
        if kind < bare + forged {
            return self.lie(&assigned, kind >= bare, inbox, results);
        }
        let person = Person::draw(self.scenario, &assigned, &mut rng);
        let (engine, _) = self.open_engine(MemoryStorage::default(), self.options.start)?;
        let (said, expected) = (Vec::new(), BTreeMap::new());
        let open = self.program.window().time_at(self.options.start).0;
        let mut device = Device { engine, person, assigned, rng, said, open, expected };
        device.engine.give_consent(self.options.start)?;
        for (name, value) in device.assigned.clone() {
            device.engine.assign(&name, &value, self.options.start)?;
        }
        for window in 0..=self.options.windows {
            if window > 0 && device.rng.random::<f64>() < self.scenario.leave {
                break;
            }
            if device.rng.random::<f64>() >= self.scenario.offline {
                self.visit(&mut device, window, inbox)?;
            }
        }
        for key in std::mem::take(&mut inbox.taken) {
            let bins = device.expected.remove(&key).with_context(|| {
                format!("device {number} was counted twice, or unasked, in {key:?}")
            })?;
            results.truths.entry(key).or_default().add(&bins, 1);
        }
        Aggregators::forget_ids(inbox);
        Ok(())
    }

    fn open_engine(
        &self,
        storage: MemoryStorage,
        now: u64,
    ) -> anyhow::Result<(Engine<MemoryStorage>, engine::Found)> {
        let options = engine::Options::default();
        Ok(Engine::open(Arc::clone(self.program), storage, options, now)?)
    }

    /// The app is opened in a window: what is due is sent, and then the user talks to the model.
    fn visit(&self, device: &mut Device<'a>, window: u64, inbox: &mut Inbox) -> anyhow::Result<()> {
        let unit = self.program.window();
        let current = unit.time_at(self.options.start).0 + window;
        let begin = unit.start_of(Time(current));
        let latest = begin + self.program.grace().min(unit.seconds());
        let now = begin + device.rng.random_range(0..=(latest - begin) / 4);
        self.expect(device, current, now);
        let now = self.deliver(device, now, latest, inbox)?;
        if window < self.options.windows {
            for response in 0..self.scenario.responses {
                self.respond(device, &format!("{window}-{response}"), now)?;
            }
        }
        Ok(())
    }

    /// Notes what the engine should draw when it closes a window in time; later it carries on.
    fn expect(&self, device: &mut Device<'a>, current: u64, now: u64) {
        let unit = self.program.window();
        let open = std::mem::replace(&mut device.open, current);
        let deadline = unit.start_of(Time(open + 1)) + self.program.grace();
        if open == current || now > deadline {
            return;
        }
        for (index, task) in self.program.tasks().iter().enumerate() {
            if task.public.iter().all(|value| device.assigned.contains(value)) {
                let bins = self.truth(task, device);
                device.expected.insert((index, open), bins);
            }
        }
        device.said.clear();
    }

    /// Sends all that the engine hands out until the end of the grace. Gives when it was done.
    fn deliver(
        &self,
        device: &mut Device<'a>,
        mut now: u64,
        latest: u64,
        inbox: &mut Inbox,
    ) -> anyhow::Result<u64> {
        loop {
            match device.engine.next(now)? {
                Step::Send(outgoing) => {
                    let response = self.aggregators.answer(inbox, outgoing.request())?;
                    let is_lost = !outgoing.request().body.is_empty()
                        && device.rng.random::<f64>() < self.scenario.lost_answer;
                    let arrived =
                        if is_lost { Arrived::Nothing } else { Arrived::Response(response) };
                    device.engine.answered(outgoing, arrived, now)?;
                }
                Step::Wait { until } if until < latest => now = until.max(now + 1),
                Step::Wait { .. } | Step::Idle => return Ok(now),
            }
        }
    }

    /// The user sees a response of the model.
    fn respond(&self, device: &mut Device<'a>, response: &str, now: u64) -> anyhow::Result<()> {
        let satisfied = device.rng.random::<f64>() < device.person.satisfied;
        let mut said = BTreeMap::new();
        for task in self.program.tasks() {
            let is_ours = task.public.iter().all(|value| device.assigned.contains(value));
            let Some(habit) = self.scenario.metrics.get(&task.metric.name).filter(|_| is_ours)
            else {
                continue;
            };
            let is_derived = matches!(
                task.metric.kind,
                MetricKind::Joint(_) | MetricKind::Score { source: Some(_), .. }
            );
            if is_derived {
                continue;
            }
            let Some(given) = say(task, habit, satisfied, &mut device.rng) else { continue };
            let otherwise = say(task, habit, !satisfied, &mut device.rng);
            let is_signals = matches!(given, Given::Signals(_));
            if let Some(otherwise) = otherwise.filter(|_| !is_signals)
                && device.rng.random::<f64>() < self.scenario.changed
            {
                self.record(device, &task.metric, otherwise, response, now)?;
            }
            self.record(device, &task.metric, given.clone(), response, now)?;
            if device.rng.random::<f64>() < self.scenario.withdrawn {
                device.engine.withdraw(&task.metric.name, response, now)?;
            } else {
                said.insert(task.metric.name.clone(), given);
            }
        }
        device.said.push(said);
        Ok(())
    }

    fn record(
        &self,
        device: &mut Device<'a>,
        metric: &Metric,
        given: Given,
        response: &str,
        now: u64,
    ) -> anyhow::Result<()> {
        if device.rng.random::<f64>() < self.scenario.crash {
            let storage = device.engine.storage().clone();
            device.engine = self.open_engine(storage, now)?.0;
        }
        let mut event = Event::answer(&metric.name, given).on(response);
        for (name, value) in self.private(device, metric) {
            event = event.with(&name, &value);
        }
        device.engine.record(event, now)?;
        Ok(())
    }

    /// The values of a metric's private dimensions, but for those that devices choose.
    fn private(&self, device: &Device<'a>, metric: &Metric) -> Vec<(String, String)> {
        let private = metric
            .dimensions
            .iter()
            .filter(|dimension| !dimension.is_public() && dimension.chosen(&[0; 32]).is_none());
        let value = |dimension: &crate::program::dimension::Dimension| {
            let known = device.person.segment.values.get(&dimension.name);
            (dimension.name.clone(), known.unwrap_or(&dimension.values[0]).clone())
        };
        private.map(value).collect()
    }

    /// What the engine can report, each answer as likely as the others; nothing if only the engine
    /// knows.
    fn truth(&self, task: &CompiledTask, device: &Device<'a>) -> Vec<f64> {
        let mut bins = vec![0.0; task.encoding().bins() as usize];
        if matches!(task.metric.kind, MetricKind::Score { source: Some(_), .. }) {
            return Vec::new();
        }
        let given: Vec<_> =
            device.said.iter().filter_map(|said| given(&task.metric, said)).collect();
        let answers: Vec<_> = match given.as_slice() {
            [] => vec![Answer::none()],
            given => given.iter().cloned().map(|given| self.answer(task, given, device)).collect(),
        };
        #[expect(clippy::cast_precision_loss, reason = "a handful of answers")]
        let part = |of: usize| 1.0 / of as f64;
        let each = part(answers.len());
        for answer in &answers {
            match task.encoding().encode(answer) {
                Ok(Encoded::One(bin)) => bins[bin.index()] += each,
                Ok(Encoded::OneOf(some)) => {
                    some.iter().for_each(|bin| bins[bin.index()] += each * part(some.len()));
                }
                Ok(Encoded::Bits(bits)) => {
                    bins.iter_mut()
                        .zip(bits)
                        .for_each(|(sum, bit)| *sum += each * f64::from(u8::from(bit)));
                }
                Err(_) => bins[0] += each,
            }
        }
        bins
    }

    fn answer(&self, task: &CompiledTask, given: Given, device: &Device<'a>) -> Answer {
        let mut segments: BTreeMap<_, _> = self.private(device, &task.metric).into_iter().collect();
        for dimension in &task.metric.dimensions {
            if let Some(is_in) = device.engine.is_held_out(&dimension.name) {
                segments
                    .insert(dimension.name.clone(), dimension.values[usize::from(is_in)].clone());
            }
        }
        Answer { given: Some(given), segments }
    }

    /// A device that does not run the engine reports what it likes in every window.
    fn lie(
        &self,
        assigned: &[(String, String)],
        forged: bool,
        inbox: &mut Inbox,
        results: &mut Results,
    ) -> anyhow::Result<()> {
        let dishonest = &self.scenario.dishonest;
        let index = self.program.tasks().iter().position(|task| {
            task.metric.name == dishonest.metric
                && task.public.iter().all(|value| assigned.contains(value))
        });
        let index = index.context("the scenario was checked against another program")?;
        let task = &self.program.tasks()[index];
        let bin = task.labels().iter().position(|label| *label == dishonest.bin).unwrap_or(0);
        let bins = task.labels().len();
        let measurement = match task.configuration.vdaf {
            VdafConfig::Prio3MultihotCountVec { .. } => {
                Measurement::Bits((0..bins).map(|other| other == bin).collect())
            }
            VdafConfig::Prio3SumVec { .. } => {
                Measurement::Vector((0..bins).map(|other| u128::from(other == bin)).collect())
            }
            _ => Measurement::Bin(bin),
        };
        let first = self.program.window().time_at(self.options.start).0;
        for window in first..first + self.options.windows {
            let aggregators = self.aggregators;
            aggregators.deliver_foreign(inbox, index, window, &measurement, forged)?;
            if forged { results.forged += 1 } else { results.bare += 1 }
        }
        Ok(())
    }
}

/// What was said to a metric about one response.
fn given(metric: &Metric, said: &BTreeMap<String, Given>) -> Option<Given> {
    let MetricKind::Joint(parts) = &metric.kind else { return said.get(&metric.name).cloned() };
    let of = |part: &Part| said.get(&part.metric).cloned().map(Box::new);
    let [first, second] = [of(&parts[0]), of(&parts[1])];
    (first.is_some() || second.is_some()).then_some(Given::Joint { first, second })
}

/// A value of each public dimension, each as likely as the others.
fn assign(program: &Program, rng: &mut ChaCha8Rng) -> Vec<(String, String)> {
    let mut assigned: Vec<(String, String)> = Vec::new();
    for dimension in metrics(program).iter().flat_map(|metric| &metric.dimensions) {
        if dimension.is_public() && assigned.iter().all(|(name, _)| *name != dimension.name) {
            let value = dimension.values[rng.random_range(0..dimension.values.len())].clone();
            assigned.push((dimension.name.clone(), value));
        }
    }
    assigned
}

/// Says so if nobody can be simulated.
pub(super) fn check(options: Options) -> anyhow::Result<()> {
    ensure!(options.devices > 0 && options.windows > 0, "at least one device and one window");
    Ok(())
}
