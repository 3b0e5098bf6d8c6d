//! The helper: answers the leader, and nobody else (§4.5, §4.6.4).
//!
//! [`aggregate`] verifies an aggregation job and [`share`] gives out an aggregate share once.
//! [`routes`] is where requests come in. There is no upload path here and no way to send.

mod aggregate;
mod routes;
mod share;

use super::{
    keyring::Keyring,
    store::{Datastore, sealed::DatabaseKey},
    task::HelperTask,
    tasks::Tasks,
};
use std::sync::Arc;

pub use routes::router;

/// What a running helper holds.
pub struct Helper {
    store: Arc<dyn Datastore>,
    tasks: Tasks<HelperTask>,
    keyring: Keyring,
}

impl Helper {
    /// A helper over a database.
    pub fn new(store: Arc<dyn Datastore>, key: DatabaseKey, keyring: Keyring) -> Self {
        Self { tasks: Tasks::new(Arc::clone(&store), key), store, keyring }
    }
}
