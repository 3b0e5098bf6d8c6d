//! Group commit: uploads that arrive together become durable together.
//!
//! One transaction at a time. While it waits for the disk, uploads gather; the next one takes
//! them all. An upload is acknowledged only with the store's proof that it is durable.

use crate::aggregator::{
    blocking, clock,
    serve::room::Room,
    store::{Acceptance, Datastore, StoreError, UploadBatch},
};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

/// Hands uploads to the task that writes.
pub(super) struct GroupCommit {
    queue: mpsc::Sender<Waiting>,
}

/// An upload that was not made durable.
#[derive(Debug, Error)]
pub(super) enum CommitError {
    /// Too many uploads wait already.
    #[error("too many uploads are waiting to be stored")]
    Full,
    /// The store failed: none of the upload is kept.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The task is gone, as at the end of the process.
    #[error("the server is shutting down")]
    Stopped,
}

struct Waiting {
    batch: UploadBatch,
    /// What the batch takes of the server's memory, whether or not its sender still waits.
    room: Room,
    reply: oneshot::Sender<Result<Vec<Acceptance>, Arc<StoreError>>>,
}

/// Uploads that may wait; each is at most as long as a body may be.
const QUEUE: usize = 256;
/// Bytes that one transaction takes on, beyond the upload that reaches it.
const GROUP_BYTES: usize = 8 << 20;

impl GroupCommit {
    /// Starts the task; it ends when this handle is dropped and the queue is empty.
    pub(super) fn start(store: Arc<dyn Datastore>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(store, waiting));
        Self { queue }
    }

    /// Stores the reports of one upload; returns when they are durable. Its room is free then, also if
    /// nobody waits for it any more.
    pub(super) async fn store(
        &self,
        batch: UploadBatch,
        room: Room,
    ) -> Result<Vec<Acceptance>, CommitError> {
        let (reply, stored) = oneshot::channel();
        self.queue.try_send(Waiting { batch, room, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => CommitError::Full,
            mpsc::error::TrySendError::Closed(_) => CommitError::Stopped,
        })?;
        Ok(stored.await.map_err(|_| CommitError::Stopped)??)
    }
}

async fn write(store: Arc<dyn Datastore>, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let Group { batches, rooms, replies } = gather(first, &mut waiting);
        let store = Arc::clone(&store);
        let stored = blocking::spawn(move || {
            let stored = store.accept_reports(clock::now(), &batches);
            drop((batches, rooms));
            stored
        });
        match stored.await {
            Ok(stored) => answer(replies, stored),
            Err(error) => tracing::error!(%error, "storing uploads stopped"),
        }
    }
}

fn answer(replies: Vec<Reply>, stored: Result<Vec<Vec<Acceptance>>, StoreError>) {
    match stored {
        Ok(acceptances) => {
            for (reply, acceptance) in replies.into_iter().zip(acceptances) {
                // An uploader that hung up asks again and learns then.
                let _ = reply.send(Ok(acceptance));
            }
        }
        Err(error) => {
            let error = Arc::new(error);
            for reply in replies {
                let _ = reply.send(Err(Arc::clone(&error)));
            }
        }
    }
}

type Reply = oneshot::Sender<Result<Vec<Acceptance>, Arc<StoreError>>>;

/// Uploads of one transaction.
#[derive(Default)]
struct Group {
    batches: Vec<UploadBatch>,
    rooms: Vec<Room>,
    replies: Vec<Reply>,
}

impl Group {
    fn add(&mut self, waiting: Waiting) {
        self.batches.push(waiting.batch);
        self.rooms.push(waiting.room);
        self.replies.push(waiting.reply);
    }
}

fn gather(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) -> Group {
    let mut bytes = first.batch.bytes();
    let mut group = Group::default();
    group.add(first);
    while bytes < GROUP_BYTES
        && let Ok(next) = waiting.try_recv()
    {
        bytes += next.batch.bytes();
        group.add(next);
    }
    group
}
