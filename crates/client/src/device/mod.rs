//! The device as a state machine: from what users say to sealed reports, without storage, network or clock.
//!
//! A call takes what happened and the time, and changes memory. [`Device::next`] says what the caller does now:
//!
//! 1. [`Next::Save`]: make this durable, then say [`Device::saved`]; or, if that failed, [`Device::not_saved`],
//!    and memory is again what was saved last.
//! 2. [`Next::Send`]: send this request, then pass what came back to [`Device::answered`].
//! 3. [`Next::Wait`]: call again at this moment. [`Next::Idle`]: nothing to do until the user consents.
//!
//! No call blocks, and none needs the caller to hold a lock while it waits for a disk or a network. Files,
//! IndexedDB, a Kotlin coroutine and a C callback all drive the same machine; [`Engine`](crate::engine::Engine)
//! is the one for Rust programs that may block.
//!
//! **Stored before sent.** A request is handed out only when all of memory is saved. When a window closes, one
//! answer of each metric is drawn: paid for, randomized, and forgotten, in one change. From then on there is only
//! the draw; it is sealed once, and every attempt sends the sealed bytes. A process that is killed between two
//! changes finds the state before or after the whole change: before, nothing of it had left the device; after,
//! the answer is gone and the draw is there.
//!
//! **That somebody answered does not show.** Only [`Device::next`] closes a window, and what is then sent, to
//! which task, for which window and how late, follows from the device's secret, its assignments and the times
//! of these calls: every metric is reported, with an answer or with none. Call it when its last
//! [`Next::Wait`] said, whether or not something was recorded since.

mod comment;
mod error;
mod exchange;
mod history;
mod opened;
mod personal;
mod request;
mod save;
mod window;

pub use comment::Comment;
pub use error::{DeviceError, ErrorKind, Field};
pub use exchange::{Arrived, Next};
pub use history::{AssignedValue, BudgetLeft, History, Line, Taking};
pub use opened::{Found, Options};
pub use request::{Request, RequestId};
pub use save::{Aside, Save, Version};

use super::{
    consent::Consent,
    event::{Event, Said},
    ledger::Fate,
    logged::{self, Logged},
    pending::{Item, Place, ResponseMark},
    state::{DeviceSecret, State, StateKey},
};
use exchange::Keys;
use request::Requests;
use save::Saves;
use serde::Serialize;
use sottovoce_dap::{task::TaskConfiguration, time::Time};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{
    Program,
    answer::Answer,
    compile::CompiledTask,
    dimension::{COHORTS, Dimension, Visibility},
};
use std::{collections::BTreeMap, fmt, sync::Arc};

/// One device of one program: all that it remembers, in memory.
#[derive(Debug)]
pub struct Device {
    program: Arc<Program>,
    key: Option<StateKey>,
    pub(super) state: State,
    saves: Saves,
    requests: Requests,
    keys: Keys,
    /// That the tasks are in both logs, once it is proved.
    logged: Option<Logged>,
    rng: DeviceRng,
}

/// From when an assignment holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Now: it is the first of its dimension, or it was so already.
    Now,
    /// From this moment on, in seconds since the Epoch, when the next window begins.
    From(u64),
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// It is kept until the window closes.
    Kept,
    /// The answer about this response was drawn already: it counts once, as it was then.
    Drawn,
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kept => "kept on this device until its window is over",
            Self::Drawn => "not kept: the answer about this response was reported before",
        })
    }
}

/// What became of a withdrawal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Withdrawn {
    /// The answer is gone, and no trace of it was sent.
    Forgotten,
    /// It was drawn already, and what was sent cannot be told from what others sent.
    Drawn,
    /// There was none.
    Unknown,
}

impl Device {
    /// Takes the proofs that come with the program, that both aggregators' logs have its tasks. Needed
    /// each time a device is opened for a program that demands them of devices, before anything else:
    /// without them nothing is closed, drawn or sent, and what was said waits for a later window.
    pub fn prove(&mut self, proofs: &str) -> Result<(), DeviceError> {
        self.logged = Some(logged::verify(&self.program, proofs)?);
        Ok(())
    }

    /// Whether the user agreed.
    pub fn consent(&self) -> Consent {
        self.state.consent
    }

    /// The user agrees to what [`explain`](Self::explain) says.
    pub fn give_consent(&mut self, now: u64) -> Result<(), DeviceError> {
        self.change(now, |step| {
            if !step.state.consent.is_given() {
                step.state.consent = Consent::Given { since: now };
            }
            Ok(())
        })
    }

    /// The user changes their mind: what was not sent is deleted. What was drawn stays on the
    /// account.
    pub fn withdraw_consent(&mut self, now: u64) -> Result<(), DeviceError> {
        error::check_clock(now)?;
        // Without closing a window: nothing is drawn for somebody who has just said no.
        self.change_at_any_time(|step| {
            step.state.consent = Consent::Withdrawn { since: now };
            step.state.pending.clear();
            step.state.open = None;
            for entry in std::mem::take(&mut step.state.outbox.entries) {
                let fate = if entry.in_doubt { Fate::Unknown } else { Fate::Withdrawn };
                step.state.ledger.settle(&entry.metric, entry.window, fate);
            }
        });
        Ok(())
    }

    /// Tells the device its value of a public dimension: its experiment arm, its model version. All reports of
    /// metrics with that dimension go to the task of this value, whether or not something was said;
    /// without a value there are none.
    ///
    /// A first value holds at once. A change holds from the next window on: which task this window's report
    /// goes to was settled when it began.
    pub fn assign(&mut self, dimension: &str, value: &str, now: u64) -> Result<Holds, DeviceError> {
        let known = known_dimensions(&self.program);
        let found = known.iter().find(|known| known.name == dimension);
        let found = found.ok_or_else(|| unknown_dimension(dimension, known.iter().copied()))?;
        if !found.is_public() {
            return Err(DeviceError::NotAssignable { dimension: dimension.to_owned() });
        }
        check_value(found, value)?;
        let window = self.program.window();
        self.change(now, |step| {
            let current = step.current(now);
            let open = step.state.open.unwrap_or(current);
            let from = step.state.assigned.assign(dimension, value, current, open);
            step.drop_strays();
            Ok(from.map_or(Holds::Now, |from| Holds::From(window.start_of(Time(from)))))
        })
    }

    /// Records what a user said or did. After an error it is not recorded, and all that was before is as it was.
    ///
    /// It waits for the next window of this device's own, and is then drawn from with all else that waits, each
    /// as likely; it never decides whether something is sent, when, or to which task.
    #[expect(clippy::needless_pass_by_value, reason = "an event is recorded once")]
    pub fn record(&mut self, event: Event, now: u64) -> Result<Recorded, DeviceError> {
        self.consented()?;
        error::check_interval(&self.program, now)?;
        let program = Arc::clone(&self.program);
        self.change(now, |step| {
            let current = step.current(now);
            let place = place(step, &event, current);
            let task = task_of(&program, step.state, &event)?;
            if event.response.is_some() && step.state.was_drawn(&event.metric, place.response) {
                return Ok(Recorded::Drawn);
            }
            let segments = private_part(task, &event.dimensions, step.state);
            let open = step.state.open.unwrap_or(current);
            let pending = step.state.pending.entry(event.metric.clone()).or_default();
            let is_first = !pending.has(place.response);
            let given = pending.merged(place.response, &event.said);
            let answer = Answer { given: Some(given), segments };
            let check = task.encoding().encode(&answer);
            check.map_err(|source| DeviceError::answer(&event.metric, source))?;
            let Answer { given: Some(given), segments } = answer else { return Ok(Recorded::Kept) };
            let Place { response, rank } = place;
            let (task_name, said) = (task.name.clone(), given.clone());
            let item = Item {
                response,
                rank,
                window: current,
                task: task_name,
                given: said,
                segments,
                is_learnt: false,
            };
            pending.put(item, open);
            if is_first {
                step.learn_taste(&task.metric.kind, &given, now);
            }
            Ok(Recorded::Kept)
        })
    }

    /// Takes back what was said of a response.
    pub fn withdraw(
        &mut self,
        metric: &str,
        response: &str,
        now: u64,
    ) -> Result<Withdrawn, DeviceError> {
        tasks_of(&self.program, metric)?;
        self.change(now, |step| {
            let mark = step.state.place(response).response;
            if step.state.was_drawn(metric, mark) {
                return Ok(Withdrawn::Drawn);
            }
            let pending = step.state.pending.get_mut(metric);
            let forgotten = pending.is_some_and(|pending| pending.remove(mark));
            Ok(if forgotten { Withdrawn::Forgotten } else { Withdrawn::Unknown })
        })
    }

    /// Erases all that the device remembers. If anything was ever drawn, or the device was silent
    /// already, one thing is kept, and nothing else: until when the device is silent, so that nobody
    /// who starts over spends twice. Of several such moments the latest counts.
    ///
    /// The save that follows discards first what is beside the state, which may say more than it, and then
    /// replaces or removes the state in one step. Killed in between, the device remembers all or that much,
    /// and is never new.
    pub fn forget(&mut self, now: u64) -> Result<(), DeviceError> {
        error::check_clock(now)?;
        let silent_until = window::silent_after(&self.program, &self.state, now);
        let fresh = State::new(&self.program, DeviceSecret::new(self.rng.bytes()));
        self.state = State { silent_until, ..fresh };
        self.saves.forgot(silent_until == 0);
        Ok(())
    }

    /// Checks a task's configuration, as some party sent it, against the program. A report is bound
    /// to the configuration, so a client that took another would make reports that nobody who holds
    /// the program can aggregate, under noise that nobody promised.
    pub fn check_task(
        &self,
        task: &str,
        configuration: &TaskConfiguration,
    ) -> Result<(), DeviceError> {
        let known = self.program.task(task).ok_or_else(|| DeviceError::UnknownMetric {
            found: task.to_owned(),
            valid: self.program.tasks().iter().map(|task| task.name.clone()).collect(),
        })?;
        let differs = known.configuration.difference(configuration);
        differs.map_or(Ok(()), |field| Err(DeviceError::OtherTask { task: task.to_owned(), field }))
    }

    /// What the app should show before it asks for consent, and whenever the user wants to know.
    pub fn explain(&self) -> String {
        self.program.for_users().to_owned()
    }

    /// Whether this device is held out by a dimension, so that the app leaves it as it is; nothing if
    /// the program has no such dimension of that kind.
    pub fn is_held_out(&self, dimension: &str) -> Option<bool> {
        let known = known_dimensions(&self.program);
        let dimension = known.into_iter().find(|known| known.name == dimension)?;
        Some(dimension.chosen(self.state.secret.bytes())? == COHORTS[1])
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Changes memory in one step. If anything fails, nothing has changed.
    fn change<T>(
        &mut self,
        now: u64,
        change: impl FnOnce(&mut ChangeStep<'_>) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        error::check_clock(now)?;
        let mut next = self.state.clone();
        let mut step = ChangeStep { program: &self.program, state: &mut next, rng: &mut self.rng };
        let result = change(&mut step)?;
        if step.state.consent.is_given() && step.state.open.is_none() {
            step.open_next(now);
        }
        if next != self.state {
            self.state = next;
            self.saves.changed();
        }
        Ok(result)
    }

    /// Changes memory whatever the time.
    fn change_at_any_time(&mut self, change: impl FnOnce(&mut ChangeStep<'_>)) {
        let (program, state, rng) = (&self.program, &mut self.state, &mut self.rng);
        change(&mut ChangeStep { program, state, rng });
        self.saves.changed();
    }
}

/// A change under way, on a copy of the state.
struct ChangeStep<'a> {
    program: &'a Program,
    state: &'a mut State,
    rng: &'a mut DeviceRng,
}

fn place(step: &mut ChangeStep<'_>, event: &Event, current: u64) -> Place {
    match (&event.response, &event.said) {
        (Some(response), _) => step.state.place(response),
        (None, Said::Answer(_)) => {
            let mark = u64::from_le_bytes(step.rng.bytes());
            step.state.place_of(ResponseMark(mark))
        }
        (None, Said::Signal(_) | Said::More(_)) => step.state.place_of_window(current),
    }
}

/// The tasks of a metric.
fn tasks_of<'a>(program: &'a Program, metric: &str) -> Result<Vec<&'a CompiledTask>, DeviceError> {
    let tasks: Vec<_> = program.tasks().iter().filter(|task| task.metric.name == metric).collect();
    if tasks.is_empty() {
        let valid = program.releases().into_iter().map(|(name, _)| name).collect();
        return Err(DeviceError::UnknownMetric { found: metric.to_owned(), valid });
    }
    Ok(tasks)
}

/// The task that an event belongs to: that of the values which the device was assigned last. The event may
/// repeat them, and say no others.
fn task_of<'a>(
    program: &'a Program,
    state: &State,
    event: &Event,
) -> Result<&'a CompiledTask, DeviceError> {
    let tasks = tasks_of(program, &event.metric)?;
    let metric = &tasks[0].metric;
    for (name, value) in &event.dimensions {
        let dimension = metric.dimensions.iter().find(|dimension| dimension.name == *name);
        let dimension =
            dimension.ok_or_else(|| unknown_dimension(name, metric.dimensions.iter()))?;
        if matches!(dimension.visibility, Visibility::HeldOut(_)) {
            return Err(DeviceError::NotAssignable { dimension: name.clone() });
        }
        check_value(dimension, value)?;
    }
    for (dimension, _) in &tasks[0].public {
        let Some(assigned) = state.assigned.latest(dimension) else {
            let (metric, dimension) = (metric.name.clone(), dimension.clone());
            return Err(DeviceError::Unassigned { metric, dimension });
        };
        if let Some(given) = event.dimensions.get(dimension).filter(|given| *given != assigned) {
            return Err(DeviceError::OtherAssignment {
                dimension: dimension.clone(),
                assigned: assigned.to_owned(),
                given: given.clone(),
            });
        }
    }
    let matches = |task: &&CompiledTask| {
        let is = |(name, wanted): &(String, String)| state.assigned.latest(name) == Some(wanted);
        task.public.iter().all(is)
    };
    // Values that are no longer known were dropped with the program that knew them.
    tasks.into_iter().find(matches).ok_or_else(|| {
        let (metric, dimension) = (event.metric.clone(), String::from("a public dimension"));
        DeviceError::Unassigned { metric, dimension }
    })
}

/// The values of a task's dimensions that are protected like the answer: those that were said, and
/// those that the device chooses.
fn private_part(
    task: &CompiledTask,
    said: &BTreeMap<String, String>,
    state: &State,
) -> BTreeMap<String, String> {
    let private = task.metric.dimensions.iter().filter(|dimension| !dimension.is_public());
    let value = |dimension: &Dimension| {
        let chosen = dimension.chosen(state.secret.bytes()).map(str::to_owned);
        let value = chosen.or_else(|| said.get(&dimension.name).cloned())?;
        Some((dimension.name.clone(), value))
    };
    private.filter_map(value).collect()
}

fn known_dimensions(program: &Program) -> Vec<&Dimension> {
    let mut known: Vec<&Dimension> = Vec::new();
    for dimension in program.tasks().iter().flat_map(|task| &task.metric.dimensions) {
        if !known.contains(&dimension) {
            known.push(dimension);
        }
    }
    known
}

fn unknown_dimension<'a>(found: &str, known: impl Iterator<Item = &'a Dimension>) -> DeviceError {
    let valid = known.map(|dimension| dimension.name.clone()).collect();
    DeviceError::UnknownDimension { found: found.to_owned(), valid }
}

fn check_value(dimension: &Dimension, value: &str) -> Result<(), DeviceError> {
    if dimension.values.iter().any(|known| known == value) {
        return Ok(());
    }
    Err(DeviceError::UnknownValue {
        dimension: dimension.name.clone(),
        found: value.to_owned(),
        valid: dimension.values.clone(),
    })
}

#[cfg(test)]
mod tests;
