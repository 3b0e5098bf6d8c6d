//! How a device's state is opened, begun, or taken over from another program or an older version.

use super::{
    super::{
        ledger::Fate,
        participation::Participation,
        report::{ReportError, Reporter},
        state::{self, BlobError, Decoded, DeviceSecret, ProgramMark, State, StateKey},
    },
    Device, DeviceError, error,
    exchange::Keys,
    request::Requests,
    save::{Aside, Saves},
    window,
};
use sottovoce_dap::time::Time;
use sottovoce_privacy::rng::DeviceRng;
use sottovoce_program::{Program, answer::Answer};
use std::sync::Arc;

/// How a device is opened.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Seals the state, with a key that the app keeps. A state that is not sealed yet will be.
    pub key: Option<StateKey>,
    /// Goes on with this program where the state belongs to another: what was spent stays spent,
    /// what was said to questions that are no longer asked is dropped, and so are reports to tasks
    /// that are gone.
    pub adopt: bool,
}

/// What a device was opened from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing: the device is new, or its state was erased.
    Nothing,
    /// Its state.
    State,
    /// The state of another program, which was adopted.
    Adopted,
    /// Something that is not read. The first save keeps a copy of it, and since nobody knows what was spent, the
    /// device is silent until the next period of the budget, or the next window without one.
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

impl Device {
    /// Opens a device with the blob that was saved last, or begins one. `now` is in seconds since the Epoch,
    /// here and everywhere.
    pub fn open(
        program: Arc<Program>,
        blob: Option<&[u8]>,
        options: Options,
        now: u64,
    ) -> Result<(Self, Found), DeviceError> {
        error::check_clock(now)?;
        let mut rng = DeviceRng::new()?;
        let fresh = State::new(&program, DeviceSecret::new(rng.bytes()));
        let decoded = blob.map(|blob| state::decode(blob, options.key.as_ref()));
        let (state, found) = match decoded {
            None => (fresh, Found::Nothing),
            Some(Ok(decoded)) if decoded.state.program == fresh.program => {
                let state = made_ready(decoded, &program)?;
                let state = State { counted: fresh.counted, ..state };
                (with_own_window(state, &program, now), Found::State)
            }
            Some(Ok(decoded)) if options.adopt => {
                let state = adopted(made_ready(decoded, &program)?, &program, now);
                (with_own_window(state, &program, now), Found::Adopted)
            }
            Some(Ok(Decoded { state, .. })) => {
                return Err(DeviceError::OtherProgram { found: state.program.name });
            }
            Some(Err(error @ (BlobError::Newer(_) | BlobError::Damaged(_)))) => {
                let silent_until = window::next_account(&program, now);
                (State { silent_until, ..fresh }, Found::Unreadable { reason: error.to_string() })
            }
            Some(Err(error)) => return Err(error.into()),
        };
        let owed = match found {
            Found::Nothing | Found::State => None,
            Found::Adopted => Some(Aside::Leave),
            Found::Unreadable { .. } => Some(Aside::Keep),
        };
        let [first_save, first_request] = [(); 2].map(|()| below_2_to_the_48(&mut rng));
        let saves = Saves::of(state.clone(), owed, first_save);
        let requests = Requests::none(first_request);
        let (keys, logged) = (Keys::default(), None);
        let key = options.key;
        Ok((Self { program, key, state, saves, requests, keys, logged, rng }, found))
    }
}

/// With room above it to count in what JavaScript's numbers hold.
fn below_2_to_the_48(rng: &mut DeviceRng) -> u64 {
    u64::from_le_bytes(rng.bytes()) >> 16
}

/// Shards the draws of a state whose version kept none of their shares. Nothing of them was ever sent; they are stored with the next change, and sealed in a later one.
fn made_ready(decoded: Decoded, program: &Program) -> Result<State, DeviceError> {
    let Decoded { mut state, unsharded } = decoded;
    for waiting in unsharded {
        let mut entry = waiting.entry;
        let task = program.tasks().iter().find(|task| task.task_id == entry.task_id);
        let sharded = match task {
            None => Err(Fate::Expired),
            Some(task) => match Reporter::new(task)?.shard(waiting.noisy, Time(entry.window)) {
                Ok(drawn) => Ok(drawn),
                Err(ReportError::Shard(_)) => Err(Fate::Refused),
                Err(error) => return Err(error.into()),
            },
        };
        match sharded {
            Ok(drawn) => {
                entry.drawn = Some(drawn);
                state.outbox.entries.push(entry);
            }
            Err(fate) => state.ledger.settle(&entry.metric, entry.window, fate),
        }
    }
    Ok(state)
}

/// A state that goes on with another program. What is no longer asked is dropped; what was spent
/// stays. Composed limits were declared for one program's releases, and windows of another length, or that begin on another day,
/// cannot be told one from the other, so in both cases a device that spent something is silent for the rest of the period that it
/// spent it in.
fn adopted(mut state: State, program: &Program, now: u64) -> State {
    drop_what_is_not_asked(&mut state, program);
    let window = program.window();
    let before = state.counted.calendar();
    let counted_anew = before != Some(window);
    let spent_ever = state.ledger.last_charged().is_some();
    if let Some(before) = before.filter(|_| counted_anew) {
        state.ledger.count_anew(before, window);
        state.open = state.open.map(|_| window.time_at(now).0);
        for pending in state.pending.values_mut() {
            pending.set_clock(0);
        }
    }
    let is_known = before.is_some();
    let central = program.budget().is_some_and(|budget| budget.limits().central.is_some());
    if !is_known && spent_ever {
        state.silent_until = state.silent_until.max(window::next_account(program, now));
    } else if central || counted_anew {
        // Whatever the clock says now: what was spent may be in a period that it comes to again.
        state.silent_until = window::silent_after(program, &state, now);
    }
    state.counted = window.into();
    let known = super::known_dimensions(program);
    let is_value = |dimension: &str, value: &str| {
        let mut public = known.iter().filter(|known| known.is_public());
        let found = public.find(|known| known.name == dimension);
        found.is_some_and(|known| known.values.iter().any(|known| known == value))
    };
    state.assigned.retain(is_value, counted_anew);
    state
}

/// The window that waits is one of the device's own, also under another budget, and also if an older version did
/// not know of any. It is settled here and not by the first call, which may be that something was said.
fn with_own_window(mut state: State, program: &Program, now: u64) -> State {
    let participation = Participation::of(program);
    let next = |from| participation.next(&state.secret, from);
    let current = program.window().time_at(now).0;
    state.open = state.open.map(|open| {
        let mut window = if next(open) == open { open } else { next(current) };
        // None that was closed before, under whatever name.
        while state.ledger.has(window) && window < u64::MAX {
            window = next(window.saturating_add(1));
        }
        window
    });
    state
}

fn drop_what_is_not_asked(state: &mut State, program: &Program) {
    state.program = ProgramMark::of(program);
    for pending in state.pending.values_mut() {
        pending.retain(|item| {
            let answer =
                Answer { given: Some(item.given.clone()), segments: item.segments.clone() };
            program.task(&item.task).is_some_and(|task| task.encoding().encode(&answer).is_ok())
        });
    }
    state.pending.retain(|_, pending| !pending.items().is_empty());
    let entries = std::mem::take(&mut state.outbox.entries);
    let is_asked = |id| program.tasks().iter().any(|task| task.task_id == id);
    let (kept, dropped): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| is_asked(entry.task_id));
    state.outbox.entries = kept;
    for entry in dropped {
        let fate = if entry.in_doubt { Fate::Unknown } else { Fate::Expired };
        state.ledger.settle(&entry.metric, entry.window, fate);
    }
}
