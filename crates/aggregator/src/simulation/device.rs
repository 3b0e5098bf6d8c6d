//! Devices: each sends its reports until it knows what became of them, or is switched off.

use super::{
    plan::Kind,
    tally::Verdict,
    task::{Keys, bin},
    world::World,
};
use crate::clock::simulated::elapsed;
use sottovoce_dap::{
    codec::Encode,
    exchange::Upload,
    ids::ReportId,
    upload::{Report, ReportError, UploadErrors, UploadRequest},
};
use sottovoce_transport::error::TransportError;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;

/// Between attempts.
const PAUSE: Duration = Duration::from_secs(4);

/// Sends reports of a task, at most `tries` times; and those that are taken once more, if `twice`.
pub(super) async fn upload(
    world: Arc<World>,
    task: usize,
    kinds: Vec<Kind>,
    (tries, twice): (u32, bool),
) {
    let keys = fetch(&world, task).await;
    let mut reports: Vec<(Kind, Report)> = Vec::new();
    for kind in kinds {
        // Whoever repeats an ID has seen it.
        if kind == Kind::Repeated && !world.tally(task).is_acknowledged(0) {
            continue;
        }
        let number = world.number();
        reports.push((kind, world.tasks[task].report(kind, number, &keys)));
        let mut tally = world.tally(task);
        match kind {
            Kind::Honest { window, number } => tally.sent(bin(window, number)),
            Kind::Forged | Kind::SealedToNobody { at_helper: true } => tally.refused_by_helper += 1,
            _ => {}
        }
    }
    let mut unheard = false;
    let all = reports.clone();
    for _ in 0..tries {
        match send(&world, task, &reports).await {
            Ok(errors) => {
                reports = settle(&world, task, reports, &errors, unheard);
                if reports.is_empty() {
                    break;
                }
            }
            Err(error) if error.is_retryable() => unheard = true,
            Err(error) => return world.fail(format!("an upload failed: {error}")),
        }
        sleep(PAUSE).await;
    }
    if twice && reports.is_empty() {
        sleep(PAUSE).await;
        if let Ok(errors) = send(&world, task, &all).await {
            settle(&world, task, all, &errors, unheard);
        }
    }
}

async fn send(
    world: &World,
    task: usize,
    reports: &[(Kind, Report)],
) -> Result<UploadErrors, TransportError> {
    let task = &world.tasks[task];
    let reports = reports.iter().map(|(_, report)| report.clone()).collect();
    let request = UploadRequest { reports }.to_bytes();
    let endpoint = task.configuration.leader_aggregator_endpoint.clone();
    world.devices.perform(&Upload { endpoint, task: task.id, request }, None).await
}

async fn fetch(world: &World, task: usize) -> Keys {
    loop {
        if let Some(keys) = world.keys(task) {
            return keys;
        }
        sleep(PAUSE).await;
    }
}

/// Notes what became of each report; gives those that are to be sent again.
fn settle(
    world: &World,
    task: usize,
    reports: Vec<(Kind, Report)>,
    errors: &UploadErrors,
    unheard: bool,
) -> Vec<(Kind, Report)> {
    let error = |id: ReportId| {
        errors.status.iter().find(|status| status.id == id).map(|status| status.error)
    };
    let now = elapsed();
    let mut again = Vec::new();
    for (kind, report) in reports {
        let Kind::Honest { window, number } = kind else { continue };
        let verdict = match error(report.report_metadata.report_id) {
            // Nobody else has its ID: what is there already is this report, sent twice.
            None | Some(ReportError::ReportReplayed) => Verdict::Acknowledged(now),
            Some(ReportError::ReportTooEarly) => {
                again.push((kind, report));
                continue;
            }
            Some(why) => Verdict::Refused { why, maybe: unheard },
        };
        world.note(&format!("task {task}, window {window}, report {number}: {verdict:?}"));
        world.tally(task).told(bin(window, number), verdict);
    }
    again
}
