//! Aggregation jobs (§4.5): from a leader that holds the right token and means no good, or passes
//! on what clients mean no good with.

mod forgeries;

use self::forgeries::FORGERIES;
use super::{
    message::Message,
    raw,
    refusal::{refused, typed, untyped},
    stage::{Case, LONGEST, SMALL_BATCH, Stage, query},
    upload::{bad_ids, stranger},
};
use crate::support::{
    device::{Shares, extensions},
    http::{Answer, Ask},
    peer::{ask_job, ask_share, job, share_request, verdicts, verify_init},
    task::{HISTOGRAM, Task, TaskSpec, now},
};
use serde_json::json;
use sottovoce_dap::{
    aggregate::{
        AggregationJobContinueReq, AggregationJobInitReq, VerifyContinue, VerifyInit,
        leader_selected_batch_id,
    },
    codec::Encode,
    extension::{Extension, UncheckedExtensions},
    ids::{AggregationJobId, BatchId, ReportId},
    media_type::MediaType,
    task::{BatchMode, VdafConfig},
    time::{Interval, Time},
    upload::ReportError::{BatchCollected, ReportReplayed, UnknownVerificationKeyId},
};

#[test]
fn nobody_harms_an_aggregation_job() {
    let task_interval = Some(Interval::new(Time(now().0 - 3000), 2000).unwrap());
    let tasks = vec![
        TaskSpec::default(),
        TaskSpec { task_interval, ..TaskSpec::default() },
        TaskSpec::new(VdafConfig::Prio3Count, BatchMode::TimeInterval),
        TaskSpec::new(HISTOGRAM, BatchMode::LeaderSelected),
    ];
    Stage::new(tasks).attacks(ATTACKS).plots(PLOTS).end();
}

const ATTACKS: &[Case] = &[
    ("a job that is broken at any field", |stage| {
        let job = job(vec![init(stage, stage.task()), init(stage, stage.task())]);
        for (what, body) in Message::aggregation_job(&job).broken() {
            println!("{what}");
            let answer = ask_job(stage.task(), &job).body(body).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a job of a leader-selected task that is broken at any field", |stage| {
        let task = &stage.world.tasks[3];
        let extension = leader_selected_batch_id(BatchId::random().unwrap());
        let extensions = UncheckedExtensions::new(vec![extension]).unwrap();
        let job = AggregationJobInitReq { extensions, ..job(vec![init(stage, task)]) };
        for (what, body) in Message::aggregation_job(&job).broken() {
            println!("{what}");
            refused(&ask_job(task, &job).body(body).send(), "invalidMessage", task);
        }
    }),
    ("a task that nobody knows", |stage| {
        let stranger = stranger(stage.task());
        let answer = ask_job(&stranger, &job(vec![init(stage, &stranger)])).send();
        refused(&answer, "unrecognizedTask", &stranger);
    }),
    ("a task ID that is none", |stage| {
        let (task, id) = (stage.task(), stage.task().id.to_string());
        for bad in bad_ids(&id) {
            let url = task.at_helper("aggregation_jobs").replace(&id, &bad);
            let ask = Ask::post(&url, MediaType::AggregationJobInitReq, Vec::new());
            typed(&ask.token(&task.leader_token).send(), "unrecognizedTask");
        }
    }),
    ("a media type of another message, or none", |stage| {
        let job = job(vec![init(stage, stage.task())]);
        for media_type in ["", "application/json", "application/ppm-dap;message=upload-req"] {
            let answer = ask_job(stage.task(), &job).media_type(media_type).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a job that is too long", |stage| {
        let ask = ask_job(stage.task(), &job(Vec::new()));
        untyped(&ask.body(vec![0; LONGEST + 1]).send(), 413);
    }),
    ("a report ID twice", |stage| {
        let (one, other) = (init(stage, stage.task()), init(stage, stage.task()));
        for inits in [
            vec![one.clone(), one.clone()],
            vec![one.clone(), other.clone(), one.clone()],
            vec![one.clone(), other.clone(), other],
            vec![one; 500],
        ] {
            let answer = ask_job(stage.task(), &job(inits)).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a verification key that was not agreed on", |stage| {
        let honest = || init(stage, stage.task());
        let (_, _, _, forge) = FORGERIES[0];
        for verification_key_id in [1, 127, 255] {
            for inits in [vec![], vec![honest()], vec![honest(), forge(stage, stage.task())]] {
                let expected = vec![Some(UnknownVerificationKeyId); inits.len()];
                let job = AggregationJobInitReq { verification_key_id, ..job(inits) };
                assert_eq!(verdicts(ask_job(stage.task(), &job).send()), expected);
            }
        }
    }),
    ("a job that is wrong as a whole, under a verification key that was not agreed on", |stage| {
        let one = init(stage, stage.task());
        let job = job(vec![one.clone(), one]);
        let job = AggregationJobInitReq { verification_key_id: 1, ..job };
        refused(&ask_job(stage.task(), &job).send(), "invalidMessage", stage.task());
        let job = AggregationJobInitReq { verification_key_id: 1, ..extended(stage, &[8]) };
        refused(&ask_job(stage.task(), &job).send(), "unsupportedExtension", stage.task());
    }),
    ("an aggregation parameter that Prio3 does not have", |stage| {
        for agg_param in [vec![0], vec![0; 4], vec![0xff; 100_000]] {
            let agg_param = agg_param.try_into().unwrap();
            let job = job(vec![init(stage, stage.task())]);
            let job = AggregationJobInitReq { agg_param, ..job };
            let answer = ask_job(stage.task(), &job).send();
            refused(&answer, "invalidAggregationParameter", stage.task());
        }
    }),
    ("extensions that nobody knows", |stage| {
        // The first is known, but has no business in a time-interval task.
        for types in [&[1][..], &[0], &[1, 8], &[2, 3, 65535]] {
            let answer = ask_job(stage.task(), &extended(stage, types)).send();
            let problem = refused(&answer, "unsupportedExtension", stage.task());
            assert_eq!(problem["unsupported_extensions"], json!(types));
        }
    }),
    ("extensions twice or out of order", |stage| {
        for types in [&[1, 1][..], &[9, 8], &[2, 5, 5], &[65535, 0]] {
            let answer = ask_job(stage.task(), &extended(stage, types)).send();
            refused(&answer, "invalidMessage", stage.task());
        }
    }),
    ("a leader-selected batch that is not named, or not by an ID", |stage| {
        let task = &stage.world.tasks[3];
        let named = |lengths: &[usize]| {
            let extension = |length: &usize| Extension {
                extension_type: 1,
                extension_data: vec![7; *length].try_into().unwrap(),
            };
            let extensions = lengths.iter().map(extension).collect();
            let extensions = UncheckedExtensions::new(extensions).unwrap();
            AggregationJobInitReq { extensions, ..job(vec![init(stage, task)]) }
        };
        for lengths in [&[][..], &[0], &[31], &[33], &[64], &[32, 32]] {
            refused(&ask_job(task, &named(lengths)).send(), "invalidMessage", task);
        }
    }),
    ("every report that is not what it should be, alone", |stage| {
        for (what, task, expected, forge) in FORGERIES {
            let task = &stage.world.tasks[*task];
            let answer = ask_job(task, &job(vec![forge(stage, task)])).send();
            assert_eq!(verdicts(answer), [Some(*expected)], "{what}");
        }
    }),
    ("a job that has no report", |stage| {
        let answer = ask_job(stage.task(), &job(Vec::new())).send();
        assert_eq!(verdicts(answer), []);
    }),
    ("a job that was never there", |stage| {
        let (task, id) = (stage.task(), AggregationJobId::new([7; 16]));
        let url = task.at_helper(&format!("aggregation_jobs/{id}"));
        for query in ["?step=0", "?step=1", ""] {
            let answer = Ask::get(&format!("{url}{query}")).token(&task.leader_token).send();
            refused(&answer, "unrecognizedAggregationJob", task);
        }
        for step in [0, 1, 2] {
            refused(&continued(task, &url, step), "unrecognizedAggregationJob", task);
        }
        Ask::delete(&url).token(&task.leader_token).send().ok();
    }),
    ("a job ID that is none", |stage| {
        let task = stage.task();
        for bad in bad_ids(&AggregationJobId::new([7; 16]).to_string()) {
            let url = task.at_helper(&format!("aggregation_jobs/{bad}"));
            untyped(&Ask::get(&format!("{url}?step=0")).token(&task.leader_token).send(), 404);
            untyped(&Ask::delete(&url).token(&task.leader_token).send(), 404);
            untyped(&continued(task, &url, 1), 404);
        }
    }),
];

const PLOTS: &[Case] = &[
    ("forgeries among honest reports", |stage| {
        let window = stage.window();
        let forged = FORGERIES.iter().filter(|(_, task, ..)| *task == 0);
        let (mut expected, mut inits): (Vec<_>, Vec<_>) = forged
            .map(|(_, _, expected, forge)| (Some(*expected), forge(stage, stage.task())))
            .unzip();
        let (honest, ids) = batch(stage, window);
        for (number, init) in honest.into_iter().enumerate() {
            inits.insert(3 * number, init);
            expected.insert(3 * number, None);
        }
        assert_eq!(verdicts(ask_job(stage.task(), &job(inits)).send()), expected);
        ask_share(stage.task(), &share_request(query(window, 1), &ids)).send().ok();
    }),
    ("a job that is over is continued", |stage| {
        let (_, location) = done(stage);
        stage.unharmed(|| {
            refused(&continued(stage.task(), &location, 0), "invalidMessage", stage.task());
            for step in [1, 2, 0x100, 0xffff] {
                let answer = continued(stage.task(), &location, step);
                refused(&answer, "stepMismatch", stage.task());
            }
        });
    }),
    ("a continuation that is broken at any field", |stage| {
        let (init, location) = done(stage);
        let verify = VerifyContinue {
            report_id: init.report_share.report_metadata.report_id,
            payload: vec![1, 2, 3].try_into().unwrap(),
        };
        let request =
            AggregationJobContinueReq { step: 1, verify_continues: vec![verify.clone(), verify] };
        let ask = Ask::post(&location, MediaType::AggregationJobContinueReq, Vec::new())
            .token(&stage.task().leader_token);
        stage.unharmed(|| {
            for (what, body) in Message::continuation(&request).broken() {
                println!("{what}");
                refused(&ask.clone().body(body).send(), "invalidMessage", stage.task());
            }
            untyped(&ask.clone().body(vec![0; LONGEST + 1]).send(), 413);
            let answer = ask.clone().body(request.to_bytes()).media_type("x/y").send();
            refused(&answer, "invalidMessage", stage.task());
        });
    }),
    ("a poll of a step that there is not", |stage| {
        let (_, location) = done(stage);
        let get = |query: &str| {
            Ask::get(&format!("{location}{query}")).token(&stage.task().leader_token).send()
        };
        stage.unharmed(|| {
            for query in [
                "",
                "?",
                "?step",
                "?step=",
                "?step=1",
                "?step=65535",
                "?step=65536",
                "?step=-0",
                "?step=%30",
                "?step=0x0",
                "?Step=0",
                "?steps=0",
                "?step=0;",
                "?step=zero",
            ] {
                println!("{query}");
                refused(&get(query), "stepMismatch", stage.task());
            }
            get("?step=0").ok();
        });
    }),
    ("another task's job", |stage| {
        let (_, location) = done(stage);
        let other = &stage.world.tasks[1];
        let url = location.replace(&stage.task().id.to_string(), &other.id.to_string());
        stage.unharmed(|| {
            let answer = Ask::get(&format!("{url}?step=0")).token(&other.leader_token).send();
            refused(&answer, "unrecognizedAggregationJob", other);
            Ask::delete(&url).token(&other.leader_token).send().ok();
        });
        let mine = Ask::get(&format!("{location}?step=0")).token(&stage.task().leader_token);
        mine.send().ok();
    }),
    ("a job is deleted and sent again", |stage| {
        let window = stage.window();
        let (inits, ids) = batch(stage, window);
        let job = job(inits);
        let location = ask_job(stage.task(), &job).send().location();
        stage.unharmed(|| {
            for _ in 0..2 {
                Ask::delete(&location).token(&stage.task().leader_token).send().ok();
            }
            let again = ask_job(stage.task(), &job).send();
            assert_eq!(verdicts(again), [Some(ReportReplayed); 5]);
        });
        ask_share(stage.task(), &share_request(query(window, 1), &ids)).send().ok();
    }),
    ("reports in one job, then in others", |stage| {
        let window = stage.window();
        let (mut inits, ids) = batch(stage, window);
        let job_of = |inits: &[VerifyInit]| job(inits.to_vec());
        assert_eq!(verdicts(ask_job(stage.task(), &job_of(&inits)).send()), [None; 5]);
        stage.unharmed(|| {
            inits.reverse();
            let turned = ask_job(stage.task(), &job_of(&inits)).send();
            assert_eq!(verdicts(turned), [Some(ReportReplayed); 5]);
            let some = ask_job(stage.task(), &job_of(&inits[..2])).send();
            assert_eq!(verdicts(some), [Some(ReportReplayed); 2]);
        });
        ask_share(stage.task(), &share_request(query(window, 1), &ids)).send().ok();
    }),
    ("one report in many jobs at once", |stage| {
        let window = stage.window();
        let (inits, ids) = batch(stage, window);
        let verdicts: Vec<_> = std::thread::scope(|scope| {
            let inits = &inits;
            let jobs: Vec<_> = (0..8)
                .map(|number| {
                    // Another order or another length makes another job.
                    let mut inits = inits[number % 5..].to_vec();
                    inits.truncate(if number < 5 { 5 } else { 1 });
                    scope.spawn(move || verdicts(ask_job(stage.task(), &job(inits)).send()))
                })
                .collect();
            jobs.into_iter().flat_map(|job| job.join().unwrap()).collect()
        });
        assert_eq!(verdicts.iter().filter(|verdict| verdict.is_none()).count(), 5);
        ask_share(stage.task(), &share_request(query(window, 1), &ids)).send().ok();
    }),
    ("a leader-selected report in two batches", |stage| {
        let task = &stage.world.tasks[3];
        let init = init(stage, task);
        let in_some_batch = || {
            let extension = leader_selected_batch_id(BatchId::random().unwrap());
            let extensions = UncheckedExtensions::new(vec![extension]).unwrap();
            AggregationJobInitReq { extensions, ..job(vec![init.clone()]) }
        };
        assert_eq!(verdicts(ask_job(task, &in_some_batch()).send()), [None]);
        stage.unharmed(|| {
            let again = ask_job(task, &in_some_batch()).send();
            assert_eq!(verdicts(again), [Some(ReportReplayed)]);
        });
    }),
    ("a report for a batch whose share was given out", |stage| {
        let window = stage.window();
        let (inits, ids) = batch(stage, window);
        ask_job(stage.task(), &job(inits.clone())).send().ok();
        ask_share(stage.task(), &share_request(query(window, 1), &ids)).send().ok();
        stage.unharmed(|| {
            let late = init_of(stage, stage.task(), &stage.shares(stage.task(), window));
            let answer = ask_job(stage.task(), &job(vec![late])).send();
            assert_eq!(verdicts(answer), [Some(BatchCollected)]);
            let again = ask_job(stage.task(), &job(inits[1..].to_vec())).send();
            assert_eq!(verdicts(again), [Some(BatchCollected); 4]);
        });
    }),
    ("a job that breaks off", |stage| {
        let job = job(vec![init(stage, stage.task())]);
        let body = job.to_bytes();
        let start = format!("POST /dap/v19/tasks/{}/aggregation_jobs", stage.task().id);
        let headers = format!(
            "Authorization: Bearer {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n",
            stage.task().leader_token,
            MediaType::AggregationJobInitReq,
            body.len()
        );
        stage.unharmed(|| {
            let bytes = raw::request(&start, &headers, &body[..body.len() - 1]);
            let mut stream = raw::connect(stage.world.helper.port);
            std::io::Write::write_all(&mut stream, &bytes).unwrap();
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            for answer in raw::answers(&raw::read_all(&mut stream)) {
                typed(&answer, "invalidMessage");
            }
        });
        assert_eq!(verdicts(ask_job(stage.task(), &job).send()), [None]);
    }),
];

/// A report for the helper as the leader would hand it over.
fn init(stage: &Stage, task: &Task) -> VerifyInit {
    init_of(stage, task, &stage.shares(task, stage.world.window))
}

fn init_of(stage: &Stage, task: &Task, shares: &Shares) -> VerifyInit {
    verify_init(task, shares, &shares.seal(task, stage.world.keys()))
}

/// As many reports as make a batch, of which the leader knows nothing.
fn batch(stage: &Stage, window: Time) -> (Vec<VerifyInit>, Vec<ReportId>) {
    let one = |measurement| {
        let shares = Shares::new(stage.task(), measurement, window);
        (init_of(stage, stage.task(), &shares), shares.metadata.report_id)
    };
    SMALL_BATCH.iter().map(one).unzip()
}

/// A report whose job is done, and where the job is.
fn done(stage: &Stage) -> (VerifyInit, String) {
    let init = init_of(stage, stage.task(), &stage.shares(stage.task(), stage.window()));
    let answer = ask_job(stage.task(), &job(vec![init.clone()])).send();
    let location = answer.location();
    assert_eq!(verdicts(answer), [None]);
    (init, location)
}

fn continued(task: &Task, url: &str, step: u16) -> Answer {
    let body = AggregationJobContinueReq { step, verify_continues: Vec::new() }.to_bytes();
    let ask = Ask::post(url, MediaType::AggregationJobContinueReq, body);
    ask.token(&task.leader_token).send()
}

fn extended(stage: &Stage, types: &[u16]) -> AggregationJobInitReq {
    AggregationJobInitReq { extensions: extensions(types), ..job(vec![init(stage, stage.task())]) }
}
