//! What a guarantee costs to work out: on a device, in a page, in the planner.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use sottovoce_privacy::{
    amplification::{bits, blanket, clones, epsilon_upper},
    randomizer::{BitRandomizer, Changed, KaryRandomizer},
    units::{Delta, Epsilon},
};
use std::hint::black_box;

fn accountant(criterion: &mut Criterion) {
    let epsilon0 = Epsilon::new(4.0).unwrap();
    let delta = Delta::new(1e-6).unwrap();
    let kary = KaryRandomizer::new(6, epsilon0).unwrap();
    let vector = BitRandomizer::new(6, epsilon0).unwrap();

    let mut group = criterion.benchmark_group("accountant");
    group.sample_size(10);
    for reports in [10_000, 10_000_000] {
        // At most 20 ms and 1 s.
        group.bench_function(format!("krr, one ε, n = {reports}"), |bencher| {
            bencher.iter(|| epsilon_upper(black_box(&kary), reports, delta).unwrap());
        });
        group.bench_function(format!("one bit, one ε, n = {reports}"), |bencher| {
            bencher.iter(|| bits::coordinate_epsilon_upper(&vector, reports, delta).unwrap());
        });
        group.bench_function(format!("one-hot bits, one ε, n = {reports}"), |bencher| {
            bencher.iter(|| bits::epsilon_upper(&vector, Changed::OneHot, reports, delta).unwrap());
        });
        group.bench_function(format!("clones, one ε, n = {reports}"), |bencher| {
            bencher.iter(|| clones::epsilon_upper(epsilon0, reports, delta).unwrap());
        });
    }
    group.bench_function("krr, privacy loss, n = 10000", |bencher| {
        bencher.iter(|| blanket::privacy_loss(&kary, 10_000, delta).unwrap());
    });
    let loss = blanket::privacy_loss(&kary, 10_000, delta).unwrap();
    group.bench_function("365 windows", |bencher| {
        bencher.iter(|| loss.repeated(365).epsilon(1e-6).unwrap());
    });
    group.finish();
}

criterion_group!(benches, accountant);
criterion_main!(benches);
