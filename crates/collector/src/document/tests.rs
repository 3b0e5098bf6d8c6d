use super::*;
use crate::proofs::Logged;
use serde_json::{Value, json};
use sottovoce_dap::{time::Interval, vdaf::unshard::AggregateResult};

const TEXT: &str = include_str!("../../../../examples/support-assistant.toml");
const REPORTS: u64 = 5000;

fn program() -> Program {
    Program::parse("program.toml", TEXT).unwrap()
}

/// A release of a day, with as many reports in each bin.
fn release(program: &Program) -> Release {
    let task = program.task("quality").unwrap();
    let counts = AggregateResult::Vector(vec![1000; task.labels().len()]);
    let start = task.window().time_at(parse_moment("2026-11-01T00:00:00Z").unwrap());
    let interval = Interval::new(start, 1).unwrap();
    Release::new(program, task, &counts, REPORTS, interval).unwrap()
}

fn written(program: &Program, release: &Release) -> Value {
    let batch = release.as_batch(program.task("quality").unwrap());
    let findings = Findings::of(program, vec![batch]).unwrap();
    let period = program.period_cost().unwrap();
    serde_json::to_value(ReleaseDocument::new([release], Some(&period), findings)).unwrap()
}

fn read<'a>(document: &Value, program: &'a Program) -> Result<Vec<Batch<'a>>, String> {
    let read = ReleaseDocument::read(&document.to_string());
    read.and_then(|document| document.batches(program)).map_err(|error| error.to_string())
}

#[test]
fn what_the_collector_wrote_is_read_back_and_says_the_same() {
    let program = program();
    let mut release = release(&program);
    let logged = |name: &str| Logged { log: name.to_owned(), index: 7, proof: "proof".to_owned() };
    let proofs = Proofs { leader: logged("one"), helper: logged("other") };
    release.proofs = Some(Ok(proofs.clone()));
    let document = written(&program, &release);
    assert_eq!(document["version"], VERSION);
    assert!(document["metrics"][0]["privacy"][0]["epsilon"].is_number(), "{document}");
    let back = ReleaseDocument::read(&document.to_string()).unwrap();
    assert_eq!(back.metrics[0].bins, release.bins);
    assert_eq!(back.metrics[0].proofs, Some(proofs));
    let findings = Findings::of(&program, back.batches(&program).unwrap()).unwrap();
    assert_eq!(serde_json::to_value(findings.metrics).unwrap(), document["findings"]);
}

#[test]
fn a_document_of_another_version_or_of_none_is_refused_with_both() {
    let program = program();
    let mut document = written(&program, &release(&program));
    document["version"] = json!(2);
    let error = read(&document, &program).unwrap_err();
    assert!(error.contains("has version 2") && error.contains("reads version 1"), "{error}");
    document.as_object_mut().unwrap().remove("version");
    let error = read(&document, &program).unwrap_err();
    assert!(error.contains("no \"version\"") && error.contains("Collect"), "{error}");
    for text in ["{", "{\"version\": 1, \"metrics\": 3}", "{\"version\": \"one\"}", "3"] {
        let error = ReleaseDocument::read(text).unwrap_err();
        assert!(matches!(error, DocumentError::Json(_)), "{error}");
    }
}

#[test]
fn a_release_that_is_not_the_programs_is_refused_by_what_differs() {
    let program = program();
    let document = written(&program, &release(&program));
    for (change, words) in [
        (json!({ "name": "other" }), "not a task of the program"),
        (json!({ "task": "x" }), "must be 32 bytes"),
        (json!({ "bins": [] }), "bins are not those"),
        (json!({ "start": "yesterday" }), "a moment in UTC"),
        (json!({ "end": "2026-11-01T00:00:00Z" }), "whole windows"),
        (json!({ "end": "2026-10-01T00:00:00Z" }), "whole windows"),
        (json!({ "end": "2026-11-01T12:00:00Z" }), "whole windows"),
        (json!({ "reports": 3 }), "quality"),
    ] {
        let mut broken = document.clone();
        for (key, value) in change.as_object().unwrap() {
            broken["metrics"][0][key] = value.clone();
        }
        let error = read(&broken, &program).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
}

#[test]
fn one_release_that_is_there_twice_is_refused_whatever_it_is_called() {
    let program = program();
    let document = written(&program, &release(&program));
    let mut twice = document.clone();
    twice["metrics"] = ["a", "b"]
        .map(|name| {
            let mut named = document["metrics"][0].clone();
            named["batch"] = name.into();
            named
        })
        .into();
    let batches = read(&twice, &program).unwrap();
    assert!(Findings::of(&program, batches).unwrap_err().to_string().contains("twice"));
}

#[test]
fn a_release_of_another_programs_task_is_refused_with_both_ids() {
    let text = TEXT.replace("epsilon0 = 4.0", "epsilon0 = 2.0").replace("3000", "400");
    assert_ne!(TEXT, text);
    let (program, other) = (program(), Program::parse("program.toml", &text).unwrap());
    let document = written(&other, &release(&other));
    assert!(read(&document, &other).is_ok());
    let error = read(&document, &program).unwrap_err();
    for program in [&program, &other] {
        let id = program.task("quality").unwrap().task_id;
        assert!(error.contains(&id.to_string()), "{error}");
    }
}
