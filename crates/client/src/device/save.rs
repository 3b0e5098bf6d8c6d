//! What of memory is saved, what is being saved, and what memory goes back to when a save fails.

use super::{
    super::state::{self, State},
    Device, DeviceError,
};
use std::fmt;

/// Counts the changes of a device's memory since it was opened, from a random number on: a confirmation that is meant
/// for another device, or for the same one before it was opened again, confirms nothing. Less than 2⁵³.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64);

/// What the caller makes durable before anything else leaves the device.
///
/// First what `aside` says, then the blob, in one step: after a crash the old blob or the new one is there, whole.
///
/// Saves are written in the order of their versions: one that was given up must not reach storage after a later one, or
/// a draw that it holds could be sent beside the draw that took its place.
#[derive(Clone, PartialEq, Eq)]
pub struct Save {
    /// To be named to [`Device::saved`].
    pub version: Version,
    /// What happens to copies beside the blob, before the blob is replaced.
    pub aside: Aside,
    /// Replaces the blob; with none, the blob is removed.
    pub blob: Option<Vec<u8>>,
}

/// Says how long the blob is, and nothing of what is in it: without a key it is the device's secret and its answers.
impl fmt::Debug for Save {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, aside, blob } = self;
        let bytes = blob.as_ref().map(Vec::len);
        let mut save = f.debug_struct("Save");
        save.field("version", version).field("aside", aside).field("bytes", &bytes).finish()
    }
}

/// What happens to copies of a blob that could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aside {
    /// Nothing.
    Leave,
    /// A durable copy of the blob that is there is kept for people to look at.
    Keep,
    /// All copies are removed: they may say more than a device that forgot everything.
    Discard,
}

/// Memory as it was at one version.
#[derive(Debug)]
struct Snapshot {
    version: Version,
    state: State,
    /// The device forgot everything and owes no silence: there is nothing to keep.
    is_blank: bool,
}

#[derive(Debug)]
pub(super) struct Saves {
    /// What storage holds, and what memory goes back to.
    saved: Snapshot,
    /// What storage does not hold yet even of that, since the device was opened.
    owed: Option<Aside>,
    version: Version,
    is_blank: bool,
    /// For the next save.
    aside: Aside,
    /// What was handed out, and nobody said yet whether it was stored.
    under_way: Option<(Snapshot, Aside)>,
    /// No two versions have one number, whatever memory went back to.
    last: u64,
}

impl Saves {
    /// Of a device that was just opened. `owed`: what it begins with is not what is stored. `first` is random.
    pub(super) fn of(state: State, owed: Option<Aside>, first: u64) -> Self {
        let (saved, is_blank) = (Version(first), false);
        let mut saves = Self {
            saved: Snapshot { version: saved, state, is_blank },
            owed,
            version: saved,
            is_blank,
            aside: owed.unwrap_or(Aside::Leave),
            under_way: None,
            last: first,
        };
        if owed.is_some() {
            saves.changed();
        }
        saves
    }

    pub(super) fn changed(&mut self) {
        self.last = self.last.saturating_add(1);
        (self.version, self.is_blank) = (Version(self.last), false);
    }

    /// Everything was forgotten.
    pub(super) fn forgot(&mut self, is_blank: bool) {
        self.changed();
        (self.is_blank, self.aside) = (is_blank, Aside::Discard);
    }

    /// Whether storage has all of memory.
    pub(super) fn are_done(&self) -> bool {
        self.version == self.saved.version
    }
}

impl Device {
    /// What is to be made durable now, if storage does not have all of memory.
    ///
    /// Until [`saved`](Self::saved) or [`not_saved`](Self::not_saved) was called, it is the same again, whatever
    /// was recorded in the meantime; that comes with the next one.
    pub fn to_save(&mut self) -> Result<Option<Save>, DeviceError> {
        let (state, key) = (&self.state, self.key.as_ref());
        let saves = &mut self.saves;
        if saves.under_way.is_none() && !saves.are_done() {
            let (version, is_blank) = (saves.version, saves.is_blank);
            let snapshot = Snapshot { version, state: state.clone(), is_blank };
            let aside = std::mem::replace(&mut saves.aside, Aside::Leave);
            saves.under_way = Some((snapshot, aside));
        }
        let Some((snapshot, aside)) = &saves.under_way else { return Ok(None) };
        let (version, aside) = (snapshot.version, *aside);
        if snapshot.is_blank {
            return Ok(Some(Save { version, aside, blob: None }));
        }
        match state::encode(&snapshot.state, key) {
            Ok(blob) => Ok(Some(Save { version, aside, blob: Some(blob) })),
            Err(error) => {
                self.not_saved();
                Err(error.into())
            }
        }
    }

    /// The caller made a save durable. Refuses a version that is not being saved, such as one that
    /// [`not_saved`](Self::not_saved) took back, and changes nothing then.
    pub fn saved(&mut self, version: Version) -> Result<(), DeviceError> {
        let saves = &mut self.saves;
        match saves.under_way.take_if(|(snapshot, _)| snapshot.version == version) {
            Some((snapshot, _)) => {
                (saves.saved, saves.owed) = (snapshot, None);
                Ok(())
            }
            None => Err(DeviceError::OutOfTurn("no save of this version is pending")),
        }
    }

    /// A save failed, or nobody knows whether it was stored: memory is again what was saved last, and what was
    /// recorded since is not recorded. What was drawn since was never sent, and is drawn anew. So a write that may
    /// still be under way has to be cancelled, or awaited, before the next one begins.
    pub fn not_saved(&mut self) {
        let saves = &mut self.saves;
        saves.under_way = None;
        self.state = saves.saved.state.clone();
        saves.changed();
        saves.is_blank = saves.saved.is_blank;
        saves.aside = saves.owed.unwrap_or(Aside::Leave);
        if saves.owed.is_none() {
            saves.saved.version = saves.version;
        }
        self.requests.take_back();
    }
}
