//! Weeks that begin on the day that the program says: reported, collected after their real end and no sooner, shown
//! with their real dates, and audited, by the real binaries and today's date.

use super::{
    audit::{name_logs, verify},
    collector::{Parties, json, text},
    server::poll,
};
use sottovoce_program::{
    Program, Weekday,
    answer::{Answer, Given, Thumb},
    format_moment,
};
use std::{
    fs,
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

const DAY: u64 = 86_400;

/// The day of a week that is just over, and when: today's, or on a Thursday yesterday's, so that by DAP's counting
/// that week is not over yet.
fn just_over() -> (Weekday, u64) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let day = |days: u64| Weekday::from_number(u8::try_from((days + 3) % 7).unwrap()).unwrap();
    let today = now / DAY;
    let first = if day(today).is_thursday() { today - 1 } else { today };
    (day(first), first * DAY)
}

fn asking(day: Weekday) -> Parties {
    Parties::asking(&format!(
        "window = \"1 week\"\nweek_begins = \"{}\"\ngrace = \"0 seconds\"\nmin_batch_size = 20\n\
         [privacy]\nepsilon = 4.0\n\
         [metrics.first]\nkind = \"thumbs\"\nquestion = \"Did this help?\"\n",
        day.word()
    ))
}

fn hours_since(moment: u64) -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    (now - moment).div_ceil(3600) + 1
}

fn listed(parties: &Parties, command: [&str; 2]) -> Vec<String> {
    let list = |server: &super::server::Server| {
        let config = server.config.to_str().unwrap();
        text(&server.run(&[command[0], command[1], "--config", config]).stdout)
    };
    parties.servers.iter().map(list).collect()
}

#[test]
fn a_week_is_reported_collected_after_its_real_end_and_shown_with_its_real_dates() {
    let (day, end) = just_over();
    let parties = asking(day);
    let program = Program::read(&parties.program).unwrap();
    let interval_end = program.window().precision().start_of(program.window().time_at(end));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!(interval_end > now, "DAP's own interval lasts on");
    name_logs(&parties, "required_by = [\"collector\"]");
    let answers = [Answer::given(Given::Thumbs(Thumb::Up)), Answer::none()];
    let answers: Vec<_> = answers.iter().cycle().take(40).cloned().collect();
    parties.send_of("first", &answers, hours_since(end));

    let [start, shown_end] = [end - 7 * DAY, end].map(format_moment);
    poll("both list the week by its real start", || {
        let batches = listed(&parties, ["batches", "list"]);
        batches.iter().all(|batches| batches.contains(&start)).then_some(())
    });
    for tasks in listed(&parties, ["tasks", "list"]) {
        assert!(tasks.contains(&format!("windows of 604800 s beginning on {day}s")), "{tasks}");
    }
    // Thursdays are no starts, and the week that goes on is not over.
    let thursday = format_moment(interval_end);
    let refused = text(&parties.collect(&["--start", &thursday]).stderr);
    for words in [&format!("begin on {day}s, as week_begins says")[..], &shown_end] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let refused = text(&parties.collect(&["--start", &shown_end]).stderr);
    assert!(refused.contains(&format!("ends at {}", format_moment(end + 7 * DAY))), "{refused}");

    let collected = parties.collect(&["--start", &start, "--json"]);
    assert!(collected.status.success(), "{}", text(&collected.stderr));
    let release = &json(&collected)["metrics"][0];
    assert_eq!(release["reports"], 40);
    assert_eq!(
        (&release["start"], &release["end"]),
        (&start.as_str().into(), &shown_end.as_str().into())
    );
    // The last week that is over is this one, too; and the table for people has the same dates.
    let table = text(&parties.collect(&[]).stdout);
    assert!(table.contains(&start) && table.contains(&shown_end), "{table}");
    for collections in
        listed(&parties, ["collections", "list"]).into_iter().filter(|l| !l.is_empty())
    {
        assert!(collections.contains(&start), "{collections}");
    }
    // What was written down is read back.
    let file = parties.folder.path().join("release.json");
    fs::write(&file, &collected.stdout).unwrap();
    let mut analyse = Command::new(env!("CARGO_BIN_EXE_sottovoce"));
    let said = analyse.arg("analyse").arg(&parties.program).arg(&file).output().unwrap();
    assert!(text(&said.stdout).contains(&start), "{said:?}");

    let (code, outcome, error) = verify(&parties.program, &[]);
    assert_eq!(code, Some(0), "{outcome:#} {error}");
    assert_eq!(outcome["logs"][0]["releases"], 1);
    // An auditor with another day finds that nobody serves it, and why.
    let other = parties.folder.path().join("other.toml");
    let next = Weekday::from_number((day.number() + 1) % 7).unwrap();
    let written = fs::read_to_string(&parties.program).unwrap();
    let line = |day: Weekday| format!("week_begins = \"{}\"", day.word());
    fs::write(&other, written.replace(&line(day), &line(next))).unwrap();
    let (code, outcome, _) = verify(&other, &[]);
    assert_eq!(code, Some(1), "{outcome:#}");
    let all = outcome.to_string();
    assert!(all.contains("not-taken-on"), "{all}");
    let words = format!("weeks that begin on {day}s, and the program's begin on {next}s");
    assert!(all.contains(&words), "{all}");
}

#[test]
fn both_aggregators_keep_the_grace_after_the_real_end() {
    let (day, end) = just_over();
    let parties = asking(day);
    let patient = fs::read_to_string(&parties.program).unwrap();
    // The aggregators' program waits for four days more than the collector's.
    fs::write(&parties.program, patient.replace("grace = \"0 seconds\"", "grace = \"4 days\""))
        .unwrap();
    for server in &parties.servers {
        server.kill();
        server.start();
    }
    fs::write(&parties.program, patient).unwrap();
    let answers = vec![Answer::none(); 20];
    parties.send_of("first", &answers, hours_since(end));
    let start = format_moment(end - 7 * DAY);
    let refused = text(&parties.collect(&["--start", &start]).stderr);
    for words in ["batchInvalid", &format!("ends at {}", format_moment(end)), "345600 seconds: it"]
    {
        assert!(refused.contains(words), "{words}: {refused}");
    }
}
