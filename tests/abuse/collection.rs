//! Collection jobs (§4.6.1): from a collector that holds the right token and wants more than one
//! look at a batch, or less than a whole one.

use super::{
    aggregate_share::{BAD_INTERVALS, interval},
    message::Message,
    refusal::{refused, typed, untyped},
    stage::{Case, LONGEST_REQUEST, SMALL_BATCH, Stage, query},
    upload::{bad_ids, stranger},
};
use crate::support::{
    device::extensions,
    http::Ask,
    task::{HISTOGRAM, Task, TaskSpec, now},
};
use serde_json::json;
use sottovoce_collector::collect::request as collection;
use sottovoce_dap::{
    codec::Encode,
    collect::{CollectionJobReq, Query},
    ids::CollectionJobId,
    media_type::MediaType,
    task::BatchMode,
    time::Time,
};

#[test]
fn nobody_harms_a_collection() {
    let leader_selected = TaskSpec::new(HISTOGRAM, BatchMode::LeaderSelected);
    let tasks = vec![TaskSpec::default(), leader_selected, TaskSpec::default()];
    Stage::new(tasks).attacks(ATTACKS).plots(PLOTS).end();
}

const ATTACKS: &[Case] = &[
    ("a request that is broken at any field", |stage| {
        let request = collection(query(stage.window(), 1));
        for (what, body) in Message::collection_job(&request).broken() {
            println!("{what}");
            let answer = stage.world.ask_collection(&request).body(body).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a leader-selected request that is broken at any field", |stage| {
        let task = &stage.world.tasks[1];
        let request = collection(Query::LeaderSelected);
        for (what, body) in Message::collection_job(&request).broken() {
            println!("{what}");
            let answer = stage.world.ask_collection_of(task, &request).body(body).send();
            refused(&answer, "invalidMessage", task);
        }
    }),
    ("a batch mode that there is not, or not here", |stage| {
        let request = collection(query(stage.window(), 1));
        for mode in [0, 2, 3, 255] {
            let mut body = request.to_bytes();
            body[0] = mode;
            let answer = stage.world.ask_collection(&request).body(body).send();
            refused(&answer, "invalidMessage", stage.task());
        }
        let theirs = collection(Query::LeaderSelected);
        let answer = stage.world.ask_collection(&theirs).send();
        refused(&answer, "invalidMessage", stage.task());
        let task = &stage.world.tasks[1];
        let answer = stage.world.ask_collection_of(task, &request).send();
        refused(&answer, "invalidMessage", task);
    }),
    ("a task that nobody knows", |stage| {
        let stranger = stranger(stage.task());
        let request = collection(query(stage.window(), 1));
        let answer = stage.world.ask_collection_of(&stranger, &request).send();
        refused(&answer, "unrecognizedTask", &stranger);
    }),
    ("a task ID that is none", |stage| {
        let (task, id) = (stage.task(), stage.task().id.to_string());
        for bad in bad_ids(&id) {
            let url = task.at_leader("collection_jobs").replace(&id, &bad);
            let ask = Ask::post(&url, MediaType::CollectionJobReq, Vec::new());
            typed(&ask.token(&task.collector_token).send(), "unrecognizedTask");
        }
    }),
    ("a media type of another message, or none", |stage| {
        let request = collection(query(stage.window(), 1));
        for media_type in ["", "x/y", "application/ppm-dap;message=collection-job-resp"] {
            let answer = stage.world.ask_collection(&request).media_type(media_type).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a request that is too long", |stage| {
        let ask = stage.world.ask_collection(&collection(query(stage.window(), 1)));
        untyped(&ask.body(vec![0; LONGEST_REQUEST + 1]).send(), 413);
    }),
    ("an aggregation parameter that Prio3 does not have", |stage| {
        for agg_param in [vec![0], vec![0xff; 1000]] {
            let agg_param = agg_param.try_into().unwrap();
            let request = CollectionJobReq { agg_param, ..collection(query(stage.window(), 1)) };
            let answer = stage.world.ask_collection(&request).send();
            refused(&answer, "invalidAggregationParameter", stage.task());
        }
    }),
    ("extensions that nobody knows", |stage| {
        for types in [&[0][..], &[1], &[2, 9, 65535]] {
            let answer = stage.world.ask_collection(&extended(stage, types)).send();
            let problem = refused(&answer, "unsupportedExtension", stage.task());
            assert_eq!(problem["unsupported_extensions"], json!(types));
        }
    }),
    ("extensions twice or out of order", |stage| {
        for types in [&[1, 1][..], &[9, 8], &[65535, 0]] {
            let answer = stage.world.ask_collection(&extended(stage, types)).send();
            refused(&answer, "invalidExtension", stage.task());
        }
    }),
    ("intervals that are empty or do not end", |stage| {
        for (start, duration) in BAD_INTERVALS {
            let request = collection(Query::TimeInterval(interval(*start, *duration)));
            let answer = stage.world.ask_collection(&request).send();
            refused(&answer, "batchInvalid", stage.task());
        }
    }),
    ("a batch without reports", |stage| {
        for query in [query(stage.window(), 1), query(Time(0), 1), query(Time(0), 1000)] {
            let answer = stage.world.collect_of(stage.task(), query).unwrap_err();
            refused(&answer, "invalidBatchSize", stage.task());
        }
    }),
    ("a job that was never there, or is no ID", |stage| {
        let (task, id) = (stage.task(), CollectionJobId::new([7; 16]).to_string());
        let mut ids = bad_ids(&id);
        ids.push(id);
        for id in ids {
            let url = task.at_leader(&format!("collection_jobs/{id}"));
            untyped(&Ask::get(&url).token(&task.collector_token).send(), 404);
        }
    }),
    ("a job ID to delete that is none", |stage| {
        let task = stage.task();
        for id in bad_ids(&CollectionJobId::new([7; 16]).to_string()) {
            let url = task.at_leader(&format!("collection_jobs/{id}"));
            untyped(&Ask::delete(&url).token(&task.collector_token).send(), 404);
        }
    }),
    ("batches that are not over, up to the end of time", |stage| {
        let end = u64::MAX - 1;
        for (start, duration) in
            [(now().0 + 100, 1), (now().0 + 100, 1 << 62), (end, 1), (end - 1, 2)]
        {
            let request = collection(query(Time(start), duration));
            let answer = stage.world.ask_collection(&request).send();
            refused(&answer, "batchInvalid", stage.task());
        }
    }),
    ("all of time, whatever is in it", |stage| {
        for duration in [1 << 62, u64::MAX] {
            let request = collection(query(Time(0), duration));
            let answer = stage.world.ask_collection_of(&stage.world.tasks[2], &request).send();
            refused(&answer, "batchInvalid", &stage.world.tasks[2]);
        }
    }),
    ("a leader-selected batch where there is none", |stage| {
        let task = &stage.world.tasks[1];
        let request = collection(Query::LeaderSelected);
        let first = stage.world.ask_collection_of(task, &request).send();
        assert_eq!((first.status, first.body.len()), (200, 0));
        let again = stage.world.ask_collection_of(task, &request).send();
        assert_eq!(again.location(), first.location());
        abandon(task, &first.location());
        let anew = stage.world.ask_collection_of(task, &request).send();
        assert_ne!(anew.location(), first.location());
        abandon(task, &anew.location());
    }),
];

const PLOTS: &[Case] = &[
    ("a batch that is one report too small", |stage| {
        let window = stage.window();
        stage.batch(window, &SMALL_BATCH[1..]);
        stage.unharmed(|| {
            for _ in 0..2 {
                let refusal = stage.world.collect_of(stage.task(), query(window, 1));
                refused(&refusal.unwrap_err(), "invalidBatchSize", stage.task());
            }
        });
        stage.batch(window, &SMALL_BATCH[..1]);
        stage.expect(window, &SMALL_BATCH);
    }),
    ("a batch is collected twice by different queries", |stage| {
        // A window on either side, so that queries can reach over both ends.
        let windows = [stage.window(), stage.window(), stage.window()];
        for window in windows {
            stage.small_batch(window);
        }
        stage.expect(windows[1], &SMALL_BATCH);
        stage.unharmed(|| {
            let first = windows[0].0;
            for (start, duration) in [(first, 2), (first + 1, 2), (first, 3), (0, first + 3)] {
                let query = query(Time(start), duration);
                let refusal = stage.world.collect_of(stage.task(), query).unwrap_err();
                refused(&refusal, "batchOverlap", stage.task());
            }
        });
        // The others are their own.
        stage.expect(windows[0], &SMALL_BATCH);
        stage.expect(windows[2], &SMALL_BATCH);
    }),
    ("the batches within one that was collected", |stage| {
        let windows = [stage.window(), stage.window()];
        for window in windows {
            stage.small_batch(window);
        }
        assert_eq!(stage.world.collect(query(windows[0], 2)).count, 10);
        stage.unharmed(|| {
            for window in windows {
                let refusal = stage.world.collect_of(stage.task(), query(window, 1)).unwrap_err();
                refused(&refusal, "batchOverlap", stage.task());
            }
        });
    }),
    ("the same batch again and again", |stage| {
        let window = stage.window();
        stage.small_batch(window);
        let first = stage.world.collect(query(window, 1));
        stage.unharmed(|| {
            for _ in 0..3 {
                let again = stage.world.collect(query(window, 1));
                assert_eq!(again, first, "not sealed anew, nor with new noise");
            }
        });
    }),
    ("a collection is deleted and asked for again", |stage| {
        let window = stage.window();
        stage.small_batch(window);
        let location = stage.world.collect(query(window, 1)).location;
        stage.unharmed(|| {
            for _ in 0..2 {
                abandon(stage.task(), &location);
                let refusal = stage.world.collect_of(stage.task(), query(window, 1)).unwrap_err();
                refused(&refusal, "batchOverlap", stage.task());
            }
        });
    }),
    ("another task's collection", |stage| {
        let window = stage.window();
        stage.small_batch(window);
        let mine = stage.world.collect(query(window, 1)).location;
        let other = &stage.world.tasks[2];
        let url = mine.replace(&stage.task().id.to_string(), &other.id.to_string());
        stage.unharmed(|| {
            untyped(&Ask::get(&url).token(&other.collector_token).send(), 404);
            Ask::delete(&url).token(&other.collector_token).send().ok();
        });
        Ask::get(&mine).token(&stage.task().collector_token).send().ok();
    }),
    ("two overlapping batches are asked for at once", |stage| {
        let windows = [stage.window(), stage.window()];
        for window in windows {
            stage.small_batch(window);
        }
        let queries = [query(windows[0], 1), query(windows[0], 2), query(windows[1], 1)];
        let outcomes: Vec<_> = std::thread::scope(|scope| {
            let collect = |query| scope.spawn(move || stage.world.collect_of(stage.task(), query));
            let asked = queries.map(collect);
            asked.into_iter().map(|outcome| outcome.join().unwrap()).collect()
        });
        let counted: u64 = outcomes.iter().flatten().map(|collected| collected.count).sum();
        assert_eq!(counted, 10, "each report in one batch");
        for refusal in outcomes.iter().filter_map(|outcome| outcome.as_ref().err()) {
            refused(refusal, "batchOverlap", stage.task());
        }
    }),
    ("many collections of what is to come keep none waiting", |stage| {
        let window = stage.window();
        stage.small_batch(window);
        let ask = |number| {
            let request = collection(query(Time(now().0 + 1000 + number), 1));
            let answer = stage.world.ask_collection_of(&stage.world.tasks[2], &request).send();
            refused(&answer, "batchInvalid", &stage.world.tasks[2]);
        };
        (0..200).for_each(ask);
        stage.expect(window, &SMALL_BATCH);
    }),
    ("a stranger's report in a window beside a batch", |stage| {
        let windows = [stage.window(), stage.window()];
        stage.small_batch(windows[0]);
        stage.batch(windows[1], &SMALL_BATCH[..1]);
        stage.unharmed(|| {
            let refusal = stage.world.collect_of(stage.task(), query(windows[0], 2)).unwrap_err();
            let problem = refused(&refusal, "invalidBatchSize", stage.task());
            let detail = problem["detail"].as_str().unwrap();
            assert!(detail.contains("one by one"), "{detail}");
        });
        stage.expect(windows[0], &SMALL_BATCH);
    }),
];

/// Deletes a job, after which it is gone, however often it is deleted.
fn abandon(task: &Task, location: &str) {
    for _ in 0..2 {
        Ask::delete(location).token(&task.collector_token).send().ok();
        untyped(&Ask::get(location).token(&task.collector_token).send(), 404);
    }
}

fn extended(stage: &Stage, types: &[u16]) -> CollectionJobReq {
    let extensions = extensions(types);
    CollectionJobReq { extensions, ..collection(query(stage.window(), 1)) }
}
