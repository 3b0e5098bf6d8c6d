//! Device engines with files of their own, real servers, and a network that comes and goes.

use super::{
    collector::{Parties, json, text},
    server::poll,
};
use sottovoce_client::{
    engine::{Engine, Found, Options, Recorded},
    event::Event,
    storage::FileStorage,
};
use sottovoce_courier::{Courier, Rounds};
use sottovoce_program::{
    Program,
    answer::{Given, Thumb},
};
use std::{
    path::Path,
    sync::Arc,
    thread::sleep,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const QUICK: &str = r#"
window = "3 seconds"
grace = "15 seconds"
min_batch_size = 20

[device]
jitter = "1 second"

[privacy]
epsilon0 = 18.0
epsilon = 18.0

[budget]
period = "3 seconds"
windows = 1

[metrics.helpful]
kind = "thumbs"
question = "Did this help?"

[metrics.behaviour]
kind = "signals"
question = "What was done with it?"
signals = ["copied", "edited"]
"#;

const DEVICES: u32 = 40;

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn open(program: &Arc<Program>, folder: &Path, device: u32) -> (Engine<FileStorage>, Found) {
    let storage = FileStorage::open(folder.join(format!("device-{device}"))).unwrap();
    Engine::open(Arc::clone(program), storage, Options::default(), now()).unwrap()
}

/// One visit of an app: opened, delivered, closed.
fn visit(program: &Arc<Program>, folder: &Path, courier: &Courier) -> Vec<Rounds> {
    (0..DEVICES)
        .map(|device| {
            let (mut engine, found) = open(program, folder, device);
            assert_eq!(found, Found::State);
            courier.deliver(&mut engine).unwrap()
        })
        .collect()
}

#[test]
fn engines_deliver_each_window_once_through_restarts_and_outages() {
    // All in one window, the only one that the program asks in: when the servers have started.
    let window = (now() + 20) / 3;
    let [starts, ends] = [3 * window, 3 * window + 3].map(sottovoce_program::format_moment);
    let parties = Parties::asking(&format!("starts = \"{starts}\"\nends = \"{ends}\"\n{QUICK}"));
    let program = Arc::new(Program::read(&parties.program).unwrap());
    let folder = parties.folder.path();
    let courier = Courier::new(Duration::from_secs(10)).unwrap();
    poll("the beginning of the window", || (now() >= 3 * window).then_some(()));
    for device in 0..DEVICES {
        let (mut engine, found) = open(&program, folder, device);
        assert_eq!(found, Found::Nothing);
        let at = 3 * window;
        engine.give_consent(at).unwrap();
        // A quarter changed their mind, and one in ten says nothing.
        for up in [device % 4 == 0, device % 4 != 0] {
            if device % 10 != 0 {
                let thumb = if up { Thumb::Up } else { Thumb::Down };
                let event = Event::answer("helpful", Given::Thumbs(thumb)).on("r1");
                assert_eq!(engine.record(event, at).unwrap(), Recorded::Kept);
                engine.record(Event::signal("behaviour", "copied").on("r1"), at).unwrap();
            }
        }
    }

    // The leader is down when the window closes: everything waits, drawn and paid for.
    let [_, leader] = &parties.servers;
    leader.kill();
    sleep(Duration::from_secs(3));
    let rounds = visit(&program, folder, &courier);
    assert!(rounds.iter().all(|rounds| rounds.again.is_some()));
    assert!(rounds.iter().any(|rounds| !rounds.unanswered.is_empty()));
    leader.start();
    poll("delivery", || {
        visit(&program, folder, &courier);
        let waiting = (0..DEVICES)
            .map(|device| open(&program, folder, device).0.history(now()).unwrap().waiting);
        (waiting.sum::<usize>() == 0).then_some(())
    });

    // Then the batch is over, and holds every device once.
    let start = sottovoce_program::format_moment(3 * window);
    let collected = poll("the end of the grace", || {
        let output = parties.collect(&["--start", &start, "--json"]);
        output.status.success().then_some(output)
    });
    let collected = json(&collected);
    for metric in 0..2 {
        assert_eq!(collected["metrics"][metric]["reports"], DEVICES);
    }
    let helpful = &collected["metrics"][0]["bins"];
    let near = |label: &str, devices: u32| {
        let devices = f64::from(devices);
        let bin = helpful.as_array().unwrap().iter().find(|bin| bin["label"] == label);
        let estimate = bin.unwrap()["estimate"].as_f64().unwrap();
        assert!((estimate - devices).abs() < 1.5, "{label}: {estimate}, not {devices}");
    };
    let quiet = DEVICES / 10;
    near("no answer", quiet);
    // Devices 4, 8, 12, … changed to down, unless they are quiet.
    let changed = |device: &u32| device.is_multiple_of(4) && !device.is_multiple_of(10);
    let down = (0..DEVICES).filter(changed).map(|_| 1).sum();
    near("down", down);
    near("up", DEVICES - quiet - down);

    // The budget of the period is spent, and the history says so.
    let history = open(&program, folder, 1).0.history(3 * window).unwrap();
    assert!(history.to_string().contains("0 of 1 windows are left"), "{history}");
    let file = std::fs::read(folder.join("device-1")).unwrap();
    assert!(!text(&file.iter().map(|byte| byte & 0x7f).collect::<Vec<_>>()).contains("r1"));
}
