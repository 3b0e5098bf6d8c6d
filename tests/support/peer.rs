//! Plays the leader towards the helper, with the leader's token, one message at a time.

use super::{
    device::Shares,
    http::{Answer, Ask},
    task::Task,
};
use sottovoce_dap::{
    aggregate::{
        AggregationJobInitReq, AggregationJobResp, Checksum, ReportShare, VerifyAnswer, VerifyInit,
    },
    codec::{Decode, Encode, Opaque},
    collect::{AggregateShareReq, BatchSelector, Query},
    extension::UncheckedExtensions,
    ids::ReportId,
    media_type::MediaType,
    upload::{Report, vdaf_context},
    vdaf::verify::{OpenReport, Verification},
};

/// One report as the leader hands it to the helper.
pub(crate) fn verify_init(task: &Task, shares: &Shares, report: &Report) -> VerifyInit {
    let context = vdaf_context(&task.id);
    let verification = Verification { key: &task.verify_key, context: &context };
    let open_report = OpenReport {
        report_id: shares.metadata.report_id,
        public_share: &shares.public_share,
        input_share: &shares.leader,
    };
    let (mut messages, _) = task.vdaf.start_verifying(verification, &[open_report]);
    VerifyInit {
        report_share: ReportShare {
            report_metadata: report.report_metadata.clone(),
            public_share: report.public_share.clone(),
            encrypted_input_share: report.helper_encrypted_input_share.clone(),
        },
        // Nonsense about what an honest leader would not send.
        payload: messages.remove(0).unwrap_or_else(|_| vec![0xff]).try_into().unwrap(),
    }
}

/// A job without extensions, as of a time-interval task.
pub(crate) fn job(verify_inits: Vec<VerifyInit>) -> AggregationJobInitReq {
    AggregationJobInitReq {
        verification_key_id: 0,
        agg_param: Opaque::default(),
        extensions: UncheckedExtensions::default(),
        verify_inits,
    }
}

pub(crate) fn ask_job(task: &Task, job: &AggregationJobInitReq) -> Ask {
    let url = task.at_helper("aggregation_jobs");
    Ask::post(&url, MediaType::AggregationJobInitReq, job.to_bytes()).token(&task.leader_token)
}

/// What the helper says of each report; `None` if it goes on.
pub(crate) fn verdicts(answer: Answer) -> Vec<Option<sottovoce_dap::upload::ReportError>> {
    let response = AggregationJobResp::from_bytes(&answer.ok()).unwrap();
    let verdict = |answer| match answer {
        VerifyAnswer::Continue(_) => None,
        VerifyAnswer::Reject(error) => Some(error),
        VerifyAnswer::Finish => panic!("no VDAF of one round finishes without a message"),
    };
    response.verify_resps.into_iter().map(|response| verdict(response.answer)).collect()
}

/// The request for the helper's share of a time-interval batch with these reports.
pub(crate) fn share_request(query: Query, reports: &[ReportId]) -> AggregateShareReq {
    let Query::TimeInterval(interval) = query else { panic!("{query:?}") };
    let mut checksum = Checksum::default();
    for report in reports {
        checksum.add(report);
    }
    AggregateShareReq {
        collection_job_req: sottovoce_collector::collect::request(query),
        batch_selector: BatchSelector::TimeInterval(interval),
        report_count: reports.len() as u64,
        checksum,
    }
}

pub(crate) fn ask_share(task: &Task, request: &AggregateShareReq) -> Ask {
    let url = task.at_helper("aggregate_shares");
    Ask::post(&url, MediaType::AggregateShareReq, request.to_bytes()).token(&task.leader_token)
}
