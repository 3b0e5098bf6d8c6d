//! The page for users: what an app shows before it asks for consent.
//!
//! Paragraphs have no line breaks: the app's screen breaks them.

use super::{
    BudgetWords, Explanation,
    words::{every, strictest},
};
use crate::format_duration;
use sottovoce_privacy::{
    shown::at_least,
    units::TrustModel,
    words::{Subject, factor, pointwise_plainly, promise_plainly},
};

pub(super) fn page(explanation: &Explanation) -> String {
    let Explanation { program, purpose, questions, never_leaves, .. } = explanation;
    let asked = questions.iter().map(|question| {
        if question.asks_nothing_new { &question.answer } else { &question.question }
    });
    [
        format!("You are asked to take part in {program:?}: {purpose}."),
        format!("What it asks or counts:\n{}", list(asked.map(String::as_str))),
        what_is_sent(explanation),
        who_sees_it(explanation),
        format!(
            "This never leaves your device:\n{}",
            list(never_leaves.iter().map(String::as_str))
        ),
        what_is_guessed(explanation),
        "You can stop at any time. Reports that were not sent yet are then deleted.\n".to_owned(),
    ]
    .join("\n\n")
}

fn list<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}

fn what_is_sent(explanation: &Explanation) -> String {
    let Explanation { rhythm, questions, budget, .. } = explanation;
    let truth = questions.iter().map(|question| question.truth).fold(0.0, f64::max);
    // Of the question that changes the least.
    let changed = at_least(100.0 * (1.0 - truth), 1);
    let how_often = match budget {
        Some(budget) if explanation.draws_windows() => format!(
            "Time is divided into windows of {}. Your device takes part in {} of the {} windows of {}. It picks them at \
             random, independently of what you answer. At the end of each it",
            rhythm.windows(),
            budget.windows,
            budget.of_windows,
            format_duration(budget.period),
        ),
        _ => format!("Your device, {},", every(rhythm.window)),
    };
    let waits = match budget {
        None => " There is no limit on how often it does so.",
        Some(_) if explanation.draws_windows() => {
            " Answers that you give in between wait for the device's next window; one of them is picked at random and \
             reported."
        }
        Some(_) => "",
    };
    format!(
        "{how_often} sends one short report for each of these, even if you answered nothing. Before that, it \
         replaces the answer at random at least {changed} times in 100, so that no report proves what you answered, \
         and splits it into two halves, each of which is meaningless by itself.{waits}"
    )
}

fn who_sees_it(explanation: &Explanation) -> String {
    let Explanation { parties, rhythm, public, noise, log, .. } = explanation;
    let public = match public.as_slice() {
        [] => String::new(),
        names => format!(", the value that the app has for {}", names.join(", ")),
    };
    let noise = if noise.is_some() { " Each of them adds random noise first." } else { "" };
    let insists = log.as_ref().is_some_and(|log| log.devices_require);
    let proved = if insists {
        " Each keeps a public log of what it adds up. Your device sends nothing until it has proof that both logs list \
         these questions."
    } else {
        ""
    };
    format!(
        "Two organisations, at {} and {}, add up the halves of at least {} reports, and only the sums are \
         visible.{noise} They also see that your device takes part, in which windows, its network address{public} and \
         when it sends. None of that depends on your answers: it reveals neither what you answered nor whether you \
         answered.{proved}",
        parties.leader, parties.helper, rhythm.min_batch_size,
    )
}

fn what_is_guessed(explanation: &Explanation) -> String {
    let Explanation { questions, budget, .. } = explanation;
    let worst = |trust| strictest(questions, trust).map(|(_, guarantee)| guarantee);
    let (Some(crowd), Some(alone)) = (worst(TrustModel::Oamc), worst(TrustModel::Oc)) else {
        return String::new();
    };
    let over_time = budget.as_ref().map_or_else(
        || {
            "There is no limit on what all your reports together may reveal over time: several reveal more than one."
                .to_owned()
        },
        of_period,
    );
    format!(
        "{over_time}\n\nFor one report: as long as one of the two organisations and most devices are honest, {}. \
         Even if both organisations are dishonest, {}.",
        pointwise_plainly(&crowd, Subject::Answer),
        pointwise_plainly(&alone, Subject::Answer),
    )
}

/// What a period comes to: the declared promise, which was certified before the program was given to
/// devices, and the sum of what reports tell by themselves.
fn of_period(budget: &BudgetWords) -> String {
    let period = format_duration(budget.period);
    let promise = budget.central.map_or_else(
        || format!("Several reports in {period} reveal more than one."),
        |(epsilon, delta)| {
            format!(
                "The program's promise for all that you send in {period}, as long as one of the two \
                 organisations and most devices are honest: {}.",
                promise_plainly(epsilon, delta, Subject::Period)
            )
        },
    );
    format!(
        "{promise} Even if both organisations are dishonest, the factor for all reports of {period} together is at \
         most {}.",
        factor(budget.local)
    )
}
