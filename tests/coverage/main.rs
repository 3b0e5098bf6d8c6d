//! Do 95 % intervals hold the truth 95 % of the time? Slow: some hundred thousand releases.
//!
//! Each test prints its seed and its table: `cargo test --test coverage -- --nocapture`.

#![allow(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    missing_docs,
    unreachable_pub
)]

mod exact;
mod figures;
mod rates;
mod simulate;
mod verdicts;
mod windows;

/// How often it happened.
#[derive(Clone, Copy)]
pub struct Share {
    inside: u32,
    of: u32,
}

impl Share {
    pub fn of(releases: u32, mut covered: impl FnMut() -> bool) -> Self {
        Self { inside: (0..releases).map(|_| u32::from(covered())).sum(), of: releases }
    }

    /// As the product promises.
    pub fn check(self, name: &str) {
        self.check_between(name, 0.94, 0.96);
    }

    pub fn check_between(self, name: &str, low: f64, high: f64) {
        let share = f64::from(self.inside) / f64::from(self.of);
        println!("{share:.4}  {name}");
        assert!((low..=high).contains(&share), "{name}: {share} of {} releases", self.of);
    }
}
