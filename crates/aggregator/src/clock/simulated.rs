//! Clocks and threads of a simulation: one thread, on which time passes only while all wait.
//!
//! Each party has a clock of its own. Work that blocks takes place at once, a moment that is drawn after
//! it was asked for, so that what may overlap on threads overlaps here in any order.

use super::Timestamp;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    cell::{Cell, RefCell},
    future::Future,
    panic,
    pin::pin,
    sync::Once,
    time::Duration,
};
use tokio::{task::JoinHandle, time::Instant};

thread_local! {
    static SIMULATION: RefCell<Option<Simulation>> = const { RefCell::new(None) };
    static PARTY: Cell<usize> = const { Cell::new(0) };
}

struct Simulation {
    began: Instant,
    at: u64,
    /// By party: milliseconds that its clock is ahead of the true time.
    ahead: Vec<i64>,
    rng: StdRng,
    panics: Vec<String>,
}

/// Notes all that panics on this thread, in whatever task.
fn watch() {
    static WATCHED: Once = Once::new();
    WATCHED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            with(|simulation| simulation.panics.push(panicked.to_string()));
            before(panicked);
        }));
    });
}

/// Begins a simulation on this thread, in a runtime whose time is paused, at a moment of the true time;
/// `parties` have a clock each.
pub(crate) fn begin(at: Timestamp, parties: usize, seed: u64) {
    watch();
    let (began, ahead) = (Instant::now(), vec![0; parties]);
    let rng = StdRng::seed_from_u64(seed);
    let simulation = Simulation { began, at: at.0, ahead, rng, panics: Vec::new() };
    SIMULATION.set(Some(simulation));
}

/// Ends it; gives what panicked.
pub(crate) fn end() -> Vec<String> {
    SIMULATION.take().map_or_else(Vec::new, |simulation| simulation.panics)
}

/// Sets a party's clock.
pub(crate) fn set_ahead(party: usize, milliseconds: i64) {
    with(|simulation| simulation.ahead[party] = milliseconds);
}

/// The true time, in milliseconds since the simulation began.
pub(crate) fn elapsed() -> u64 {
    with(|simulation| simulation.began.elapsed().as_millis().try_into().unwrap_or(u64::MAX))
        .unwrap_or_default()
}

/// The clock of the party whose turn it is.
pub(super) fn now() -> Option<Timestamp> {
    let party = PARTY.get();
    let elapsed = elapsed();
    with(|simulation| {
        let ahead = simulation.ahead.get(party).copied().unwrap_or_default();
        Timestamp((simulation.at + elapsed).saturating_add_signed(ahead))
    })
}

fn with<T>(work: impl FnOnce(&mut Simulation) -> T) -> Option<T> {
    SIMULATION.with(|simulation| {
        // Not while it is at work itself: it may be that which panics.
        simulation.try_borrow_mut().ok().and_then(|mut simulation| simulation.as_mut().map(work))
    })
}

/// The same future, done by a party: by its clock.
pub(crate) async fn by<F: Future>(party: usize, future: F) -> F::Output {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let before = PARTY.replace(party);
        let polled = future.as_mut().poll(context);
        PARTY.set(before);
        polled
    })
    .await
}

/// The same work in a simulation, by the party that asks for it; back if this is none.
pub(crate) fn spawn<T: Send + 'static, W: FnOnce() -> T + Send + 'static>(
    work: W,
) -> Result<JoinHandle<T>, W> {
    let Some(pause) = with(|simulation| pause(&mut simulation.rng)) else { return Err(work) };
    let work = async move {
        tokio::time::sleep(pause).await;
        work()
    };
    Ok(tokio::spawn(by(PARTY.get(), work)))
}

/// Mostly none or next to none, sometimes as long as a disk may take.
fn pause(rng: &mut StdRng) -> Duration {
    Duration::from_millis(match rng.random_range(0..32) {
        0..16 => 0,
        16..31 => rng.random_range(1..8),
        _ => rng.random_range(8..1500),
    })
}
