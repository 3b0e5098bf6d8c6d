//! A leader and a helper as an engine sees them, and what the leader took.

use super::super::*;
use crate::{
    engine::{Engine, Step},
    storage::Storage,
};
use sottovoce_dap::{
    codec::{Decode, Encode},
    exchange::{Method, Request, Response},
    hpke::{HpkeConfig, HpkeConfigId, HpkeKeypair, Suite, native},
    hpke_config_list::HpkeConfigList,
    ids::{ReportId, TaskId},
    media_type::MediaType,
    role::Role,
    upload::{
        InputShareAad, Report, ReportError, ReportUploadStatus, UploadErrors, UploadRequest,
        input_share_info,
    },
};
use std::collections::BTreeMap;

pub(super) struct Servers {
    keypair: HpkeKeypair,
    /// What was taken: by ID, the task, the window and the report.
    taken: BTreeMap<ReportId, (TaskId, u64, Report)>,
    /// All that came, whatever was said of it.
    pub(super) seen: Vec<(TaskId, Report)>,
    pub(super) lifetime: &'static str,
    /// Every answer is nonsense.
    pub(super) nonsense: bool,
    /// The leader can read no report.
    pub(super) outdated: bool,
    /// It says so of reports that it keeps.
    pub(super) lies: bool,
    pub(super) key_requests: u32,
    /// What the log of a role says to somebody who asks for the proof of a key.
    pub(super) logged: fn(&str, &HpkeConfig) -> Option<String>,
}

impl Servers {
    pub(super) fn new() -> Self {
        Self {
            keypair: native::generate(HpkeConfigId(1), Suite::DEFAULT).unwrap(),
            taken: BTreeMap::new(),
            seen: Vec::new(),
            lifetime: "max-age=86400",
            nonsense: false,
            outdated: false,
            lies: false,
            key_requests: 0,
            logged: |_, _| None,
        }
    }

    /// Gives another key out from now on.
    pub(super) fn rotate(&mut self) {
        let id = self.keypair.config.id.0 + 1;
        self.keypair = native::generate(HpkeConfigId(id), Suite::DEFAULT).unwrap();
    }

    /// Carries all that an engine hands out from a moment on, without the jitter.
    pub(super) fn serve<S: Storage>(&mut self, engine: &mut Engine<S>, mut now: u64) {
        for _ in 0..50 {
            match engine.next(now).unwrap() {
                Step::Send(outgoing) => {
                    let response = self.answer(&outgoing.http);
                    engine.answered(outgoing.id, Arrived::Response(response), now).unwrap();
                }
                _ if engine.device.state.outbox.entries.is_empty() => return,
                // Keys that could not be fetched are asked for again after a while.
                Step::Wait { until } if engine.device.state.outbox.next_due(now).is_some() => {
                    now = until;
                }
                _ => {
                    engine.device.state.outbox.entries.iter_mut().for_each(|entry| entry.due = now);
                }
            }
        }
        panic!("there is no end to what the engine sends");
    }

    pub(super) fn answer(&mut self, request: &Request) -> Response {
        if self.nonsense {
            return Response { status: 200, body: b"<html>".to_vec(), ..Response::default() };
        }
        match request.method {
            Method::Get if request.url.contains("/log/proof/") => self.proof(&request.url),
            Method::Get => self.keys(),
            _ => self.upload(request),
        }
    }

    /// The windows that a task has reports of.
    pub(super) fn windows(&self, task: TaskId) -> Vec<u64> {
        let of_task = self.taken.values().filter(|(other, ..)| *other == task);
        of_task.map(|(_, window, _)| *window).collect()
    }

    /// The task and the window of each report.
    pub(super) fn tasks_and_windows(&self) -> Vec<(TaskId, u64)> {
        let mut all: Vec<_> =
            self.taken.values().map(|(task, window, _)| (*task, *window)).collect();
        all.sort_unstable_by_key(|(task, window)| (*window, *task.as_bytes()));
        all
    }

    /// What both aggregators find in a report that was sealed to them.
    pub(super) fn opened(&self, task: &CompiledTask, report: &Report) -> [Vec<u8>; 2] {
        let opener = native::Opener::new(&self.keypair).unwrap();
        let mut aad = Vec::new();
        let prefix = InputShareAad::prefix(&task.task_id, &task.configuration);
        prefix.with(&report.report_metadata, report.public_share.as_bytes(), &mut aad);
        let open =
            |role, sealed| opener.open(sealed, &input_share_info(role), &aad).unwrap().to_vec();
        [
            open(Role::Leader, &report.leader_encrypted_input_share),
            open(Role::Helper, &report.helper_encrypted_input_share),
        ]
    }

    /// The most reports that one window of a task has.
    pub(super) fn most_per_window(&self) -> usize {
        let mut counts = BTreeMap::new();
        for (task, window, _) in self.taken.values() {
            *counts.entry((*task, *window)).or_insert(0) += 1;
        }
        counts.into_values().max().unwrap_or(0)
    }

    fn proof(&self, url: &str) -> Response {
        let role = if url.contains("leader.") { "leader" } else { "helper" };
        let proof = (self.logged)(role, &self.keypair.config);
        let status = if proof.is_some() { 200 } else { 404 };
        Response { status, body: proof.unwrap_or_default().into_bytes(), ..Response::default() }
    }

    fn keys(&mut self) -> Response {
        self.key_requests += 1;
        let list = HpkeConfigList::new(vec![self.keypair.config.clone()]).unwrap();
        Response {
            status: 200,
            content_type: Some(MediaType::HpkeConfigList.to_string()),
            cache_control: Some(self.lifetime.to_owned()),
            body: list.to_bytes(),
            ..Response::default()
        }
    }

    fn upload(&mut self, request: &Request) -> Response {
        let task: TaskId =
            request.url.split('/').rev().nth(1).unwrap().parse().expect("a task's URL");
        let mut errors = UploadErrors::default();
        for report in UploadRequest::from_bytes(&request.body).unwrap().reports {
            let id = report.report_metadata.report_id;
            let window = report.report_metadata.time.0;
            self.seen.push((task, report.clone()));
            let error = match self.taken.get(&id) {
                _ if self.outdated && !self.lies => Some(ReportError::HpkeUnknownConfigId),
                Some((.., before)) => {
                    // Sealed afresh it is other bytes; of what everybody sees nothing may differ.
                    assert_eq!(
                        before.report_metadata, report.report_metadata,
                        "one ID, two reports"
                    );
                    assert_eq!(before.public_share, report.public_share, "one ID, two sharings");
                    Some(ReportError::ReportReplayed)
                }
                None => {
                    self.taken.insert(id, (task, window, report));
                    self.lies.then_some(ReportError::HpkeUnknownConfigId)
                }
            };
            errors.status.extend(error.map(|error| ReportUploadStatus { id, error }));
        }
        Response {
            status: 200,
            content_type: Some(MediaType::UploadErrors.to_string()),
            body: errors.to_bytes(),
            ..Response::default()
        }
    }
}
