//! The tasks that this aggregator knows: the database's, kept at hand once read.
//!
//! A task that an operator adds to the database of a running server is found at its first use,
//! because what is not at hand is looked up. Tasks never change, so nothing is ever stale.

use super::{
    store::{Datastore, Put, StoreError, sealed::DatabaseKeys},
    task::{StoredTask, TaskError},
};
use crate::dap::ids::TaskId;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use thiserror::Error;

/// Finds tasks by their IDs. Blocking: call it where blocking is fine.
pub struct Tasks<T> {
    store: Arc<dyn Datastore>,
    key: DatabaseKeys,
    at_hand: RwLock<HashMap<TaskId, Arc<T>>>,
}

/// A task that could not be read or added.
#[derive(Debug, Error)]
pub enum TasksError {
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The task itself is the problem.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The same task with other secrets.
    #[error(
        "task {0} is already there with another verify key or token; both aggregators must use \
         those it was first added with, or a new task"
    )]
    OtherSecrets(TaskId),
}

impl<T: StoredTask> Tasks<T> {
    /// The tasks of a database whose secrets are sealed under `key`.
    pub fn new(store: Arc<dyn Datastore>, key: DatabaseKeys) -> Self {
        Self { store, key, at_hand: RwLock::default() }
    }

    /// Adds a task; adding it again is fine, with the same secrets.
    pub fn add(&self, task: &T) -> Result<Put, TasksError> {
        let id = task.task().id;
        let record = task.to_record(&self.key)?;
        let put = self.store.put_task(&record)?;
        if put == Put::AlreadyThere {
            let stored = self.store.task(&id)?.ok_or(TasksError::OtherSecrets(id))?;
            if !T::same_secrets(&record, &stored, &self.key)? {
                return Err(TasksError::OtherSecrets(id));
            }
        }
        Ok(put)
    }

    /// The task with this ID, if there is one.
    pub fn find(&self, id: &TaskId) -> Result<Option<Arc<T>>, TasksError> {
        if let Some(task) = self.at_hand(id) {
            return Ok(Some(task));
        }
        let Some(record) = self.store.task(id)? else { return Ok(None) };
        let task = Arc::new(T::from_record(&record, &self.key)?);
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        at_hand.insert(*id, Arc::clone(&task));
        Ok(Some(task))
    }

    /// All tasks.
    pub fn all(&self) -> Result<Vec<Arc<T>>, TasksError> {
        let records = self.store.tasks()?;
        let load = |record| Ok(Arc::new(T::from_record(&record, &self.key)?));
        records.into_iter().map(load).collect()
    }

    /// The task with this ID if it has been used before: never blocks on the database.
    pub fn at_hand(&self, id: &TaskId) -> Option<Arc<T>> {
        self.at_hand.read().unwrap_or_else(PoisonError::into_inner).get(id).cloned()
    }
}
