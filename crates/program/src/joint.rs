//! Joints: what was said to two metrics about the same response.
//!
//! The joint of an explicit metric (a thumb) with an implicit one (was the text copied?) is what
//! corrects for those who never answer: what they did is known, and those who did the same and
//! answered speak for them.

use super::{
    ProgramError,
    file::MetricTable,
    metric::{Metric, MetricKind, Part},
    source::{At, Source},
};

impl Part {
    fn parse(
        source: Source<'_>,
        text: &At<String>,
        metrics: &[Metric],
    ) -> Result<Self, ProgramError> {
        let (name, signal) = match text.get_ref().split_once('.') {
            Some((name, signal)) => (name, Some(signal)),
            None => (text.get_ref().as_str(), None),
        };
        let metric = metrics.iter().find(|metric| metric.name == name).ok_or_else(|| {
            let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
            let reason = format!("{name:?} is no other metric; there are: {}", names.join(", "));
            source.error(text, reason)
        })?;
        match (&metric.kind, signal) {
            (MetricKind::Signals(signals), Some(signal)) if signals.iter().any(|s| s == signal) => {
            }
            (MetricKind::Signals(signals), _) => {
                let first = signals.first().map_or("", String::as_str);
                let reason = format!(
                    "a joint takes one signal, such as \"{name}.{first}\"; {name} has: {}",
                    signals.join(", ")
                );
                return Err(source.error(text, reason));
            }
            (kind, Some(_)) => {
                let reason = format!("{name} is of kind {}, which has no parts", kind.name());
                return Err(source.error(text, reason));
            }
            (kind @ (MetricKind::Ratings { .. } | MetricKind::Finding { .. }), None) => {
                let reason = format!("a metric of kind {} is not one choice", kind.name());
                return Err(source.error(text, reason));
            }
            (MetricKind::Preference(names), None) if names.len() > 3 => {
                let reason = "a preference over more than three candidates is not one choice";
                return Err(source.error(text, reason));
            }
            _ => {}
        }
        Ok(Self {
            metric: metric.name.clone(),
            signal: signal.map(str::to_owned),
            kind: metric.kind.clone(),
            question: metric.question.clone(),
        })
    }
}

/// The two sides of a joint, which name metrics that are known by now.
pub(super) fn parse(
    source: Source<'_>,
    table: &MetricTable,
    metrics: &[Metric],
) -> Result<[Box<Part>; 2], ProgramError> {
    let missing = "a joint needs `joins`: an explicit metric, and an implicit one or a signal, such \
                   as joins = [\"helpful\", \"behaviour.copied\"]";
    let joins = table.joins.as_ref().ok_or_else(|| source.error(&table.kind, missing))?;
    let [first, second] = joins.get_ref().as_slice() else {
        return Err(source.error(joins, "a joint is of two metrics"));
    };
    let parts = [Part::parse(source, first, metrics)?, Part::parse(source, second, metrics)?];
    if parts[0].name() == parts[1].name() {
        return Err(source.error(second, "is the other part, too"));
    }
    if parts[0].is_implicit() && !parts[1].is_implicit() {
        let reason = format!(
            "is what the device observes; what the user says comes first: joins = [{:?}, {:?}]",
            parts[1].name(),
            parts[0].name()
        );
        return Err(source.error(first, reason));
    }
    Ok(parts.map(Box::new))
}

#[cfg(test)]
mod tests {
    use super::super::{Program, tests::asking};

    const BOTH: &str = "[metrics.helpful]\nquestion = \"Did it help?\"\nkind = \"thumbs\"\n\
                        [metrics.did]\nquestion = \"What was done?\"\nkind = \"signals\"\n\
                        signals = [\"copied\", \"edited\"]\n\
                        [metrics.aspects]\nquestion = \"?\"\nkind = \"ratings\"\n\
                        aspects = [\"tone\", \"length\"]\nstars = 2\n";

    fn joint(keys: &str) -> Result<Program, String> {
        // Before what it joins: the order in the file does not matter.
        let text = format!("[metrics.joint]\nkind = \"joint\"\n{keys}\n{BOTH}");
        asking(&text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_joint_has_a_bin_for_each_pair_and_asks_both_questions() {
        let program = joint("joins = [\"helpful\", \"did.copied\"]").unwrap();
        let task = program.task("joint").unwrap();
        let labels = [
            "no answer",
            "nothing · copied",
            "up · nothing",
            "up · copied",
            "down · nothing",
            "down · copied",
        ];
        assert_eq!(task.labels(), labels);
        assert_eq!(task.metric.question, "Did it help? | What was done?: copied");
    }

    #[test]
    fn what_a_joint_is_made_of_is_part_of_the_promise() {
        let of = |keys: &str| {
            let program = joint(&format!("question = \"Both?\"\n{keys}")).unwrap();
            program.task("joint").unwrap().task_id
        };
        let score = |weight| {
            format!(
                "joins = [\"helpful\", \"score\"]\n[metrics.score]\nquestion = \"?\"\nkind = \"score\"\n\
                 buckets = [0.0, 0.5]\nof = \"did\"\nweights = {{ copied = {weight} }}\n"
            )
        };
        assert_eq!(of(&score(1.0)), of(&score(1.0)));
        assert_ne!(of(&score(1.0)), of(&score(2.0)), "the score's weights");
        let asked = |question: &str| {
            let more = format!("[metrics.other]\nquestion = {question:?}\nkind = \"thumbs\"\n");
            of(&format!("joins = [\"other\", \"did.copied\"]\n{more}"))
        };
        assert_ne!(asked("Is it right?"), asked("Is it kind?"), "what a part asks");
        assert_ne!(
            asked("Did it help?"),
            of("joins = [\"helpful\", \"did.copied\"]"),
            "which it is"
        );
    }

    #[test]
    fn a_joint_of_what_is_not_there_or_not_one_choice_is_refused_at_its_place() {
        for (keys, place, words) in [
            ("", ":33:8", "needs `joins`"),
            ("joins = [\"helpful\"]", ":34:9", "of two metrics"),
            ("joins = [\"helpful\", \"helpful\"]", ":34:21", "is the other part"),
            ("joins = [\"helpful\", \"copied\"]", ":34:21", "there are: helpful, did, aspects"),
            ("joins = [\"helpful\", \"joint\"]", ":34:21", "no other metric"),
            (
                "joins = [\"did.copied\", \"helpful\"]",
                ":34:10",
                "joins = [\"helpful\", \"did.copied\"]",
            ),
            ("joins = [\"helpful\", \"did\"]", ":34:21", "such as \"did.copied\""),
            ("joins = [\"helpful\", \"did.liked\"]", ":34:21", "did has: copied, edited"),
            ("joins = [\"helpful.up\", \"did.copied\"]", ":34:10", "has no parts"),
            ("joins = [\"aspects\", \"did.copied\"]", ":34:10", "not one choice"),
            ("joins = [\"helpful\", \"did.copied\"]\nstars = 3", ":35:9", "rating or ratings"),
        ] {
            let refused = joint(keys).unwrap_err();
            assert!(refused.contains(place) && refused.contains(words), "{keys}: {refused}");
        }
    }
}
