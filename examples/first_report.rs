//! The first report of an app, from `sottovoce demo --serve` to a window's figures.
//!
//! `README.md` and `docs/src/embedding.md` have the same lines; `tests/stories/first_report.rs` compares
//! them and runs this against the demo's servers.

use sottovoce_courier::{Client, Event, Thumb};
use std::{error::Error, time::Duration};

fn main() -> Result<(), Box<dyn Error>> {
    let program = std::env::args().nth(1).ok_or("name the program file")?;
    let mut client = Client::open(&program, format!("{program}.state"))?;
    client.give_consent()?; // after the user said yes to client.explain()
    println!("answer: {}", client.record(Event::answer("helpful", Thumb::Up))?);
    println!("{}", client.deliver_within(Duration::from_secs(60))?); // waits for the window's end
    Ok(())
}
