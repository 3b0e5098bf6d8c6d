//! What one report costs the helper, against the sum of its primitives: one HPKE open and one
//! Prio3 verification. Divide the first line by the second; both are of the same reports, on the
//! same cores.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use rayon::prelude::*;
use sottovoce_aggregator::{
    clock,
    config::limits::Retention,
    helper::Helper,
    keyring::Keyring,
    log::PublicLog,
    metrics::Metrics,
    store::{Datastore, sealed::DatabaseKeys, sqlite::SqliteStore},
    task::{HelperTask, LeaderTask, StoredTask, Task},
    tasks::Tasks,
};
use sottovoce_dap::{
    aggregate::{AggregationJobInitReq, ReportShare, VerifyInit},
    bearer_token::BearerToken,
    codec::{Decode, Encode, Opaque},
    extension::UncheckedExtensions,
    hpke::{HpkeConfigId, Suite, native},
    ids::ReportId,
    role::Role,
    task::{BatchMode, TaskConfiguration, Url, VdafConfig},
    time::{Time, TimePrecision},
    upload::{PlaintextInputShare, ReportMetadata, input_share_info},
    vdaf::{VerifyKey, shard::Measurement, verify::OpenReport},
};
use std::sync::Arc;

const REPORTS: usize = 512;

fn configuration() -> TaskConfiguration {
    TaskConfiguration {
        task_info: vec![1].try_into().unwrap(),
        leader_aggregator_endpoint: Url::new("https://leader.example/").unwrap(),
        helper_aggregator_endpoint: Url::new("https://helper.example/").unwrap(),
        time_precision: TimePrecision::from_seconds(3600).unwrap(),
        min_batch_size: 100,
        batch_mode: BatchMode::TimeInterval,
        vdaf: VdafConfig::Prio3Histogram { length: 5, chunk_length: 2 },
        task_interval: None,
    }
}

fn task(role: Role) -> Task {
    let collector = native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap().config;
    let configuration = configuration();
    let key = VerifyKey::new([7; 32]);
    Task::new(role, configuration.task_id(), configuration, collector, None, key).unwrap()
}

/// A helper with a database on disk, and a task that it knows.
fn helper(folder: &std::path::Path) -> (Helper, HelperTask) {
    let store: Arc<dyn Datastore> =
        Arc::new(SqliteStore::open(folder.join("helper.sqlite"), "helper").unwrap());
    let key = DatabaseKeys::random().unwrap();
    let token = BearerToken::random().unwrap().hash();
    let task = HelperTask { task: task(Role::Helper), leader_token: token };
    Tasks::new(Arc::clone(&store), key.clone()).add(&task).unwrap();
    let keyring = Keyring::load(store.as_ref(), &key, clock::now()).unwrap();
    let keyring = Arc::new(keyring);
    let metrics = Arc::new(Metrics::new());
    let log = Arc::new(PublicLog::new(Arc::clone(&store), key.clone()));
    (Helper::new(store, key, keyring, metrics, log, Retention::default()), task)
}

/// A fresh job of [`REPORTS`] reports, as a leader sends it.
fn job(helper: &Helper, leader: &LeaderTask) -> AggregationJobInitReq {
    let keys = helper.keyring().keys();
    let config = keys.config_list().iter().next().unwrap();
    let task = &leader.task;
    let init = |_| {
        let report_id = ReportId::random().unwrap();
        let sharded =
            task.vdaf.shard(task.vdaf_context(), &Measurement::Bin(2), &report_id).unwrap();
        let report_metadata = ReportMetadata {
            report_id,
            time: Time(470_000),
            public_extensions: UncheckedExtensions::default(),
        };
        let open_report = OpenReport {
            report_id,
            public_share: &sharded.public_share,
            input_share: &sharded.leader_input_share,
        };
        let (messages, _) = task.vdaf.start_verifying(task.verification(), &[open_report]);
        let plaintext = PlaintextInputShare {
            private_extensions: UncheckedExtensions::default(),
            payload: sharded.helper_input_share.to_vec().try_into().unwrap(),
        };
        let mut aad = Vec::new();
        task.aad.with(&report_metadata, &sharded.public_share, &mut aad);
        let info = input_share_info(Role::Helper);
        let sealed = native::seal(config, &info, &aad, &plaintext.to_bytes()).unwrap();
        VerifyInit {
            payload: messages[0].clone().unwrap().try_into().unwrap(),
            report_share: ReportShare {
                report_metadata,
                public_share: sharded.public_share.clone().try_into().unwrap(),
                encrypted_input_share: sealed,
            },
        }
    };
    AggregationJobInitReq {
        verification_key_id: 0,
        agg_param: Opaque::default(),
        extensions: UncheckedExtensions::default(),
        verify_inits: (0..REPORTS).into_par_iter().map(init).collect(),
    }
}

/// One HPKE open and one verification of each report, and nothing else.
fn primitives(helper: &Helper, task: &Task, job: &AggregationJobInitReq) {
    let keys = helper.keyring().keys();
    job.verify_inits.par_chunks(16).for_each(|inits| {
        let mut aad = Vec::new();
        for init in inits {
            let share = &init.report_share;
            let public_share = share.public_share.as_bytes();
            task.aad.with(&share.report_metadata, public_share, &mut aad);
            let sealed = &share.encrypted_input_share;
            let opener = keys.opener(sealed.config_id).unwrap();
            let plaintext = opener.open(sealed, &task.input_share_info, &aad).unwrap();
            let plaintext = PlaintextInputShare::from_bytes(&plaintext).unwrap();
            let report = OpenReport {
                report_id: share.report_metadata.report_id,
                public_share,
                input_share: plaintext.payload.as_bytes(),
            };
            let reports = [(report, init.payload.as_bytes(), 0)];
            let (answers, _) = task.vdaf.answer(task.verification(), &reports, 1);
            assert!(answers[0].is_ok());
        }
    });
}

fn verification(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().unwrap();
    let (helper, helper_task) = helper(folder.path());
    let leader_task = LeaderTask {
        task: task(Role::Leader),
        helper_token: BearerToken::random().unwrap(),
        collector_token: BearerToken::random().unwrap().hash(),
    };
    let mut group = criterion.benchmark_group("helper, a job of 512 reports");
    group.throughput(Throughput::Elements(REPORTS as u64)).sample_size(20);
    group.bench_function("decoded, opened, verified, committed", |bencher| {
        bencher.iter_batched(
            || job(&helper, &leader_task).to_bytes(),
            |body| helper.aggregate(&helper_task, &body, clock::now()).unwrap(),
            BatchSize::PerIteration,
        );
    });
    let one = job(&helper, &leader_task);
    group.bench_function("primitives: opened, verified", |bencher| {
        bencher.iter(|| primitives(&helper, helper_task.task(), &one));
    });
    group.finish();
}

criterion_group!(benches, verification);
criterion_main!(benches);
