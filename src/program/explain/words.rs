//! The words themselves.

use super::{BudgetWords, Explanation, Question};
use crate::{
    privacy::{
        guarantee::Mechanism,
        noise::AggregatorNoise,
        units::{Guarantee, TrustModel},
    },
    program::{
        dimension::{Dimension, Visibility},
        metric::MetricKind,
    },
};
use std::fmt;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, purpose, parties, rhythm, .. } = self;
        writeln!(f, "{program}: {purpose}\n")?;
        writeln!(f, "WHAT IS ASKED")?;
        self.questions.iter().try_for_each(|question| question.fmt(f))?;
        writeln!(f, "\nWHAT LEAVES A DEVICE")?;
        let (window, grace) = (duration(rhythm.window), duration(rhythm.grace));
        let (jitter, least) = (duration(rhythm.jitter), rhythm.min_batch_size);
        writeln!(
            f,
            "  One report for each metric, once a window of {window}, whether something was said or not,\n  \
             of devices whose user agreed and of no others{}.\n  It is \
             sent within {jitter} after the window, at random, and waited for no longer than\n  {grace}.\n  \
             A report is randomized on the device, then split in two halves, each sealed to one\n  \
             aggregator. Neither half says anything by itself.\n  \
             Nobody sees a report. Sums of at least {least} reports, gathered {}, are seen by the\n  \
             collector, and by nobody before. The promises OAMC hold as long as no more than\n  \
             {:.0} % of them are dishonest or missing.",
            interval(rhythm.interval.as_ref()),
            rhythm.batches,
            100.0 * rhythm.reserve,
        )?;
        if let Some(noise) = &self.noise {
            writeln!(f, "  Before a sum is handed over,\n  {noise}.")?;
        }
        writeln!(f, "\nWHAT NEVER LEAVES IT")?;
        items(f, &self.never_leaves)?;
        writeln!(f, "\nWHO SEES WHAT")?;
        writeln!(
            f,
            "  leader ({}): that a device reports, when, and its half of each report\n  \
             helper ({}): the other half of each report, not whose it is;\n    \
             and that a device fetches its key\n  \
             collector: sums with noise\n  \
             That is so as long as the leader's and the helper's operators keep apart: the two\n  \
             aggregators must not collude. If they do, what is left is the line OC above.",
            parties.leader, parties.helper
        )?;
        writeln!(f, "\nAT WORST")?;
        items(f, &self.at_worst)?;
        writeln!(f, "\nOVER TIME")?;
        self.over_time(f)?;
        if !self.warnings.is_empty() {
            writeln!(f, "\nMIND")?;
            items(f, &self.warnings)?;
        }
        Ok(())
    }
}

impl Explanation {
    fn over_time(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(budget) = &self.budget else {
            return writeln!(f, "  A device reports in every window; there is no limit.");
        };
        let (windows, period) = (budget.windows, duration(budget.period));
        writeln!(
            f,
            "  A device reports in at most {windows} windows of {period}: a sum of epsilon0 of \
             {:.0}\n  if both aggregators collude. Then it is silent, and says so to its user.",
            budget.local
        )?;
        if let Some((epsilon, delta)) = budget.central {
            writeln!(
                f,
                "  Composed, that is promised to be at most epsilon {epsilon}, delta {delta:e}, with \
                 one honest\n  aggregator and most devices honest."
            )?;
        }
        if !budget.composed.is_empty() {
            writeln!(f, "  All reports of a period together come to")?;
        }
        budget.composed.iter().try_for_each(|guarantee| writeln!(f, "    {}", of(guarantee)))
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "  {}: {:?}", self.metric, self.question)?;
        writeln!(f, "    answer: {}", self.answer)?;
        for breakdown in &self.breakdown {
            writeln!(f, "    by {breakdown}")?;
        }
        let (bins, says) = (self.report.len(), self.report.join(" | "));
        let how = if self.any { "any of" } else { "one of" };
        writeln!(f, "    a report says {how} {bins}: {says}")?;
        writeln!(f, "    {}", self.randomized)?;
        for guarantee in &self.guarantees {
            writeln!(f, "    {}", of(guarantee))?;
        }
        Ok(())
    }
}

fn of(guarantee: &Guarantee) -> String {
    let Guarantee { trust, epsilon, delta, .. } = guarantee;
    let (epsilon, delta, who) = (epsilon.get(), delta.get(), trust.in_words());
    let delta = if delta == 0.0 { String::new() } else { format!(", delta {delta:e}") };
    format!("epsilon {epsilon:.3}{delta} ({trust}: {who})")
}

/// A list whose lines fit a page.
fn items(f: &mut fmt::Formatter<'_>, items: &[String]) -> fmt::Result {
    const WIDTH: usize = 92;
    for item in items {
        let mut left = WIDTH;
        f.write_str("  -")?;
        for word in item.split(' ') {
            let length = 1 + word.chars().count();
            if length > left {
                left = WIDTH;
                f.write_str("\n   ")?;
            }
            left = left.saturating_sub(length);
            write!(f, " {word}")?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn interval(interval: Option<&[String; 2]>) -> String {
    let Some([first, end]) = interval else { return String::new() };
    format!(",\n  from {first} to {end}")
}

/// The metric whose report tells the most under a trust model, with that guarantee.
fn strictest(questions: &[Question], trust: TrustModel) -> Option<(&str, Guarantee)> {
    let of = |question: &Question| question.guarantees.iter().find(|g| g.trust == trust).copied();
    let all =
        questions.iter().filter_map(|question| Some((question.metric.as_str(), of(question)?)));
    all.max_by(|(_, one), (_, other)| one.epsilon.get().total_cmp(&other.epsilon.get()))
}

/// Odds of thousands to one (e^8).
const HIDES_NOTHING: f64 = 8.0;

/// What those could learn who are not supposed to, from the worst on.
pub(super) fn at_worst(questions: &[Question], budget: Option<&BudgetWords>) -> Vec<String> {
    let cases = [
        (TrustModel::Oc, "if both aggregators collude, they read reports as they were randomized"),
        (TrustModel::Oaoc, "if one aggregator is honest and all other devices help the other one"),
        (TrustModel::Oamc, "if one aggregator is honest and so are most devices"),
    ];
    let words = |(trust, who): (TrustModel, &str)| {
        let (metric, Guarantee { epsilon, delta, .. }) = strictest(questions, trust)?;
        let (epsilon, delta) = (epsilon.get(), delta.get());
        let but =
            if delta == 0.0 { String::new() } else { format!(", but for a chance of {delta:e}") };
        Some(format!(
            "{who}: what is seen of {metric} makes no answer more than {:.1} times as likely, beside \
             any other, as it was before (epsilon {epsilon:.3}){but}",
            epsilon.exp()
        ))
    };
    let over_time = match budget {
        Some(BudgetWords { period, local, .. }) => format!(
            "if both aggregators collude for a whole period of {}, that adds up to epsilon {local:.0}: \
             {}",
            duration(*period),
            if *local > HIDES_NOTHING {
                "a habit that shows in many reports is not hidden from them"
            } else {
                "even then they cannot be sure"
            }
        ),
        None => {
            "if both aggregators collude for long, that adds up without limit: a habit that shows \
                 in many reports is not hidden from them"
                .to_owned()
        }
    };
    cases.into_iter().filter_map(words).chain([over_time]).collect()
}

/// What each aggregator adds to each count.
pub(super) fn noise(noise: AggregatorNoise) -> String {
    let (name, counts) = match noise {
        AggregatorNoise::DiscreteGaussian { sigma } => {
            ("Gaussian noise with a standard deviation", sigma.counts())
        }
        AggregatorNoise::DiscreteLaplace { scale } => {
            ("Laplace noise with a scale", scale.counts())
        }
    };
    format!("each aggregator adds {name} of {counts} to each of its counts")
}

pub(super) fn for_users(explanation: &Explanation) -> String {
    let asked: Vec<_> =
        explanation.questions.iter().map(|question| format!("  - {}", question.question)).collect();
    let odds = |trust: TrustModel| {
        strictest(&explanation.questions, trust).map_or(1.0, |(_, found)| found.epsilon.get().exp())
    };
    let (window, least) = (duration(explanation.rhythm.window), explanation.rhythm.min_batch_size);
    let kept: Vec<_> = explanation.never_leaves.iter().map(|kept| format!("  - {kept}")).collect();
    let budget = match &explanation.budget {
        None => String::new(),
        Some(budget) => format!(
            "It takes part in at most {} windows of {}, then it is silent.\n",
            budget.windows,
            duration(budget.period)
        ),
    };
    let lies = explanation.questions.iter().map(|question| 1.0 - question.truth);
    let lie = lies.fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    format!(
        "You are asked to take part in {:?}: {}.\n\nWhat it asks, or counts:\n{}\n\n\
         Your device sends one short report for each of these once a window of {window}, also if you said \
         nothing.\nBefore that it changes the answer at random, up to 1 in {:.0} times, so that \
         nobody can hold\nyou to it, and splits it into two halves that say nothing by themselves. \
         Two organisations\nadd up the halves of at least {least} devices; only the sums are \
         seen.\n{budget}\nThis never leaves your device:\n{}\n\n\
         Whoever sees the sums can guess a report of yours with odds that are at most {:.2} times \
         what\nthey were. Even if both organisations broke their word, it would be {:.1} times.\n\
         That is for one report; many of them tell more.\n\n\
         You can stop at any time. Then what was not sent is deleted.\n",
        explanation.program,
        explanation.purpose,
        asked.join("\n"),
        1.0 / lie,
        kept.join("\n"),
        odds(TrustModel::Oamc),
        odds(TrustModel::Oc),
    )
}

pub(super) fn answer(kind: &MetricKind) -> String {
    match kind {
        MetricKind::Thumbs => "up or down".to_owned(),
        MetricKind::Rating(levels) => format!("one of: {}", levels.join(", ")),
        MetricKind::Preference(names) => {
            format!("which of two is better, or neither, out of: {}", names.join(", "))
        }
        MetricKind::Ratings { aspects, levels } => format!(
            "one of {} for each of: {}; one of them, drawn at random, is reported",
            levels.join(", "),
            aspects.join(", ")
        ),
        MetricKind::Signals(names) => {
            format!("observed, not asked: which of these happened: {}", names.join(", "))
        }
        MetricKind::Count(_) => "how often something happened, in steps".to_owned(),
        MetricKind::Score { source: Some(source), .. } => format!(
            "a score that the device works out from signals of {} and the user's habits, in steps",
            source.of
        ),
        MetricKind::Score { .. } => "a score that the device works out, in steps".to_owned(),
        MetricKind::Triage { categories, rules } => {
            let how = if rules.is_empty() { "chosen" } else { "chosen, or found by rules" };
            format!("the category of a problem, {how} on the device: {}", categories.join(", "))
        }
        MetricKind::Finding { categories, severities } => format!(
            "what was found, out of: {}; and how grave, out of: {}",
            categories.join(", "),
            severities.join(", ")
        ),
        MetricKind::Joint(parts) => {
            let [first, second] = parts.each_ref().map(|part| part.name());
            format!("what was said to {first} and to {second} about one response, together")
        }
    }
}

pub(super) fn breakdown(dimension: &Dimension) -> String {
    let (name, values) = (&dimension.name, dimension.values.join(", "));
    match &dimension.visibility {
        Visibility::Public => format!("{name} (public: {values}); everybody sees which"),
        Visibility::Private => format!("{name} (private: {values}); protected like the answer"),
        Visibility::HeldOut(cohort) => {
            let one_in = (1.0 / cohort.share()).round();
            format!("{name}: 1 device in {one_in} is held out; protected like the answer")
        }
    }
}

/// What is done to an answer, and how often it stays what it was.
pub(super) fn randomized(mechanism: &Mechanism) -> (String, f64) {
    let hundredths = |share: f64| format!("{:.0} times in 100", 100.0 * share);
    match mechanism {
        Mechanism::Krr(randomizer) => {
            let truth = randomizer.truth_probability();
            let others = mechanism.bins() - 1;
            let words = format!(
                "the report says the truth {}, and else one of the {others} others at random",
                hundredths(truth)
            );
            (words, truth)
        }
        Mechanism::Bits(randomizer) | Mechanism::Signals(randomizer) => {
            let truth = randomizer.truth_probability();
            (format!("each of its bits is true {}, and else turned over", hundredths(truth)), truth)
        }
    }
}

/// In the largest unit that fits.
fn duration(seconds: u64) -> String {
    let units = [(604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second")];
    // Periods are said in days, as programs say them.
    let units = if seconds > 604_800 { &units[1..] } else { &units[..] };
    let fits = |unit: &&(u64, &str)| seconds >= unit.0 && seconds.is_multiple_of(unit.0);
    let (length, name) = units.iter().find(fits).copied().unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {name}{}", if count == 1 { "" } else { "s" })
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn times(windows: u64, epsilon0: f64) -> f64 {
    windows as f64 * epsilon0
}
