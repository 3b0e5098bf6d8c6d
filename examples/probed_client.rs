//! A client that an auditor can probe: it speaks the lines of `sottovoce-auditor probe --exec`, over
//! the shipped library. An app's own client would answer in the same way.
//!
//! With `--fault quiet`, `reuse` or `retry` it does what no client may: lie less often than promised, use
//! a draw twice, or draw again on a retry. The probe must find each.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use rand::{RngExt, rng};
use serde_json::{Value, json};
use sottovoce_client::{
    hpke_configs::{CachedConfig, HpkeConfigs},
    report::{Drawn, Reporter},
};
use sottovoce_dap::{
    codec::Decode, hpke::HpkeConfig, hpke_config_list::HpkeConfigList, role::Role,
};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{Program, answer::Answer};
use std::{
    error::Error,
    io::{BufRead, Write, stdin, stdout},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let fault = std::env::args().skip_while(|word| word != "--fault").nth(1).unwrap_or_default();
    let mut lines = stdin().lock().lines();
    let begin: Value = serde_json::from_str(&lines.next().ok_or("no first line")??)?;
    let text = |key: &str| begin[key].as_str().ok_or(format!("{key} is missing"));
    let program = Program::parse("program", text("program")?)?;
    let task = program.task(text("task")?).ok_or("the program has no such task")?;
    let configs = HpkeConfigs {
        leader: config(Role::Leader, text("leader")?)?,
        helper: config(Role::Helper, text("helper")?)?,
    };
    let reporter = Reporter::new(task)?;
    let (mut rng, mut last): (_, Option<(Answer, Drawn, Vec<u8>)>) = (DeviceRng::new()?, None);
    for line in lines {
        let asked: Value = serde_json::from_str(&line?)?;
        let again = asked["retry"].as_bool() == Some(true);
        let (answer, drawn, report) = match last.take() {
            Some((answer, _, _)) if again && fault == "retry" => {
                let drawn = draw(&reporter, &answer, 20_000, &mut rng)?;
                let report = reporter.seal(&drawn, &configs)?.bytes().to_vec();
                (answer, drawn, report)
            }
            Some(last) if again => last,
            before => {
                let answer: Answer = serde_json::from_value(asked["answer"].clone())?;
                let day = asked["time"].as_u64().ok_or("the time is missing")? / 86_400;
                let mut drawn = draw(&reporter, &answer, day, &mut rng)?;
                match before {
                    Some((_, before, _)) if fault == "reuse" && rng_says(0.5) => {
                        // The same noise, in a report of its own.
                        while drawn.measurement() != before.measurement() {
                            drawn = draw(&reporter, &answer, day, &mut rng)?;
                        }
                    }
                    _ if fault == "quiet" && rng_says(0.06) => {
                        drawn = draw(&reporter, &answer, day, &mut rng)?;
                        drawn = truth(&reporter, &answer, day, &mut rng, drawn)?;
                    }
                    _ => {}
                }
                let report = reporter.seal(&drawn, &configs)?.bytes().to_vec();
                (answer, drawn, report)
            }
        };
        let mut out = stdout().lock();
        writeln!(out, "{}", json!({ "report": BASE64.encode(&report) }))?;
        out.flush()?;
        last = Some((answer, drawn, report));
    }
    Ok(())
}

fn config(role: Role, text: &str) -> Result<CachedConfig> {
    let config = HpkeConfig::from_bytes(&BASE64.decode(text)?)?;
    Ok(CachedConfig::choose(role, &HpkeConfigList::new(vec![config])?, None, u64::MAX / 2)?)
}

fn draw(reporter: &Reporter, answer: &Answer, day: u64, rng: &mut DeviceRng) -> Result<Drawn> {
    Ok(reporter.draw(answer, sottovoce_dap::time::Time(day), rng)?)
}

/// What most of five draws say, which is seldom a lie.
fn truth(
    reporter: &Reporter,
    answer: &Answer,
    day: u64,
    rng: &mut DeviceRng,
    first: Drawn,
) -> Result<Drawn> {
    let mut all = vec![first];
    for _ in 0..4 {
        all.push(draw(reporter, answer, day, rng)?);
    }
    let votes = |drawn: &Drawn| {
        all.iter().filter(|other| other.measurement() == drawn.measurement()).count()
    };
    Ok(all.iter().max_by_key(|drawn| votes(drawn)).ok_or("no draws")?.clone())
}

fn rng_says(yes: f64) -> bool {
    rng().random_bool(yes)
}
