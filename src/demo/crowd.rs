//! Simulated devices of the demo, which report in each window beside the app that is tried out.

use super::{
    clock::{now, sleep_until},
    data::Asked,
    devices, program,
};
use crate::command_line::story;
use sottovoce_dap::time::Time;
use sottovoce_program::{
    Program,
    answer::{Answer, Given, Thumb},
};
use std::convert::Infallible;

/// How many they are.
pub(super) const CROWD: usize = 40;
/// How many of them give a thumb up; the others give a thumb down.
const CONTENT: usize = 30;

/// Sends everyone's report once in each window. A window in which that fails is left out.
pub(super) async fn report(program: &Program) -> Infallible {
    let thumb = |device| if device < CONTENT { Thumb::Up } else { Thumb::Down };
    let answers = (0..CROWD).map(|device| Answer::given(Given::Thumbs(thumb(device)))).collect();
    let asked = [Asked { name: program::HELPFUL, answers }];
    loop {
        let now = now();
        if let Err(error) = devices::send(program, &asked, now, CROWD).await {
            eprintln!("the demo's own devices could not report: {}", story(&error));
        }
        let next = Time(program.window().time_at(now).0 + 1);
        sleep_until(program.window().start_of(next)).await;
    }
}
