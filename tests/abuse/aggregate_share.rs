//! Aggregate shares (§4.6.4): what the helper gives out once, and only for the batch that it
//! aggregated itself.

use super::{
    message::Message,
    refusal::{refused, typed, untyped},
    stage::{Case, LONGEST_REQUEST, SMALL_BATCH, Stage, query},
    upload::{bad_ids, stranger},
};
use crate::support::{
    device::{Shares, extensions},
    http::Ask,
    peer::{ask_job, ask_share, job, share_request, verify_init},
    task::{HISTOGRAM, TaskSpec},
};
use serde_json::json;
use sottovoce_collector::collect::request as collection;
use sottovoce_dap::{
    aggregate::Checksum,
    codec::{Decode, Encode},
    collect::{AggregateShareReq, BatchInterval, BatchSelector, CollectionJobReq, Query},
    ids::{AggregateShareId, BatchId, ReportId},
    media_type::MediaType,
    task::BatchMode,
    time::Time,
};

#[test]
fn nobody_harms_an_aggregate_share() {
    let leader_selected = TaskSpec::new(HISTOGRAM, BatchMode::LeaderSelected);
    let tasks = vec![TaskSpec::default(), leader_selected, TaskSpec::default()];
    Stage::new(tasks).attacks(ATTACKS).plots(PLOTS).end();
}

const ATTACKS: &[Case] = &[
    ("a request that is broken at any field", |stage| {
        let request = share_request(query(stage.window(), 1), &[]);
        for (what, body) in Message::aggregate_share(&request).broken() {
            println!("{what}");
            let answer = ask_share(stage.task(), &request).body(body).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a leader-selected request that is broken at any field", |stage| {
        let task = &stage.world.tasks[1];
        let request = leader_selected();
        for (what, body) in Message::aggregate_share(&request).broken() {
            println!("{what}");
            refused(&ask_share(task, &request).body(body).send(), "invalidMessage", task);
        }
    }),
    ("batch modes that there are not, or not here", |stage| {
        let request = share_request(query(stage.window(), 1), &[]);
        let bytes = request.to_bytes();
        let selector = request.collection_job_req.to_bytes().len();
        for (at, mode) in [(0, 0), (0, 2), (0, 3), (0, 255), (selector, 0), (selector, 2)] {
            let mut body = bytes.clone();
            body[at] = mode;
            let answer = ask_share(stage.task(), &request).body(body).send();
            refused(&answer, "invalidMessage", stage.task());
        }
        let (task, theirs) = (&stage.world.tasks[1], leader_selected());
        refused(&ask_share(task, &request).send(), "invalidMessage", task);
        refused(&ask_share(stage.task(), &theirs).send(), "invalidMessage", stage.task());
        let mixed = AggregateShareReq { batch_selector: theirs.batch_selector, ..request };
        refused(&ask_share(stage.task(), &mixed).send(), "invalidMessage", stage.task());
    }),
    ("a task that nobody knows", |stage| {
        let stranger = stranger(stage.task());
        let answer = ask_share(&stranger, &share_request(query(stage.window(), 1), &[])).send();
        refused(&answer, "unrecognizedTask", &stranger);
    }),
    ("a media type of another message, or none", |stage| {
        let request = share_request(query(stage.window(), 1), &[]);
        for media_type in ["", "x/y", "application/ppm-dap;message=aggregate-share"] {
            let answer = ask_share(stage.task(), &request).media_type(media_type).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a request that is too long", |stage| {
        let ask = ask_share(stage.task(), &share_request(query(stage.window(), 1), &[]));
        untyped(&ask.body(vec![0; LONGEST_REQUEST + 1]).send(), 413);
    }),
    ("an aggregation parameter that the batch was not aggregated with", |stage| {
        for agg_param in [vec![0], vec![0xff; 1000]] {
            let mut request = share_request(query(stage.window(), 1), &[]);
            request.collection_job_req.agg_param = agg_param.try_into().unwrap();
            refused(&ask_share(stage.task(), &request).send(), "invalidMessage", stage.task());
        }
    }),
    ("extensions that nobody knows", |stage| {
        for types in [&[0][..], &[1], &[2, 9, 65535]] {
            let answer = ask_share(stage.task(), &extended(stage, types)).send();
            let problem = refused(&answer, "unsupportedExtension", stage.task());
            assert_eq!(problem["unsupported_extensions"], json!(types));
        }
    }),
    ("extensions twice or out of order", |stage| {
        for types in [&[1, 1][..], &[9, 8], &[65535, 0]] {
            let answer = ask_share(stage.task(), &extended(stage, types)).send();
            refused(&answer, "invalidExtension", stage.task());
        }
    }),
    ("intervals that are empty or do not end", |stage| {
        let window = stage.window();
        let good = share_request(query(window, 1), &[]);
        for (start, duration) in BAD_INTERVALS {
            let bad = interval(*start, *duration);
            let mut request = good.clone();
            request.batch_selector = BatchSelector::TimeInterval(bad);
            refused(&ask_share(stage.task(), &request).send(), "batchInvalid", stage.task());
            let request = AggregateShareReq {
                collection_job_req: collection(Query::TimeInterval(bad)),
                ..good.clone()
            };
            refused(&ask_share(stage.task(), &request).send(), "batchInvalid", stage.task());
        }
    }),
    ("a batch that is not within what was asked for", |stage| {
        let start = stage.window().0;
        let good = share_request(query(Time(start), 2), &[]);
        for (start, duration) in
            [(start - 1, 1), (start - 1, 2), (start, 3), (start + 1, 2), (start + 2, 1), (0, start)]
        {
            let mut request = good.clone();
            request.batch_selector = BatchSelector::TimeInterval(interval(start, duration));
            refused(&ask_share(stage.task(), &request).send(), "batchInvalid", stage.task());
        }
    }),
    ("a batch that is not over, up to the end of time", |stage| {
        for (start, duration) in [(u64::MAX - 1, 1), (0, 1 << 62), (0, u64::MAX)] {
            let request = share_request(query(Time(start), duration), &[]);
            refused(&ask_share(stage.task(), &request).send(), "batchInvalid", stage.task());
        }
    }),
    ("a batch without reports", |stage| {
        for query in [query(stage.window(), 1), query(Time(0), 1)] {
            let answer = ask_share(stage.task(), &share_request(query, &[])).send();
            refused(&answer, "invalidBatchSize", stage.task());
        }
        let task = &stage.world.tasks[1];
        refused(&ask_share(task, &leader_selected()).send(), "invalidBatchSize", task);
    }),
    ("a share that was never given out", |stage| {
        let (task, id) = (stage.task(), AggregateShareId::new([7; 16]));
        let url = task.at_helper(&format!("aggregate_shares/{id}"));
        untyped(&Ask::get(&url).token(&task.leader_token).send(), 404);
        Ask::delete(&url).token(&task.leader_token).send().ok();
        for bad in bad_ids(&id.to_string()) {
            let url = task.at_helper(&format!("aggregate_shares/{bad}"));
            untyped(&Ask::get(&url).token(&task.leader_token).send(), 404);
            untyped(&Ask::delete(&url).token(&task.leader_token).send(), 404);
        }
    }),
    ("a task ID that is none", |stage| {
        let (task, id) = (stage.task(), stage.task().id.to_string());
        for bad in bad_ids(&id) {
            let url = task.at_helper("aggregate_shares").replace(&id, &bad);
            let ask = Ask::post(&url, MediaType::AggregateShareReq, Vec::new());
            typed(&ask.token(&task.leader_token).send(), "unrecognizedTask");
        }
    }),
];

const PLOTS: &[Case] = &[
    ("a wrong count or checksum", |stage| {
        let (window, good) = batch(stage);
        stage.unharmed(|| {
            for report_count in [0, 1, 4, 6, 10, u64::MAX] {
                let request = AggregateShareReq { report_count, ..good.clone() };
                refused(&ask_share(stage.task(), &request).send(), "batchMismatch", stage.task());
            }
            for at in [0, 17, 31] {
                let mut checksum = *good.checksum.as_bytes();
                checksum[at] ^= 0x10;
                let checksum = Checksum::new(checksum);
                let request = AggregateShareReq { checksum, ..good.clone() };
                refused(&ask_share(stage.task(), &request).send(), "batchMismatch", stage.task());
            }
            // As of other reports, as many.
            let others: Vec<_> = (0..5).map(|_| ReportId::random().unwrap()).collect();
            let request = share_request(query(window, 1), &others);
            refused(&ask_share(stage.task(), &request).send(), "batchMismatch", stage.task());
        });
        ask_share(stage.task(), &good).send().ok();
    }),
    ("a batch that is one report too small", |stage| {
        let window = stage.window();
        let ids = aggregated(stage, window, SMALL_BATCH.len() - 1);
        stage.unharmed(|| {
            let mut request = share_request(query(window, 1), &ids);
            refused(&ask_share(stage.task(), &request).send(), "invalidBatchSize", stage.task());
            // Whatever the leader says it has.
            request.report_count = 1000;
            refused(&ask_share(stage.task(), &request).send(), "invalidBatchSize", stage.task());
        });
    }),
    ("batches that overlap one that was collected", |stage| {
        let (window, good) = batch(stage);
        let (next, _) = batch(stage);
        assert_eq!(next.0, window.0 + 1);
        ask_share(stage.task(), &good).send().ok();
        stage.unharmed(|| {
            for (start, duration) in
                [(window.0 - 1, 2), (window.0, 2), (window.0 - 1, 3), (0, next.0 + 1)]
            {
                let query = query(Time(start), duration);
                let request = share_request(query, &[]);
                refused(&ask_share(stage.task(), &request).send(), "batchOverlap", stage.task());
            }
            // The same batch, but asked for otherwise.
            let collection_job_req = collection(query(Time(window.0 - 1), 3));
            for request in [
                AggregateShareReq { collection_job_req, ..good.clone() },
                AggregateShareReq { report_count: 6, ..good.clone() },
                AggregateShareReq { checksum: Checksum::default(), ..good.clone() },
            ] {
                refused(&ask_share(stage.task(), &request).send(), "batchOverlap", stage.task());
            }
        });
    }),
    ("the same share again and again", |stage| {
        let (_, good) = batch(stage);
        let first = ask_share(stage.task(), &good).send();
        stage.unharmed(|| {
            for _ in 0..3 {
                let again = ask_share(stage.task(), &good).send();
                assert_eq!(again.location(), first.location());
                assert_eq!(again.ok(), first.body, "not sealed anew, nor with new noise");
                let polled = Ask::get(&first.location()).token(&stage.task().leader_token);
                assert_eq!(polled.send().ok(), first.body);
            }
        });
    }),
    ("a share is deleted and asked for again", |stage| {
        let (_, good) = batch(stage);
        let location = ask_share(stage.task(), &good).send().location();
        stage.unharmed(|| {
            for _ in 0..2 {
                Ask::delete(&location).token(&stage.task().leader_token).send().ok();
                untyped(&Ask::get(&location).token(&stage.task().leader_token).send(), 404);
                refused(&ask_share(stage.task(), &good).send(), "batchOverlap", stage.task());
            }
        });
    }),
    ("one batch is asked for in many ways at once", |stage| {
        let (window, good) = batch(stage);
        let answers: Vec<_> = std::thread::scope(|scope| {
            let ask = |duration| {
                let collection_job_req = collection(query(window, duration));
                let request = AggregateShareReq { collection_job_req, ..good.clone() };
                scope.spawn(move || ask_share(stage.task(), &request).send())
            };
            let asked: Vec<_> = (1..=8).map(ask).collect();
            asked.into_iter().map(|answer| answer.join().unwrap()).collect()
        });
        let (given, refusals): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == 200);
        assert_eq!(given.len(), 1);
        for refusal in refusals {
            refused(refusal, "batchOverlap", stage.task());
        }
    }),
    ("another task's share", |stage| {
        let (_, good) = batch(stage);
        let location = ask_share(stage.task(), &good).send().location();
        let other = &stage.world.tasks[2];
        let url = location.replace(&stage.task().id.to_string(), &other.id.to_string());
        stage.unharmed(|| {
            untyped(&Ask::get(&url).token(&other.leader_token).send(), 404);
            Ask::delete(&url).token(&other.leader_token).send().ok();
            refused(&ask_share(other, &good).send(), "invalidBatchSize", other);
        });
        Ask::get(&location).token(&stage.task().leader_token).send().ok();
    }),
];

/// Starts and durations that are no interval.
pub(crate) const BAD_INTERVALS: &[(u64, u64)] = &[
    (0, 0),
    (29_000_000, 0),
    (u64::MAX, 0),
    (u64::MAX, 1),
    (1, u64::MAX),
    (u64::MAX, u64::MAX),
    (u64::MAX - 1, 2),
];

pub(crate) fn interval(start: u64, duration: u64) -> BatchInterval {
    let bytes = [start.to_be_bytes(), duration.to_be_bytes()].concat();
    BatchInterval::from_bytes(&bytes).unwrap()
}

/// A batch at the helper that the leader knows nothing of, and the request for it.
fn batch(stage: &Stage) -> (Time, AggregateShareReq) {
    let window = stage.window();
    let ids = aggregated(stage, window, SMALL_BATCH.len());
    (window, share_request(query(window, 1), &ids))
}

fn aggregated(stage: &Stage, window: Time, reports: usize) -> Vec<ReportId> {
    let task = stage.task();
    let shares = SMALL_BATCH[..reports].iter().map(|m| Shares::new(task, m, window));
    let shares: Vec<_> = shares.collect();
    let seal = |shares: &Shares| verify_init(task, shares, &shares.seal(task, stage.world.keys()));
    ask_job(task, &job(shares.iter().map(seal).collect())).send().ok();
    shares.iter().map(|shares| shares.metadata.report_id).collect()
}

/// A request for a leader-selected batch that there is not.
fn leader_selected() -> AggregateShareReq {
    AggregateShareReq {
        collection_job_req: collection(Query::LeaderSelected),
        batch_selector: BatchSelector::LeaderSelected(BatchId::random().unwrap()),
        report_count: 5,
        checksum: Checksum::default(),
    }
}

fn extended(stage: &Stage, types: &[u16]) -> AggregateShareReq {
    let good = share_request(query(stage.window(), 1), &[]);
    let extensions = extensions(types);
    let collection_job_req = CollectionJobReq { extensions, ..good.collection_job_req.clone() };
    AggregateShareReq { collection_job_req, ..good }
}
