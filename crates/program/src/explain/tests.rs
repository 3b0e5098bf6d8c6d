use super::*;
use crate::{
    log::tests::logs,
    template::template,
    tests::{asking, with_tables},
};
use sottovoce_privacy::units::{Epsilon, TrustModel};

fn explained(metrics: &str) -> Explanation {
    Explanation::of(&asking(metrics).unwrap())
}

fn every_part_is_in(parts: &[&str], words: &str) {
    // However lines were broken.
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    for part in parts {
        assert!(words.contains(part), "{part:?} is not in\n{words}");
    }
}

const MANY: &str = "[budget]\nperiod = \"90 days\"\nwindows = 20\n\
    [dimensions.cohort]\nkind = \"held-out\"\nshare = 0.15\nsalt = \"a\"\n\
    [metrics.helpful]\nkind = \"thumbs\"\nquestion = \"Did it help?\"\n\
    dimensions = [\"arm\", \"segment\", \"cohort\"]\n\
    [metrics.did]\nkind = \"signals\"\nquestion = \"What?\"\nsignals = [\"copied\", \"edited\"]\n\
    [metrics.problem]\nkind = \"triage\"\nquestion = \"What went wrong?\"\n\
    categories = [\"bug\", \"other\"]\n\
    [metrics.both]\nkind = \"joint\"\njoins = [\"helpful\", \"did.copied\"]\n";

const ONE: &str = "[metrics.m]\nkind = \"thumbs\"\nquestion = \"?\"\n";

#[test]
fn a_privacy_office_reads_what_leaves_how_often_and_under_which_guarantee() {
    let words = explained(MANY).to_string();
    let parts = [
        "to learn how well an app serves its users",
        "\"Did it help?\"",
        "up or down",
        "In 20 of the 90 windows (of 1 day) of 90 days, one report for each metric",
        "at least 3000 reports",
        "96.5 times in 100",
        "epsilon 4.000",
        "both aggregators collude",
        "One device reports in 20 of 90 windows of 90 days: a sum of epsilon0 of 320",
        "arm (public: control, candidate)",
        "segment (private: new, returning)",
        "15 % of devices are held out",
        "the text of comments",
        "operators do not collude",
        "20 % of them are dishonest or missing",
    ];
    every_part_is_in(&parts, &words);
}

#[test]
fn it_is_said_on_which_day_weeks_begin() {
    let words = |begins: &str| {
        let weekly = format!("window = \"1 week\"{begins}");
        let text = include_str!("../../../../examples/support-assistant.toml");
        let text = crate::template::without_budget(text).replace("window = \"1 day\"", &weekly);
        let explanation = Explanation::of(&Program::parse("program.toml", &text).unwrap());
        (explanation.to_string(), explanation.rhythm.week_begins)
    };
    let (monday, day) = words("\nweek_begins = \"monday\"");
    assert!(monday.contains("Once in each window of 1 week, beginning on Mondays"), "{monday}");
    assert_eq!(day, Some(Weekday::Monday));
    assert!(words("").0.contains("beginning on Thursdays"));
    assert_eq!(explained(ONE).rhythm.week_begins, None);
}

/// As SECURITY.md has it: less would be a promise that is not kept.
#[test]
fn nobody_is_said_to_see_less_than_they_do() {
    let words = explained(MANY).to_string();
    let parts = [
        "leader (https://leader.example/): each device's network address, windows, metrics, public values and \
         times of reports, and one share of each report",
        "it is fixed in advance, and a device without answers reports too",
        "reveals its arm: the app assigns it before there is an answer",
        "A device without an assignment reports nothing to those metrics",
        "Each device draws its windows at random from a secret of its own",
        "Answers in between wait for its next window",
        "one of those that wait for a metric is drawn, all with the same probability",
        "about answers since each device's previous window",
        "the other share of each report without its sender, and that a device fetches the helper's key",
        "the number of reports",
        "network: that a device talks to",
    ];
    every_part_is_in(&parts, &words);
    every_part_is_in(&["windows, metrics and times of reports"], &explained(ONE).to_string());
    assert!(!explained(ONE).to_string().contains("draws its windows"), "it reports in all");
}

#[test]
fn the_worst_case_is_told_in_words_and_numbers_and_never_made_smaller() {
    let explanation = explained(MANY);
    let at_worst = explanation.at_worst.join("\n");
    let parts = [
        "both aggregators collude, they can read each randomized report and the network address",
        "the odds of the answer that was given against any one other answer by a factor of at most 54.6",
        "at most 98.3 % sure",
        "the probability that it reveals more is at most 1 in 1000000",
    ];
    every_part_is_in(&parts, &at_worst);
    for question in &explanation.questions {
        let of = |trust| question.guarantees.iter().find(|g| g.trust == trust).unwrap().epsilon;
        let (shown, pointwise) = (of(TrustModel::Oamc), of_pointwise(question));
        every_part_is_in(
            &[&format!(
                "(OAMC): epsilon {}, delta 1e-6; pointwise {}",
                shown.shown(3),
                pointwise.shown(3)
            )],
            &question.to_string(),
        );
        assert!(pointwise > shown, "δ is not a probability that ε fails");
    }
}

fn of_pointwise(question: &Question) -> Epsilon {
    question.guarantees.iter().find(|g| g.trust == TrustModel::Oamc).unwrap().pointwise
}

#[test]
fn noise_of_the_aggregators_is_told_to_both_readers() {
    let red_team = template(ProgramKind::RedTeam, "a").unwrap();
    let explanation = Explanation::of(&Program::parse("a", &red_team).unwrap());
    let parts = ["each aggregator adds Gaussian noise", "conversation in which harm was found"];
    every_part_is_in(&parts, &explanation.to_string());
    every_part_is_in(&["Each of them adds random noise first"], &explanation.for_users());
    assert!(!explained(ONE).for_users().contains("adds random noise"));
}

#[test]
fn several_reports_together_are_composed_when_there_is_time() {
    let program = asking(MANY).unwrap();
    let explanation = Explanation::in_full(&program).unwrap();
    let oc = |guarantees: &[Guarantee]| guarantees[0].epsilon.get();
    let period = explanation.period.as_ref().unwrap();
    assert_eq!((period.windows, period.of_windows), (20, 90));
    assert!((oc(&explanation.composed) - 16.0).abs() < 1e-6, "{:?}", explanation.composed);
    let crowd = period.under(TrustModel::Oamc).unwrap();
    assert!((oc(&period.guarantees) - 320.0).abs() < 1e-6);
    assert!(crowd.epsilon > explanation.composed[2].epsilon && crowd.pointwise > crowd.epsilon);
    let words = explanation.to_string();
    let parts = [
        "One device, over 90 days, with all metrics, reporting in 20 of 90 windows: even if both aggregators \
         collude (OC): epsilon 320.000",
        "All reports of one window, one for each metric: even if both aggregators collude (OC): epsilon 16.000",
        "after one device's answers of the period",
    ];
    every_part_is_in(&parts, &words);
    let [period, report] = ["over 90 days", "4.000"].map(|part| words.find(part).unwrap());
    assert!(period < report, "the period is what a reader sees first");
    for worst in &explanation.at_worst {
        assert!(worst.contains("over 90 days, with all metrics"), "{worst}");
    }
    assert!(Explanation::of(&program).period.is_none(), "a device has no seconds for it");
}

#[test]
fn without_a_budget_a_year_is_worked_out() {
    let explanation = Explanation::in_full(&asking(ONE).unwrap()).unwrap();
    let period = explanation.period.as_ref().unwrap();
    assert_eq!((period.windows, period.limited), (366, false));
    every_part_is_in(
        &[
            "over a year, with all metrics, reporting in all 366 windows, because there is no budget",
        ],
        &explanation.to_string(),
    );
}

#[test]
fn the_promise_for_a_period_leads_on_both_pages_and_costs_a_device_nothing() {
    let promised = "[budget]\nperiod = \"90 days\"\nwindows = 2\n\
                    central = { epsilon = 1.5, delta = 1e-6 }\n";
    let explanation = explained(&format!("{promised}{ONE}"));
    every_part_is_in(
        &["The promise: over 90 days, all metrics together, at most epsilon 1.5, delta 1e-6"],
        &explanation.to_string(),
    );
    // e^1.5 = 4.48, e^8 = 2980.96.
    let parts = [
        "The program's promise for all that you send in 90 days",
        "is at most 4.5 times its probability after any others of the same device, plus 1 in 1000000",
        "the factor for all reports of 90 days together is at most 2981.0",
    ];
    every_part_is_in(&parts, &explanation.for_users());
}

#[test]
fn users_are_told_the_same_in_short() {
    let words = explained(MANY).for_users();
    let parts = [
        "You are asked",
        "Your device takes part in 20 of the 90 windows of 90 days. It picks them at random",
        "one short report for each of these, even if you answered nothing",
        "Answers that you give in between wait for the device's next window",
        "times in 100",
        "https://leader.example/ and https://helper.example/",
        "in which windows, its network address, the value that the app has for arm and when it sends",
        "None of that depends on your answers",
        "what was said to helpful and to did.copied",
        "by a factor of at most 54.6",
        "as long as one of the two organisations and most devices are honest",
        "the probability that it reveals more is at most 1 in 1000000",
        "Several reports in 90 days reveal more than one",
        "stop at any time",
    ];
    every_part_is_in(&parts, &words);
    assert!(words.len() < 3400, "{} characters", words.len());
    let one = explained(ONE).for_users();
    every_part_is_in(
        &[
            "Your device, every day, sends",
            "There is no limit on how often",
            "There is no limit on what",
        ],
        &one,
    );
}

#[test]
fn without_a_jitter_no_random_time_is_promised() {
    let words = |jitter: &str| {
        let program = with_tables(&format!("[device]\njitter = \"{jitter}\"\n")).unwrap();
        let explanation = Explanation::of(&program);
        explanation.to_string() + &explanation.for_users()
    };
    assert!(!words("0 hours").contains("random time"));
    let parts = [
        "is sent at a random time after the window",
        "a random time within 1 hour after the window",
    ];
    every_part_is_in(&parts, &words("1 hour"));
}

#[test]
fn who_requires_proofs_is_told_to_those_it_concerns() {
    let explained = |more: &str| Explanation::of(&with_tables(&logs(more)).unwrap());
    let devices = explained("required_by = [\"devices\", \"collector\"]\nquorum = 1");
    let parts = [
        "WHAT IS PUBLIC",
        "the leader leader.example/log, the helper helper.example/log",
        "once at least 1 of these witnesses have cosigned it: witness.example -",
        "a device randomizes and sends nothing without inclusion proofs of all tasks from both logs",
        "it withholds figures until both logs prove inclusion of the release",
    ];
    every_part_is_in(&parts, &devices.to_string());
    let plain = "Your device sends nothing until it has proof that both logs list these questions";
    every_part_is_in(&[plain], &devices.for_users());
    let json = serde_json::to_value(&devices).unwrap();
    assert_eq!(json["log"]["leader"], "leader.example/log");
    assert_eq!(json["log"]["witnesses"], serde_json::json!(["witness.example"]));
    assert_eq!(
        (&json["log"]["quorum"], &json["log"]["devices_require"]),
        (&1.into(), &true.into())
    );

    let collector = explained("required_by = [\"collector\"]");
    assert!(!collector.for_users().contains("public log"), "the device does not require it");
    assert!(!collector.to_string().contains("witnesses"), "nobody waits for them");
    every_part_is_in(&["neither devices nor the collector require"], &explained("").to_string());
    let without = Explanation::of(&with_tables("").unwrap());
    assert!(without.log.is_none() && !without.to_string().contains("WHAT IS PUBLIC"));
}

#[test]
fn users_are_told_how_often_the_question_that_changes_the_least_is_changed() {
    // Of three bins: e^1/(e^1 + 2) = 57.6 %, and e^4/(e^4 + 2) = 96.47 %.
    let two = "[metrics.m]\nkind = \"thumbs\"\nquestion = \"?\"\nepsilon0 = 1.0\n\
               [metrics.n]\nkind = \"thumbs\"\nquestion = \"?\"\nepsilon0 = 4.0\n";
    every_part_is_in(&["at least 3.5 times in 100"], &explained(two).for_users());
}
