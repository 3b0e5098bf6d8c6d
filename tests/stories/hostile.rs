//! Requests that no well-behaved party makes: each is refused as the draft says, none harms.

use super::{
    device::{Shares, extensions, request},
    http::{Answer, Ask},
    peer,
    task::{HISTOGRAM, Task, TaskSpec, now, sample},
    world::{World, WorldOptions, seeded},
};
use rand::RngExt;
use sottovoce_collector::collect::request as collection;
use sottovoce_dap::{
    codec::{Decode, Encode},
    collect::{BatchInterval, CollectionJobReq, Query},
    ids::{AggregationJobId, TaskId},
    media_type::MediaType,
    problem::ProblemType::{
        BatchInvalid, InvalidAggregationParameter, InvalidExtension, InvalidMessage,
        UnrecognizedTask, UnsupportedExtension,
    },
    time::{Interval, Time},
    upload::ReportError::{self, HpkeUnknownConfigId, ReportDropped},
    vdaf::shard::Measurement::Bin,
};
use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
};

/// All requests that need a token, without one, and the token they need.
fn guarded(task: &Task) -> Vec<(Ask, &str)> {
    let id = AggregationJobId::new([7; 16]);
    let post = |url: String, media_type| Ask::post(&url, media_type, Vec::new());
    let collection = task.at_leader(&format!("collection_jobs/{id}"));
    let job = task.at_helper(&format!("aggregation_jobs/{id}"));
    let share = task.at_helper(&format!("aggregate_shares/{id}"));
    let (leader, collector) = (task.leader_token.as_str(), task.collector_token.as_str());
    vec![
        (post(task.at_leader("collection_jobs"), MediaType::CollectionJobReq), collector),
        (Ask::get(&collection), collector),
        (Ask::delete(&collection), collector),
        (post(task.at_helper("aggregation_jobs"), MediaType::AggregationJobInitReq), leader),
        (Ask::get(&format!("{job}?step=0")), leader),
        (post(job.clone(), MediaType::AggregationJobContinueReq), leader),
        (Ask::delete(&job), leader),
        (post(task.at_helper("aggregate_shares"), MediaType::AggregateShareReq), leader),
        (Ask::get(&share), leader),
        (Ask::delete(&share), leader),
    ]
}

#[test]
fn nobody_gets_in_without_the_right_token() {
    let tasks = vec![TaskSpec::default(), TaskSpec::default()];
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    let (task, other) = (&world.tasks[0], &world.tasks[1]);
    for (number, (ask, right)) in guarded(task).into_iter().enumerate() {
        let unauthorized = |answer: Answer| {
            assert_eq!(answer.status, 401, "request {number}: {}", answer.text());
            assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            answer.problem();
        };
        unauthorized(ask.clone().send());
        for wrong in ["", "x", &right[1..], &other.leader_token, &other.collector_token] {
            unauthorized(ask.clone().token(wrong).send());
        }
        let across =
            if right == task.leader_token { &task.collector_token } else { &task.leader_token };
        unauthorized(ask.clone().token(across).send());
        assert_ne!(ask.token(right).send().status, 401, "request {number}");
    }
}

#[test]
fn an_unknown_task_is_not_recognized() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let stranger = Task::new(
        &TaskSpec::default(),
        task.configuration.leader_aggregator_endpoint.as_str(),
        task.configuration.helper_aggregator_endpoint.as_str(),
    );
    let upload = Ask::post(&stranger.at_leader("reports"), MediaType::UploadReq, Vec::new());
    for ask in guarded(&stranger).into_iter().map(|(ask, token)| ask.token(token)).chain([upload]) {
        let answer = ask.send();
        answer.refused_as(UnrecognizedTask);
        assert_eq!(answer.problem().taskid, Some(stranger.id));
    }
}

#[test]
fn garbage_in_a_url_is_not_found() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let leader = task.configuration.leader_aggregator_endpoint.as_str();
    let long = "A".repeat(5000);
    for garbage in ["x", "%00", "..", "A=", "%ff", &long, &TaskId::new([1; 32]).to_string()[1..]] {
        let url = format!("{leader}tasks/{garbage}/reports");
        let answer = Ask::post(&url, MediaType::UploadReq, Vec::new()).send();
        assert!((400..500).contains(&answer.status), "{garbage}: {}", answer.text());
        for (url, token) in [
            (task.at_leader(&format!("collection_jobs/{garbage}")), &task.collector_token),
            (task.at_helper(&format!("aggregation_jobs/{garbage}?step=0")), &task.leader_token),
            (task.at_helper(&format!("aggregate_shares/{garbage}")), &task.leader_token),
        ] {
            let status = Ask::get(&url).token(token).send().status;
            assert!(matches!(status, 400 | 404 | 405), "{url}: {status}");
        }
    }
    for path in ["", "tasks", "hpke_config/x", "dap/hpke_config"] {
        assert_eq!(Ask::get(&format!("{leader}{path}")).send().status, 404, "{path}");
    }
    assert_eq!(Ask::delete(&format!("{leader}hpke_config")).send().status, 405);
    for (ask, token) in guarded(task).into_iter().take(3).skip(1) {
        assert!(matches!(ask.token(token).send().status, 200 | 404));
    }
}

#[test]
fn a_body_must_be_the_message_it_should_be() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let upload = world.ask_upload(request(&world.reports(&[Bin(1)])));
    let others = ["", "text/html", "application/ppm-dap", "application/ppm-dap;message=upload"];
    let of_another_draft = "application/ppm-dap;message=upload-req;version=17";
    for media_type in others.into_iter().chain([of_another_draft]) {
        upload.clone().media_type(media_type).send().refused_as(InvalidMessage);
    }
    for (ask, token) in guarded(task) {
        // An empty body is no collection job, no share request, and no continuation.
        let status = ask.clone().token(token).send().status;
        assert!((200..500).contains(&status), "{status}");
        let answer = ask.clone().body(vec![0xff; 100]).media_type("x/y").token(token).send();
        assert!((200..500).contains(&answer.status), "{}", answer.text());
    }
    let answer = upload.media_type("Application/PPM-DAP; message=\"upload-req\"").send();
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[test]
fn too_long_a_body_is_refused() {
    let limits = "upload_bytes = 10000\naggregation_job_bytes = 5000\nrequest_bytes = 1000";
    let world = World::start(WorldOptions { limits, ..Default::default() });
    let task = world.task();
    for (ask, limit) in [
        (world.ask_upload(Vec::new()), 10_000),
        (peer::ask_job(task, &peer::job(Vec::new())), 5000),
        (world.ask_collection(&collection(world.query())), 1000),
        (peer::ask_share(task, &peer::share_request(world.query(), &[])), 1000),
    ] {
        let fits = ask.clone().body(vec![0; limit]).send();
        assert_eq!(fits.status, 400, "{}", fits.text());
        let too_long = ask.body(vec![0; limit + 1]).send();
        assert_eq!(too_long.status, 413);
        assert!(too_long.problem().detail.as_str().contains(&limit.to_string()));
    }
}

#[test]
fn a_request_that_breaks_off_harms_nobody() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let body = request(&world.reports(&[Bin(1), Bin(2)]));
    for sent in [0, 1, body.len() / 2, body.len() - 1] {
        let head = format!(
            "POST /tasks/{}/reports HTTP/1.1\r\nHost: x\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n\r\n",
            task.id,
            MediaType::UploadReq,
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", world.leader.port)).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body[..sent]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let measurements = sample(&HISTOGRAM, 6, &mut seeded(30));
    world.upload_all(&world.reports(&measurements));
    world.expect(&measurements);
}

#[test]
fn reports_are_refused_one_by_one_with_their_reasons() {
    let start = now().0 - 110;
    let task_interval = Some(Interval::new(Time(start), 20).unwrap());
    let tasks = vec![TaskSpec { task_interval, ..TaskSpec::default() }, TaskSpec::default()];
    let world = World::start(WorldOptions { tasks, ..Default::default() });
    let (task, endless) = (&world.tasks[0], &world.tasks[1]);
    let at = |task, time| Shares::new(task, &Bin(2), Time(time)).seal(task, world.keys());
    let extended = |types: &[u16]| {
        let mut shares = Shares::new(task, &Bin(2), world.window);
        shares.metadata.public_extensions = extensions(types);
        shares.seal(task, world.keys())
    };
    let mut outdated = at(task, start);
    outdated.leader_encrypted_input_share.config_id.0 ^= 1;
    let too_early = at(endless, now().0 + 7);
    assert_eq!(world.upload_to(endless, &[too_early]), [ReportError::ReportTooEarly]);
    assert_eq!(world.upload_to(endless, &[at(endless, u64::MAX)]), [ReportError::ReportTooEarly]);

    let measurements = [Bin(0), Bin(1), Bin(1), Bin(4), Bin(5)];
    let mut reports = world.reports(&measurements);
    reports.insert(1, at(task, start - 1));
    reports.insert(3, at(task, start + 20));
    reports.insert(4, outdated);
    reports.push(extended(&[5]));
    let unsupported = ReportError::UnsupportedExtension;
    let expected = [ReportDropped, ReportDropped, HpkeUnknownConfigId, unsupported];
    assert_eq!(world.upload(&reports), expected);
    world.expect(&measurements);

    let only = [extended(&[9, 700]), extended(&[9]), extended(&[11])];
    assert_eq!(world.upload(&only), [unsupported; 3]);
    assert_eq!(world.upload(&[extended(&[9, 9])]), [ReportError::InvalidMessage]);
    assert_eq!(world.upload(&[extended(&[9, 8])]), [ReportError::InvalidMessage]);
    assert_eq!(world.upload(&[]), []);
}

#[test]
fn a_collector_is_told_what_is_wrong_with_its_request() {
    let world = World::with_task(TaskSpec::default());
    let good = collection(world.query());
    let refused = |request: CollectionJobReq, kind| {
        let answer = world.ask_collection(&request).send();
        answer.refused_as(kind);
        answer.problem()
    };
    refused(collection(Query::LeaderSelected), InvalidMessage);
    let agg_param = vec![0].try_into().unwrap();
    refused(CollectionJobReq { agg_param, ..good.clone() }, InvalidAggregationParameter);
    let extended = |types| CollectionJobReq { extensions: extensions(types), ..good.clone() };
    refused(extended(&[4, 3]), InvalidExtension);
    refused(extended(&[3, 3]), InvalidExtension);
    let problem = refused(extended(&[3, 4]), UnsupportedExtension);
    assert_eq!(problem.unsupported_extensions, Some(vec![3, 4]));
    for (start, duration) in [(world.window.0, 0), (0, 0), (u64::MAX, 2), (5, u64::MAX)] {
        let bytes = [start.to_be_bytes(), duration.to_be_bytes()].concat();
        let interval = BatchInterval::from_bytes(&bytes).unwrap();
        refused(collection(Query::TimeInterval(interval)), BatchInvalid);
    }
    let bytes = good.to_bytes();
    for length in 0..bytes.len() {
        let ask = world.ask_collection(&good).body(bytes[..length].to_vec());
        ask.send().refused_as(InvalidMessage);
    }
    world.ask_collection(&good).body([&bytes[..], &[0]].concat()).send().refused_as(InvalidMessage);
}

#[test]
fn no_malformed_message_makes_a_server_fail() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let mut rng = seeded(31);
    let shares = Shares::new(task, &Bin(3), world.window);
    let report = shares.seal(task, world.keys());
    let job = peer::job(vec![peer::verify_init(task, &shares, &report)]);
    let share = peer::share_request(world.query(), &[shares.metadata.report_id]);
    for (ask, body) in [
        (world.ask_upload(Vec::new()), request(&[report.clone(), report])),
        (peer::ask_job(task, &job), job.to_bytes()),
        (peer::ask_share(task, &share), share.to_bytes()),
    ] {
        for round in 0..60 {
            let at = rng.random_range(0..body.len());
            let mut bad = body.clone();
            match round % 3 {
                0 => bad.truncate(at),
                1 => bad[at] ^= 1 << rng.random_range(0..8),
                _ => bad[at] = 0xff,
            }
            let answer = ask.clone().body(bad).send();
            assert!(answer.status < 500, "byte {at}: {} {}", answer.status, answer.text());
        }
    }
    for server in [&world.leader, &world.helper] {
        assert!(!server.log().contains("panicked"), "{}", server.log());
        assert!(!server.log().contains(" ERROR "), "{}", server.log());
    }
}
