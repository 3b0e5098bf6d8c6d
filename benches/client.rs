//! What one report costs a device: randomize, shard, seal twice.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use sottovoce::{
    client::{
        hpke_configs::{CachedConfig, HpkeConfigs},
        report::Reporter,
    },
    dap::{
        hpke::{
            self, HpkeCiphertext, HpkeConfig, HpkeConfigId, HpkeError, Suite, native, portable,
        },
        hpke_config_list::HpkeConfigList,
        role::Role,
    },
    privacy::rng::DeviceRng,
    program::{
        Program,
        answer::{Answer, Given},
    },
};
use std::hint::black_box;

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

criterion_group!(benches, report);
criterion_main!(benches);
