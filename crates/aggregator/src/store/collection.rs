//! Collections: the leader's collection jobs (§4.6.1) and the helper's aggregate shares (§4.6.4)
//! are one thing here, a claim on a range of buckets that can be made once.
//!
//! ```text
//!            start_collection            close_batch              finish_collection
//! (leader)  ─────────────────▶ Pending ─────────────▶ Closed ──────────────────────▶ Finished
//!                                 │                      │                           or Failed
//!                                 └── finish (Failed) ───┴─ a failure may reopen the batch
//! (helper)  ──────────────────── close_batch, which is the last step ──────────────▶ Finished
//! ```

use super::{Blob, BucketRange, BucketShard, Kept, LogEntry};
use sottovoce_dap::ids::{AggregateShareId, CollectionJobId, TaskId};

/// Names a collection within its task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CollectionId(pub(super) [u8; 16]);

impl CollectionId {
    /// The ID's bytes.
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl From<CollectionJobId> for CollectionId {
    fn from(id: CollectionJobId) -> Self {
        Self(*id.as_bytes())
    }
}

impl From<AggregateShareId> for CollectionId {
    fn from(id: AggregateShareId) -> Self {
        Self(*id.as_bytes())
    }
}

/// A collection that the leader is asked for.
#[derive(Clone, Copy, Debug)]
pub struct NewCollection<'a> {
    /// Its task.
    pub task: &'a TaskId,
    /// The collector's request: an identical one means the same collection.
    pub request: &'a [u8],
    /// The batch it asks for.
    pub wanted: &'a Wanted,
}

/// The batch that a collection asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// These buckets: a time-interval query.
    Range(BucketRange),
    /// Whichever is next: a leader-selected query.
    NextBatch,
}

/// What became of a request for a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is new, or had failed and is tried again.
    New(CollectionId),
    /// It was there.
    Existing(CollectionId, CollectionState),
}

/// How far a collection is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CollectionState {
    /// Asked for. Nothing is claimed yet.
    Pending,
    /// The batch is closed; what `decide` returned is kept.
    Closed(Blob),
    /// Over, with this to answer.
    Finished(Blob),
    /// Over, with this to answer.
    Failed(Blob),
    /// Deleted by whoever asked for it. What it had closed stays closed.
    Deleted,
}

/// A collection that needs work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingCollection {
    /// Its task.
    pub task: TaskId,
    /// Its ID.
    pub id: CollectionId,
    /// The collector's request.
    pub request: Blob,
    /// [`Pending`](CollectionState::Pending) or [`Closed`](CollectionState::Closed).
    pub state: CollectionState,
    /// 1 at first, one more each time it is handed out.
    pub attempt: u32,
}

/// A batch about to be closed.
#[derive(Clone, Copy, Debug)]
pub struct Closing<'a> {
    /// Its task.
    pub task: &'a TaskId,
    /// The collection that closes it.
    pub id: CollectionId,
    /// The request: kept for a collection that was not started before, otherwise ignored.
    pub request: &'a [u8],
    /// The batch.
    pub range: &'a BucketRange,
    /// What follows.
    pub then: Then,
}

/// What follows when a batch is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The collection stays [`Closed`](CollectionState::Closed) and the shards stay, until
    /// `finish_collection`: the leader, whose peer may still refuse.
    AwaitPeer,
    /// The collection is [`Finished`](CollectionState::Finished) and the shards are deleted: the
    /// helper, whose response releases its share.
    Finish,
}

/// Merges and judges a batch while its buckets stand still. Returns what to keep, or `None`
/// to refuse (the reason stays in a variable of the caller). A backend may call it more than
/// once, so it must begin afresh each time. It must not call the store.
pub type Decide<'a> = dyn FnMut(&mut dyn Iterator<Item = BucketShard>) -> Option<Kept> + 'a;

/// What became of closing a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Closed {
    /// Closed, now or by an earlier call for the same collection: this blob is what was kept
    /// then, and is durable.
    Kept(Blob),
    /// `decide` refused. The batch is open.
    Refused,
    /// A bucket of the batch is in another batch that counts as collected.
    Overlap,
    /// Reports of the batch are still to be aggregated: try again.
    Busy,
    /// The collection is over, so there is nothing to close.
    Over(CollectionState),
}

/// How the leader ends a collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With a result. The batch must be closed.
    Finished {
        /// What is answered from then on.
        response: Blob,
        /// What the log says of it: written in the same transaction.
        entry: LogEntry,
    },
    /// With an error. The batch stays closed and its shards are deleted: a share may have been
    /// released.
    Failed(Blob),
    /// With an error, before any share was released. The batch is open again and an identical
    /// request tries again.
    FailedReopened(Blob),
    /// The same, with an error that is about this batch as it stands. A leader-selected batch is set
    /// aside, so that those behind it can be collected: it is not the next one, and takes no reports,
    /// until [`repair_batch`](super::Datastore::repair_batch) puts it back.
    FailedAside(Blob),
}
