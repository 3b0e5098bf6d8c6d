//! The words themselves.

use super::{BudgetWords, Explanation, LogWords, Question};
use crate::{
    budget::PeriodCost,
    dimension::{Dimension, Visibility},
    format_duration,
    log::LogPolicy,
    moment::largest_unit,
};
use sottovoce_privacy::{
    guarantee::Mechanism,
    noise::AggregatorNoise,
    shown::at_most,
    units::{Epsilon, Guarantee, TrustModel},
    words::{Subject, plainly, pointwise_plainly},
};
use std::fmt;

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program, purpose, parties, rhythm, .. } = self;
        writeln!(f, "{program}: {purpose}\n")?;
        writeln!(f, "WHAT ONE DEVICE RISKS")?;
        self.risked(f)?;
        writeln!(f, "\nWHAT IS ASKED")?;
        self.questions.iter().try_for_each(|question| question.fmt(f))?;
        writeln!(f, "\nWHAT LEAVES A DEVICE")?;
        let (window, grace) = (rhythm.windows(), format_duration(rhythm.grace));
        let least = rhythm.min_batch_size;
        let when = match rhythm.jitter {
            0 => "at once after the window".to_owned(),
            jitter => format!("within {} after the window, at random", format_duration(jitter)),
        };
        writeln!(
            f,
            "  {}, one report for each metric, whether something was said or not,\n  \
             of devices whose user agreed and of no others{}.\n  It is \
             sent {when}, and waited for no longer than\n  {grace}.\n  \
             A report is randomized on the device, then split in two halves, each sealed to one\n  \
             aggregator. Neither half says anything by itself.\n  \
             Nobody sees a report. Sums of at least {least} reports, gathered {}, are seen by the\n  \
             collector, and by nobody before. The promises OAMC hold as long as no more than\n  \
             {} % of them are dishonest or missing.",
            self.when(&window),
            interval(rhythm.interval.as_ref()),
            rhythm.batches,
            // As it was declared, without what a product of decimals adds.
            (1e12 * rhythm.reserve).round() / 1e10,
        )?;
        if let Some(devices) = rhythm.devices_needed {
            writeln!(
                f,
                "  So that every batch of a period is as large, with a probability of 99 %, {devices} devices\n  \
                 must take part. Fewer leave windows without figures; see `sottovoce plan`."
            )?;
        }
        self.waiting(f)?;
        if let Some(noise) = &self.noise {
            writeln!(f, "  Before a sum is handed over, {noise}.")?;
        }
        writeln!(f, "\nWHAT NEVER LEAVES IT")?;
        items(f, &self.never_leaves)?;
        writeln!(f, "\nWHO SEES WHAT")?;
        writeln!(
            f,
            "  leader ({}): devices' network addresses, in which windows each reports, to which\n    \
             metric{} it does, when, and half of each report\n  \
             helper ({}): the other half of each report, not whose it is; and that a device\n    \
             fetches its key\n  \
             collector: sums with noise, and how many reports they are of\n  \
             network: that a device talks to the leader and the helper, and when",
            parties.leader,
            if self.public.is_empty() { "" } else { " and public value" },
            parties.helper
        )?;
        items(f, &self.fixed_before())?;
        writeln!(
            f,
            "  That is so as long as the leader's and the helper's operators keep apart: the two\n  \
             aggregators must not collude. If they do, what is left is the lines OC above."
        )?;
        if let Some(log) = &self.log {
            writeln!(f, "\nWHAT IS PUBLIC")?;
            items(f, &in_public(log))?;
        }
        writeln!(f, "\nAT WORST")?;
        items(f, &self.at_worst)?;
        if !self.warnings.is_empty() {
            writeln!(f, "\nMIND")?;
            items(f, &self.warnings)?;
        }
        Ok(())
    }
}

impl Explanation {
    /// The period first, then one window; one report's figures stand with its question.
    fn risked(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(BudgetWords { central: Some((epsilon, delta)), period, .. }) = &self.budget {
            let period = format_duration(*period);
            let (epsilon, delta) = (epsilon.get(), delta.shown(2));
            writeln!(
                f,
                "  The promise: over {period}, all metrics together, at most epsilon {epsilon}, delta {delta},\n  \
                 with one honest aggregator and most devices honest."
            )?;
        }
        match (&self.period, &self.budget) {
            (Some(period), _) => {
                writeln!(f, "  One device, {}:", period.in_words())?;
                period.guarantees.iter().try_for_each(|g| writeln!(f, "    {}", of(g)))?;
                if let Some(crowd) = period.under(TrustModel::Oamc) {
                    let means = [
                        format!("that is, {}", plainly(crowd, Subject::Period)),
                        pointwise_plainly(crowd, Subject::Period),
                    ];
                    items(f, &means)?;
                }
            }
            (None, Some(budget)) => writeln!(
                f,
                "  One device reports in {} of {} windows of {}: a sum of epsilon0 of {} if both\n  aggregators \
                 collude.",
                budget.windows,
                budget.of_windows,
                format_duration(budget.period),
                budget.local.shown(3),
            )?,
            (None, None) => writeln!(f, "  A device reports in every window; there is no limit.")?,
        }
        if !self.composed.is_empty() {
            writeln!(f, "  All reports of one window, one of each metric:")?;
        }
        self.composed.iter().try_for_each(|guarantee| writeln!(f, "    {}", of(guarantee)))
    }

    /// In which windows a device reports.
    fn when(&self, window: &str) -> String {
        match &self.budget {
            Some(BudgetWords { windows, of_windows, period, .. }) => format!(
                "In {windows} of the {of_windows} windows (of {window}) of {}",
                format_duration(*period)
            ),
            None => format!("Once a window of {window}"),
        }
    }

    /// How a device comes by its windows, and what that makes of answers and figures.
    fn waiting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.draws_windows() {
            return Ok(());
        }
        writeln!(
            f,
            "  Each device draws its windows at random, by a secret of its own and whatever is said, the\n  \
             same for all metrics; in the others it is silent. What is said in between waits for its\n  \
             next window: of all that waits for one metric one answer is drawn, each as likely. So a\n  \
             window's figures are of what was said since these devices' last own windows."
        )
    }

    pub(super) fn draws_windows(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.windows < budget.of_windows)
    }

    /// What can be seen of a device that says nothing of its answers.
    fn fixed_before(&self) -> Vec<String> {
        let mut words = vec![
            "that a device reports, and in which window, says nothing of its answers: it was fixed before \
             anything was said, and a device that was told nothing reports all the same"
                .to_owned(),
        ];
        if !self.public.is_empty() {
            words.push(format!(
                "to which task a device reports shows its {}: the app assigns it before anything is said. \
                 A device that the app assigned none reports nothing to those metrics, whatever is said",
                self.public.join(", ")
            ));
        }
        words
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
    let Guarantee { trust, epsilon, delta, pointwise, .. } = guarantee;
    let delta = match delta.get() {
        0.0 => String::new(),
        _ => format!(", delta {}; pointwise {}", delta.shown(2), pointwise.shown(3)),
    };
    format!("epsilon {}{delta} ({trust}: {})", epsilon.shown(3), trust.in_words())
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
pub(super) fn strictest(questions: &[Question], trust: TrustModel) -> Option<(&str, Guarantee)> {
    let of = |question: &Question| question.guarantees.iter().find(|g| g.trust == trust).copied();
    let all =
        questions.iter().filter_map(|question| Some((question.metric.as_str(), of(question)?)));
    all.max_by(|(_, one), (_, other)| one.pointwise.get().total_cmp(&other.pointwise.get()))
}

/// What those could learn who are not supposed to, from the worst on: over a period if that was worked
/// out, and of one report.
pub(super) fn at_worst(questions: &[Question], period: Option<&PeriodCost>) -> Vec<String> {
    let cases = [
        (
            TrustModel::Oc,
            "if both aggregators collude, they read reports as they were randomized, and from which \
             address each came",
        ),
        (TrustModel::Oaoc, "if one aggregator is honest and all other devices help the other one"),
        (TrustModel::Oamc, "if one aggregator is honest and so are most devices"),
    ];
    let words = |(trust, who): (TrustModel, &str)| {
        let over_time = period.and_then(|period| {
            let means = pointwise_plainly(period.under(trust)?, Subject::Period);
            Some(format!("{}, {means}. ", period.in_words()))
        });
        let (metric, guarantee) = strictest(questions, trust)?;
        let sure = 100.0 / (1.0 + (-guarantee.pointwise.get()).exp());
        Some(format!(
            "{who}: {}Of one report to {metric}, {}; who took two answers for equally likely is otherwise \
             at most {} % sure of one",
            over_time.unwrap_or_default(),
            pointwise_plainly(&guarantee, Subject::Answer),
            at_most(sure, 1),
        ))
    };
    cases.into_iter().filter_map(words).collect()
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

/// The program's logs.
pub(super) fn log(policy: &LogPolicy) -> LogWords {
    let mut witnesses: Vec<String> = Vec::new();
    for key in policy.leader().witnesses() {
        // A witness that is changing keys has two.
        if !witnesses.iter().any(|known| known == key.name().as_str()) {
            witnesses.push(key.name().to_string());
        }
    }
    LogWords {
        leader: policy.leader().origin().to_owned(),
        helper: policy.helper().origin().to_owned(),
        witnesses,
        quorum: policy.leader().quorum(),
        collector_requires: policy.collector_requires(),
        devices_require: policy.devices_require(),
    }
}

/// What stands in public, and who insists on it.
fn in_public(log: &LogWords) -> Vec<String> {
    let LogWords { leader, helper, witnesses, quorum, .. } = log;
    let mut words = vec![format!(
        "each aggregator says what it does in a public log: the leader in {leader}, the helper in \
         {helper}; each is believed under the keys that the program names, and no others"
    )];
    if *quorum > 0 {
        words.push(format!(
            "what they say is believed once at least {quorum} of these witnesses cosigned it: {}",
            witnesses.join(", ")
        ));
    }
    if log.devices_require {
        words.push(
            "devices insist: none draws or sends anything without proof that all tasks are in both \
             logs, as the program has them"
                .to_owned(),
        );
    }
    if log.collector_requires {
        words.push(
            "the collector insists: it shows no figures without proof that both logs have their \
             release"
                .to_owned(),
        );
    }
    if !log.devices_require && !log.collector_requires {
        words.push("nobody insists on proof that something is in them".to_owned());
    }
    words
}

pub(super) fn breakdown(dimension: &Dimension) -> String {
    let (name, values) = (&dimension.name, dimension.values.join(", "));
    match &dimension.visibility {
        Visibility::Public => format!("{name} (public: {values}); everybody sees which"),
        Visibility::Private => format!("{name} (private: {values}); protected like the answer"),
        Visibility::HeldOut(cohort) => {
            // To hundredths of a percent: what was written as a decimal reads as it was.
            let percent = (cohort.share() * 1e4).round() / 100.0;
            format!("{name}: {percent} % of devices are held out; protected like the answer")
        }
    }
}

/// What is done to an answer, and how often it stays what it was.
pub(super) fn randomized(mechanism: &Mechanism) -> (String, f64) {
    let hundredths = |share: f64| format!("at most {} times in 100", at_most(100.0 * share, 1));
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

/// "every day", "every 6 hours".
pub(super) fn every(seconds: u64) -> String {
    match largest_unit(seconds) {
        (1, name) => format!("every {name}"),
        _ => format!("every {}", format_duration(seconds)),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(super) fn times(windows: u64, epsilon0: f64) -> Option<Epsilon> {
    Epsilon::new(windows as f64 * epsilon0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_people_say_them() {
        for (seconds, length, often) in [
            (1, "1 second", "every second"),
            (5400, "90 minutes", "every 90 minutes"),
            (86_400, "1 day", "every day"),
            (604_800, "1 week", "every week"),
            (7_776_000, "90 days", "every 90 days"),
        ] {
            assert_eq!(
                (format_duration(seconds).as_str(), every(seconds).as_str()),
                (length, often)
            );
        }
    }
}
