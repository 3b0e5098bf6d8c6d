use super::*;
use std::sync::LazyLock;

static PROGRAM: LazyLock<Program> = LazyLock::new(|| {
    let example = include_str!("../../../examples/support-assistant.toml");
    let metrics = "[metrics.did]\nkind = \"signals\"\nquestion = \"?\"\nsignals = [\"copied\"]\n\
                   [metrics.well]\nkind = \"score\"\nquestion = \"?\"\nbuckets = [0, 0.5]\n\
                   of = \"did\"\nweights = { copied = 1 }\n";
    Program::parse("program.toml", &format!("{example}\n{metrics}")).unwrap()
});

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse("s.toml", text, &PROGRAM).map_err(|error| error.to_string())
}

#[test]
fn what_cannot_be_meant_is_refused_at_its_place() {
    let lie = |what: &str| format!("[dishonest]\n{what}");
    for (text, words) in [
        ("consent = 1.5", "s.toml:1:11: a probability is from 0 to 1, and this is 1.5"),
        ("\noffline = nan", "s.toml:2:11: a probability"),
        ("offlin = 0.1", "s.toml:1:1: unknown field"),
        ("responses = 0", "s.toml:1:13: must be 1 to 12, not 0"),
        ("[[segments]]\nshare = -1.0", "s.toml:2:9: a share or weight is from 0"),
        ("[[segments]]\nshare = 0.0", "s.toml:2:9: all segments have share 0"),
        (
            "[[segments]]\nshare = 1.0\nvalues = { arm = \"control\" }",
            "s.toml:3:12: no metric of the program has the private dimension \"arm\"; it has: \
             segment",
        ),
        (
            "[[segments]]\nshare = 1.0\nvalues = { segment = \"old\" }",
            "s.toml:3:22: segment has no value \"old\"; it has: new, returning",
        ),
        ("[arms]\nsegment = { new = 1.0 }", "the public dimension \"segment\"; it has: arm"),
        ("[arms]\narm = { other = 1.0 }", "s.toml:2:9: arm has no value \"other\""),
        ("[arms]\narm = { control = 0.0 }", "all values have share 0"),
        ("[effects]\narm = { control = 2.0 }", "a difference of probabilities is from -1 to 1"),
        ("[[shifts]]\nfrom = 1\nsatisfied = -1.1", "s.toml:3:13: a difference"),
        ("[metrics.helpfull]", "s.toml:1:10: the program has no metric \"helpfull\"; it has: h"),
        ("[metrics.well]", "s.toml:1:10: the device derives this metric"),
        (
            "[metrics.helpful.satisfied]\nsays = { sideways = 1.0 }",
            "s.toml:2:10: helpful has no outcome \"sideways\"; it has: up, down",
        ),
        ("[metrics.helpful.satisfied]\nsays = { up = 0.0 }", "all outcomes have weight 0"),
        ("[metrics.helpful.satisfied]\nrates = { up = 2 }", "s.toml:2:16: a probability"),
        ("[metrics.did.satisfied]\nsays = { copied = 1.1 }", "s.toml:2:19: a probability"),
        (&lie("bare = 0.1"), "s.toml:2:8: dishonest devices need `metric` and `bin`"),
        (&lie("bare = 0.6\nforged = 0.6"), "add up to more than 1"),
        (&lie("bare = 0.1\nmetric = \"no\"\nbin = \"up\""), "s.toml:3:10: the program has no"),
        (&lie("bare = 0.1\nmetric = \"helpful\"\nbin = \"up\""), "s.toml:4:7: helpful has no bin"),
        (
            &lie("answer = 0.1\nmetric = \"helpful\"\nbin = \"no answer\""),
            "s.toml:2:10: no user can give this answer",
        ),
        (
            &lie("answer = 0.1\nmetric = \"well\"\nbin = \"below 0.5\""),
            "s.toml:2:10: no user can give this answer",
        ),
    ] {
        let refused = parse(text).unwrap_err();
        assert!(refused.contains(words), "{text}: {refused}");
    }
}

#[test]
fn without_a_word_everybody_takes_part_and_says_something_now_and_then() {
    let scenario = parse("").unwrap();
    assert!((scenario.consent - 1.0).abs() + scenario.crash + scenario.lost_answer < 1e-12);
    assert_eq!((scenario.responses, scenario.segments.len(), scenario.arms.len()), (1, 1, 1));
    let helpful = &scenario.metrics[0];
    assert_eq!((helpful.metric.name.as_str(), helpful.tasks.len()), ("helpful", 2));
    let [unsatisfied, satisfied] = &helpful.sayings;
    assert!(satisfied.weights[0] > satisfied.weights[1], "up, mostly");
    assert!(unsatisfied.weights[0] < unsatisfied.weights[1]);
    assert!(scenario.dishonest.lie.is_none());
}

#[test]
fn a_lie_is_the_answer_that_is_encoded_as_its_bin() {
    for asked in &parse("").unwrap().metrics {
        let task = &PROGRAM.tasks()[asked.tasks[0]];
        for (bin, label) in task.labels().iter().enumerate().skip(1).filter(|_| !asked.is_derived) {
            let name = &asked.metric.name;
            let text = format!("[dishonest]\nanswer = 0.1\nmetric = \"{name}\"\nbin = \"{label}\"");
            let lie = parse(&text).unwrap().dishonest.lie.unwrap();
            let (given, segments) = lie.answer.unwrap();
            let answer = sottovoce_program::answer::Answer { given: Some(given), segments };
            let encoded = task.encoding().encode(&answer).unwrap();
            let is_it = match encoded {
                sottovoce_program::encoding::Encoded::One(found) => found.index() == bin,
                sottovoce_program::encoding::Encoded::OneOf(found) => {
                    found.iter().any(|found| found.index() == bin)
                }
                sottovoce_program::encoding::Encoded::Bits(bits) => bits[bin],
            };
            assert!(is_it && lie.bin == bin, "{name}: {label}");
        }
    }
}
