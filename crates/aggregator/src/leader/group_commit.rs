//! Group commit: uploads that arrive together become durable together.
//!
//! One transaction at a time. While it waits for the disk, uploads gather; the next one takes
//! them all. An upload is acknowledged only with the store's proof that it is durable. One of very many
//! reports comes in pieces, between which others have their turn: nobody waits for all of a stranger's.

use crate::{
    blocking, clock,
    serve::memory::MemoryPermit,
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
    #[error("the queue of uploads is full")]
    Full,
    /// The store failed: of this piece nothing is kept, of those before it all is.
    #[error(transparent)]
    Store(#[from] Arc<StoreError>),
    /// The task is gone, as at the end of the process.
    #[error("the server is shutting down")]
    Stopped,
}

struct Waiting {
    batch: UploadBatch,
    /// What the upload takes of the server's memory, whether or not its sender still waits.
    memory: Arc<MemoryPermit>,
    reply: oneshot::Sender<Result<Vec<Acceptance>, Arc<StoreError>>>,
}

/// Uploads that may wait; each is at most as long as a body may be.
const QUEUE: usize = 256;
/// Bytes that one transaction takes on, beyond the upload that reaches it.
const GROUP_BYTES: usize = 8 << 20;
/// Reports of one piece, and of one transaction beyond the piece that reaches it: however small they are,
/// each is looked up and remembered.
pub(super) const PIECE: usize = 4096;

impl GroupCommit {
    /// Starts the task; it ends when this handle is dropped and the queue is empty.
    pub(super) fn start(store: Arc<dyn Datastore>) -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        tokio::spawn(write(store, waiting));
        Self { queue }
    }

    /// Stores the reports of one upload, piece by piece; returns when all are durable, or one piece
    /// failed: with what was stored before it. That is known when the upload comes again. Its memory is free
    /// then, also if nobody waits for it any more.
    pub(super) async fn store(
        &self,
        pieces: Vec<UploadBatch>,
        memory: MemoryPermit,
    ) -> (Vec<Acceptance>, Result<(), CommitError>) {
        let mut acceptances = Vec::new();
        let stored = self.store_pieces(pieces, memory, &mut acceptances).await;
        (acceptances, stored)
    }

    async fn store_pieces(
        &self,
        pieces: Vec<UploadBatch>,
        memory: MemoryPermit,
        acceptances: &mut Vec<Acceptance>,
    ) -> Result<(), CommitError> {
        let memory = Arc::new(memory);
        for (number, batch) in pieces.into_iter().enumerate() {
            let (reply, stored) = oneshot::channel();
            let waiting = Waiting { batch, memory: Arc::clone(&memory), reply };
            if number == 0 {
                self.queue.try_send(waiting)?;
            } else {
                // Begun, it is not sent away.
                self.queue.send(waiting).await.map_err(|_| CommitError::Stopped)?;
            }
            acceptances.extend(stored.await.map_err(|_| CommitError::Stopped)??);
        }
        Ok(())
    }
}

impl From<mpsc::error::TrySendError<Waiting>> for CommitError {
    fn from(error: mpsc::error::TrySendError<Waiting>) -> Self {
        match error {
            mpsc::error::TrySendError::Full(_) => Self::Full,
            mpsc::error::TrySendError::Closed(_) => Self::Stopped,
        }
    }
}

async fn write(store: Arc<dyn Datastore>, mut waiting: mpsc::Receiver<Waiting>) {
    while let Some(first) = waiting.recv().await {
        let Group { batches, permits, replies } = gather(first, &mut waiting);
        let store = Arc::clone(&store);
        let stored = blocking::spawn(move || {
            let stored = store.accept_reports(clock::now(), &batches);
            drop((batches, permits));
            stored
        });
        match stored.await {
            Ok(stored) => answer(replies, stored),
            Err(error) => tracing::error!(%error, "the writer of uploads failed"),
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
    permits: Vec<Arc<MemoryPermit>>,
    replies: Vec<Reply>,
}

impl Group {
    fn add(&mut self, waiting: Waiting) {
        self.batches.push(waiting.batch);
        self.permits.push(waiting.memory);
        self.replies.push(waiting.reply);
    }
}

fn gather(first: Waiting, waiting: &mut mpsc::Receiver<Waiting>) -> Group {
    let (mut bytes, mut reports) = (first.batch.bytes(), first.batch.len());
    let mut group = Group::default();
    group.add(first);
    while bytes < GROUP_BYTES
        && reports < PIECE
        && let Ok(next) = waiting.try_recv()
    {
        bytes += next.batch.bytes();
        reports += next.batch.len();
        group.add(next);
    }
    group
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;
    use crate::{
        serve::memory::MemoryPool,
        store::{BatchingMode, Blob, TaskRecord, faulty::FaultyStore, sqlite::SqliteStore},
    };
    use sottovoce_dap::{
        ids::{ReportId, TaskId},
        time::Time,
    };

    #[tokio::test]
    async fn what_was_stored_before_a_piece_that_failed_is_told() {
        let store = Arc::new(FaultyStore::new(Arc::new(SqliteStore::in_memory().unwrap())));
        let [public, sealed] = [b"public", b"sealed"].map(|bytes| Blob::from(&bytes[..]));
        let (id, mode) = (TaskId::new([1; 32]), BatchingMode::TimeInterval);
        store.put_task(&TaskRecord { id, mode, public, sealed }).unwrap();
        let pieces = [1, 2, 3].map(|number| {
            let mut piece = UploadBatch::new(id);
            piece.push(ReportId::new([number; 16]), Time(1), b"report").unwrap();
            piece
        });
        store.end_after(1);
        let commits = GroupCommit::start(store);
        let memory = MemoryPool::new(1000, 1000).take(None, 100).unwrap();
        let (acceptances, stored) = commits.store(pieces.into(), memory).await;
        assert!(matches!(acceptances[..], [Ok(_)]), "{}", acceptances.len());
        assert!(matches!(stored, Err(CommitError::Store(_))), "{stored:?}");
    }
}
