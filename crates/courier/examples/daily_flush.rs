//! What an app does now and then in the background, once a day or more often: deliver what is due.
//!
//! ```sh
//! cargo run --example daily_flush -- program.toml device.state
//! ```

use sottovoce_client::{device::Options, engine::Engine, storage::FileStorage};
use sottovoce_courier::Courier;
use sottovoce_program::{Program, format_moment};
use std::{
    error::Error,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [program, state] = arguments.as_slice() else {
        return Err("usage: daily_flush PROGRAM STATE".into());
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let program = Arc::new(Program::read(Path::new(program))?);
    let (mut engine, _) =
        Engine::open(program, FileStorage::open(state)?, Options::default(), now)?;

    // Closes the windows that are over and sends what is due. Without a network nothing is lost:
    // what was sealed is sent again, as it is, next time.
    let rounds = Courier::new(Duration::from_secs(30))?.deliver(&mut engine)?;
    for error in &rounds.unanswered {
        eprintln!("{error}");
    }
    match rounds.again {
        Some(moment) => println!("next delivery: {}", format_moment(moment)),
        None => println!("the user has not agreed to take part"),
    }
    println!("{}", engine.history(now)?);
    Ok(())
}
