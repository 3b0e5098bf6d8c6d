//! Texts of the explanation.

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
            0 => "immediately after the window".to_owned(),
            jitter => {
                format!("at a random time within {} after the window", format_duration(jitter))
            }
        };
        writeln!(
            f,
            "  {}, one report for each metric, whether there is an answer or not,\n  \
             from devices whose user consented{}.\n  It is sent {when},\n  \
             and counts if it arrives within {grace}.\n  \
             A report is randomized on the device, then split into two shares, each encrypted to one\n  \
             aggregator. One share reveals nothing by itself.\n  \
             Nobody sees a report. Only the collector sees sums of at least {least} reports, batched\n  \
             {}. The promises with \"most devices\" (OAMC) hold as long as\n  \
             at most {} % of them are dishonest or missing.",
            self.when(&window),
            interval(rhythm.interval.as_ref()),
            rhythm.batches,
            // As it was declared, without what a product of decimals adds.
            (1e12 * rhythm.reserve).round() / 1e10,
        )?;
        if let Some(devices) = rhythm.devices_needed {
            writeln!(
                f,
                "  {devices} devices must take part for every batch of a period to be large enough, with a\n  \
                 probability of 99 %. With fewer, windows have no figures; see `sottovoce plan`."
            )?;
        }
        self.waiting(f)?;
        if let Some(noise) = &self.noise {
            writeln!(f, "  Before a sum is released, {noise}.")?;
        }
        writeln!(f, "\nWHAT NEVER LEAVES IT")?;
        items(f, &self.never_leaves)?;
        writeln!(f, "\nWHO SEES WHAT")?;
        writeln!(
            f,
            "  leader ({}): each device's network address, windows, metrics{} and times of\n    \
             reports, and one share of each report\n  \
             helper ({}): the other share of each report without its sender, and that a\n    \
             device fetches the helper's key\n  \
             collector: noisy sums, and the number of reports in each\n  \
             network: that a device talks to the leader and the helper, and when",
            parties.leader,
            if self.public.is_empty() { "" } else { ", public values" },
            parties.helper
        )?;
        items(f, &self.fixed_before())?;
        writeln!(
            f,
            "  This holds as long as the leader's and the helper's operators do not collude. If they\n  \
             do, only the lines \"{}\" above hold.",
            TrustModel::Oc.named()
        )?;
        if let Some(log) = &self.log {
            writeln!(f, "\nWHAT IS PUBLIC")?;
            items(f, &in_public(log))?;
        }
        writeln!(f, "\nAT WORST")?;
        items(f, &self.at_worst)?;
        if !self.warnings.is_empty() {
            writeln!(f, "\nWARNINGS")?;
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
                        format!("meaning: {}", plainly(crowd, Subject::Period)),
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
            (None, None) => writeln!(f, "  A device reports in every window; there is no budget.")?,
        }
        if !self.composed.is_empty() {
            writeln!(f, "  All reports of one window, one for each metric:")?;
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
            None => format!("Once in each window of {window}"),
        }
    }

    /// How a device comes by its windows, and what that makes of answers and figures.
    fn waiting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.draws_windows() {
            return Ok(());
        }
        writeln!(
            f,
            "  Each device draws its windows at random from a secret of its own, independently of all\n  \
             answers and the same for all metrics; in other windows it sends nothing. Answers in\n  \
             between wait for its next window: one of those that wait for a metric is drawn, all with\n  \
             the same probability. So a window's figures are about answers since each device's\n  \
             previous window."
        )
    }

    pub(super) fn draws_windows(&self) -> bool {
        self.budget.as_ref().is_some_and(|budget| budget.windows < budget.of_windows)
    }

    /// What can be seen of a device that says nothing of its answers.
    fn fixed_before(&self) -> Vec<String> {
        let mut words = vec![
            "that a device reports, and in which window, reveals nothing about its answers: it is fixed in advance, \
             and a device without answers reports too"
                .to_owned(),
        ];
        if !self.public.is_empty() {
            words.push(format!(
                "the task that a device reports to reveals its {}: the app assigns it before there is an answer. A \
                 device without an assignment reports nothing to those metrics",
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
        writeln!(f, "    a report has {how} {bins}: {says}")?;
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
    format!("{}: epsilon {}{delta}", trust.named(), epsilon.shown(3))
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
            "if both aggregators collude, they can read each randomized report and the network address that it came \
             from",
        ),
        (
            TrustModel::Oaoc,
            "if one aggregator is honest, and all other devices collude with the other one",
        ),
        (TrustModel::Oamc, "if one aggregator and most devices are honest"),
    ];
    let words = |(trust, who): (TrustModel, &str)| {
        let over_time = period.and_then(|period| {
            let means = pointwise_plainly(period.under(trust)?, Subject::Period);
            Some(format!("{}, {means}. ", period.in_words()))
        });
        let (metric, guarantee) = strictest(questions, trust)?;
        let sure = 100.0 / (1.0 + (-guarantee.pointwise.get()).exp());
        Some(format!(
            "{who}: {}For one report to {metric}, {}; otherwise, somebody who held two answers for equally likely is \
             then at most {} % sure of one",
            over_time.unwrap_or_default(),
            pointwise_plainly(&guarantee, Subject::Answer),
            at_most(sure, 1),
        ))
    };
    cases.into_iter().filter_map(words).collect()
}

/// The noise that each aggregator adds to each count. Default: none.
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
        "each aggregator keeps a public log of its tasks and releases: the leader {leader}, the helper {helper}; only \
         the keys that the program lists are trusted"
    )];
    if *quorum > 0 {
        words.push(format!(
            "a checkpoint is trusted once at least {quorum} of these witnesses have cosigned it: {}",
            witnesses.join(", ")
        ));
    }
    if log.devices_require {
        words.push(
            "devices require proofs: a device randomizes and sends nothing without inclusion proofs of all tasks from \
             both logs"
                .to_owned(),
        );
    }
    if log.collector_requires {
        words.push(
            "the collector requires proofs: it withholds figures until both logs prove inclusion of the release"
                .to_owned(),
        );
    }
    if !log.devices_require && !log.collector_requires {
        words.push("neither devices nor the collector require inclusion proofs".to_owned());
    }
    words
}

pub(super) fn breakdown(dimension: &Dimension) -> String {
    let (name, values) = (&dimension.name, dimension.values.join(", "));
    match &dimension.visibility {
        Visibility::Public => {
            format!("{name} (public: {values}); the value is visible to the aggregators")
        }
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
                "the report has the true bin {}, and otherwise one of the {others} others at random",
                hundredths(truth)
            );
            (words, truth)
        }
        Mechanism::Bits(randomizer) | Mechanism::Signals(randomizer) => {
            let truth = randomizer.truth_probability();
            (
                format!("each of its bits is true {}, and otherwise flipped", hundredths(truth)),
                truth,
            )
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
