//! Connections, lent to one verb at a time, and the transactions on them.
//!
//! A verb is run again, whole, when the database says that it lost to another one (a deadlock or
//! a failed serialization: nothing of it happened), and when its connection turns out to have
//! died before the verb began. Any other failure is the caller's to judge.

use super::{
    Connections, Durable, StoreError,
    failure::{Failure, describe},
    url::Target,
};
use postgres::{Client, IsolationLevel, Row, RowIter, Statement, types::ToSql};
use rand::{RngExt, rng};
use std::{
    collections::HashMap,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A bounded number of connections, made when they are needed.
pub(super) struct Pool {
    target: Target,
    most: usize,
    state: Mutex<State>,
    returned: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    /// Idle and lent.
    open: usize,
}

/// A connection with the statements that it has prepared, by their text.
struct Connection {
    client: Client,
    statements: Statements,
}

type Statements = HashMap<&'static str, Statement>;

/// What a verb wants of its transaction.
pub(super) enum End<T> {
    /// To be committed.
    Keep(T),
    /// To be undone: the answer is that nothing was done.
    Undo(T),
}

impl Pool {
    pub(super) fn new(target: Target, most: usize) -> Self {
        Self { target, most: most.max(1), state: Mutex::default(), returned: Condvar::new() }
    }

    /// Runs `work` in a transaction, again as often as it loses to others.
    pub(super) fn transact<T>(
        &self,
        mut work: impl FnMut(&mut Tx<'_>) -> Result<End<T>, Failure>,
    ) -> Result<(T, Option<Durable>), StoreError> {
        self.retry(|connection| {
            let Connection { client, statements } = connection;
            let begun = client.build_transaction().isolation_level(IsolationLevel::ReadCommitted);
            // Nothing was asked of the database yet.
            let transaction = begun.start().map_err(|error| Failure::NotBegun(error.into()))?;
            let mut tx = Tx { transaction, statements };
            match work(&mut tx)? {
                End::Keep(value) => {
                    // The answer may be lost here although it was committed: never tried again.
                    tx.transaction.commit().map_err(StoreError::from)?;
                    Ok((value, Some(Durable::committed())))
                }
                End::Undo(value) => Ok((value, None)),
            }
        })
    }

    /// Runs a single statement that only reads: one snapshot, and no transaction to begin.
    pub(super) fn read(
        &self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        self.retry(|Connection { client, statements }| {
            let mut ask = || {
                let statement = match statements.get(sql) {
                    Some(statement) => statement.clone(),
                    None => statements.entry(sql).or_insert(client.prepare(sql)?).clone(),
                };
                client.query(&statement, parameters)
            };
            ask().map_err(|error| match Failure::from(error) {
                // It changed nothing, so it may be asked again over another connection.
                Failure::Store(error @ StoreError::Unavailable { .. }) => Failure::NotBegun(error),
                other => other,
            })
        })
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> Connections {
        let state = self.state();
        let idle = state.idle.len();
        Connections { most: self.most, in_use: state.open.saturating_sub(idle), idle }
    }

    fn retry<T>(
        &self,
        mut attempt: impl FnMut(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, StoreError> {
        // Blocks inside: on a thread that runs asynchronous tasks, Tokio moves them elsewhere.
        // Asked from a task of a single-threaded runtime it panics, as the client would.
        tokio::task::block_in_place(|| {
            let mut lost = 0;
            loop {
                let (slot, mut connection, fresh) = self.lend()?;
                let result = attempt(&mut connection);
                if result.as_ref().err().is_none_or(Failure::leaves_connection_sound) {
                    slot.give_back(connection);
                }
                match result {
                    Ok(value) => return Ok(value),
                    Err(Failure::Store(error)) => return Err(error),
                    Err(Failure::NotBegun(error)) if fresh => return Err(error),
                    // The server was restarted, then: the other idle ones are dead too.
                    Err(Failure::NotBegun(_)) => self.forget_idle(),
                    Err(Failure::Lost { what }) if lost == RETRIES => {
                        return Err(StoreError::Unavailable { what });
                    }
                    Err(Failure::Lost { .. }) => {
                        pause(lost);
                        lost += 1;
                    }
                }
            }
        })
    }

    /// Waits for a connection that is free or may be made, and says whether it is fresh.
    fn lend(&self) -> Result<(Slot<'_>, Connection, bool), StoreError> {
        let until = Instant::now() + WAIT;
        let mut state = self.state();
        loop {
            if let Some(connection) = state.idle.pop() {
                return Ok((Slot(self), connection, false));
            }
            if state.open < self.most {
                state.open += 1;
                drop(state);
                let slot = Slot(self);
                return Ok((slot, self.connect()?, true));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let what = format!("all {} connections to {} are in use", self.most, self.target);
                return Err(StoreError::Unavailable { what });
            }
            let woken = self.returned.wait_timeout(state, left);
            state = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let connected = self.target.connect().and_then(|mut client| {
            client.batch_execute(SESSION)?;
            Ok(client)
        });
        let client = connected.map_err(|error| StoreError::Unavailable {
            what: format!("{}: {}", self.target, describe(&error)),
        })?;
        Ok(Connection { client, statements: HashMap::new() })
    }

    fn forget_idle(&self) {
        let idle = {
            let mut state = self.state();
            state.open -= state.idle.len();
            std::mem::take(&mut state.idle)
        };
        drop(idle);
        self.returned.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let idle = std::mem::take(&mut self.state().idle);
        if tokio::runtime::Handle::try_current().is_ok() {
            // A connection says goodbye, which blocks, and a thread of asynchronous tasks must not.
            let _ = std::thread::spawn(move || drop(idle)).join();
        }
    }
}

/// The place of a connection in use. Dropped without one, also by a panic, it makes room for a
/// new one.
struct Slot<'a>(&'a Pool);

impl Slot<'_> {
    fn give_back(self, connection: Connection) {
        self.0.state().idle.push(connection);
        self.0.returned.notify_one();
        std::mem::forget(self);
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.state().open -= 1;
        self.0.returned.notify_one();
    }
}

/// A transaction, with the connection's prepared statements.
pub(super) struct Tx<'a> {
    transaction: postgres::Transaction<'a>,
    statements: &'a mut Statements,
}

impl Tx<'_> {
    pub(super) fn rows(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, Failure> {
        let statement = self.prepared(sql)?;
        Ok(self.transaction.query(&statement, parameters)?)
    }

    /// The row, if there is one; more than one is a failure.
    pub(super) fn row(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, Failure> {
        let statement = self.prepared(sql)?;
        Ok(self.transaction.query_opt(&statement, parameters)?)
    }

    /// Returns the number of rows concerned.
    pub(super) fn execute(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<u64, Failure> {
        let statement = self.prepared(sql)?;
        Ok(self.transaction.execute(&statement, parameters)?)
    }

    /// The rows one at a time, without all of them in memory.
    pub(super) fn stream(
        &mut self,
        sql: &'static str,
        parameters: Parameters<'_>,
    ) -> Result<RowIter<'_>, Failure> {
        let statement = self.prepared(sql)?;
        Ok(self.transaction.query_raw(&statement, parameters.iter().copied())?)
    }

    fn prepared(&mut self, sql: &'static str) -> Result<Statement, Failure> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.transaction.prepare(sql)?;
        self.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

/// Longer each time, and by chance, so that those who met do not meet again.
fn pause(lost: u32) {
    let most = FIRST_PAUSE * 2_u32.saturating_pow(lost);
    std::thread::sleep(most.mul_f64(rng().random_range(0.5..1.0)));
}

/// How often a verb that loses is tried again: about a second in all.
const RETRIES: u32 = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(4);
/// How long to wait for a connection.
const WAIT: Duration = Duration::from_secs(30);

/// Said once on each connection.
///
/// Names are ours alone. An acknowledged upload must survive a power loss, whatever the database
/// is set to; a stronger setting is left. A replica that froze holds up the others for a minute
/// at most. Each statement looks up its rows by an index: the statistics of a queue that was empty
/// when they were made must not persuade the planner to read a whole table instead, nor the costs
/// that it then sees to compile.
const SESSION: &str = "
    SET search_path = sottovoce;
    SELECT set_config('synchronous_commit', 'on', false)
        WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');
    SET lock_timeout = '30s';
    SET idle_in_transaction_session_timeout = '60s';
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET jit = off;";
