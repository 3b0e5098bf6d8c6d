//! A turn of a chat: the app shows an answer of the model, asks about it if that is worth the user's
//! time, and records what was said and done. Nothing leaves the device here.
//!
//! ```sh
//! sottovoce init
//! cargo run --example chat_turn -- program.toml device.state
//! ```

use sottovoce_client::{
    engine::{Engine, Found, Options},
    event::Event,
    personal::asking::{Candidate, Decision},
    storage::FileStorage,
};
use sottovoce_program::{
    Program,
    answer::{Given, Thumb},
};
use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, state] = arguments.as_slice() else {
        return Err("usage: chat_turn PROGRAM STATE".into());
    };
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());

    // When the app starts.
    let program = Arc::new(Program::read(Path::new(program))?);
    let storage = FileStorage::open(state)?;
    let (mut engine, found) = Engine::open(program, storage, Options::default(), now())?;
    if let Found::SetAside { place, reason } = &found {
        eprintln!("the state was not read ({reason}); it is kept at {place}");
    }
    if !engine.consent().is_given() {
        // A real app shows this and waits for a yes.
        println!("{}", engine.explain());
        engine.give_consent(now())?;
        engine.assign("version", "candidate", now())?;
    }

    // The model has answered, and was not sure. What the app calls the answer stays on the device.
    let response = "conversation 7, turn 3";
    let candidate = Candidate {
        response: response.to_owned(),
        confidence: Some(0.35),
        contradiction: Some(0.1),
        ..Candidate::default()
    };

    // The user copies a part of it: observed, not asked.
    engine.record(Event::signal("behaviour", "copied").on(response), now())?;

    match engine.decide(&candidate.into(), now())? {
        Decision::Ask(ask) => {
            println!("asking about {:?}, since {}", ask.response, Decision::Ask(ask.clone()));
            let thumb = |thumb| Event::answer("helpful", Given::Thumbs(thumb)).on(response);
            engine.record(thumb(Thumb::Down), now())?;
            // A second thought counts, and counts once.
            engine.record(thumb(Thumb::Up), now())?;
        }
        decision @ Decision::NotNow(_) => println!("not asking: {decision}"),
    }
    println!("{}", engine.history(now())?);
    Ok(())
}
