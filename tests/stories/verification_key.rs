//! A helper that does not know the leader's verification key: no report is lost, and each counts once.

use super::{
    impostor::{Impostor, Received, Reply},
    server::free_port,
    task::{HISTOGRAM, sample},
    world::{World, WorldOptions, seeded},
};
use reqwest::Method;
use sottovoce_dap::{
    aggregate::{AggregationJobInitReq, AggregationJobResp, VerifyAnswer, VerifyResp},
    codec::{Decode, Encode},
    media_type::MediaType,
    upload::ReportError,
};
use std::sync::{Arc, Mutex};

/// Jobs that are rejected: enough that one is cut in halves.
const REJECTED: usize = 6;

/// What the helper remembers: the bodies of jobs that it rejected, until they are deleted.
#[derive(Default)]
struct Rejected(Vec<Option<Vec<u8>>>);

impl Rejected {
    /// The number of a job, if it is one that is rejected.
    fn number(&mut self, body: &[u8]) -> Option<usize> {
        if let Some(number) = self.0.iter().position(|kept| kept.as_deref() == Some(body)) {
            return Some(number);
        }
        (self.0.len() < REJECTED).then(|| {
            self.0.push(Some(body.to_vec()));
            self.0.len() - 1
        })
    }

    /// Deletes a job that was rejected; says whether there is one.
    fn delete(&mut self, path: &str) -> bool {
        let number = path.rsplit_once("/rejected-").and_then(|(_, number)| number.parse().ok());
        number.is_some_and(|number: usize| self.0[number].take().is_some())
    }
}

/// Rejects all reports of a job.
fn reject(request: &Received, number: usize) -> Reply {
    let job = AggregationJobInitReq::from_bytes(&request.body).unwrap();
    let verify_resps = job.verify_inits.iter().map(|init| VerifyResp {
        report_id: init.report_share.report_metadata.report_id,
        answer: VerifyAnswer::Reject(ReportError::UnknownVerificationKeyId),
    });
    let body = AggregationJobResp { verify_resps: verify_resps.collect() }.to_bytes();
    let location = format!("{}/rejected-{number}", request.path);
    let media_type = MediaType::AggregationJobResp.to_string();
    Reply::Say(200, vec![("content-type", media_type), ("location", location)], body)
}

/// A helper that learns the key late, and gives the same bytes the same answer until it is deleted.
fn learns_late(port: Arc<Mutex<u16>>) -> Impostor {
    let rejected = Mutex::new(Rejected::default());
    Impostor::start(free_port(), move |request| {
        let is_job = request.method == Method::POST && request.path.ends_with("/aggregation_jobs");
        if is_job && let Some(number) = rejected.lock().unwrap().number(&request.body) {
            return reject(request, number);
        }
        if request.method == Method::DELETE && rejected.lock().unwrap().delete(&request.path) {
            return Reply::Say(204, Vec::new(), Vec::new());
        }
        request.pass_on(*port.lock().unwrap()).map_or(Reply::HangUp, Reply::from)
    })
}

#[test]
fn reports_that_were_rejected_for_their_key_count_once_the_helper_knows_it() {
    let port = Arc::new(Mutex::new(0));
    let helper = learns_late(Arc::clone(&port));
    let helper_seen_at = Some(helper.port());
    let world = World::start(WorldOptions { helper_seen_at, ..Default::default() });
    *port.lock().unwrap() = world.helper.port;
    let measurements = sample(&HISTOGRAM, 30, &mut seeded(52));
    world.upload_all(&world.reports(&measurements));
    world.expect(&measurements);

    let is_delete =
        |seen: &&Received| seen.method == Method::DELETE && seen.path.contains("/rejected-");
    assert_eq!(helper.seen().iter().filter(is_delete).count(), REJECTED);
    let log = world.leader.log();
    assert!(log.contains("the helper does not know our verification key 0"), "{log}");
    assert!(log.contains("splitting an aggregation job in half"), "{log}");
}
