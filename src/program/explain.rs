//! What a program does, in words: for the privacy office that has to say yes, and for the users who
//! are asked to take part.
//!
//! Everything is read off the checked program, so the words cannot promise what the tasks do not.

mod warnings;
mod words;

use super::{Program, ProgramKind, compile::CompiledTask, format_moment, metric::MetricKind};
use crate::{
    dap::task::BatchMode,
    privacy::{guarantee::GuaranteeError, units::Guarantee},
};
use serde::Serialize;

/// A program in words.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The program's name.
    pub program: String,
    /// What it is for.
    pub purpose: &'static str,
    /// Who is involved.
    pub parties: Parties,
    /// What is asked, metric by metric.
    pub questions: Vec<Question>,
    /// How often a device reports, and when.
    pub rhythm: Rhythm,
    /// What each aggregator adds to each sum, if anything.
    pub noise: Option<String>,
    /// What those who are not supposed to could learn, from the worst on.
    pub at_worst: Vec<String>,
    /// What a device may spend over time, if the program limits it.
    pub budget: Option<BudgetWords>,
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
    /// What the user is asked, or what is observed.
    pub question: String,
    /// What an answer is.
    pub answer: String,
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
    /// Seconds after a window in which reports are waited for.
    pub grace: u64,
    /// Seconds over which devices spread their reports.
    pub jitter: u64,
    /// The least number of reports that are added up before anybody sees the sum.
    pub min_batch_size: u64,
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
    /// The most windows of a period in which a device reports.
    pub windows: u64,
    /// The sum of ε₀ that they come to.
    pub local: f64,
    /// The declared limit of the composed ε, with its δ.
    pub central: Option<(f64, f64)>,
    /// What a whole period comes to, per trust model; empty unless it was worked out.
    pub composed: Vec<Guarantee>,
}

impl Explanation {
    /// Reads a program, and works out what a whole period of its budget comes to. Takes up to
    /// seconds: for the tools.
    pub fn in_full(program: &Program) -> Result<Self, GuaranteeError> {
        let mut explanation = Self::of(program);
        if let Some(budget) = &mut explanation.budget {
            budget.composed = program.spent_in(budget.windows)?;
        }
        Ok(explanation)
    }

    /// Reads a program.
    pub fn of(program: &Program) -> Self {
        let (questions, budget) = (questions(program), budget(program));
        Self {
            program: program.name().to_owned(),
            purpose: purpose(program.kind()),
            parties: Parties {
                leader: program.leader().to_string(),
                helper: program.helper().to_string(),
            },
            at_worst: words::at_worst(&questions, budget.as_ref()),
            questions,
            rhythm: Rhythm {
                window: program.window().seconds(),
                grace: program.grace(),
                jitter: program.jitter(),
                min_batch_size: program.min_batch_size(),
                interval: interval(program),
                reserve: program.privacy().reserve.get(),
                batches: match program.batch_mode() {
                    BatchMode::TimeInterval => "by window",
                    BatchMode::LeaderSelected => "as they come in",
                },
            },
            noise: program.privacy().aggregator_noise.map(words::noise),
            budget,
            never_leaves: never_leaves(program),
            warnings: warnings::of(program),
        }
    }

    /// For the users: short, and to them.
    pub fn for_users(&self) -> String {
        words::for_users(self)
    }
}

fn purpose(kind: ProgramKind) -> &'static str {
    match kind {
        ProgramKind::Feedback => "to learn how well an app serves its users",
        ProgramKind::RedTeam => "to count what harm reporters found, and how grave",
    }
}

fn budget(program: &Program) -> Option<BudgetWords> {
    let budget = program.budget()?;
    Some(BudgetWords {
        period: budget.period(),
        windows: budget.windows(),
        local: words::times(budget.windows(), epsilon0_of_all(program)),
        central: budget.limits().central.map(|(epsilon, delta)| (epsilon.get(), delta.get())),
        composed: Vec::new(),
    })
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
    Question {
        metric: task.metric.name.clone(),
        question: task.metric.question.clone(),
        answer: words::answer(&task.metric.kind),
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
    let mut kept = vec![
        "the text of prompts and responses, and the app's names for them".to_owned(),
        "the answer as it was given: only a randomized one is sent, in two halves".to_owned(),
        "when something was said: a report tells its window, and arrives at a random moment"
            .to_owned(),
        "when the user was asked and why, what they lean to, and their habits".to_owned(),
    ];
    let has = |is: fn(&MetricKind) -> bool| program.tasks().iter().any(|t| is(&t.metric.kind));
    if has(|kind| matches!(kind, MetricKind::Triage { .. })) {
        kept.push("the text of comments: they are sorted on the device".to_owned());
    }
    if has(|kind| matches!(kind, MetricKind::Finding { .. })) {
        kept.push("the conversation in which harm was found, and who found it".to_owned());
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::tests::asking;

    fn explained(metrics: &str) -> Explanation {
        Explanation::of(&asking(metrics).unwrap())
    }

    const MANY: &str = "[budget]\nperiod = \"90 days\"\nwindows = 20\n\
        [dimensions.cohort]\nkind = \"held-out\"\nshare = 0.1\nsalt = \"a\"\n\
        [metrics.helpful]\nkind = \"thumbs\"\nquestion = \"Did it help?\"\n\
        dimensions = [\"arm\", \"segment\", \"cohort\"]\n\
        [metrics.did]\nkind = \"signals\"\nquestion = \"What?\"\nsignals = [\"copied\", \"edited\"]\n\
        [metrics.problem]\nkind = \"triage\"\nquestion = \"What went wrong?\"\n\
        categories = [\"bug\", \"other\"]\n";

    #[test]
    fn a_privacy_office_reads_what_leaves_how_often_and_under_which_guarantee() {
        let words = explained(MANY).to_string();
        // Lines break where they have to.
        let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in [
            "to learn how well an app serves its users",
            "\"Did it help?\"",
            "up or down",
            "once a window of 1 day",
            "at least 3000 reports",
            "96 times in 100",
            "epsilon 4.000",
            "both aggregators collude",
            "in at most 20 windows of 90 days",
            "a sum of epsilon0 of 240",
            "arm (public: control, candidate)",
            "segment (private: new, returning)",
            "1 device in 10 is held out",
            "the text of comments",
            "aggregators must not collude",
            "fetches its key",
            "20 % of them are dishonest or missing",
            "for a whole period of 90 days, that adds up to epsilon 240",
            "is not hidden from them",
            "makes no answer more than 54.6 times as likely",
        ] {
            assert!(words.contains(part), "{part:?} is not in\n{words}");
        }
    }

    #[test]
    fn what_goes_further_is_told_only_where_it_is_so() {
        let plain = explained(MANY).to_string();
        for part in ["Gaussian", "All reports of a period", " from 2026", "delta 1e-5"] {
            assert!(!plain.contains(part), "{part:?} is in\n{plain}");
        }
        let program = with_tables(
            "aggregator_noise = { kind = \"discrete-gaussian\", sigma = 12.5 }\n\
             [budget]\nperiod = \"90 days\"\nwindows = 2\n\
             central = { epsilon = 9.0, delta = 1e-5 }\n",
        );
        let words = Explanation::in_full(&program).unwrap().to_string();
        for part in [
            "Gaussian noise with a standard deviation of 12.5",
            "All reports of a period together come to\n    epsilon 24.000 (OC",
            "at most epsilon 9, delta 1e-5",
            "from 2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z",
        ] {
            assert!(words.contains(part), "{part:?} is not in\n{words}");
        }
    }

    /// The example with an interval, and with more in its table of privacy.
    fn with_tables(privacy: &str) -> Program {
        let text = include_str!("../../examples/support-assistant.toml");
        let interval = "starts = \"2026-11-01T00:00:00Z\"\nends = \"2026-12-01T00:00:00Z\"\n";
        let text = text.replacen("[privacy]\n", &format!("{interval}[privacy]\n"), 1).replacen(
            "reserve = 0.2",
            &format!("reserve = 0.2\n{privacy}#"),
            1,
        );
        Program::parse("program.toml", &text).unwrap()
    }

    #[test]
    fn users_are_told_the_same_in_short() {
        let words = explained(MANY).for_users();
        for part in ["You are asked", "once a window of 1 day", "1 in", "stop at any time", "54.6"]
        {
            assert!(words.contains(part), "{part:?} is not in\n{words}");
        }
        assert!(words.len() < 2500, "{} characters", words.len());
    }
}
