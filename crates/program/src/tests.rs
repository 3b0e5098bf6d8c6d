use super::*;
use crate::template::without_budget;

fn program(change: impl Fn(String) -> String) -> Result<Program, ProgramError> {
    Program::parse("program.toml", &change(example()))
}

fn example() -> String {
    without_budget(include_str!("../../../examples/support-assistant.toml"))
}

fn error(from: &str, to: &str) -> String {
    let changed = program(|text| {
        assert!(text.contains(from), "the example has no {from:?}");
        text.replacen(from, to, 1)
    });
    changed.err().unwrap_or_else(|| panic!("{to:?} was accepted")).to_string()
}

#[test]
fn the_example_is_a_program() {
    let program = program(|text| text).unwrap();
    let names: Vec<_> = program.tasks().iter().map(|task| task.name.as_str()).collect();
    assert_eq!(names, ["helpful/arm=control", "helpful/arm=candidate", "preferred", "quality"],);
    assert_eq!(program.window().seconds(), 86_400);
    assert!(format!("{:?}", program.collector()).contains("HpkeConfigId(1)"));
}

#[test]
fn the_example_keeps_its_promise_for_a_period() {
    let text = include_str!("../../../examples/support-assistant.toml");
    let program = Program::parse("program.toml", text).unwrap();
    program.certify_budget().unwrap();
    assert!(program.budget().unwrap().limits().central.is_some());
}

#[test]
fn a_day_that_weeks_cannot_begin_on_is_refused_at_its_place_with_a_cure() {
    for (from, to, place, words) in [
        ("grace =", "week_begins = \"monday\"\ngrace =", ":13:15", "these last 1 day"),
        ("grace =", "week_begins = \"thursday\"\ngrace =", ":13:15", "remove week_begins"),
        (
            "window = \"1 day\"",
            "window = \"7 days\"\nweek_begins = \"Monday\"",
            ":13:15",
            "\"monday\" to \"sunday\"",
        ),
        ("window = \"1 day\"", "window = \"1 week\"\nweek_begins = 1", "", "string"),
        (
            "window = \"1 day\"",
            "window = \"1 week\"\nweek_begins = \"monday\"\nstarts = \"2026-11-05T00:00:00Z\"\n\
             ends = \"2026-11-12T00:00:00Z\"",
            ":14:10",
            "begin on Mondays, as week_begins says: the nearest starts are 2026-11-02T00:00:00Z and \
             2026-11-09T00:00:00Z",
        ),
        (
            "window = \"1 day\"",
            "window = \"1 week\"\nstarts = \"2026-11-02T00:00:00Z\"\nends = \"2026-11-12T00:00:00Z\"",
            ":13:10",
            "unless the program has week_begins: the nearest starts are 2026-10-29T00:00:00Z",
        ),
    ] {
        let refused = error(from, to);
        assert!(refused.starts_with("program.toml") && refused.contains(place), "{refused}");
        assert!(refused.contains(words), "{to:?}: {refused}");
    }
}

#[test]
fn every_mistake_is_refused_at_its_place_with_a_cure() {
    for (from, to, place, words) in [
        ("window =", "windw =", "program.toml", "windw"),
        ("window = \"1 day\"", "window = \"1 month\"", ":12:10", "weeks"),
        ("window = \"1 day\"", "window = \"0 days\"", ":12:10", "at least 1 second"),
        ("grace = \"6 hours\"", "grace = \"soon\"", ":13:9", "a number and a unit"),
        ("min_batch_size = 3000", "min_batch_size = 1", ":14:18", "at least 2"),
        ("min_batch_size = 3000", "min_batch_size = 200", "", "use min_batch_size = "),
        ("epsilon0 = 4.0", "epsilon0 = -4.0", "", "epsilon = -4"),
        ("epsilon0 = 4.0", "epsilon0 = 40.0", "", "at most 20"),
        ("delta = 1e-6", "delta = 0.0", "", "above 0 for amplification"),
        ("delta = 1e-6", "delta = nan", "", "below 1"),
        ("reserve = 0.2", "reserve = 1.0", "", "below 1"),
        (
            "reserve = 0.2",
            "aggregator_noise = { kind = \"gaussian\", sigma = 2.0 }",
            "",
            "discrete",
        ),
        (
            "reserve = 0.2",
            "aggregator_noise = { kind = \"discrete-laplace\", sigma = 2.0 }",
            "",
            "has the parameter `scale` only",
        ),
        (
            "reserve = 0.2",
            "aggregator_noise = { kind = \"discrete-laplace\" }",
            "",
            "needs `scale`",
        ),
        (
            "reserve = 0.2",
            "aggregator_noise = { kind = \"discrete-gaussian\", sigma = 0.1 }",
            "program.toml:20:58",
            "nearest valid value is 0.5",
        ),
        ("https://helper.example/", "https://leader.example/", ":9:10", "two organisations"),
        ("https://helper.example/", "helper.example", ":9:10", "https://"),
        ("https://helper.example/", "https://helper.example/?x", ":9:10", "query"),
        ("kind = \"public\"", "kind = \"secret\"", "", "\"private\""),
        (
            "kind = \"public\"",
            "kind = \"public\"\nshare = 0.1",
            "",
            "only a dimension of kind held-out",
        ),
        ("name = \"support", "kind = \"red\"\nname = \"support", ":5:8", "\"red-team\""),
        (
            "name = \"support",
            "kind = \"red-team\"\nname = \"support",
            ":34:8",
            "only metrics of kind finding",
        ),
        (
            "kind = \"thumbs\"",
            "kind = \"finding\"\ncategories = [\"a\"]\nseverities = [\"b\", \"c\"]",
            ":33:8",
            "kind = \"red-team\"",
        ),
        ("question = \"Did this answer help?\"", "", "", "needs `question`"),
        ("\"candidate\"]", "\"control\"]", "", "listed twice"),
        ("kind = \"thumbs\"", "kind = \"thumb\"", "", "one of: thumbs"),
        ("kind = \"thumbs\"", "kind = \"thumbs\"\nstars = 5", "", "kind rating or ratings has"),
        ("dimensions = [\"arm\", \"segment\"]", "dimensions = [\"region\"]", "", "dimensions: arm"),
        ("question = \"Did this answer help?\"", "question = \" \"", "", "must not be empty"),
        ("levels = [", "levels = [] #", "", "at least 2"),
        ("[privacy]", "[device]\njitter = \"7 hours\"\n[privacy]", ":17:10", "grace of 21600"),
        ("[privacy]", "[budget]\nperiod = \"90 days\"\n[privacy]", ":17:10", "needs `windows`"),
        ("[privacy]", "[budget]\nperiod = \"36 hours\"\nwindows = 9\n[privacy]", ":17:10", "86400"),
        (
            "[privacy]",
            "[budget]\nperiod = \"90 days\"\nlocal = 11.9\n[privacy]",
            ":18:9",
            "each metric costs 12.000",
        ),
        (
            "[privacy]",
            "[budget]\nperiod = \"90 days\"\nwindows = 4\nlocal = 36.0\n[privacy]",
            ":18:11",
            "is enough for 3 windows",
        ),
        ("AQAgAAEAAQAg", "AQAQAAEAAQAg", "", "KEM 0x0010"),
        ("AQAgAAEAAQAg", "@@", "", "keygen"),
    ] {
        let error = error(from, to);
        assert!(error.contains(place) && error.contains(words), "{to}: {error}");
    }
}

#[test]
fn the_interval_must_be_whole_windows() {
    let with = |starts: &str, ends: &str| {
        let interval = format!("starts = \"{starts}\"\nends = \"{ends}\"\nwindow =");
        program(|text| text.replacen("window =", &interval, 1))
    };
    assert!(with("2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z").is_ok());
    let backwards = with("2026-12-01T00:00:00Z", "2026-11-01T00:00:00Z").unwrap_err();
    assert!(backwards.to_string().contains("later than"), "{backwards}");
    let between = with("2026-11-01T01:00:00Z", "2026-12-01T00:00:00Z").unwrap_err();
    assert!(
        between.to_string().contains("the nearest starts are 2026-11-01T00:00:00Z"),
        "{between}"
    );
}

/// The example with further tables, from line 16 on.
pub(super) fn with_tables(tables: &str) -> Result<Program, ProgramError> {
    program(|text| text.replacen("[privacy]", &format!("{tables}\n[privacy]"), 1))
}

/// The example with other metrics in place of its own.
pub(super) fn asking(metrics: &str) -> Result<Program, ProgramError> {
    Program::parse("program.toml", &text_asking(metrics))
}

pub(super) fn text_asking(metrics: &str) -> String {
    let example = example();
    format!("{}{metrics}", &example[..example.find("[metrics").unwrap()])
}

/// A red-team channel with these metrics.
pub(super) fn red_team(metrics: &str) -> Result<Program, ProgramError> {
    Program::parse("program.toml", &text_of_red_team(metrics))
}

pub(super) fn text_of_red_team(metrics: &str) -> String {
    format!("kind = \"red-team\"\n{}", text_asking(metrics))
}

#[test]
fn every_kind_of_metric_compiles_to_bins_that_say_what_they_are() {
    for (metric, bins, vdaf) in [
        ("kind = \"ratings\"\naspects = [\"tone\", \"speed\"]\nstars = 3", 7, "Prio3Histogram"),
        ("kind = \"signals\"\nsignals = [\"copied\", \"left\"]", 3, "Prio3SumVec"),
        ("kind = \"count\"\nmax = 4", 6, "Prio3Histogram"),
        ("kind = \"count\"\nbuckets = [0, 1, 5, 20]", 5, "Prio3Histogram"),
        ("kind = \"score\"\nbuckets = [-1.0, 0.0, 0.5]", 4, "Prio3Histogram"),
        ("kind = \"triage\"\ncategories = [\"bug\", \"prompt\", \"idea\"]", 4, "Prio3Histogram"),
    ] {
        let program = asking(&format!("[metrics.m]\nquestion = \"?\"\n{metric}\n")).unwrap();
        let task = program.task("m").unwrap();
        assert_eq!(task.labels().len(), bins, "{metric}");
        assert_eq!(task.labels()[0], encoding::NO_ANSWER);
        assert_eq!(task.configuration.vdaf.name(), vdaf, "{metric}");
        assert!((task.guarantees()[0].epsilon.get() - 4.0).abs() < 1e-9, "{metric}");
    }
}

#[test]
fn metrics_that_contradict_themselves_are_refused_with_a_cure() {
    for (metric, words) in [
        ("kind = \"count\"", "needs `max` or `buckets`"),
        ("kind = \"count\"\nmax = 0", "1 to 20"),
        ("kind = \"count\"\nmax = 3\nbuckets = [0, 1]", "not both"),
        ("kind = \"count\"\nbuckets = [1, 2]", "begin at 0"),
        ("kind = \"count\"\nbuckets = [0, 1.5]", "whole numbers"),
        ("kind = \"score\"\nbuckets = [0.0, 0.0]", "ascending"),
        ("kind = \"score\"\nbuckets = [0.0, nan]", "finite"),
        ("kind = \"score\"\nbuckets = [0.0]", "at least 2"),
        ("kind = \"score\"\nmax = 3", "kind count has"),
        ("kind = \"triage\"", "needs `categories`"),
        ("kind = \"ratings\"\nstars = 3", "needs `aspects`"),
        ("kind = \"ratings\"\naspects = [\"a\", \"b\"]", "needs `stars` or `levels`"),
        ("kind = \"signals\"\nsignals = []", "at least 1"),
        ("kind = \"signals\"\nsignals = [\"a\"]\nrandomizer = \"krr\"", "bit by bit"),
        ("kind = \"signals\"\nsignals = [\"a\"]\ndimensions = [\"segment\"]", "not public"),
    ] {
        let refused = asking(&format!("[metrics.m]\nquestion = \"?\"\n{metric}\n")).unwrap_err();
        assert!(refused.to_string().contains(words), "{metric}: {refused}");
    }
}

#[test]
fn noise_of_the_aggregators_is_part_of_every_promise() {
    let quiet = program(|text| text).unwrap();
    let noise = "aggregator_noise = { kind = \"discrete-gaussian\", sigma = 12.5 }\nreserve =";
    let noisy = program(|text| text.replacen("reserve =", noise, 1)).unwrap();
    for (quiet, noisy) in quiet.tasks().iter().zip(noisy.tasks()) {
        assert_ne!(quiet.task_id, noisy.task_id);
        let manifest = String::from_utf8(noisy.manifest.to_bytes()).unwrap();
        assert!(
            manifest.contains("discrete Gaussian, sigma\",\"thousandths\":12500"),
            "{manifest}"
        );
    }
}

#[test]
fn a_program_that_asks_nothing_is_refused() {
    let nothing = program(|text| text[..text.find("[metrics").unwrap()].to_owned()).unwrap_err();
    assert!(nothing.to_string().contains("there is no metric"), "{nothing}");
}

#[test]
fn many_bins_need_an_explicit_word() {
    let many = |text: String| {
        let levels: Vec<_> = (0..30).map(|i| format!("\"{i}\"")).collect();
        let start = text.find("levels = [").unwrap();
        let end = start + text[start..].find(']').unwrap() + 1;
        text.replace(&text[start..end], &format!("levels = [{}]", levels.join(",")))
    };
    let refused = program(many).unwrap_err().to_string();
    assert!(refused.contains("31 bins") && refused.contains("allow_many_bins"), "{refused}");
    let allowed = |text| many(text).replace("levels =", "allow_many_bins = true\nlevels =");
    assert!(program(allowed).is_ok());
}

#[test]
fn a_suggested_batch_size_is_accepted() {
    let error = error("min_batch_size = 3000", "min_batch_size = 200");
    let size: String = error
        .split("use min_batch_size = ")
        .nth(1)
        .unwrap()
        .chars()
        .take_while(char::is_ascii_digit)
        .collect();
    assert!(
        program(|text| text.replace("min_batch_size = 3000", &format!("min_batch_size = {size}")))
            .is_ok()
            || error.contains("quality"),
        "{error}"
    );
}

#[test]
fn a_budget_counts_windows_and_is_certified_for_all_of_them() {
    let with = |budget: &str| {
        program(|text| text.replace("[privacy]", &format!("[budget]\n{budget}\n[privacy]")))
            .unwrap()
    };
    let program = with("period = \"90 days\"\nlocal = 120.0");
    let budget = program.budget().unwrap();
    assert_eq!((budget.period(), budget.windows()), (90 * 86_400, 10));
    program.certify_budget().unwrap();
    let central = |epsilon: &str| {
        let central = format!("central = {{ epsilon = {epsilon}, delta = 1e-6 }}");
        with(&format!("period = \"90 days\"\nwindows = 4\n{central}")).certify_budget()
    };
    central("5.0").unwrap();
    let words = central("1.0").unwrap_err().to_string();
    assert!(words.contains("OAMC") && words.contains("1.000"), "{words}");
}

#[test]
fn a_red_team_channel_carries_findings_and_nothing_about_who_found_them() {
    let channel = |dimension: &str| {
        program(|text| {
            let head = &text[..text.find("[metrics").unwrap()];
            format!(
                "kind = \"red-team\"\n{head}{COHORT}[metrics.harm]\nkind = \"finding\"\nquestion = \"What?\"\n\
                 dimensions = [{dimension:?}]\ncategories = [\"bias\", \"leak\"]\n\
                 severities = [\"mild\", \"grave\"]\n"
            )
        })
    };
    let program = channel("arm").unwrap();
    assert_eq!(program.kind(), ProgramKind::RedTeam);
    let labels = ["no answer", "bias: mild", "bias: grave", "leak: mild", "leak: grave"];
    assert_eq!(program.task("harm/arm=control").unwrap().labels(), labels);
    for dimension in ["segment", "cohort"] {
        let refused = channel(dimension).unwrap_err().to_string();
        assert!(refused.starts_with("program.toml:40:15: "), "{refused}");
        assert!(refused.contains("reveal nothing about reporters"), "{refused}");
    }
}

const COHORT: &str = "[dimensions.cohort]\nkind = \"held-out\"\nshare = 0.1\nsalt = \"a\"\n";

/// A change of any of these is a change of every task ID: intended ones change this test.
#[test]
fn compilation_is_the_same_everywhere() {
    let one = program(|text| text).unwrap();
    let other = program(|text| text).unwrap();
    let ids = |program: &Program| -> Vec<_> {
        program.tasks().iter().map(|task| task.task_id.to_string()).collect()
    };
    assert_eq!(ids(&one), ids(&other));
    assert_eq!(ids(&one), PINNED);
    let changed = program(|text| text.replace("Did this answer help?", "Did it help?")).unwrap();
    assert_ne!(ids(&changed)[0], ids(&one)[0], "the question is part of the promise");
    assert_eq!(ids(&changed)[3], ids(&one)[3]);
}

fn weekly(day: &str) -> Program {
    let line = if day.is_empty() { String::new() } else { format!("\nweek_begins = \"{day}\"") };
    program(|text| text.replace("window = \"1 day\"", &format!("window = \"1 week\"{line}")))
        .unwrap()
}

#[test]
fn the_day_that_weeks_begin_on_is_part_of_what_a_task_promises_unless_it_is_daps_own() {
    let ids = |program: &Program| program.tasks().iter().map(|t| t.task_id).collect::<Vec<_>>();
    let plain = weekly("");
    assert_eq!(ids(&weekly("thursday")), ids(&plain));
    let manifest = |program: &Program| program.tasks()[0].manifest.to_bytes();
    assert!(!String::from_utf8(manifest(&plain)).unwrap().contains("week_begins"));
    let mut seen = std::collections::BTreeSet::from_iter(ids(&plain));
    for day in Weekday::ALL.into_iter().filter(|day| !day.is_thursday()) {
        let program = weekly(day.word());
        assert!(ids(&program).into_iter().all(|id| seen.insert(id)), "{day}");
        assert_eq!(manifest::week_begins_in(&manifest(&program)), Some(day));
        assert_eq!(program.window().week_begins(), Some(day));
        let configuration = |program: &Program| program.tasks()[0].configuration.clone();
        // Nothing else that DAP sees differs.
        assert_eq!(configuration(&program).difference(&configuration(&plain)), Some("task_info"));
        assert_eq!(
            program.tasks()[0].manifest.beginning(Weekday::Thursday).to_bytes(),
            manifest(&plain)
        );
    }
    assert_eq!(manifest::week_begins_in(&manifest(&plain)), Some(Weekday::Thursday));
    for odd in [&br#"{"week_begins":"someday"}"#[..], br#"{"week_begins":null}"#, b"", b"7"] {
        assert_eq!(manifest::week_begins_in(odd), None);
    }
}

#[test]
fn a_program_with_other_windows_keeps_the_day_where_they_are_weeks() {
    let program = weekly("monday");
    let settings = |days: u64| settings::Settings {
        window: TimePrecision::from_seconds(days * 86_400).unwrap(),
        min_batch_size: 3000,
        epsilon0: std::collections::BTreeMap::default(),
        period: days * 86_400,
        windows: 1,
        central: (Epsilon::new(1.0).unwrap(), Delta::new(1e-6).unwrap()),
    };
    for (days, day, line) in [
        (14, Some(Weekday::Monday), "week_begins = \"monday\"\n"),
        (1, None, "# remove week_begins"),
        (91, Some(Weekday::Monday), "week_begins = \"monday\"\n"),
    ] {
        let toml = settings(days).toml(&program);
        assert!(toml.contains(line), "{toml}");
        let calendar = program.window().with_length(settings(days).window);
        assert_eq!(calendar.week_begins(), day);
    }
    assert!(!settings(14).toml(&weekly("")).contains("week_begins"));
}

const PINNED: [&str; 4] = [
    "ro4oQU00j8u6Uo5IQtLwwtV5GkHWa5MRmIscG1RMR8Y",
    "TZRNLWl2p91iQu0h0DeAKvKqEeEPMP4Id1k-qTP0zGA",
    "zm6oGFdTcKqAuqYWxk2UZMBZriYP7vmw2su7VT8XVQk",
    "QRd4tfMoUTdRcImn-25E05Cb-O-ZvRyd7SyYkbS9Zfc",
];
