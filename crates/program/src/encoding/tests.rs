use super::*;
use crate::{
    answer::{Given, Outcome, Thumb},
    dimension::Visibility,
    kind::{Count, Finding, Joint, Part, Preference, Rating, Ratings, Score, Signals, Thumbs},
};

fn metric(kind: impl Into<MetricKind>, segments: &[(&str, &[&str])]) -> Metric {
    let dimensions = segments.iter().map(|(name, values)| Dimension {
        name: (*name).to_owned(),
        visibility: Visibility::Private,
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    });
    Metric {
        name: "m".into(),
        question: "?".into(),
        kind: kind.into(),
        dimensions: dimensions.collect(),
        epsilon0: None,
        allow_many_bins: false,
        randomizer: None,
    }
}

fn names(n: usize) -> Vec<String> {
    (0..n).map(|i| format!("model {i}")).collect()
}

/// The label of the bin that an answer goes to.
fn label(encoding: &Encoding, answer: &Answer) -> String {
    match encoding.encode(answer).unwrap() {
        Encoded::One(bin) => encoding.labels()[bin.index()].clone(),
        Encoded::OneOf(bins) => {
            let label = |bin: Bin| encoding.labels()[bin.index()].clone();
            bins.into_iter().map(label).collect::<Vec<_>>().join("|")
        }
        Encoded::Bits(bits) => {
            let set = encoding.labels().into_iter().zip(bits).filter(|(_, bit)| *bit);
            set.map(|(label, _)| label).collect::<Vec<_>>().join("+")
        }
    }
}

fn preference(left: usize, right: usize, outcome: Outcome) -> Answer {
    let (left, right) = (format!("model {left}"), format!("model {right}"));
    Answer::given(Given::Preference { left, right, outcome })
}

#[test]
fn no_answer_is_always_the_first_bin() {
    for kind in [MetricKind::from(Thumbs), Preference { candidates: names(4) }.into()] {
        let encoding = Encoding::of(&metric(kind, &[("s", &["a", "b"])]));
        assert_eq!(label(&encoding, &Answer::none()), NO_ANSWER);
        assert_eq!(encoding.labels().len(), encoding.bins() as usize);
    }
}

#[test]
fn private_dimensions_multiply_the_bins() {
    let segments: [(&str, &[&str]); 2] = [("who", &["new", "old"]), ("topic", &["x", "y", "z"])];
    let encoding = Encoding::of(&metric(Thumbs, &segments));
    assert_eq!(encoding.bins(), 13);
    let answer = Answer::given(Given::Thumbs(Thumb::Down))
        .with_segment("who", "old")
        .with_segment("topic", "y");
    assert_eq!(label(&encoding, &answer), "old · y · down");
}

#[test]
fn a_preference_says_the_same_whichever_candidate_stands_left() {
    let encoding = Encoding::of(&metric(Preference { candidates: names(3) }, &[]));
    assert_eq!((encoding.name(), encoding.bins()), ("pairs", 10));
    for one in 0..3 {
        for other in (0..3).filter(|other| *other != one) {
            let straight = label(&encoding, &preference(one, other, Outcome::Left));
            assert_eq!(straight, label(&encoding, &preference(other, one, Outcome::Right)));
            let (low, high) = (one.min(other), one.max(other));
            let sign = if one == low { '>' } else { '<' };
            assert_eq!(straight, format!("model {low} {sign} model {high}"));
            let tie = label(&encoding, &preference(one, other, Outcome::Tie));
            assert_eq!(tie, format!("model {low} = model {high}"));
        }
    }
}

#[test]
fn many_candidates_are_reported_one_at_a_time() {
    let encoding = Encoding::of(&metric(Preference { candidates: names(5) }, &[]));
    assert_eq!((encoding.name(), encoding.bins()), ("candidates", 16));
    let label = label(&encoding, &preference(4, 1, Outcome::Left));
    assert_eq!(label, "model 4 won|model 1 lost");
}

#[test]
fn answers_that_the_metric_does_not_have_are_refused() {
    let rating = Encoding::of(&metric(Rating { levels: names(2) }, &[("s", &["a", "b"])]));
    let level = |text: &str| Answer::given(Given::Rating(text.into()));
    let error = |answer: &Answer| rating.encode(answer).unwrap_err();
    assert_eq!(error(&level("model 0")), EncodingError::MissingSegment("s".into()));
    let segment = |value| level("model 0").with_segment("s", value);
    assert!(matches!(error(&segment("c")), EncodingError::Unknown { .. }));
    let extra = segment("a").with_segment("t", "x");
    assert_eq!(error(&extra), EncodingError::ExtraSegment("t".into()));
    assert!(matches!(error(&level("x").with_segment("s", "a")), EncodingError::Unknown { .. }));
    let thumb = Answer::given(Given::Thumbs(Thumb::Up)).with_segment("s", "a");
    assert_eq!(error(&thumb), EncodingError::Kind);
    let models = Encoding::of(&metric(Preference { candidates: names(2) }, &[]));
    let same = models.encode(&preference(1, 1, Outcome::Tie)).unwrap_err();
    assert_eq!(same, EncodingError::Same("model 1".into()));
}

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn one_aspect_of_those_rated_is_reported() {
    let kind =
        Ratings { aspects: words(&["accuracy", "tone"]), levels: words(&["bad", "fine", "good"]) };
    let encoding = Encoding::of(&metric(kind, &[]));
    assert_eq!((encoding.name(), encoding.bins()), ("aspects", 7));
    let rated = |list: &[(&str, &str)]| {
        let rated = list.iter().map(|(a, l)| ((*a).to_owned(), (*l).to_owned())).collect();
        Answer::given(Given::Ratings(rated))
    };
    let both = rated(&[("tone", "bad"), ("accuracy", "good")]);
    assert_eq!(label(&encoding, &both), "accuracy: good|tone: bad");
    assert_eq!(label(&encoding, &rated(&[("tone", "fine")])), "tone: fine");
    assert_eq!(encoding.encode(&rated(&[])), Err(EncodingError::NothingRated));
    let unknown = encoding.encode(&rated(&[("speed", "fine")]));
    assert!(matches!(unknown, Err(EncodingError::Unknown { .. })));
}

#[test]
fn signals_are_bits_and_silence_is_one_of_them() {
    let kind = Signals { signals: words(&["copied", "edited", "left"]) };
    let encoding = Encoding::of(&metric(kind, &[]));
    let observed = |list: &[&str]| {
        Answer::given(Given::Signals(list.iter().map(|name| (*name).to_owned()).collect()))
    };
    assert!(encoding.is_vector());
    assert_eq!(label(&encoding, &observed(&["left", "copied"])), "copied+left");
    assert_eq!(label(&encoding, &observed(&[])), "");
    assert_eq!(label(&encoding, &Answer::none()), NO_ANSWER);
    assert!(encoding.encode(&observed(&["read"])).is_err());
}

#[test]
fn counts_and_scores_fall_into_their_buckets() {
    let count = |kind, n| label(&Encoding::of(&metric(kind, &[])), &Answer::given(Given::Count(n)));
    let values = || Count { buckets: vec![0, 1, 2] };
    assert_eq!(
        [0, 1, 2, u64::MAX].map(|n| count(values(), n)),
        ["0", "1", "2 or more", "2 or more"]
    );
    let buckets = || Count { buckets: vec![0, 1, 3, 10] };
    assert_eq!(
        [0, 2, 3, 9, 10].map(|n| count(buckets(), n)),
        ["0", "1–2", "3–9", "3–9", "10 or more"]
    );
    let score = Score { buckets: vec![-1.0, 0.0, 0.5], source: None };
    let encoding = Encoding::of(&metric(score, &[]));
    let score = |x| encoding.encode(&Answer::given(Given::Score(x)));
    let labelled = |x| label(&encoding, &Answer::given(Given::Score(x)));
    assert_eq!(labelled(f64::NEG_INFINITY), "below 0");
    assert_eq!(
        [-0.5, 0.0, 0.4, 0.5].map(labelled),
        ["below 0", "0 to below 0.5", "0 to below 0.5", "0.5 or more"]
    );
    assert_eq!(score(f64::NAN), Err(EncodingError::NotANumber));
}

#[test]
fn a_finding_is_a_category_and_how_grave() {
    let kind = Finding {
        categories: words(&["bias", "leak"]),
        severities: words(&["mild", "serious", "grave"]),
    };
    let encoding = Encoding::of(&metric(kind, &[]));
    assert_eq!((encoding.name(), encoding.bins()), ("findings", 7));
    let found = |category: &str, severity: &str| {
        let (category, severity) = (category.to_owned(), severity.to_owned());
        Answer::given(Given::Finding { category, severity })
    };
    for unknown in [found("spam", "mild"), found("bias", "deadly"), found("mild", "bias")] {
        assert!(matches!(encoding.encode(&unknown), Err(EncodingError::Unknown { .. })));
    }
    let category_only = Answer::given(Given::Triage("bias".into()));
    assert_eq!(encoding.encode(&category_only), Err(EncodingError::Kind));
    assert_eq!(label(&encoding, &found("leak", "mild")), "leak: mild");
    assert_eq!(label(&encoding, &found("bias", "grave")), "bias: grave");
}

/// A rating of three levels with one signal of several.
fn joint(segments: &[(&str, &[&str])]) -> Encoding {
    let part = |metric: &str, signal: Option<&str>, kind: MetricKind| Part {
        metric: metric.to_owned(),
        signal: signal.map(str::to_owned),
        kind,
        question: "?".to_owned(),
    };
    let rating = Rating { levels: words(&["bad", "fine", "good"]) };
    let signals = Signals { signals: words(&["edited", "copied"]) };
    let sides = [part("quality", None, rating.into()), part("did", Some("copied"), signals.into())];
    Encoding::of(&metric(Joint { parts: sides.map(Box::new) }, segments))
}

fn both(level: Option<&str>, observed: Option<&[&str]>) -> Answer {
    let first = level.map(|level| Box::new(Given::Rating(level.to_owned())));
    let second = observed.map(|names| Box::new(Given::Signals(words(names).into_iter().collect())));
    Answer::given(Given::Joint { first, second })
}

#[test]
fn a_joint_takes_what_its_parts_take_and_nothing_else() {
    let encoding = joint(&[]);
    let unknown = encoding.encode(&both(Some("great"), None));
    assert!(matches!(unknown, Err(EncodingError::Unknown { .. })));
    let misspelt = encoding.encode(&both(None, Some(&["copid"])));
    assert!(matches!(misspelt, Err(EncodingError::Unknown { .. })));
    let alone = Answer::given(Given::Rating("good".into()));
    assert_eq!(encoding.encode(&alone), Err(EncodingError::Kind));
    let thumb = || Some(Box::new(Given::Thumbs(Thumb::Up)));
    let inner = Given::Joint { first: thumb(), second: None };
    for (first, second) in [(thumb(), None), (None, thumb()), (Some(Box::new(inner)), None)] {
        let wrong = Answer::given(Given::Joint { first, second });
        assert_eq!(encoding.encode(&wrong), Err(EncodingError::Kind), "{wrong:?}");
    }
}

#[test]
fn a_joint_says_each_pair_and_silence_of_both_is_no_answer() {
    let encoding = joint(&[]);
    assert_eq!((encoding.name(), encoding.bins()), ("joint", 8));
    let copied: Option<&[&str]> = Some(&["copied"]);
    for (answer, said) in [
        (both(None, None), NO_ANSWER),
        (both(None, Some(&[])), NO_ANSWER),
        (both(None, Some(&["edited"])), NO_ANSWER),
        (both(None, copied), "nothing · copied"),
        (both(Some("bad"), None), "bad · nothing"),
        (both(Some("bad"), Some(&["edited"])), "bad · nothing"),
        (both(Some("good"), copied), "good · copied"),
        (both(Some("good"), Some(&["edited", "copied"])), "good · copied"),
    ] {
        assert_eq!(label(&encoding, &answer), said, "{answer:?}");
    }
}

#[test]
fn silence_of_both_sides_says_nothing_about_the_user_either() {
    let encoding = joint(&[("who", &["new", "old"])]);
    assert_eq!(encoding.bins(), 15);
    for who in ["new", "old"] {
        let silent = both(None, Some(&[])).with_segment("who", who);
        assert_eq!(label(&encoding, &silent), NO_ANSWER);
    }
    let spoke = both(Some("fine"), None).with_segment("who", "old");
    assert_eq!(label(&encoding, &spoke), "old · fine · nothing");
}
