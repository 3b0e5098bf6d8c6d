//! `score`: a number that the device works out, perhaps from signals of another metric, each with a weight.

use super::{
    Derived, EncodingError, Kind, Promised, Said, Written,
    buckets::{bounds, bucket, bucket_labels},
};
use crate::{ProgramError, answer::Given, source::At};
use serde::Serialize;

/// A score worked out on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Where buckets begin; what is below the first is in it too.
    pub buckets: Vec<f64>,
    /// What it is worked out from, if that is not the app's doing.
    pub source: Option<ScoreSource>,
}

/// A weight's largest size, in log-odds: odds of 22,000 to 1.
pub const MOST_WEIGHT: f64 = 10.0;

/// Which signals a score is worked out from, on the device.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreSource {
    /// What is done with them; `client::personal::score` has the formula. It stands in the
    /// manifest, so that devices with another one make other reports.
    formula: &'static str,
    /// The name of a `signals` metric.
    pub of: String,
    /// The weight of each signal that counts, in log-odds of being satisfied; by name.
    pub weights: Vec<(String, f64)>,
}

const FORMULA: &str = "logistic, beside the device's baseline, 1";

impl Kind for Score {
    fn keys() -> &'static [&'static str] {
        &["buckets", "of", "weights"]
    }

    fn parse(written: &Written<'_>) -> Result<Self, ProgramError> {
        check(written)?;
        let missing = || written.wrong("a score needs `buckets`: where each begins");
        let buckets = bounds(written, written.table.buckets.as_ref().ok_or_else(missing)?)?;
        Ok(Self { buckets, source: ScoreSource::parse(written)? })
    }

    fn is_observed(&self) -> bool {
        true
    }

    fn promised(&self) -> Promised {
        Promised { score: self.source.clone(), ..Promised::default() }
    }

    fn answer(&self) -> String {
        match &self.source {
            Some(source) => format!(
                "a score that the device works out from signals of {} and the user's habits, in steps",
                source.of
            ),
            None => "a score that the device works out, in steps".to_owned(),
        }
    }

    fn encoding(&self) -> &'static str {
        "buckets"
    }

    fn outcome_count(&self) -> usize {
        self.buckets.len()
    }

    fn outcomes(&self) -> Vec<String> {
        bucket_labels(&self.buckets, false)
    }

    fn encode(&self, given: &Given) -> Result<Said, EncodingError> {
        let Given::Score(score) = given else { return Err(EncodingError::Kind) };
        if score.is_nan() {
            return Err(EncodingError::NotANumber);
        }
        Ok(Said::One(bucket(&self.buckets, *score)))
    }

    fn given(&self, outcome: usize, _opponent: usize) -> Option<Given> {
        self.buckets.get(outcome).copied().map(Given::Score)
    }

    fn derived(&self) -> Option<Derived<'_>> {
        self.source.as_ref().map(Derived::Score)
    }
}

impl ScoreSource {
    /// From a metric's table; `None` if the app works the score out.
    fn parse(written: &Written<'_>) -> Result<Option<Self>, ProgramError> {
        let (of, weights) = match (&written.table.of, &written.table.weights) {
            (None, None) => return Ok(None),
            (Some(of), Some(weights)) => (of, weights),
            (Some(of), None) => {
                return Err(written.error(of, "`of` needs `weights` of its signals"));
            }
            (None, Some(weights)) => {
                let reason = "`weights` need `of`, a metric of kind signals";
                return Err(written.error(weights, reason));
            }
        };
        if weights.get_ref().is_empty() {
            return Err(written.error(weights, "needs the weight of at least one signal"));
        }
        let weights = weights.get_ref().iter().map(|(signal, weight)| {
            let size = weight.get_ref().abs();
            if size > 0.0 && size <= MOST_WEIGHT {
                return Ok((signal.get_ref().clone(), *weight.get_ref()));
            }
            let reason = format!("must be from -{MOST_WEIGHT} to {MOST_WEIGHT}, and not 0");
            Err(written.error(weight, reason))
        });
        let weights = weights.collect::<Result<_, _>>()?;
        Ok(Some(Self { formula: FORMULA, of: of.get_ref().clone(), weights }))
    }
}

/// Refuses a score of what is no signal, or with buckets that no score falls in. The metric of the signals may
/// stand later in the file, so its table is asked.
fn check(written: &Written<'_>) -> Result<(), ProgramError> {
    let (Some(of), Some(weights)) = (&written.table.of, &written.table.weights) else {
        return Ok(());
    };
    let named = written.tables.iter().find(|(name, _)| name.get_ref() == of.get_ref());
    let signals = named.and_then(|(_, metric)| metric.signals.as_ref()).ok_or_else(|| {
        written.error(of, format!("{:?} is not a metric of kind signals", of.get_ref()))
    })?;
    let signals: Vec<_> = signals.get_ref().iter().map(|signal| signal.get_ref().trim()).collect();
    for signal in weights.get_ref().keys() {
        if !signals.contains(&signal.get_ref().as_str()) {
            let known = signals.join(", ");
            let reason = format!(
                "{:?} is not a signal of {}; signals: {known}",
                signal.get_ref(),
                of.get_ref()
            );
            return Err(written.error(signal, reason));
        }
    }
    for bucket in written.table.buckets.iter().flat_map(At::get_ref) {
        if !(0.0..1.0).contains(bucket.get_ref()) {
            let reason = "a score of signals lies between 0 and 1, and so must its buckets begin";
            return Err(written.error(bucket, reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::{Program, tests::asking};

    const DID: &str = "[metrics.did]\nquestion = \"?\"\nkind = \"signals\"\n\
                       signals = [\"copied\", \"regenerated\"]\n";

    fn scored(keys: &str) -> Result<Program, String> {
        let score = "[metrics.well]\nquestion = \"?\"\nkind = \"score\"\n";
        let buckets = if keys.contains("buckets") { "" } else { "buckets = [0, 0.5]\n" };
        asking(&format!("{DID}{score}{buckets}{keys}\n")).map_err(|error| error.to_string())
    }

    fn manifest(keys: &str) -> String {
        let program = scored(keys).unwrap();
        String::from_utf8(program.task("well").unwrap().manifest.to_bytes()).unwrap()
    }

    #[test]
    fn a_score_of_what_is_not_there_is_refused_at_its_place() {
        for (keys, place, words) in [
            ("of = \"did\"", ":40:6", "needs `weights`"),
            ("weights = { copied = 1 }", ":40:11", "need `of`"),
            ("of = \"did\"\nweights = {}", ":41:11", "at least one"),
            (
                "of = \"done\"\nweights = { copied = 1 }",
                ":40:6",
                "\"done\" is not a metric of kind",
            ),
            ("of = \"well\"\nweights = { copied = 1 }", ":40:6", "is not a metric of kind signals"),
            (
                "of = \"did\"\nweights = { liked = 1 }",
                ":41:13",
                "did; signals: copied, regenerated",
            ),
            ("of = \"did\"\nweights = { copied = 0 }", ":41:22", "not 0"),
            ("of = \"did\"\nweights = { copied = nan }", ":41:22", "from -10 to 10"),
            ("of = \"did\"\nweights = { copied = 10.5 }", ":41:22", "from -10 to 10"),
            ("of = \"did\"\nweights = { copied = \"much\" }", ":41:22", ""),
            ("of = \"did\"\nweights = { copied = 1 }\nbuckets = [0, 2]", "", "between 0 and 1"),
        ] {
            let refused = scored(keys).unwrap_err();
            assert!(refused.contains(place) && refused.contains(words), "{keys}: {refused}");
        }
        let elsewhere = asking(&format!("{DID}of = \"did\"\n")).unwrap_err().to_string();
        assert!(elsewhere.contains("only a metric of kind score has `of`"), "{elsewhere}");
    }

    #[test]
    fn weights_are_part_of_the_promise_in_whatever_order_they_stand() {
        let plain = manifest("");
        assert!(!plain.contains("formula"), "{plain}");
        let one = manifest("of = \"did\"\nweights = { copied = 1, regenerated = -1.5 }");
        let says = "\"of\":\"did\",\"weights\":[[\"copied\",1.0],[\"regenerated\",-1.5]]";
        assert!(one.contains(says), "{one}");
        let other = manifest("of = \"did\"\nweights = { regenerated = -1.5, copied = 1.0 }");
        assert_eq!(one, other);
        assert_ne!(one, manifest("of = \"did\"\nweights = { copied = 1, regenerated = -1.25 }"));
    }
}
