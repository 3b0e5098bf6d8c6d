use super::{document::Block, document::document, plot::Plot, registry, render};
use crate::{
    finding::{Finding, Severity},
    rules::budget::Spent,
    verify::Outcome,
};
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
    }
}

#[test]
fn the_document_answers_each_question_in_both_forms() {
    let program = program();
    let explanation = Explanation::of(&program);
    let blocks = document(&program, &explanation, &outcome(&program));
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
        "| helpful | one honest aggregator and most devices (OAMC) | {} | 1e-6 | {} |",
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
    let markdown = render::markdown(&document(&program, &Explanation::of(&program), &outcome));
    assert!(markdown.contains("was not read") && !markdown.contains("both logs are complete"));
    assert!(markdown.contains("7 more findings"), "{markdown}");
}

#[test]
fn what_others_wrote_is_no_mark_in_either_form() {
    let program = program();
    let blocks = document(&program, &Explanation::of(&program), &outcome(&program));
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
