//! The façade answers `bindings/conformance/cases.json` as every language must. The file's README says what each
//! call and each expectation means.

#![allow(clippy::unwrap_used)]

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sottovoce_bindings::{Device, Error, Found, Next, Opening, Request, Response, Save};
use sottovoce_program::Program;
use std::{collections::BTreeMap, fs, path::Path};
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct Table {
    format: u32,
    programs: BTreeMap<String, String>,
    responses: BTreeMap<String, Value>,
    blobs: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    steps: Vec<Map<String, Value>>,
}

/// One app: a device, where its state is kept, and what it was handed out last.
struct App<'a> {
    table: &'a Table,
    /// Whether it ships compiled programs.
    compiled: bool,
    device: Option<Device>,
    stored: Option<Vec<u8>>,
    saves: Vec<Save>,
    request: Option<Request>,
}

#[test]
fn every_case_is_answered_as_the_table_says() {
    every_case_is_answered(false);
}

#[test]
fn every_case_is_answered_alike_by_devices_of_compiled_programs() {
    every_case_is_answered(true);
}

fn every_case_is_answered(compiled: bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conformance");
    let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut table: Table = serde_json::from_str(&read("cases.json")).unwrap();
    assert_eq!(table.format, 1);
    table.programs.values_mut().for_each(|path| *path = read(path));
    let mut wrong = Vec::new();
    for case in &table.cases {
        let (table, saves) = (&table, Vec::new());
        let mut app = App { table, compiled, device: None, stored: None, saves, request: None };
        for (number, step) in case.steps.iter().enumerate() {
            let call = step["call"].as_str().unwrap();
            let found = app.call(call, step).unwrap_or_else(|error| json!({ "error": error }));
            let expected = step.get("expect").unwrap_or(&Value::Null);
            if !agrees(expected, &found) {
                let place = format!("{}, step {}: {call}", case.name, number + 1);
                wrong.push(format!("{place}\nexpected {expected}\nfound    {found}"));
                break;
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl App<'_> {
    fn call(&mut self, call: &str, step: &Map<String, Value>) -> Result<Value, Error> {
        let text = |key: &str| step[key].as_str().unwrap();
        let now = step.get("now").map_or(0, |now| now.as_u64().unwrap());
        if call == "open" {
            return self.open(step, now);
        }
        let device = self.device.as_mut().unwrap();
        Ok(match call {
            "consent" => json!(device.consent(step["given"].as_bool().unwrap(), now)?),
            "has_consent" => json!(device.has_consent()),
            "assign" => json!(device.assign(text("dimension"), text("value"), now)?),
            "record" => json!(device.record(&step["event"].to_string(), now)?),
            "record_text" => json!(device.record(text("event"), now)?),
            "withdraw" => json!(device.withdraw(text("metric"), text("response"), now)?),
            "triage" => json!(device.triage(&step["comment"].to_string(), now)?),
            "decide" => json!(device.decide(&step["candidates"].to_string(), now)?),
            "not_shown" => json!(device.not_shown(now)?),
            "set_leaning" => {
                json!(device.set_leaning(text("aspect"), step["value"].as_f64(), now)?)
            }
            "preferred" => json!(device.preferred(&step["compared"].to_string(), now)?),
            "leanings" => parsed(&device.leanings(now)?),
            "score" => {
                let score = device.score(text("metric"), text("response"), now)?;
                score.map_or(Value::Null, |score| parsed(&score))
            }
            "is_held_out" => json!(device.is_held_out(text("dimension"))),
            "prove" => json!(device.prove(text("proofs"))?),
            "forget" => json!(device.forget(now)?),
            "history" => parsed(&device.history_json(now)?),
            "history_in_words" => json!(device.history(now)?),
            "explain" => json!(device.explain()),
            "tasks" => json!(device.tasks()),
            "next" => self.next(now)?,
            "save" => self.save()?,
            "begin_save" => self.begin_save()?,
            "saved_late" => json!(device.saved(self.saves.pop().unwrap().version)?),
            "not_saved" => {
                device.not_saved();
                Value::Null
            }
            "answer" => self.answer(step, now)?,
            "answer_unknown" => json!(device.answered(1 << 40, None, now)?),
            other => panic!("no such call: {other}"),
        })
    }

    fn open(&mut self, step: &Map<String, Value>, now: u64) -> Result<Value, Error> {
        if let Some(blob) = step.get("blob") {
            let blob = blob.as_str().map(|name| self.table.blobs[name].as_str());
            self.stored = blob.map(|blob| STANDARD.decode(blob).unwrap());
        }
        let program = match step.get("program_text") {
            Some(text) => text.as_str().unwrap(),
            None => &self.table.programs[step["program"].as_str().unwrap()],
        };
        let key = step.get("key").map(|byte| [u8::try_from(byte.as_u64().unwrap()).unwrap(); 32]);
        let adopt = step.get("adopt").is_some_and(|adopt| adopt.as_bool().unwrap());
        let blob = self.stored.as_deref();
        let opening = Opening { blob, key: key.map(Zeroizing::new), adopt };
        let form = Program::compile_for_devices("program", program);
        let (device, found) = match form {
            Ok(form) if self.compiled => Device::open_compiled(&form, opening, now)?,
            _ => Device::open(program, opening, now)?,
        };
        self.device = Some(device);
        self.request = None;
        Ok(json!(match found {
            Found::Nothing => "nothing",
            Found::State => "state",
            Found::Adopted => "adopted",
            Found::Unreadable(_) => "unreadable",
        }))
    }

    /// Saves all that is to be saved.
    fn save(&mut self) -> Result<Value, Error> {
        let device = self.device.as_mut().unwrap();
        let mut saved = Vec::new();
        while let Some(save) = device.to_save()? {
            saved.push(json!({ "aside": format!("{:?}", save.aside).to_lowercase(),
                               "erases": save.blob.is_none() }));
            device.saved(save.version)?;
            self.stored = save.blob;
        }
        Ok(json!(saved))
    }

    /// Takes what is to be saved, and saves nothing.
    fn begin_save(&mut self) -> Result<Value, Error> {
        let save = self.device.as_mut().unwrap().to_save()?;
        let found = json!(save.is_some());
        self.saves.extend(save);
        Ok(found)
    }

    /// What is next, with all saves done on the way if the step says so.
    fn next(&mut self, now: u64) -> Result<Value, Error> {
        Ok(match self.device.as_mut().unwrap().next(now)? {
            Next::Save(_) => json!({ "step": "save" }),
            Next::Wait { until } => json!({ "step": "wait", "until": until }),
            Next::Idle => json!({ "step": "idle" }),
            Next::Send(request) => {
                let found = json!({
                    "step": "send", "method": request.method, "url": request.url,
                    "content_type": request.content_type, "body_len": request.body.len(),
                    "max_response_len": request.max_response_len,
                });
                self.request = Some(request);
                found
            }
        })
    }

    fn answer(&mut self, step: &Map<String, Value>, now: u64) -> Result<Value, Error> {
        let response = step["response"].as_str().map(|name| {
            let response = &self.table.responses[name];
            let text = |key: &str| response.get(key).map(|text| text.as_str().unwrap().to_owned());
            Response {
                status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
                content_type: text("content_type"),
                retry_after: text("retry_after"),
                cache_control: text("cache_control"),
                body: STANDARD.decode(text("body").unwrap_or_default()).unwrap(),
            }
        });
        let id = self.request.as_ref().unwrap().id;
        self.device.as_mut().unwrap().answered(id, response, now)?;
        Ok(Value::Null)
    }
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Whether what was found is what was expected: of objects each expected key, of texts that are expected to
/// *contain* something that, of all else all.
fn agrees(expected: &Value, found: &Value) -> bool {
    match (expected, found) {
        (Value::Object(expected), Value::String(found)) => {
            let parts = expected.get("contains").and_then(Value::as_array);
            parts.is_some_and(|parts| {
                parts.iter().all(|part| found.contains(part.as_str().unwrap()))
            })
        }
        (Value::Object(expected), Value::Object(found)) => expected
            .iter()
            .all(|(key, expected)| agrees(expected, found.get(key).unwrap_or(&Value::Null))),
        (Value::Array(expected), Value::Array(found)) => {
            expected.len() == found.len()
                && expected.iter().zip(found).all(|(expected, found)| agrees(expected, found))
        }
        (Value::Number(expected), Value::Number(found)) => {
            let [expected, found] = [expected, found].map(|number| number.as_f64().unwrap());
            (expected - found).abs() <= 1e-9 * expected.abs().max(1.0)
        }
        _ => expected == found,
    }
}
