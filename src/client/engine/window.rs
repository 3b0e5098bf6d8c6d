//! Windows: when one closes, and what is drawn then.
//!
//! The clock is not trusted. A window closes when the clock is past its end and not past its grace;
//! if the clock is further on, or behind, what was said is carried to the window that the clock is
//! in. A window that was closed once is never opened again, so that neither a jump forth and back
//! nor a slow clock makes a second report for it.

use super::{
    super::{
        ledger::{Allowance, Fate, NotCharged, Spent},
        outbox::Entry,
        pending::{Item, Pending, ResponseMark},
        report::{Drawn, Reporter},
        state::{ProgramMark, State},
    },
    ChangeStep, EngineError,
    personal::scored,
    private_part,
};
use crate::{
    dap::time::Time,
    privacy::{guarantee::Release, units::Epsilon},
    program::{
        Program,
        answer::{Answer, Given},
        compile::CompiledTask,
        joint::Part,
        metric::MetricKind,
    },
};

/// What a metric contributes to a window.
struct Contribution<'a> {
    task: &'a CompiledTask,
    answer: Answer,
    /// The response that the answer is about.
    response: Option<ResponseMark>,
}

impl ChangeStep<'_> {
    /// Closes the open window if the clock is past its end.
    pub(super) fn close_what_is_over(&mut self, now: u64) -> Result<(), EngineError> {
        if !self.state.consent.is_given() {
            return Ok(());
        }
        let current = self.current(now);
        let Some(open) = self.state.open else { return Ok(()) };
        if current == open {
            return Ok(());
        }
        if is_to_close(self.program, open, now) {
            self.close(open, now)?;
        }
        self.carry(now);
        Ok(())
    }

    /// Has what was said wait for the first window from now on that was not closed before.
    pub(super) fn carry(&mut self, now: u64) {
        let current = self.current(now);
        let waits = self.state.consent.is_given() && self.state.open.is_some();
        if waits && !self.state.ledger.has(current) {
            self.state.open = Some(current);
        }
    }

    fn current(&self, now: u64) -> u64 {
        self.program.window().time_at(now).0
    }

    /// Draws one answer of each metric, or that there is none.
    fn close(&mut self, window: u64, now: u64) -> Result<(), EngineError> {
        let allowance = allowance(self.program, window);
        let silent = is_silent(self.program, self.state, window);
        for (metric, release) in self.program.releases() {
            let contribution = contribution(self.program, self.state, &metric, now);
            let Some(contribution) = contribution else { continue };
            if silent {
                self.state.ledger.skip(&metric, &release, window, Fate::Silent);
                continue;
            }
            self.draw(&metric, &release, contribution, window, allowance, now)?;
        }
        self.learn_habits(now);
        self.state.pending.clear();
        self.state.epoch += 1;
        Ok(())
    }

    fn draw(
        &mut self,
        metric: &str,
        release: &Release,
        contribution: Contribution<'_>,
        window: u64,
        allowance: Option<Allowance>,
        now: u64,
    ) -> Result<(), EngineError> {
        let spent = match self.state.ledger.charge(metric, release, window, allowance) {
            Ok(spent) => spent,
            Err(NotCharged::Twice | NotCharged::OverBudget) => return Ok(()),
        };
        let Contribution { task, answer, response } = contribution;
        let drawn = self.randomize(task, &answer, window, spent)?;
        if let Some(response) = response {
            self.state.remember_drawn(metric, response);
        }
        let expires = deadline(self.program, window);
        let due = now.saturating_add(self.jitter(now, expires));
        self.state.outbox.entries.push(Entry {
            metric: metric.to_owned(),
            task: task.name.clone(),
            task_id: task.task_id,
            drawn,
            sealed: None,
            due,
            expires,
            attempts: 0,
            in_doubt: false,
            resealed: false,
        });
        Ok(())
    }

    /// Draws the noise of an answer that is paid for.
    fn randomize(
        &mut self,
        task: &CompiledTask,
        answer: &Answer,
        window: u64,
        _paid: Spent,
    ) -> Result<Drawn, EngineError> {
        Ok(Reporter::new(task)?.draw(answer, Time(window), self.rng)?)
    }

    /// A delay that says nothing of what was said: uniform over the jitter, or over half of what is
    /// left of the grace if that is less.
    fn jitter(&mut self, now: u64, expires: u64) -> u64 {
        let most = self.program.jitter().min(expires.saturating_sub(now) / 2);
        self.rng.below(u32::try_from(most).unwrap_or(u32::MAX)) as u64
    }
}

/// What a metric contributes; nothing if the device does not know which task it belongs to.
fn contribution<'a>(
    program: &'a Program,
    state: &State,
    metric: &str,
    now: u64,
) -> Option<Contribution<'a>> {
    if let Some(item) = state.pending.get(metric).and_then(|pending| pending.first()) {
        let answer = Answer { given: Some(item.given.clone()), segments: item.segments.clone() };
        let (task, response) = (program.task(&item.task)?, Some(item.response));
        return Some(Contribution { task, answer, response });
    }
    let assigned = |(name, value): &(String, String)| {
        state.assigned.get(name).is_some_and(|assigned| assigned == value)
    };
    let mut tasks = program.tasks().iter().filter(|task| task.metric.name == metric);
    let task = tasks.find(|task| task.public.iter().all(assigned))?;
    let derived = derived(program, state, task, now);
    Some(derived.unwrap_or(Contribution { task, answer: Answer::none(), response: None }))
}

/// What a metric would contribute now.
#[cfg(test)]
pub(super) fn answer_of(program: &Program, state: &State, metric: &str, now: u64) -> Option<Given> {
    contribution(program, state, metric, now)?.answer.given
}

/// An answer that is worked out from what was said to other metrics.
fn derived<'a>(
    program: &Program,
    state: &State,
    task: &'a CompiledTask,
    now: u64,
) -> Option<Contribution<'a>> {
    let (item, given) = match &task.metric.kind {
        MetricKind::Score { source: Some(source), .. } => {
            let item = state.pending.get(&source.of)?.first()?;
            (item, scored(state, program, source, item, now))
        }
        MetricKind::Joint(parts) => joined(program, state, parts, now)?,
        _ => return None,
    };
    let segments = private_part(task, &item.segments, state);
    let answer = Answer { given: Some(given), segments };
    let fits = task.encoding().encode(&answer).is_ok()
        && !state.was_drawn(&task.metric.name, item.response);
    fits.then_some(Contribution { task, answer, response: Some(item.response) })
}

/// What was said to both parts of a joint about one response: of all that something was said of,
/// each as likely as the others.
fn joined<'a>(
    program: &Program,
    state: &'a State,
    parts: &[Box<Part>; 2],
    now: u64,
) -> Option<(&'a Item, Given)> {
    // A score is said of what its signals were observed of.
    let said = parts.each_ref().map(|part| match &part.kind {
        MetricKind::Score { source: Some(source), .. } => state.pending.get(&source.of),
        _ => state.pending.get(&part.metric),
    });
    let heads = said.iter().filter_map(|pending| pending.and_then(Pending::first));
    let head = heads.min_by_key(|item| item.rank())?;
    let [first, second] = [0, 1].map(|side| {
        let item = said[side]?.items().iter().find(|item| item.response == head.response)?;
        Some(Box::new(match &parts[side].kind {
            MetricKind::Score { source: Some(source), .. } => {
                scored(state, program, source, item, now)
            }
            _ => item.given.clone(),
        }))
    });
    Some((head, Given::Joint { first, second }))
}

/// Whether a step at this moment would close a window and draw for it.
pub(super) fn will_draw(program: &Program, state: &State, now: u64) -> bool {
    let open = state.open.filter(|_| state.consent.is_given());
    open.is_some_and(|open| is_to_close(program, open, now) && !is_silent(program, state, open))
}

/// Whether a window is over, and its batch is not.
fn is_to_close(program: &Program, window: u64, now: u64) -> bool {
    let is_over = program.window().time_at(now).0 > window;
    is_over && now <= deadline(program, window) && is_asked(program, window)
}

fn is_silent(program: &Program, state: &State, window: u64) -> bool {
    program.window().start_of(Time(window)) < state.silent_until
}

/// When a window's batch may be over, in seconds since the Epoch.
fn deadline(program: &Program, window: u64) -> u64 {
    let end = program.window().start_of(Time(window.saturating_add(1)));
    end.saturating_add(program.grace())
}

fn is_asked(program: &Program, window: u64) -> bool {
    program.interval().is_none_or(|interval| interval.contains(Time(window)))
}

/// Days that are looked back on where the program declares no period.
const USUAL_PERIOD: u64 = 90 * 86_400;

/// The period of the budget that a moment is in, and what it allows: without a budget, all.
pub(super) fn period_of(program: &Program, moment: u64) -> Allowance {
    let period = program.budget().map_or(USUAL_PERIOD, |budget| budget.period());
    let from = program.window().time_at(moment - moment % period).0;
    match program.budget() {
        None => Allowance { from, windows: u64::MAX, local: f64::INFINITY },
        Some(budget) => Allowance {
            from,
            windows: budget.windows(),
            local: budget.limits().local.map_or(f64::INFINITY, Epsilon::get),
        },
    }
}

fn allowance(program: &Program, window: u64) -> Option<Allowance> {
    let start = program.window().start_of(Time(window));
    program.budget().map(|_| period_of(program, start))
}

/// When a device that does not know what it spent may speak again: in the next period, or without a
/// budget in the next window.
pub(super) fn next_account(program: &Program, now: u64) -> u64 {
    let length = program.budget().map_or(program.window().seconds(), |budget| budget.period());
    (now - now % length).saturating_add(length)
}

/// Until when a device that erases its state is silent, in seconds since the Epoch; 0 if it never drew
/// anything and need not be silent.
///
/// What was charged counts for the whole account that it is in, also if the clock says by now that the account
/// is over, or not begun: it may be the clock that is wrong. A silence that was there stays.
pub(super) fn silent_after(program: &Program, state: &State, now: u64) -> u64 {
    let Some(last) = state.ledger.last_charged() else { return state.silent_until };
    let then = next_account(program, program.window().start_of(Time(last)));
    let in_this_period = last >= period_of(program, now).from;
    let now = if in_this_period { next_account(program, now) } else { 0 };
    state.silent_until.max(then).max(now)
}

/// A state that goes on with another program. What is no longer asked is dropped; what was spent
/// stays. Composed limits were declared for one program's releases, so if something was spent in
/// this period the device is silent for the rest of it.
pub(super) fn adopted(mut state: State, program: &Program, now: u64) -> State {
    state.program = ProgramMark::of(program);
    let known = |task: &str| program.task(task).is_some();
    for pending in state.pending.values_mut() {
        pending.retain(|item| {
            let answer =
                Answer { given: Some(item.given.clone()), segments: item.segments.clone() };
            program.task(&item.task).is_some_and(|task| task.encoding().encode(&answer).is_ok())
        });
    }
    state.pending.retain(|_, pending| !pending.items().is_empty());
    let is_ours = |entry: &Entry| {
        known(&entry.task) && program.task(&entry.task).is_some_and(|t| t.task_id == entry.task_id)
    };
    let (kept, dropped): (Vec<_>, Vec<_>) = state.outbox.entries.into_iter().partition(is_ours);
    state.outbox.entries = kept;
    for entry in dropped {
        let fate = if entry.in_doubt { Fate::Unknown } else { Fate::Expired };
        state.ledger.settle(&entry.metric, entry.window(), fate);
    }
    let central = program.budget().is_some_and(|budget| budget.limits().central.is_some());
    if central && state.ledger.local_since(period_of(program, now).from) > 0.0 {
        state.silent_until = state.silent_until.max(next_account(program, now));
    }
    state
}
