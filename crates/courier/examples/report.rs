//! Send a thumb to an app's aggregators: the least that an app does, and a test of an installation.
//!
//! ```sh
//! cargo run --example report -- program.toml helpful/arm=control up segment=new
//! ```

use sottovoce_client::report::Reporter;
use sottovoce_courier::uploader::Uploader;
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{
    Program,
    answer::{Answer, Given, Thumb},
};
use sottovoce_transport::http::HttpClient;
use std::{
    error::Error,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const USAGE: &str = "usage: report PROGRAM TASK up|down|none [DIMENSION=VALUE]…";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, task, thumb, segments @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };

    // Once for the app's life: the program, the task, the way to the aggregators.
    let program = Program::read(Path::new(path))?;
    let task = program.task(task).ok_or("the program has no such task; see `sottovoce tasks`")?;
    let reporter = Reporter::new(task)?;
    let http = HttpClient::new(Duration::from_secs(30))?;
    // A program that insists on its logs has its proofs beside it, from `sottovoce-auditor prove`.
    let proofs = std::fs::read_to_string(Path::new(path).with_extension("proofs")).ok();
    let uploader = Uploader::new(http, &program, proofs.as_deref(), 5)?;

    // For each answer: randomize and seal it once, then send it as often as it takes.
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let keys = uploader.hpke_configs(now).await?;
    let answer = answer(thumb, segments)?;
    let mut reports = vec![reporter.prepare(&answer, now, &keys, &mut DeviceRng::new()?)?];
    let uploaded = uploader.upload(&reporter, &mut reports, now).await?;

    for (report, reason) in &uploaded.refused {
        eprintln!("report {report} was rejected: {reason:?}");
    }
    for (report, reason) in &uploaded.unknown {
        eprintln!("report {report} may have been accepted before it was rejected: {reason:?}");
    }
    if !reports.is_empty() {
        eprintln!(
            "the report is too early by the leader's clock; send the same report again later"
        );
    }
    println!("{} accepted, {} bytes sent", uploaded.accepted, uploaded.bytes);
    Ok(())
}

fn answer(thumb: &str, segments: &[String]) -> Result<Answer, Box<dyn Error>> {
    let mut answer = match thumb {
        "up" => Answer::given(Given::Thumbs(Thumb::Up)),
        "down" => Answer::given(Given::Thumbs(Thumb::Down)),
        "none" => Answer::none(),
        _ => return Err(USAGE.into()),
    };
    for segment in segments {
        let (dimension, value) = segment.split_once('=').ok_or(USAGE)?;
        answer = answer.with_segment(dimension, value);
    }
    Ok(answer)
}
