//! The first report of an app, from `sottovoce demo --serve` to a window's figures.
//!
//! `README.md` and `docs/src/embedding.md` have the same lines; `tests/stories/first_report.rs` compares
//! them and runs this against the demo's servers.

use sottovoce_client::engine::{Engine, Options};
use sottovoce_client::{event::Event, storage::FileStorage};
use sottovoce_courier::Courier;
use sottovoce_program::answer::{Given, Thumb};
use sottovoce_program::{Program, format_moment};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{error::Error, path::Path, sync::Arc, thread};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("name the program file")?;
    let path = Path::new(&path);
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());

    // Once: the program, byte for byte as all parties hold it, and this device's state.
    let program = Arc::new(Program::read(path)?);
    let storage = FileStorage::open(path.with_extension("state"))?;
    let (mut engine, found) = Engine::open(program, storage, Options::default(), now())?;
    println!("state: {found:?}");
    engine.give_consent(now())?; // after the user said yes to engine.explain()

    // For each answer, with a name of your own for the response that it is about:
    let response = format!("response of {}", now());
    let event = Event::answer("helpful", Given::Thumbs(Thumb::Up)).on(&response);
    println!("answer: {:?}", engine.record(event, now())?);

    // In the background, when the engine says: send what is due.
    let courier = Courier::new(Duration::from_secs(30))?;
    loop {
        let rounds = courier.deliver(&mut engine)?;
        for error in &rounds.unanswered {
            eprintln!("no response: {error}; the same bytes are sent again later");
        }
        let history = engine.history(now())?;
        for line in &history.lines {
            print!("report: {line}");
        }
        if history.kept + history.waiting == 0 {
            return Ok(());
        }
        let again = rounds.again.ok_or("the user has not agreed to take part")?;
        println!("next delivery: {}", format_moment(again));
        thread::sleep(Duration::from_secs(again.saturating_sub(now())));
    }
}
