//! The helper by itself, with a story in the leader's place: the same request has the same effect
//! and answer however often it comes.

use super::{
    device::{Shares, extensions},
    http::Ask,
    peer,
    task::{HISTOGRAM, TaskSpec, sample},
    world::{World, seeded},
};
use sottovoce_dap::{
    aggregate::{
        AggregationJobContinueReq, AggregationJobInitReq, Checksum, VerifyInit,
        leader_selected_batch_id,
    },
    codec::{Decode, Encode, Opaque, U32},
    collect::{
        AggregateShare, AggregateShareReq, CollectionJobReq, aggregate_share_aad,
        aggregate_share_info,
    },
    extension::{Extension, UncheckedExtensions},
    hpke::native::Opener,
    ids::{BatchId, ReportId},
    media_type::MediaType,
    problem::ProblemType::{
        self, BatchInvalid, BatchMismatch, BatchOverlap, InvalidAggregationParameter,
        InvalidBatchSize, InvalidMessage, StepMismatch, UnrecognizedAggregationJob,
        UnsupportedExtension,
    },
    role::Role,
    task::BatchMode,
    time::Time,
    upload::ReportError,
};

/// Reports of the world's window, ready for the helper.
fn inits(world: &World, count: usize, seed: u64) -> (Vec<VerifyInit>, Vec<ReportId>) {
    inits_of(world, world.window, count, seed)
}

/// The same of any window.
fn inits_of(
    world: &World,
    window: Time,
    count: usize,
    seed: u64,
) -> (Vec<VerifyInit>, Vec<ReportId>) {
    let task = world.task();
    let init = |measurement| {
        let shares = Shares::new(task, &measurement, window);
        let report = shares.seal(task, world.keys());
        (peer::verify_init(task, &shares, &report), shares.metadata.report_id)
    };
    sample(&HISTOGRAM, count, &mut seeded(seed)).into_iter().map(init).unzip()
}

#[test]
fn the_same_job_twice_is_done_once_and_answered_alike() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let (inits, ids) = inits(&world, 6, 40);
    let job = peer::job(inits);
    let first = peer::ask_job(task, &job).send();
    let location = first.location();
    let again = || {
        let answer = peer::ask_job(task, &job).send();
        assert_eq!((answer.location(), answer.body), (location.clone(), first.body.clone()));
        let poll = Ask::get(&format!("{location}?step=0")).token(&task.leader_token).send();
        assert_eq!(poll.ok(), first.body);
    };
    again();
    world.helper.kill();
    world.helper.start();
    again();

    let mut share = peer::share_request(world.query(), &ids);
    share.report_count = 12;
    peer::ask_share(task, &share).send().refused_as(BatchMismatch);
    share.report_count = 6;
    peer::ask_share(task, &share).send().ok();
}

#[test]
fn a_job_is_over_after_one_step_and_gone_after_delete() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let (inits, ids) = inits(&world, 5, 41);
    let job = peer::job(inits);
    let first = peer::ask_job(task, &job).send();
    let location = first.location();
    let continue_to = |step| {
        let body = AggregationJobContinueReq { step, verify_continues: Vec::new() }.to_bytes();
        let media_type = MediaType::AggregationJobContinueReq;
        Ask::post(&location, media_type, body).token(&task.leader_token).send()
    };
    continue_to(0).refused_as(InvalidMessage);
    continue_to(1).refused_as(StepMismatch);
    let get = |query: &str| Ask::get(&format!("{location}{query}")).token(&task.leader_token);
    get("?step=1").send().refused_as(StepMismatch);

    for _ in 0..2 {
        Ask::delete(&location).token(&task.leader_token).send().ok();
        get("?step=0").send().refused_as(UnrecognizedAggregationJob);
        continue_to(1).refused_as(UnrecognizedAggregationJob);
    }
    // The answer is forgotten, the reports are not.
    let refused = peer::verdicts(peer::ask_job(task, &job).send());
    assert_eq!(refused, [Some(ReportError::ReportReplayed); 5]);
    peer::ask_share(task, &peer::share_request(world.query(), &ids)).send().ok();
}

#[test]
fn a_job_is_refused_as_a_whole_for_what_is_wrong_with_the_whole() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let (inits, _) = inits(&world, 2, 42);
    let good = peer::job(inits.clone());
    let refused = |job: AggregationJobInitReq, kind: ProblemType| {
        let answer = peer::ask_job(task, &job).send();
        answer.refused_as(kind);
        answer.problem()
    };
    let agg_param: Opaque<0, U32> = vec![0].try_into().unwrap();
    let with_parameter = AggregationJobInitReq { agg_param, ..good.clone() };
    refused(with_parameter.clone(), InvalidAggregationParameter);
    let without_key = AggregationJobInitReq { verification_key_id: 1, ..with_parameter };
    refused(without_key, InvalidAggregationParameter);
    refused(peer::job(vec![inits[0].clone(), inits[1].clone(), inits[0].clone()]), InvalidMessage);
    let extended = |types| AggregationJobInitReq { extensions: extensions(types), ..good.clone() };
    let problem = refused(extended(&[1, 8]), UnsupportedExtension);
    assert_eq!(problem.unsupported_extensions, Some(vec![1, 8]));
    // Nothing of the above was committed.
    assert_eq!(peer::verdicts(peer::ask_job(task, &good).send()), [None; 2]);
}

#[test]
fn a_job_under_an_unknown_verification_key_is_rejected_report_by_report_and_nothing_is_kept() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let (inits, ids) = inits(&world, 5, 46);
    let good = peer::job(inits);
    let unknown = Some(ReportError::UnknownVerificationKeyId);
    for verification_key_id in [1, 2, 255] {
        let job = AggregationJobInitReq { verification_key_id, ..good.clone() };
        for _ in 0..2 {
            let answer = peer::ask_job(task, &job).send();
            let location = answer.location();
            assert_eq!(peer::verdicts(answer), [unknown; 5]);
            let get = Ask::get(&format!("{location}?step=0")).token(&task.leader_token);
            get.send().refused_as(UnrecognizedAggregationJob);
            Ask::delete(&location).token(&task.leader_token).send().ok();
        }
    }
    // The same reports count under the key that is known, once.
    assert_eq!(peer::verdicts(peer::ask_job(task, &good).send()), [None; 5]);
    peer::ask_share(task, &peer::share_request(world.query(), &ids)).send().ok();
}

#[test]
fn a_job_of_a_leader_selected_task_must_name_its_batch() {
    let world = World::with_task(TaskSpec::new(HISTOGRAM, BatchMode::LeaderSelected));
    let task = world.task();
    let (inits, _) = inits(&world, 3, 43);
    let job = |extensions: Vec<Extension>| AggregationJobInitReq {
        extensions: UncheckedExtensions::new(extensions).unwrap(),
        ..peer::job(inits.clone())
    };
    peer::ask_job(task, &job(Vec::new())).send().refused_as(InvalidMessage);
    let batch = leader_selected_batch_id(BatchId::random().unwrap());
    let short = Extension { extension_data: vec![1; 31].try_into().unwrap(), ..batch.clone() };
    peer::ask_job(task, &job(vec![short])).send().refused_as(InvalidMessage);
    let unknown = Extension { extension_type: 2, ..batch.clone() };
    peer::ask_job(task, &job(vec![batch.clone(), batch.clone()])).send().refused_as(InvalidMessage);
    let answer = peer::ask_job(task, &job(vec![batch.clone(), unknown])).send();
    answer.refused_as(UnsupportedExtension);
    assert_eq!(answer.problem().unsupported_extensions, Some(vec![2]));
    assert_eq!(peer::verdicts(peer::ask_job(task, &job(vec![batch])).send()), [None; 3]);
}

#[test]
fn a_share_is_given_out_once_and_found_again() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let (inits, ids) = inits(&world, 7, 44);
    let rest = peer::job(inits[4..].to_vec());
    peer::ask_job(task, &peer::job(inits[..4].to_vec())).send().ok();
    let good = peer::share_request(world.query(), &ids);
    peer::ask_share(task, &good).send().refused_as(InvalidBatchSize);
    peer::ask_job(task, &rest).send().ok();

    let refused = |request: AggregateShareReq, kind| {
        peer::ask_share(task, &request).send().refused_as(kind);
    };
    refused(AggregateShareReq { checksum: Checksum::new([1; 32]), ..good.clone() }, BatchMismatch);
    refused(peer::share_request(world.query(), &ids[1..]), BatchMismatch);
    let mut beside = good.clone();
    beside.batch_selector = peer::share_request(world.query_of(0, 2), &ids).batch_selector;
    refused(beside, BatchInvalid);

    let first = peer::ask_share(task, &good).send();
    let location = first.location();
    world.helper.kill();
    world.helper.start();
    let again = peer::ask_share(task, &good).send();
    assert_eq!((again.location(), &again.body), (location.clone(), &first.body));
    let poll = Ask::get(&location).token(&task.leader_token).send();
    assert_eq!(poll.ok(), first.body);

    refused(peer::share_request(world.query_of(0, 2), &ids), BatchOverlap);
    Ask::delete(&location).token(&task.leader_token).send().ok();
    assert_eq!(Ask::get(&location).token(&task.leader_token).send().status, 404);
    refused(good, BatchOverlap);
}

/// §5.1.2: the leader may select a part of what the collector asks for.
#[test]
fn a_selector_narrower_than_the_query_is_answered_once_and_the_rest_can_be_collected() {
    let world = World::with_task(TaskSpec::default());
    let task = world.task();
    let (mut all, mut ids) = (Vec::new(), Vec::new());
    for (number, seed) in (0..4).zip(60..) {
        let (inits, of_window) = inits_of(&world, Time(world.window.0 + number), 5, seed);
        all.extend(inits);
        ids.extend(of_window);
    }
    assert_eq!(peer::verdicts(peer::ask_job(task, &peer::job(all)).send()), [None; 20]);

    // Asked for are the windows from 0 to 3, selected 1 and 2.
    let inner = &ids[5..15];
    let selecting = |request: &AggregateShareReq, start, windows| {
        let batch_selector =
            peer::share_request(world.query_of(start, windows), inner).batch_selector;
        AggregateShareReq { batch_selector, ..request.clone() }
    };
    let whole = peer::share_request(world.query_of(0, 4), inner);
    let narrow = selecting(&whole, 1, 2);
    let refused = |request: &AggregateShareReq, kind| {
        peer::ask_share(task, request).send().refused_as(kind);
    };
    refused(&selecting(&whole, 1, 4), BatchInvalid);
    refused(&whole, BatchMismatch);
    refused(&selecting(&whole, 0, 2), BatchMismatch);

    let first = peer::ask_share(task, &narrow).send().ok();
    let sealed = AggregateShare::from_bytes(&first).unwrap().encrypted_aggregate_share;
    let opener = Opener::new(&task.collector).unwrap();
    let opens = |request: &CollectionJobReq| {
        let aad = aggregate_share_aad(&task.id, &task.configuration, request);
        opener.open(&sealed, &aggregate_share_info(Role::Helper), &aad).is_ok()
    };
    let other = peer::share_request(world.query_of(1, 2), inner);
    assert!(opens(&narrow.collection_job_req), "sealed for what was asked for");
    assert!(!opens(&other.collection_job_req), "not for what was selected");
    assert_eq!(peer::ask_share(task, &narrow).send().ok(), first);

    refused(&other, BatchOverlap);
    refused(&selecting(&peer::share_request(world.query_of(0, 3), inner), 1, 2), BatchOverlap);
    for (number, rest) in [(0, &ids[..5]), (3, &ids[15..])] {
        peer::ask_share(task, &peer::share_request(world.query_of(number, 1), rest)).send().ok();
    }
}
