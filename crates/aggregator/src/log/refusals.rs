//! Refusals in the log: each kind of each batch once in an hour, and no more of a task than a few.
//!
//! Whoever may ask for a batch may be refused as often as they like, and a log keeps what it has for good.
//! So what is refused again is folded into the entry that is there, and what goes beyond the bound into one
//! entry that says so. Entries give no count of reports.

use super::{LogError, PublicLog, entries, refusal_limit::EACH};
use crate::{
    clock,
    store::{LogEntry, Timestamp},
    task::Task,
};
use sha2::{Digest, Sha256};
use sottovoce_dap::{
    codec::Encode,
    collect::BatchSelector,
    problem::{ProblemDocument, ProblemType},
};

/// Within so many seconds the same refusal is one entry.
const PERIOD: u64 = 3600;

impl PublicLog {
    /// Says in the log that a batch was asked for and is not handed over, unless that is said already.
    pub fn refuse(
        &self,
        task: &Task,
        batch: Option<BatchSelector>,
        problem: &ProblemDocument,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let period = clock::seconds(now) / PERIOD;
        let kind = problem.kind().map_or("other", ProblemType::token);
        let own = key(task, period, kind, batch.as_ref());
        let Some(number) = self.refusal_limit.take(task.id, period, &own) else { return Ok(()) };
        if number > EACH {
            // The entry for all of these is written.
            self.refusal_limit.release(&task.id, period);
            return Ok(());
        }
        let entry = if number < EACH {
            LogEntry { key: own, ..entries::refused(task, batch, problem, now)? }
        } else {
            let key = key(task, period, "and more", None);
            LogEntry { key, ..entries::more_refused(task, now)? }
        };
        let written = self.store.log(&[entry]);
        // The last number stays taken, whether this or another replica wrote its entry.
        if number < EACH && !matches!(written, Ok(1)) || written.is_err() {
            self.refusal_limit.release(&task.id, period);
        }
        written?;
        if number < EACH {
            self.refusal_limit.mark_written(&task.id, period, own);
        }
        Ok(())
    }
}

/// What is one entry: a kind of refusal of a batch, in a period.
fn key(task: &Task, period: u64, kind: &str, batch: Option<&BatchSelector>) -> [u8; 32] {
    let batch = batch.map_or_else(Vec::new, Encode::to_bytes);
    let mut hash = Sha256::new();
    hash.update(b"sottovoce refusal\0");
    hash.update(task.id.as_bytes());
    hash.update(period.to_be_bytes());
    hash.update((kind.len() as u64).to_be_bytes());
    hash.update(kind);
    hash.update(batch);
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        log::keys,
        store::{Datastore, sealed::DatabaseKeys, sqlite::SqliteStore},
    };
    use sottovoce_dap::{
        hpke::{HpkeConfigId, Suite, native},
        ids::TaskId,
        role::Role,
        task::{BatchMode, TaskConfiguration, Url, VdafConfig},
        time::{Interval, Time, TimePrecision},
        vdaf::VerifyKey,
    };
    use sottovoce_log::note::KeyName;
    use std::sync::Arc;

    fn task(byte: u8) -> Task {
        let configuration = TaskConfiguration {
            task_info: vec![1].try_into().unwrap(),
            leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
            helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
            time_precision: TimePrecision::from_seconds(3600).unwrap(),
            min_batch_size: 10,
            batch_mode: BatchMode::TimeInterval,
            vdaf: VdafConfig::Prio3Count,
            task_interval: None,
        };
        let collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
        let (id, key) = (TaskId::new([byte; 32]), VerifyKey::new([1; 32]));
        Task::new(Role::Helper, id, configuration, collector, None, key).unwrap()
    }

    fn log() -> (Arc<SqliteStore>, PublicLog) {
        let store = Arc::new(SqliteStore::in_memory().unwrap());
        let keys = DatabaseKeys::random().unwrap();
        let name = KeyName::new("log.example").unwrap();
        keys::first(&*store, &keys, &name, NOW).unwrap();
        (Arc::clone(&store), PublicLog::new(store, keys))
    }

    fn waiting(store: &SqliteStore) -> u64 {
        store.log_head().unwrap().waiting
    }

    fn batch(start: u64) -> BatchSelector {
        BatchSelector::TimeInterval(Interval::new(Time(start), 1).unwrap().into())
    }

    fn problem(detail: &str) -> ProblemDocument {
        ProblemDocument::new(ProblemType::BatchInvalid, None, detail)
    }

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const LATER: Timestamp = Timestamp(NOW.0 + 1000 * PERIOD);

    #[test]
    fn ten_thousand_refusals_are_a_few_entries() {
        let (store, log) = log();
        let (task, before) = (task(1), waiting(&store));
        for start in 0..10_000 {
            log.refuse(&task, Some(batch(start)), &problem(&format!("no {start}")), NOW).unwrap();
        }
        assert_eq!(waiting(&store) - before, u64::from(EACH) + 1);
        // Neither does a server that is started again write what is there.
        let again = PublicLog::new(Arc::clone(&store) as _, DatabaseKeys::random().unwrap());
        for start in 0..u64::from(EACH) {
            again.refuse(&task, Some(batch(start)), &problem("no"), NOW).unwrap();
        }
        assert_eq!(waiting(&store) - before, u64::from(EACH) + 1);
    }

    #[test]
    fn the_same_refusal_is_said_once_in_an_hour_whatever_its_words() {
        let (store, log) = log();
        let (one, other, before) = (task(1), task(2), waiting(&store));
        for (task, start, now, new) in [
            (&one, 1, NOW, 1),
            (&one, 1, NOW, 0),
            (&one, 2, NOW, 1),
            (&other, 1, NOW, 1),
            (&one, 1, LATER, 1),
            (&one, 1, LATER, 0),
        ] {
            let was = waiting(&store);
            log.refuse(task, Some(batch(start)), &problem(&format!("in {was} seconds")), now)
                .unwrap();
            assert_eq!(waiting(&store) - was, new, "{start} at {now:?}");
        }
        assert_eq!(waiting(&store) - before, 4);
    }
}
