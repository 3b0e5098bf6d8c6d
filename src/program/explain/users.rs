//! The page for users: what an app shows before it asks for consent.
//!
//! Paragraphs have no line breaks: the app's screen breaks them.

use super::{
    Explanation, Question,
    words::{every, strictest, upwards},
};
use crate::{privacy::units::TrustModel, program::format_duration};

pub(super) fn page(explanation: &Explanation) -> String {
    let Explanation { program, purpose, questions, never_leaves, .. } = explanation;
    // A joint asks nothing new: it is made of what was said to others.
    let asked = questions.iter().map(|question| match question.kind {
        "joint" => question.answer.as_str(),
        _ => question.question.as_str(),
    });
    [
        format!("You are asked to take part in {program:?}: {purpose}."),
        format!("What it asks, or counts:\n{}", list(asked)),
        what_is_sent(explanation),
        who_sees_it(explanation),
        format!(
            "This never leaves your device:\n{}",
            list(never_leaves.iter().map(String::as_str))
        ),
        what_is_guessed(questions),
        "You can stop at any time. Then what was not sent is deleted.\n".to_owned(),
    ]
    .join("\n\n")
}

fn list<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| format!("  - {line}")).collect::<Vec<_>>().join("\n")
}

fn what_is_sent(explanation: &Explanation) -> String {
    let Explanation { rhythm, questions, budget, .. } = explanation;
    let how_often = every(rhythm.window);
    let truth = questions.iter().map(|question| question.truth).fold(1.0, f64::min);
    let changed = 100.0 * (1.0 - truth);
    let limit = match budget {
        None => "There is no limit to how often it does so.".to_owned(),
        Some(budget) => {
            let (windows, period) = (budget.windows, format_duration(budget.period));
            format!("It does so at most {windows} times in {period}; then it is silent.")
        }
    };
    format!(
        "Your device sends one short report for each of these {how_often}, also if you said nothing. \
         First it changes the answer at random, up to {changed:.0} times in 100, so that nobody can \
         hold you to it, and splits it into two halves that say nothing by themselves. {limit}"
    )
}

fn who_sees_it(explanation: &Explanation) -> String {
    let Explanation { parties, rhythm, public, noise, log, .. } = explanation;
    let public = match public.as_slice() {
        [] => String::new(),
        names => format!(", what the app was given as {}", names.join(", ")),
    };
    let noise = if noise.is_some() { " Each of them adds noise of its own first." } else { "" };
    let insists = log.as_ref().is_some_and(|log| log.devices_require);
    let proved = if insists {
        " Each keeps a public log of what it adds up, and your device sends nothing unless what is asked \
         here is proved to be in both."
    } else {
        ""
    };
    format!(
        "Two organisations, at {} and {}, add up the halves of at least {} reports, and only the sums \
         are seen.{noise} They also see that your device takes part, its network address{public} and \
         when it sends; not what you said, nor whether you said anything.{proved}",
        parties.leader, parties.helper, rhythm.min_batch_size,
    )
}

fn what_is_guessed(questions: &[Question]) -> String {
    let worst = |trust| strictest(questions, trust).map(|(_, guarantee)| guarantee);
    let (Some(crowd), Some(alone)) = (worst(TrustModel::Oamc), worst(TrustModel::Oc)) else {
        return String::new();
    };
    let [odds, alone] = [crowd, alone].map(|found| upwards(found.epsilon.get().exp(), 10.0));
    let chance = match crowd.delta.get() {
        0.0 => String::new(),
        delta => format!(", but for a chance of 1 in {:.0}", 1.0 / delta),
    };
    format!(
        "Whoever sees the sums can guess the answer behind a report of yours with odds that are at \
         most {odds} times what they were, as long as one of the two organisations and most devices \
         are honest{chance}. Even if both organisations broke their word, it would be {alone} times. \
         Several reports say more than one."
    )
}
