//! What a program does, in words: for the privacy office that has to say yes, and for the users who
//! are asked to take part.
//!
//! Everything is read off the checked program, so the words cannot promise what the tasks do not.
//! What is seen is told as SECURITY.md has it, and bounds are rounded upwards.

mod users;
mod warnings;
mod words;

use super::{
    Program, ProgramKind, Weekday, budget::PeriodCost, compile::CompiledTask, dimension::Dimension,
    format_duration, format_moment,
};
use serde::Serialize;
use sottovoce_dap::task::BatchMode;
use sottovoce_privacy::{
    guarantee::GuaranteeError,
    units::{Delta, Epsilon, Guarantee},
};

/// A program in words.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The program's name.
    pub program: String,
    /// What it is for.
    pub purpose: &'static str,
    /// What one device risks over a period with all metrics: the budget's, or a year; nothing unless it
    /// was worked out.
    pub period: Option<PeriodCost>,
    /// Who is involved.
    pub parties: Parties,
    /// What is asked, metric by metric.
    pub questions: Vec<Question>,
    /// Public dimensions: the leader sees a device's value of each.
    pub public: Vec<String>,
    /// How often a device reports, and when.
    pub rhythm: Rhythm,
    /// What each aggregator adds to each sum, if anything.
    pub noise: Option<String>,
    /// What those who are not supposed to could learn, from the worst on.
    pub at_worst: Vec<String>,
    /// What all reports of a window come to, per trust model; empty unless it was worked out.
    pub composed: Vec<Guarantee>,
    /// What a device may spend over time, if the program limits it.
    pub budget: Option<BudgetWords>,
    /// The aggregators' logs and who insists on them, if the program names them.
    pub log: Option<LogWords>,
    /// What nobody but the device ever sees.
    pub never_leaves: Vec<String>,
    /// What a reader should not overlook.
    pub warnings: Vec<String>,
}

/// Who is involved.
#[derive(Clone, Debug, Serialize)]
pub struct Parties {
    /// Takes reports, and verifies them with the helper.
    pub leader: String,
    /// The other aggregator.
    pub helper: String,
}

/// One metric in words.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// Its name.
    pub metric: String,
    /// Its kind, as the program has it.
    pub kind: &'static str,
    /// What the user is asked, or what is observed.
    pub question: String,
    /// What an answer is.
    pub answer: String,
    /// Whether it is made of what others ask, and so asks nothing new.
    #[serde(skip)]
    asks_nothing_new: bool,
    /// What a report can say, *no answer* first: one of these, or for signals any of them.
    pub report: Vec<String>,
    /// Whether it can say several of them.
    pub any: bool,
    /// How it is broken down.
    pub breakdown: Vec<String>,
    /// What is done to the answer before it leaves.
    pub randomized: String,
    /// The probability that a report says what is so: of a bin, or of each bit.
    pub truth: f64,
    /// What one report in the smallest batch guarantees, per trust model.
    pub guarantees: Vec<Guarantee>,
}

/// How often a device reports, and when.
#[derive(Clone, Debug, Serialize)]
pub struct Rhythm {
    /// Seconds in a window; each device reports each metric once in it.
    pub window: u64,
    /// The day that windows begin on, in UTC, if they are whole weeks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub week_begins: Option<Weekday>,
    /// Seconds after a window in which reports are waited for.
    pub grace: u64,
    /// Seconds over which devices spread their reports.
    pub jitter: u64,
    /// The least number of reports that are added up before anybody sees the sum.
    pub min_batch_size: u64,
    /// Devices with which every batch of a period fills; nothing unless a plan worked it out.
    pub devices_needed: Option<u64>,
    /// The first moment that is reported about, and the first that is not; always, if there is none.
    pub interval: Option<[String; 2]>,
    /// The part of a batch that may be dishonest or missing without the promise being broken.
    pub reserve: f64,
    /// How reports are gathered.
    pub batches: &'static str,
}

/// A device's budget in words.
#[derive(Clone, Debug, Serialize)]
pub struct BudgetWords {
    /// Seconds in a period.
    pub period: u64,
    /// The maximum number of windows of a period in which a device reports.
    pub windows: u64,
    /// The windows of a period.
    pub of_windows: u64,
    /// The sum of ε₀ that they come to.
    pub local: Epsilon,
    /// The declared limit of the composed ε, with its δ.
    pub central: Option<(Epsilon, Delta)>,
}

/// The aggregators' logs, and who insists on them, in words.
#[derive(Clone, Debug, Serialize)]
pub struct LogWords {
    /// The name of the leader's log.
    pub leader: String,
    /// The name of the helper's log.
    pub helper: String,
    /// Who may have cosigned them.
    pub witnesses: Vec<String>,
    /// How many of the witnesses must have.
    pub quorum: usize,
    /// Whether figures count only with proofs that both logs have their release.
    pub collector_requires: bool,
    /// Whether devices report only to tasks that are proved to be in both logs.
    pub devices_require: bool,
}

impl Rhythm {
    /// How long windows are, and from which day on: "1 week, from Mondays on".
    pub(super) fn windows(&self) -> String {
        let length = format_duration(self.window);
        match self.week_begins {
            Some(day) => format!("{length}, beginning on {day}s"),
            None => length,
        }
    }
}

impl Explanation {
    /// Reads a program, and works out what a window and a whole period of its budget come to. Takes up to
    /// seconds: for the tools.
    pub fn in_full(program: &Program) -> Result<Self, GuaranteeError> {
        let mut explanation = Self::of(program);
        explanation.composed = program.spent_in(1)?;
        let period = program.period_cost()?;
        explanation.at_worst = words::at_worst(&explanation.questions, Some(&period));
        explanation.period = Some(period);
        Ok(explanation)
    }

    /// Reads a program.
    pub fn of(program: &Program) -> Self {
        let questions = questions(program);
        Self {
            program: program.name().to_owned(),
            purpose: purpose(program.kind()),
            parties: Parties {
                leader: program.leader().to_string(),
                helper: program.helper().to_string(),
            },
            period: None,
            at_worst: words::at_worst(&questions, None),
            questions,
            public: public(program),
            rhythm: Rhythm {
                window: program.window().seconds(),
                week_begins: program.window().week_begins(),
                grace: program.grace(),
                jitter: program.jitter(),
                min_batch_size: program.min_batch_size(),
                devices_needed: None,
                interval: interval(program),
                reserve: program.privacy().reserve.get(),
                batches: match program.batch_mode() {
                    BatchMode::TimeInterval => "by window",
                    BatchMode::LeaderSelected => "as they come in",
                },
            },
            noise: program.privacy().aggregator_noise.map(words::noise),
            composed: Vec::new(),
            budget: program.budget().and_then(|budget| {
                Some(BudgetWords {
                    period: budget.period(),
                    windows: program.reporting().windows,
                    of_windows: program.reporting().of_windows,
                    local: words::times(program.reporting().windows, epsilon0_of_all(program))?,
                    central: budget.limits().central,
                })
            }),
            log: program.log().map(words::log),
            never_leaves: never_leaves(program),
            warnings: warnings::of(program),
        }
    }

    /// For the users: short, and to them.
    pub fn for_users(&self) -> String {
        users::page(self)
    }
}

fn purpose(kind: ProgramKind) -> &'static str {
    match kind {
        ProgramKind::Feedback => "to learn how well an app serves its users",
        ProgramKind::RedTeam => "to count the harms that reporters found, by severity",
    }
}

/// Each once, however many metrics have it.
fn public(program: &Program) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let dimensions = program.tasks().iter().flat_map(|task| &task.metric.dimensions);
    for Dimension { name, .. } in dimensions.filter(|dimension| dimension.is_public()) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

fn interval(program: &Program) -> Option<[String; 2]> {
    let (interval, window) = (program.interval()?, program.window());
    Some([interval.start(), interval.end()].map(|time| format_moment(window.start_of(time))))
}

/// One for each metric: tasks that differ by public dimensions ask the same.
fn questions(program: &Program) -> Vec<Question> {
    let mut questions: Vec<Question> = Vec::new();
    for task in program.tasks() {
        if questions.iter().all(|question| question.metric != task.metric.name) {
            questions.push(question(task));
        }
    }
    questions
}

fn question(task: &CompiledTask) -> Question {
    let mechanism = &task.randomizer().mechanism;
    let (randomized, truth) = words::randomized(mechanism);
    let kind = task.metric.kind.as_kind();
    Question {
        metric: task.metric.name.clone(),
        kind: task.metric.kind.name(),
        question: task.metric.question.clone(),
        answer: kind.answer(),
        asks_nothing_new: kind.question().is_some(),
        report: task.labels(),
        any: task.encoding().is_vector(),
        breakdown: task.metric.dimensions.iter().map(words::breakdown).collect(),
        randomized,
        truth,
        guarantees: task.guarantees().to_vec(),
    }
}

fn epsilon0_of_all(program: &Program) -> f64 {
    program.releases().iter().map(|(_, release)| release.mechanism.local_epsilon().get()).sum()
}

fn never_leaves(program: &Program) -> Vec<String> {
    let when = if program.jitter() == 0 {
        "the time within the window at which something was answered"
    } else {
        "the time within the window at which something was answered: a report is sent at a random time after the window"
    };
    let mut kept = vec![
        "the text of prompts and responses, and the app's IDs for them (what the app itself sends to its model is outside of this program)".to_owned(),
        "the answer as it was given: only a randomized answer is sent, split into two shares".to_owned(),
        when.to_owned(),
        "when and why the user was asked, and the profile of the user's preferences and habits".to_owned(),
    ];
    for task in program.tasks() {
        if let Some(words) = task.metric.kind.as_kind().never_leaves()
            && !kept.iter().any(|known| known == words)
        {
            kept.push(words.to_owned());
        }
    }
    kept
}

#[cfg(test)]
mod tests;
