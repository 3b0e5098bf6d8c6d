use super::{
    block::Block,
    document::{Audited, Made, document},
    plot::Plot,
    registry, render,
};
use crate::{
    finding::{Finding, Severity},
    rules::{budget::Spent, task::Releases},
    source::SourceError,
    verify::{Outcome, Unverified},
};
use sottovoce_dap::role::Role;
use sottovoce_program::{Program, ProgramKind, explain::Explanation, template::template};

fn program() -> Program {
    let text = template(ProgramKind::Feedback, "support").unwrap();
    Program::parse("program.toml", &text).unwrap()
}

fn outcome(program: &Program) -> Outcome {
    let spent = Spent {
        program: program.name().to_owned(),
        start: 1_750_000_000,
        seconds: 90 * 86_400,
        windows: 3,
        own: 1,
        guarantees: program.tasks()[0].guarantees().to_vec(),
    };
    let finding = Finding {
        severity: Severity::Note,
        rule: "refused",
        log: None,
        entry: Some(4),
        message: "<script>alert(\"1\")</script> | *bold* _it_".to_owned(),
    };
    Outcome {
        holds: true,
        logs: Vec::new(),
        findings: vec![finding],
        left_out: 0,
        spent: vec![spent],
        released: [(
            program.name().to_owned(),
            Releases { count: 1, first: 1_750_000_000, last: 1_760_000_000 },
        )]
        .into(),
    }
}

fn blocks(program: &Program, outcome: &Outcome, unverified: &[Unverified]) -> Vec<Block> {
    let explanation = Explanation::of(program);
    let made = Made {
        at: 1_764_483_000,
        auditor: None,
        file: "program.toml".to_owned(),
        digest: "ab".repeat(32),
    };
    document(Audited { program, explanation: &explanation, outcome, unverified, made: &made })
}

fn unread(role: Role) -> Unverified {
    Unverified::new(role, "https://a.example/log", SourceError::NoLog("there".to_owned()).into())
}

#[test]
fn the_document_answers_each_question_in_both_forms() {
    let program = program();
    let blocks = blocks(&program, &outcome(&program), &[]);
    let (markdown, html) = (render::markdown(&blocks), render::html("Audit", &blocks));
    for question in [
        "what does one release cost",
        "what do all its reports of a period cost",
        "whose data",
        "who has to be honest",
        "leaves a device",
    ] {
        assert!(markdown.contains(question) && html.contains(question), "{question}");
    }
    assert!(html.contains("<svg") && html.contains("<td>helpful</td>"));
    let crowd = program.tasks()[0].guarantees()[2];
    let row = format!(
        "| helpful | one honest aggregator and most devices | {} | 1e-6 | {} |",
        crowd.epsilon.shown(3),
        crowd.pointwise.shown(3)
    );
    assert!(markdown.contains(&row), "{row} is not in {markdown}");
    let [period, report] = ["all its reports of a period", "one release cost"]
        .map(|part| markdown.find(part).unwrap());
    assert!(period < report, "the period leads");
}

#[test]
fn one_log_is_not_called_two() {
    let program = program();
    let outcome = Outcome { left_out: 7, ..outcome(&program) };
    let markdown = render::markdown(&blocks(&program, &outcome, &[]));
    assert!(markdown.contains("was not read") && !markdown.contains("both logs are complete"));
    assert!(markdown.contains("7 more findings are not listed"), "{markdown}");
}

#[test]
fn it_says_when_by_what_and_of_which_state_it_is_and_leaves_room_to_sign() {
    let program = program();
    let read = crate::verify::Read {
        log: Role::Leader,
        origin: "leader.example/log".to_owned(),
        size: 7,
        root: "cm9vdA==".to_owned(),
        new: 7,
        reread: 0,
        releases: 1,
        witnesses: Vec::new(),
    };
    let outcome = Outcome { logs: vec![read], ..outcome(&program) };
    let markdown = render::markdown(&blocks(&program, &outcome, &[]));
    for part in [
        "| date of this audit | 2025-11-30 06:10:00 UTC |",
        concat!("| tool | sottovoce-auditor ", env!("CARGO_PKG_VERSION"), " |"),
        &format!("| SHA-256 of the program's file | {} |", "ab".repeat(32)),
        "| period that is covered | 1 release from 2025-06-15 to 2025-10-09 |",
        "| leader | leader.example/log | 7 | 1 | cm9vdA== | nobody |",
        "Date and signature of the auditor",
        "declared to be run by two organisations",
        "NIST SP 800-226",
        "Considerations for Reviewing Differential Privacy Systems",
    ] {
        assert!(markdown.contains(part), "{part}: {markdown}");
    }
    for model in ["(OC)", "(OAOC)", "(OAMC)"] {
        assert_eq!(markdown.matches(model).count(), 1, "{model}");
    }
}

#[test]
fn violations_come_first_and_starts_are_one_line() {
    let program = program();
    let started = |entry| Finding {
        severity: Severity::Note,
        rule: "started",
        log: Some(Role::Leader),
        entry: Some(entry),
        message: "sottovoce-leader 0.1.0 started".to_owned(),
    };
    let violation = Finding {
        severity: Severity::Violation,
        rule: "batch-size",
        message: "too small".to_owned(),
        ..started(9)
    };
    let mut outcome = outcome(&program);
    outcome.holds = false;
    outcome.findings = vec![violation, started(1), started(2), started(3)];
    let markdown = render::markdown(&blocks(&program, &outcome, &[]));
    let [violation, audited, risk] = ["too small", "What was audited", "Risk of one device"]
        .map(|part| markdown.find(part).unwrap());
    assert!(violation < audited && audited < risk);
    assert!(markdown.contains("there is 1 violation, listed below"), "{markdown}");
    assert!(markdown.contains("started 3 times; the last time, entry 3"), "{markdown}");
    assert_eq!(markdown.matches("sottovoce-leader 0.1.0 started").count(), 1);
}

#[test]
fn what_could_not_be_read_is_said_and_is_no_verdict() {
    let program = program();
    let all = [unread(Role::Leader), unread(Role::Helper)];
    let (html, some) = (
        render::html("Audit", &blocks(&program, &outcome(&program), &all)),
        render::markdown(&blocks(&program, &outcome(&program), &all[..1])),
    );
    assert!(
        html.contains("2 logs could not be verified") && html.contains("verdict open"),
        "{html}"
    );
    assert!(some.contains("1 log could not be verified"), "{some}");
    assert!(
        some.contains("## What could not be read") && some.contains("there is no log at there")
    );
    assert!(!html.contains("No violation was found: "), "{html}");
}

#[test]
fn every_composed_figure_has_its_delta_its_limit_and_a_judgement() {
    let program = program();
    let mut outcome = outcome(&program);
    let markdown = render::markdown(&blocks(&program, &outcome, &[]));
    let crowd = program.tasks()[0].guarantees()[2];
    let limit = crate::rules::budget::limit(&program, crowd.trust).unwrap().epsilon();
    let row = |judgement| {
        let epsilon = crowd.epsilon.shown(3);
        format!(
            "| one honest aggregator and most devices | {epsilon} | 1e-6 | {limit} | {judgement} |"
        )
    };
    assert!(markdown.contains(&row("within the limit")), "{markdown}");
    let much = sottovoce_privacy::units::Epsilon::new(limit.get() + 0.001).unwrap();
    outcome.spent[0].guarantees[2].epsilon = much;
    let markdown = render::markdown(&blocks(&program, &outcome, &[]));
    assert!(markdown.contains("| ABOVE THE LIMIT |"), "{markdown}");
}

#[test]
fn code_is_code_and_no_backtick_is_left() {
    let code =
        [Block::Text("run `a_b | c`, not ` alone".to_owned()), Block::Text("`x_y`".to_owned())];
    let html = render::html("t", &code);
    assert!(html.contains("<p>run `a_b | c`, not ` alone</p>"), "unpaired: as it is: {html}");
    assert!(html.contains("<p><code>x_y</code></p>"), "{html}");
    assert!(render::markdown(&code).contains("\n`x_y`\n"));
    let program = program();
    let html = render::html("t", &blocks(&program, &outcome(&program), &[]));
    assert!(!html.contains('`'), "{html}");
}

#[test]
fn what_others_wrote_is_no_mark_in_either_form() {
    let program = program();
    let blocks = blocks(&program, &outcome(&program), &[]);
    let (markdown, html) = (render::markdown(&blocks), render::html("<b>", &blocks));
    assert!(!html.contains("<script") && !html.contains("<b>") && !markdown.contains("<script"));
    assert!(html.contains("&lt;script&gt;") && markdown.contains("\\*bold\\*"));
    let table = Block::Table(vec!["a|b".into()], vec![vec!["c\nd|e".into()]]);
    assert_eq!(render::markdown(&[table]), "| a\\|b |\n|---|\n| c d\\|e |\n\n");
}

#[test]
fn a_plot_of_nothing_and_of_very_much_is_a_picture() {
    for points in [Vec::new(), (0..1000).map(|i| (i * 86_400, 1.0)).collect::<Vec<_>>()] {
        let plot = Plot { points, limit: Some(2.0) };
        let svg = plot.svg();
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"));
        assert!(svg.matches("<rect").count() <= 40);
        assert!(svg.contains("limit ε = 2") && svg.contains("start of the period"));
    }
    let one = Plot { points: vec![(0, 0.853)], limit: Some(1.6) };
    assert_eq!(
        one.words(),
        "Privacy budget spent in 1 period: at most ε = 0.853, of a limit of 1.6"
    );
    for tick in [">0</text>", ">1.5</text>", ">0.853</text>", ">1970-01-01</text>"] {
        assert!(one.svg().contains(tick), "{tick}: {}", one.svg());
    }
}

#[test]
fn a_registry_entry_has_what_the_schema_asks_for() {
    let program = program();
    let yaml = registry::entry(&program, &Explanation::of(&program), &outcome(&program));
    for key in [
        "url_slug: \"support\"",
        "status: \"Draft\"",
        "tier: 3",
        "    name:",
        "    data_curators: [",
        "    intended_use:",
        "    data_product_type: \"Summary statistics\"",
        "    data_product_region:",
        "    publication_date: \"2025-06-15\"",
        "variant_name: \"Approximate DP\"",
        "    privacy_parameters: {epsilon: 0.",
        "model_name: \"Local\"",
        "release_type: \"Many releases\"",
    ] {
        assert!(yaml.contains(key), "{key}:\n{yaml}");
    }
}
