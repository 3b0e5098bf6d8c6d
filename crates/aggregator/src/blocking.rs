//! Work that blocks (storage, cryptography), off the threads that serve connections.

use tokio::task::JoinHandle;

/// Does `work` where it may block. It goes on to its end though nobody waits for it any more.
pub fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    #[cfg(test)]
    let work = match super::clock::simulated::spawn(work) {
        Ok(spawned) => return spawned,
        Err(work) => work,
    };
    tokio::task::spawn_blocking(work)
}
