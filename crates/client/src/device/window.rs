//! Windows: when one closes, and what is drawn then.
//!
//! The clock is not trusted. A window closes when the clock is past its end and not past its grace;
//! if the clock is further on, or behind, what was said is carried to the next window of the device's own from
//! the clock's on. A window that was closed once is never opened again, so that neither a jump forth and
//! back nor a slow clock makes a second report for it.
//!
//! Nothing here asks what was said but [`contribution`], whose answer is randomized: which windows are the
//! device's, which task a window's report goes to and when it is due are settled without it.

use super::{
    super::{
        ledger::{Allowance, Fate, NotCharged, Spent},
        outbox::Entry,
        participation::Participation,
        pending::{Item, Pending, ResponseMark},
        report::{Drawn, ReportError, Reporter},
        state::State,
    },
    ChangeStep, DeviceError,
    personal::scored,
    private_part,
};
use sottovoce_dap::time::Time;
use sottovoce_privacy::{guarantee::Release, units::Epsilon};
use sottovoce_program::{
    Program,
    answer::{Answer, Given},
    compile::CompiledTask,
    kind::{Derived, Joint},
};

/// What a metric contributes to a window.
struct Contribution {
    answer: Answer,
    /// The response that the answer is about.
    response: Option<ResponseMark>,
}

impl ChangeStep<'_> {
    /// Closes the open window if the clock is past its end, unless nothing may be drawn now; then, or if it is
    /// too late, what was said waits for the next one.
    pub(super) fn close_what_is_over(
        &mut self,
        now: u64,
        may_draw: bool,
    ) -> Result<(), DeviceError> {
        let Some(open) = self.state.open.filter(|_| self.state.consent.is_given()) else {
            return Ok(());
        };
        let current = self.current(now);
        self.state.assigned.set_clock(current);
        for pending in self.state.pending.values_mut() {
            pending.set_clock(current);
        }
        if may_draw && is_to_close(self.program, open, now) {
            self.close(open, now)?;
        }
        self.learn_habits(now);
        self.open_next(now);
        Ok(())
    }

    /// Has what was said wait for the first window of the device's own from now on that was not closed before.
    pub(super) fn open_next(&mut self, now: u64) {
        let participation = Participation::of(self.program);
        let mut next = participation.next(&self.state.secret, self.current(now));
        while self.state.ledger.has(next) && next < u64::MAX {
            next = participation.next(&self.state.secret, next.saturating_add(1));
        }
        self.state.open = Some(next);
        for pending in self.state.pending.values_mut() {
            pending.trim(next);
        }
        self.drop_strays();
    }

    /// Forgets what was said under a value of a public dimension that neither holds nor is to come: its task
    /// gets no report of this device any more.
    pub(super) fn drop_strays(&mut self) {
        let Some(open) = self.state.open else { return };
        let (program, assigned) = (self.program, &self.state.assigned);
        let tasks = |metric: &str| {
            [open, u64::MAX].map(|window| {
                let value = |dimension: &str| assigned.at(dimension, window);
                task_with(program, metric, value).map(|task| task.name.clone())
            })
        };
        for (metric, pending) in &mut self.state.pending {
            let tasks = tasks(metric);
            pending.retain(|item| tasks.iter().any(|task| task.as_ref() == Some(&item.task)));
        }
        self.state.pending.retain(|_, pending| !pending.items().is_empty());
    }

    pub(super) fn current(&self, now: u64) -> u64 {
        self.program.window().time_at(now).0
    }

    /// Draws one answer of each metric, or that there is none. A metric whose task the device does not know
    /// has none, whatever was said.
    fn close(&mut self, window: u64, now: u64) -> Result<(), DeviceError> {
        let allowance = allowance(self.program, window);
        let silent = is_silent(self.program, self.state, window);
        for (metric, release) in self.program.releases() {
            let Some(task) = task_in(self.program, self.state, &metric, window) else {
                self.state.ledger.skip(&metric, &release, window, Fate::Unassigned);
                continue;
            };
            if silent {
                self.state.ledger.skip(&metric, &release, window, Fate::Silent);
                continue;
            }
            self.draw(task, &release, window, allowance, now)?;
        }
        self.learn_habits(now);
        self.forget_what_was_said(window);
        self.state.epoch += 1;
        Ok(())
    }

    /// Of a window that is closed nothing is left; what was said since, or under a value that holds later, waits.
    fn forget_what_was_said(&mut self, window: u64) {
        let (program, state) = (self.program, &mut *self.state);
        let assigned = &state.assigned;
        for (metric, pending) in &mut state.pending {
            let task = task_with(program, metric, |dimension| assigned.at(dimension, window));
            let is_of_it = |item: &Item| {
                item.window <= window && task.is_none_or(|task| task.name == item.task)
            };
            pending.retain(|item| !is_of_it(item));
        }
        state.pending.retain(|_, pending| !pending.items().is_empty());
    }

    fn draw(
        &mut self,
        task: &CompiledTask,
        release: &Release,
        window: u64,
        allowance: Option<Allowance>,
        now: u64,
    ) -> Result<(), DeviceError> {
        let metric = &task.metric.name;
        let Contribution { answer, response } =
            contribution(self.program, self.state, task, window, now);
        let spent = match self.state.ledger.charge(metric, release, window, allowance) {
            Ok(spent) => spent,
            Err(NotCharged::Twice | NotCharged::OverBudget) => return Ok(()),
        };
        if let Some(response) = response {
            self.state.remember_drawn(metric, response);
        }
        let expires = deadline(self.program, window);
        let due = now.saturating_add(self.jitter(now, expires));
        let drawn = match self.randomize(task, &answer, window, spent) {
            Ok(drawn) => drawn,
            // More bits on than the proof allows, which hardly any device ever sees. Drawn again, it
            // would be another distribution.
            Err(ReportError::Shard(_)) => {
                self.state.ledger.settle(metric, window, Fate::Refused);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        self.state.outbox.entries.push(Entry {
            metric: metric.clone(),
            task: task.name.clone(),
            task_id: task.task_id,
            window,
            drawn: Some(drawn),
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
    ) -> Result<Drawn, ReportError> {
        Reporter::new(task)?.draw(answer, Time(window), self.rng)
    }

    /// A delay that says nothing of what was said: uniform over the jitter, or over half of what is
    /// left of the grace if that is less.
    fn jitter(&mut self, now: u64, expires: u64) -> u64 {
        let most = self.program.jitter().min(expires.saturating_sub(now) / 2);
        self.rng.below(u32::try_from(most).unwrap_or(u32::MAX)) as u64
    }
}

/// The task of a metric with these values of public dimensions.
fn task_with<'a, 's>(
    program: &'a Program,
    metric: &str,
    value: impl Fn(&str) -> Option<&'s str>,
) -> Option<&'a CompiledTask> {
    let is = |(name, wanted): &(String, String)| value(name) == Some(wanted);
    let mut tasks = program.tasks().iter().filter(|task| task.metric.name == metric);
    tasks.find(|task| task.public.iter().all(is))
}

/// The task that a metric's report of a window goes to; nothing if the device has no value of one of its public
/// dimensions.
pub(super) fn task_in<'a>(
    program: &'a Program,
    state: &State,
    metric: &str,
    window: u64,
) -> Option<&'a CompiledTask> {
    task_with(program, metric, |dimension| state.assigned.at(dimension, window))
}

/// What was said that belongs to a metric's report of a window, in order of rank.
fn said_by<'a>(
    program: &Program,
    state: &'a State,
    metric: &str,
    window: u64,
) -> impl Iterator<Item = &'a Item> {
    let task = task_in(program, state, metric, window).map(|task| task.name.clone());
    let items = state.pending.get(metric).map_or(&[][..], Pending::items);
    items.iter().filter(move |item| item.window <= window && Some(&item.task) == task.as_ref())
}

/// What a metric contributes: an answer or none.
fn contribution(
    program: &Program,
    state: &State,
    task: &CompiledTask,
    window: u64,
    now: u64,
) -> Contribution {
    let said = said_by(program, state, &task.metric.name, window).next();
    let (answer, response) = match said {
        Some(item) => {
            let (given, segments) = (Some(item.given.clone()), item.segments.clone());
            (Answer { given, segments }, Some(item.response))
        }
        None => derived(program, state, task, window, now).unwrap_or((Answer::none(), None)),
    };
    // Whatever was said, there is a report.
    if task.encoding().encode(&answer).is_err() {
        return Contribution { answer: Answer::none(), response: None };
    }
    Contribution { answer, response }
}

/// What a metric would contribute now.
#[cfg(test)]
pub(super) fn answer_of(program: &Program, state: &State, metric: &str, now: u64) -> Option<Given> {
    let window = state.open?;
    let task = task_in(program, state, metric, window)?;
    contribution(program, state, task, window, now).answer.given
}

/// An answer that is worked out from what was said to other metrics.
fn derived(
    program: &Program,
    state: &State,
    task: &CompiledTask,
    window: u64,
    now: u64,
) -> Option<(Answer, Option<ResponseMark>)> {
    let (item, given) = match task.metric.kind.as_kind().derived()? {
        Derived::Score(source) => {
            let item = said_by(program, state, &source.of, window).next()?;
            (item, scored(state, program, source, item, now))
        }
        Derived::Joint(joint) => joined(program, state, joint, window, now)?,
    };
    let segments = private_part(task, &item.segments, state);
    let is_new = !state.was_drawn(&task.metric.name, item.response);
    is_new.then_some((Answer { given: Some(given), segments }, Some(item.response)))
}

/// What was said to both parts of a joint about one response: of all that something was said of,
/// each as likely as the others.
fn joined<'a>(
    program: &Program,
    state: &'a State,
    joint: &Joint,
    window: u64,
    now: u64,
) -> Option<(&'a Item, Given)> {
    // A score is said of what its signals were observed of.
    let said = joint.parts.each_ref().map(|part| {
        let metric = match part.kind.as_kind().derived() {
            Some(Derived::Score(source)) => &source.of,
            Some(Derived::Joint(_)) | None => &part.metric,
        };
        said_by(program, state, metric, window).collect::<Vec<_>>()
    });
    let head = said.iter().filter_map(|items| items.first()).min_by_key(|item| item.rank)?;
    let [first, second] = [0, 1].map(|side| {
        let item = said[side].iter().find(|item| item.response == head.response)?;
        Some(Box::new(match joint.parts[side].kind.as_kind().derived() {
            Some(Derived::Score(source)) => scored(state, program, source, item, now),
            Some(Derived::Joint(_)) | None => item.given.clone(),
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
    let periods = program.window().periods(period);
    let from = program.window().time_at(periods.start_of(periods.time_at(moment))).0;
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
    let periods = program.window().periods(length);
    periods.start_of(Time(periods.time_at(now).0.saturating_add(1)))
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
