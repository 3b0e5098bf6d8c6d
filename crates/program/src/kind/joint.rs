//! `joint`: what was said to two metrics about the same response.
//!
//! The joint of an explicit metric (a thumb) with an implicit one (was the text copied?) is what
//! corrects for those who never answer: what they did is known, and those who did the same and
//! answered speak for them.

use super::{Derived, EncodingError, Joined, Kind, MetricKind, Promised, Said, Written, position};
use crate::{ProgramError, answer::Given, label::NOTHING, source::At};

/// What was said to two metrics about the same response; the explicit one first.
///
/// An outcome is, of each side, one of its outcomes or nothing, the second side counting fastest; but not
/// nothing of both, which is no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Joint {
    /// The two sides.
    pub parts: [Box<Part>; 2],
}

/// One side of a joint: a metric of the same program, or one signal of a `signals` metric.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// The metric's name.
    pub metric: String,
    /// The signal, of a metric of kind `signals`: observed, or not.
    pub signal: Option<String>,
    /// What that metric takes.
    pub kind: MetricKind,
    /// What it asks.
    pub question: String,
}

impl Kind for Joint {
    fn keys() -> &'static [&'static str] {
        &["joins"]
    }

    fn is_made_of_others() -> bool {
        true
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        let missing = "a joint needs `joins`: an explicit metric, and an implicit one or a signal, such \
                       as joins = [\"helpful\", \"behaviour.copied\"]";
        let joins = written.table.joins.as_ref().ok_or_else(|| written.wrong(missing))?;
        let [first, second] = joins.get_ref().as_slice() else {
            return Err(written.error(joins, "a joint needs exactly two metrics"));
        };
        let parts = [Part::parse(written, first)?, Part::parse(written, second)?];
        if parts[0].name() == parts[1].name() {
            return Err(written
                .error(second, "is the same as the first; a joint needs two different metrics"));
        }
        let is_observed = |part: &Part| part.kind.as_kind().is_observed();
        if is_observed(&parts[0]) && !is_observed(&parts[1]) {
            let reason = format!(
                "is what the device observes; what the user says comes first: joins = [{:?}, {:?}]",
                parts[1].name(),
                parts[0].name()
            );
            return Err(written.error(first, reason));
        }
        Ok(Self { parts: parts.map(Box::new) })
    }

    /// What its parts ask.
    fn question(&self) -> Option<String> {
        let asked = self.parts.each_ref().map(|part| match &part.signal {
            Some(signal) => format!("{}: {signal}", part.question),
            None => part.question.clone(),
        });
        Some(asked.join(" | "))
    }

    fn promised(&self) -> Promised {
        let joined = |part: &Part| Joined {
            part: part.name(),
            question: part.question.clone(),
            promised: part.kind.as_kind().promised(),
        };
        let joins = self.parts.iter().map(|part| joined(part)).collect();
        Promised { joins, ..Promised::default() }
    }

    fn answer(&self) -> String {
        let [first, second] = self.parts.each_ref().map(|part| part.name());
        format!("what was said to {first} and to {second} about one response, together")
    }

    fn encoding(&self) -> &'static str {
        "joint"
    }

    fn outcome_count(&self) -> usize {
        let pairs = self.parts.iter().map(|part| part.outcome_count() + 1).product::<usize>();
        pairs - 1
    }

    fn outcomes(&self) -> Vec<String> {
        let [firsts, seconds] = self.sides();
        let pairs = firsts
            .iter()
            .flat_map(|first| seconds.iter().map(move |second| format!("{first} · {second}")));
        pairs.skip(1).collect()
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Joint { first, second } = given else { return Err(EncodingError::Kind) };
        let [one, other] = &self.parts;
        let (first, second) = (one.encode(first.as_deref())?, other.encode(second.as_deref())?);
        let pair = first * (other.outcome_count() + 1) + second;
        Ok(pair.checked_sub(1).map_or(Said::Nothing, Said::One))
    }

    /// The device works it out.
    fn given(&self, _outcome: usize, _opponent: usize) -> Option<Given> {
        None
    }

    /// Saying nothing and saying the first half are compared.
    fn samples(&self) -> Vec<Given> {
        let firsts = self.parts[0].kind.as_kind().samples().into_iter();
        firsts.map(|first| Given::Joint { first: Some(Box::new(first)), second: None }).collect()
    }

    fn derived(&self) -> Option<Derived<'_>> {
        Some(Derived::Joint(self))
    }
}

impl Joint {
    /// What each of the two metrics can have said, *nothing* first.
    pub(crate) fn sides(&self) -> [Vec<String>; 2] {
        self.parts.each_ref().map(|part| {
            let outcomes = match &part.signal {
                Some(signal) => vec![signal.clone()],
                None => part.kind.as_kind().outcomes(),
            };
            std::iter::once(NOTHING.to_owned()).chain(outcomes).collect()
        })
    }
}

impl Part {
    fn parse(written: &Written<'_>, text: &At<String>) -> Result<Self, ProgramError> {
        let (name, signal) = match text.get_ref().split_once('.') {
            Some((name, signal)) => (name, Some(signal)),
            None => (text.get_ref().as_str(), None),
        };
        let metrics = written.parsed;
        let metric = metrics.iter().find(|metric| metric.name == name).ok_or_else(|| {
            let names: Vec<_> = metrics.iter().map(|metric| metric.name.as_str()).collect();
            let reason =
                format!("no other metric is named {name:?}; metrics: {}", names.join(", "));
            written.error(text, reason)
        })?;
        can_be_joined(&metric.kind, name, signal).map_err(|reason| written.error(text, reason))?;
        Ok(Self {
            metric: metric.name.clone(),
            signal: signal.map(str::to_owned),
            kind: metric.kind.clone(),
            question: metric.question.clone(),
        })
    }

    /// As the program names it: `helpful`, `behaviour.copied`.
    pub fn name(&self) -> String {
        match &self.signal {
            Some(signal) => format!("{}.{signal}", self.metric),
            None => self.metric.clone(),
        }
    }

    /// Without *nothing*.
    fn outcome_count(&self) -> usize {
        match &self.signal {
            Some(_) => 1,
            None => self.kind.as_kind().outcome_count(),
        }
    }

    /// 0 for nothing, or one more than the outcome.
    fn encode(&self, given: Option<&Given>) -> Result<usize, EncodingError> {
        match (given, &self.signal) {
            (None, _) => Ok(0),
            (Some(Given::Signals(observed)), Some(signal)) => {
                // A name that is not there would otherwise pass for "not observed".
                let all = self.kind.as_kind().signals().unwrap_or_default();
                observed.iter().try_for_each(|name| position(all, name).map(drop))?;
                Ok(usize::from(observed.contains(signal)))
            }
            (Some(given), _) => match self.kind.as_kind().encode(given)? {
                Said::One(outcome) => Ok(outcome + 1),
                Said::Nothing | Said::OneOf(_) | Said::Exactly(_) => Err(EncodingError::Kind),
            },
        }
    }
}

/// Whether a metric, or a signal of it, can be a side, or why not.
fn can_be_joined(metric: &MetricKind, name: &str, signal: Option<&str>) -> Result<(), String> {
    let kind = metric.as_kind();
    match (kind.signals(), signal) {
        (Some(signals), Some(signal)) if signals.iter().any(|known| known == signal) => Ok(()),
        (Some(signals), _) => {
            let first = signals.first().map_or("", String::as_str);
            let all = signals.join(", ");
            Err(format!("a joint takes one signal, such as \"{name}.{first}\"; {name} has: {all}"))
        }
        (None, Some(_)) => Err(format!("{name} is of kind {}, which has no parts", metric.name())),
        (None, None) => kind.not_one_choice().map_or(Ok(()), |reason| Err(reason.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use crate::{Program, tests::asking};

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
            ("joins = [\"helpful\"]", ":34:9", "exactly two metrics"),
            ("joins = [\"helpful\", \"helpful\"]", ":34:21", "is the same as the first"),
            ("joins = [\"helpful\", \"copied\"]", ":34:21", "metrics: helpful, did, aspects"),
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
