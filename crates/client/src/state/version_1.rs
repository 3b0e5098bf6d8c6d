//! States as the first version of this library stored them.
//!
//! It kept a draw without its shares and gave each seal a fresh ID. A report that it had sealed is therefore
//! sent as those bytes and never sealed afresh; one that was only drawn is sharded once, when the state is opened;
//! and one that had left, and was to be sealed afresh, is not sent at all: whether the leader kept it is not known.

use super::{Counted, Decoded, DeviceSecret, ProgramMark};
use crate::{
    assignment::Assignments,
    consent::Consent,
    ledger::{Fate, Ledger},
    outbox::{Entry, Outbox},
    pending::{self, ResponseMark},
    personal::Personal,
    report::{Noisy, SealedReport},
};
use serde::Deserialize;
use sottovoce_dap::ids::TaskId;
use sottovoce_program::answer::Given;
use std::collections::BTreeMap;

/// All that a device remembered.
#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) struct State {
    program: ProgramMark,
    secret: DeviceSecret,
    consent: Consent,
    silent_until: u64,
    open: Option<u64>,
    epoch: u64,
    assigned: BTreeMap<String, String>,
    pending: BTreeMap<String, Pending>,
    drawn: BTreeMap<String, Vec<ResponseMark>>,
    ledger: Ledger,
    outbox: Entries,
    personal: Personal,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Pending {
    items: Vec<Item>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Item {
    response: ResponseMark,
    rank: u64,
    task: String,
    given: Given,
    segments: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Entries {
    entries: Vec<EntryOfOld>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct EntryOfOld {
    metric: String,
    task: String,
    task_id: TaskId,
    drawn: Drawn,
    sealed: Option<SealedReport>,
    due: u64,
    expires: u64,
    attempts: u32,
    in_doubt: bool,
    resealed: bool,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(serde::Serialize))]
struct Drawn {
    noisy: Noisy,
    time: u64,
}

/// A report that is drawn and paid for, and was neither sharded nor sealed.
#[derive(PartialEq)]
pub(crate) struct Unsharded {
    pub(crate) noisy: Noisy,
    /// All the rest of it.
    pub(crate) entry: Entry,
}

impl From<State> for Decoded {
    fn from(old: State) -> Self {
        let (mut entries, mut unsharded, mut ledger) = (Vec::new(), Vec::new(), old.ledger);
        for entry in old.outbox.entries {
            let (noisy, entry) = entry.split();
            if entry.sealed.is_some() {
                entries.push(entry);
            } else if entry.resealed || entry.in_doubt || entry.attempts > 0 {
                // It was sent under an ID that is gone, and under another it could count twice.
                ledger.settle(&entry.metric, entry.window, Fate::Unknown);
            } else {
                unsharded.push(Unsharded { noisy, entry });
            }
        }
        let state = super::State {
            program: old.program,
            counted: Counted::UNKNOWN,
            secret: old.secret,
            consent: old.consent,
            silent_until: old.silent_until,
            open: old.open,
            epoch: old.epoch,
            assigned: Assignments::at_once(old.assigned),
            pending: old.pending.into_iter().map(|(name, old)| (name, old.into())).collect(),
            drawn: old.drawn,
            ledger,
            outbox: Outbox { entries },
            personal: old.personal,
        };
        Self { state, unsharded }
    }
}

impl EntryOfOld {
    fn split(self) -> (Noisy, Entry) {
        let Self { metric, task, task_id, sealed, due, expires, attempts, in_doubt, .. } = self;
        let (window, resealed) = (self.drawn.time, self.resealed);
        let entry = Entry {
            metric,
            task,
            task_id,
            window,
            drawn: None,
            sealed,
            due,
            expires,
            attempts,
            in_doubt,
            resealed,
        };
        (self.drawn.noisy, entry)
    }
}

impl From<Pending> for pending::Pending {
    fn from(old: Pending) -> Self {
        let items = old.items.into_iter().map(|item| {
            let Item { response, rank, task, given, segments } = item;
            // In which window it was said is not known; it was before the one that closes next is over.
            pending::Item { response, rank, window: 0, task, given, segments, is_learnt: false }
        });
        items.collect::<Vec<_>>().into()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::{super::*, *};
    use crate::outbox;

    /// Written by the first version: three metrics reported in window 20,780; in 20,781 one sealed and in doubt,
    /// two only drawn; then something was said.
    const PLAIN: &[u8] = include_bytes!("../../tests/vectors/device/state-1.bin");
    const SEALED: &[u8] = include_bytes!("../../tests/vectors/device/state-1-sealed.bin");

    #[test]
    fn a_state_of_the_first_version_is_read_with_all_that_was_spent() {
        let key = StateKey::new([9; 32]);
        let plain = decode(PLAIN, None).unwrap();
        assert!(decode(SEALED, Some(&key)).unwrap() == plain);
        assert_eq!(decode(SEALED, None).map(drop), Err(BlobError::NoKey));
        let Decoded { state, unsharded } = plain;
        assert!(state.consent.is_given() && state.open == Some(20_782));
        assert_eq!(state.assigned.at("arm", 20_782), Some("control"));
        for account in state.ledger.accounts() {
            let runs: Vec<_> = account.runs().iter().map(|run| (run.windows(), run.fate)).collect();
            let expected = [(20_780..=20_780, Fate::Delivered), (20_781..=20_781, Fate::Waiting)];
            assert_eq!(runs, expected, "{}", account.metric);
        }
        assert_eq!(state.ledger.windows_since(0), 2);
        let kept = |metric: &str| state.pending[metric].items().len();
        assert_eq!((kept("helpful"), kept("behaviour"), state.pending.len()), (1, 1, 2));

        // What was sealed is its bytes and nothing else; what was not is to be sharded.
        let [entry] = &state.outbox.entries[..] else { panic!("one is sealed") };
        assert!(entry.in_doubt && entry.drawn.is_none() && entry.window == 20_781);
        assert!(entry.is(entry.sealed.as_ref().unwrap().id()));
        let tasks: Vec<_> = unsharded.iter().map(|waiting| &waiting.entry.task[..]).collect();
        assert_eq!(tasks, ["quality/arm=control", "behaviour"]);
    }

    /// A blob as the first version would have stored a state.
    pub(crate) fn blob(state: &super::super::State) -> Vec<u8> {
        let assigned = state.assigned.iter();
        let entries = state.outbox.entries.iter().cloned();
        let old = super::State {
            program: state.program.clone(),
            secret: state.secret.clone(),
            consent: state.consent,
            silent_until: state.silent_until,
            open: state.open,
            epoch: state.epoch,
            assigned: assigned.map(|(name, value, _)| (name.into(), value.into())).collect(),
            pending: BTreeMap::new(),
            drawn: state.drawn.clone(),
            ledger: state.ledger.clone(),
            outbox: Entries { entries: entries.map(EntryOfOld::of).collect() },
            personal: state.personal.clone(),
        };
        let payload = bincode::serde::encode_to_vec(old, format()).unwrap();
        let checksum = Sha256::digest(&payload);
        [MAGIC.as_slice(), &[1, super::super::PLAIN], &checksum[..CHECKSUM], &payload].concat()
    }

    impl EntryOfOld {
        fn of(entry: outbox::Entry) -> Self {
            let noisy = entry.drawn.as_ref().unwrap().noisy();
            let outbox::Entry { metric, task, task_id, window, sealed, due, expires, .. } = entry;
            let (attempts, in_doubt, resealed) = (entry.attempts, entry.in_doubt, entry.resealed);
            let drawn = Drawn { noisy, time: window };
            Self {
                metric,
                task,
                task_id,
                drawn,
                sealed,
                due,
                expires,
                attempts,
                in_doubt,
                resealed,
            }
        }
    }
}
