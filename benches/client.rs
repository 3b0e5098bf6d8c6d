//! What a device pays: to record an answer, and to make a report (randomize, shard, seal twice).

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use sottovoce_client::{
    engine::{Engine, Options},
    event::Event,
    hpke_configs::{CachedConfig, HpkeConfigs},
    report::Reporter,
    storage::{FileStorage, MemoryStorage, Storage},
};
use sottovoce_dap::{
    hpke::{self, HpkeCiphertext, HpkeConfig, HpkeConfigId, HpkeError, Suite, native, portable},
    hpke_config_list::HpkeConfigList,
    role::Role,
};
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{
    Program,
    answer::{Answer, Given},
};
use std::{fs::File, hint::black_box, io::Write, sync::Arc};

type Sealed = Result<HpkeCiphertext, HpkeError>;

fn configs() -> HpkeConfigs {
    let config = |role| {
        let keypair = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap();
        let list = HpkeConfigList::new(vec![keypair.config]).unwrap();
        CachedConfig::choose(role, &list, None, 0).unwrap()
    };
    HpkeConfigs { leader: config(Role::Leader), helper: config(Role::Helper) }
}

fn report(criterion: &mut Criterion) {
    let text = include_str!("../examples/support-assistant.toml");
    let program = Program::parse("support-assistant.toml", text).unwrap();
    // Prio3Histogram(5): four levels and no answer.
    let reporter = Reporter::new(program.task("quality").unwrap()).unwrap();
    let configs = configs();
    let answer = Answer::given(Given::Rating("Excellent".into()));
    let mut rng = DeviceRng::new().unwrap();

    let mut group = criterion.benchmark_group("client");
    group.bench_function("report", |bencher| {
        bencher.iter(|| reporter.prepare(black_box(&answer), 0, &configs, &mut rng).unwrap());
    });
    // The floor: nothing can be cheaper than sealing both shares.
    let (aad, share) = ([7; 300], [7; 300]);
    let mut floor = |name: &str, seal: fn(&HpkeConfig, &[u8], &[u8], &[u8]) -> Sealed| {
        group.bench_function(format!("primitives: two HPKE seals, {name}"), |bencher| {
            bencher.iter(|| {
                for config in [configs.leader.config(), configs.helper.config()] {
                    black_box(seal(config, b"info", &aad, &share).unwrap());
                }
            });
        });
    };
    floor("as in a report of this build", hpke::seal);
    floor("in pure Rust", portable::seal);
    group.finish();
}

/// What an app waits for when a user presses a thumb.
fn record(criterion: &mut Criterion) {
    let text = include_str!("../examples/support-assistant.toml");
    let program = Arc::new(Program::parse("support-assistant.toml", text).unwrap());
    let mut group = criterion.benchmark_group("client/record");
    let mut bench = |name: &str, storage: Box<dyn Storage + Send>| {
        let options = Options::default();
        let (mut engine, _) = Engine::open(Arc::clone(&program), storage, options, NOW).unwrap();
        engine.give_consent(NOW).unwrap();
        // A window's reports are in the outbox, as they are for some hours of a day.
        engine.next(NOW + 86_400).unwrap();
        // A user who cannot decide: each time the state is another.
        let mut levels = ["Bad", "Excellent"].into_iter().cycle();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let answer = Given::Rating(levels.next().unwrap().into());
                let event = Event::answer("quality", answer).on("a response");
                engine.record(black_box(event), NOW + 86_400).unwrap()
            });
        });
    };
    bench("in memory", Box::<MemoryStorage>::default());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("state");
    bench("in a file", Box::new(FileStorage::open(&file).unwrap()));
    // The floor of a durable record: a file of that size, made durable by itself.
    let blob = std::fs::read(&file).unwrap();
    group.bench_function("primitives: a durable file", |bencher| {
        bencher.iter(|| {
            let mut file = File::create(folder.path().join("floor")).unwrap();
            file.write_all(&blob).unwrap();
            file.sync_data().unwrap();
        });
    });
    group.finish();
}

/// What an app waits for when it starts: the program, as text and compiled.
fn program(criterion: &mut Criterion) {
    let text = include_str!("../examples/support-assistant.toml");
    let form = Program::compile_for_devices("support-assistant.toml", text).unwrap();
    let mut group = criterion.benchmark_group("client/program");
    group.bench_function("as text", |bencher| {
        bencher.iter(|| Program::parse("support-assistant.toml", black_box(text)).unwrap());
    });
    group.bench_function("compiled", |bencher| {
        bencher.iter(|| Program::from_device_form(black_box(&form)).unwrap());
    });
    group.finish();
}

/// A day begins.
const NOW: u64 = 20_780 * 86_400;

criterion_group!(benches, report, record, program);
criterion_main!(benches);
