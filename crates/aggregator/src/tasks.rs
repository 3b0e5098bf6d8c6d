//! The tasks that this aggregator knows: the database's, kept at hand once read.
//!
//! A task that an operator adds to the database of a running server is found at its first use,
//! because what is not at hand is looked up; within two seconds, if somebody asked for it before it was there. What is agreed on of a task never changes; the terms that
//! this aggregator keeps to by itself may, and a server that has the task at hand keeps to those that it
//! found until it starts again.

use super::{
    clock,
    store::{Datastore, Put, StoreError, sealed::DatabaseKeys},
    task::{StoredTask, TaskError, differ_in_terms},
};
use sottovoce_dap::ids::TaskId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::{Duration, Instant},
};
use thiserror::Error;

/// Finds tasks by their IDs. Blocking: call it where blocking is fine.
pub struct Tasks<T> {
    store: Arc<dyn Datastore>,
    key: DatabaseKeys,
    at_hand: RwLock<HashMap<TaskId, Arc<T>>>,
    missing: Mutex<Missing>,
}

/// IDs of no task here, and when that was last looked up: not for long, and not many.
type Missing = HashMap<TaskId, Instant>;

/// How long an ID is taken for that of no task without another look.
const MISSING_FOR: Duration = Duration::from_secs(2);
/// IDs of no task that are remembered.
const MISSING: usize = 1024;

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
        "task {0} already exists with another verify key or token; use the secrets that it was first added with, on \
         both sides, or a new task"
    )]
    OtherSecrets(TaskId),
}

impl<T: StoredTask> Tasks<T> {
    /// The tasks of a database whose secrets are sealed under `key`.
    pub fn new(store: Arc<dyn Datastore>, key: DatabaseKeys) -> Self {
        Self { store, key, at_hand: RwLock::default(), missing: Mutex::default() }
    }

    /// Adds a task; adding it again is fine, with the same secrets, and also under other terms.
    pub fn add(&self, task: &T) -> Result<Put, TasksError> {
        let id = task.task().id;
        let record = task.to_record(&self.key)?;
        let Some(stored) = self.store.task(&id)? else { return Ok(self.store.put_task(&record)?) };
        if !T::same_secrets(&record, &stored, &self.key)? {
            return Err(TasksError::OtherSecrets(id));
        }
        if differ_in_terms(&stored, &record)? && self.store.change_task(&stored, &record)? {
            self.at_hand.write().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Ok(Put::Changed);
        }
        Ok(self.store.put_task(&record)?)
    }

    /// The task with this ID, if there is one.
    pub fn find(&self, id: &TaskId) -> Result<Option<Arc<T>>, TasksError> {
        if let Some(task) = self.at_hand(id) {
            return Ok(Some(task));
        }
        let Some(record) = self.store.task(id)? else {
            self.miss(*id, clock::instant());
            return Ok(None);
        };
        let task = Arc::new(T::from_record(&record, &self.key)?);
        let mut at_hand = self.at_hand.write().unwrap_or_else(PoisonError::into_inner);
        at_hand.insert(*id, Arc::clone(&task));
        Ok(Some(task))
    }

    /// Whether there was no task with this ID a moment ago: never blocks on the database.
    pub fn is_missing(&self, id: &TaskId) -> bool {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        missing.get(id).is_some_and(|looked| now.saturating_duration_since(*looked) < MISSING_FOR)
    }

    fn miss(&self, id: TaskId, now: Instant) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        if missing.len() >= MISSING {
            // Costs one look each, at most, to find out anew.
            missing.clear();
        }
        missing.insert(id, now);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::sqlite::SqliteStore,
        task::{Claim, HelperTask, Task, Terms, Windows},
    };
    use sottovoce_dap::{
        bearer_token::BearerToken,
        hpke::{HpkeConfig, HpkeConfigId, Suite, native},
        role::Role,
        task::{BatchMode, TaskConfiguration, Url, VdafConfig},
        time::TimePrecision,
        vdaf::VerifyKey,
    };
    use sottovoce_privacy::units::{Delta, Epsilon, TrustModel};
    use sottovoce_program::Weekday;

    /// A task of a helper under these terms, its minimum as given.
    fn task(collector: &HpkeConfig, key: u8, least: u64, terms: Terms) -> HelperTask {
        let configuration = TaskConfiguration {
            task_info: vec![1].try_into().unwrap(),
            leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
            helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
            time_precision: TimePrecision::from_seconds(3600).unwrap(),
            min_batch_size: least,
            batch_mode: BatchMode::LeaderSelected,
            vdaf: VdafConfig::Prio3Count,
            task_interval: None,
        };
        let (id, key) = (TaskId::new([3; 32]), VerifyKey::new([key; 32]));
        let task =
            Task::new(Role::Helper, id, configuration, collector.clone(), None, key).unwrap();
        let token: BearerToken = serde_json::from_str("\"a-token-of-many-letters\"").unwrap();
        HelperTask { task: task.under(terms), leader_token: token.hash() }
    }

    #[test]
    fn terms_may_change_and_nothing_else_of_a_task() {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let tasks = Tasks::new(store, DatabaseKeys::random().unwrap());
        let collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        let usual = Terms::default();
        let (graced, unchecked) =
            (Terms { grace: 600, ..usual }, Terms { windows: Windows::Unchecked, ..usual });
        let mut before = None;
        for terms in [usual, graced, graced, unchecked, usual] {
            let put = tasks.add(&task(&collector, 1, 100, terms)).unwrap();
            assert_eq!(
                put,
                match before {
                    None => Put::Added,
                    Some(before) if before == terms => Put::AlreadyThere,
                    Some(_) => Put::Changed,
                }
            );
            let found = tasks.find(&TaskId::new([3; 32])).unwrap().unwrap();
            assert_eq!(found.task.terms, terms);
            before = Some(terms);
        }
        let other_key = tasks.add(&task(&collector, 2, 100, graced));
        assert!(matches!(other_key, Err(TasksError::OtherSecrets(_))));
        let smaller = tasks.add(&task(&collector, 1, 99, graced));
        assert!(matches!(smaller, Err(TasksError::Store(StoreError::TaskConflict(_)))));
        assert_eq!(tasks.all().unwrap()[0].task.terms, usual);
    }

    #[test]
    fn a_task_that_is_asked_for_before_it_is_added_is_found_soon_after() {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let tasks = Tasks::new(store, DatabaseKeys::random().unwrap());
        let id = TaskId::new([3; 32]);
        assert!(!tasks.is_missing(&id));
        assert!(tasks.find(&id).unwrap().is_none() && tasks.is_missing(&id));
        let collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        tasks.add(&task(&collector, 1, 100, Terms::default())).unwrap();
        // Whoever looks finds it, and everybody looks again before long.
        tasks.miss(id, Instant::now().checked_sub(MISSING_FOR).unwrap());
        assert!(!tasks.is_missing(&id) && tasks.find(&id).unwrap().is_some());
        for number in 0..3 * u32::try_from(MISSING).unwrap() {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            tasks.miss(TaskId::new(id), Instant::now());
        }
        assert!(tasks.missing.lock().unwrap().len() <= MISSING);
    }

    #[test]
    fn the_day_that_weeks_begin_on_comes_back_and_is_no_term_that_may_change() {
        let collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        let weekly = |day, terms| {
            let HelperTask { task, leader_token } = task(&collector, 1, 100, terms);
            let week = TimePrecision::from_seconds(7 * 86_400).unwrap();
            let weekly = TaskConfiguration { time_precision: week, ..task.configuration };
            let (id, key) = (task.id, VerifyKey::new([1; 32]));
            let task = Task::new(Role::Helper, id, weekly, collector.clone(), None, key).unwrap();
            HelperTask { task: task.under(terms).beginning(day), leader_token }
        };
        let graced = Terms { grace: 600, ..Terms::default() };
        let key = DatabaseKeys::random().unwrap();
        for (day, terms, version) in [
            (Weekday::Thursday, Terms::default(), 1),
            (Weekday::Thursday, graced, 2),
            (Weekday::Monday, Terms::default(), 3),
            (Weekday::Sunday, graced, 3),
        ] {
            let store = Arc::new(SqliteStore::in_memory().unwrap());
            let tasks = Tasks::new(store, key.clone());
            let task = weekly(day, terms);
            // Tasks without a day are stored as they always were.
            assert_eq!(task.to_record(&key).unwrap().public[0], version);
            assert_eq!(tasks.add(&task).unwrap(), Put::Added);
            let found = tasks.find(&task.task.id).unwrap().unwrap();
            assert_eq!(found.task.window.week_begins(), Some(day));
            assert_eq!(found.task.terms, terms);
            assert_eq!(tasks.add(&weekly(day, Terms { grace: 7, ..terms })).unwrap(), Put::Changed);
            let other = tasks.add(&weekly(Weekday::Friday, terms));
            assert!(matches!(other, Err(TasksError::Store(StoreError::TaskConflict(_)))), "{day}");
        }
    }

    #[test]
    fn claims_that_another_version_worked_out_are_renewed_and_not_taken_away() {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let tasks = Tasks::new(store, DatabaseKeys::random().unwrap());
        let collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        let claiming = |epsilons: &[f64]| {
            let claim = |epsilon: &f64| Claim {
                trust: TrustModel::Oamc,
                epsilon: Epsilon::new(*epsilon).unwrap(),
                delta: Delta::ZERO,
            };
            let HelperTask { task, leader_token } = task(&collector, 1, 100, Terms::default());
            let claims = epsilons.iter().map(claim).collect();
            HelperTask { task: task.described("quality", claims, Vec::new()), leader_token }
        };
        let epsilon = 0.910_000_000_000_1;
        assert_eq!(tasks.add(&claiming(&[epsilon])).unwrap(), Put::Added);
        assert_eq!(tasks.add(&claiming(&[epsilon + 1e-13])).unwrap(), Put::Changed);
        let none = tasks.add(&claiming(&[]));
        assert!(matches!(none, Err(TasksError::Store(StoreError::TaskConflict(_)))));
    }
}
