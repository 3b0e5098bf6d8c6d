//! The device without an engine: a caller that saves when it can, in any order with all else.

use super::{super::*, NOW, program_with, servers::Servers, thumb};
use crate::{report::Drawn, state};
use proptest::prelude::*;
use sottovoce_dap::{
    codec::Decode,
    upload::{Report, UploadRequest},
};
use sottovoce_program::answer::Thumb;

fn opened(blob: Option<&[u8]>) -> (Device, Found) {
    let program = program_with("[budget]\nperiod = \"10 days\"\nwindows = 6");
    Device::open(program, blob, Options::default(), NOW).unwrap()
}

/// A device of a user who agreed, all of it saved, with what is stored.
fn device() -> (Device, Vec<u8>) {
    let (mut device, found) = opened(None);
    assert_eq!((found, device.to_save().unwrap()), (Found::Nothing, None), "nothing to keep yet");
    device.give_consent(NOW).unwrap();
    let save = device.to_save().unwrap().unwrap();
    device.saved(save.version).unwrap();
    (device, save.blob.unwrap())
}

fn kept(device: &Device) -> usize {
    device.history(NOW).unwrap().kept
}

fn kept_in(blob: &[u8]) -> usize {
    kept(&opened(Some(blob)).0)
}

#[test]
fn a_save_is_the_same_until_it_is_confirmed_and_what_came_meanwhile_is_in_the_next() {
    let (mut device, _) = device();
    device.record(thumb(Thumb::Up).on("r1"), NOW).unwrap();
    let first = device.to_save().unwrap().unwrap();
    device.record(thumb(Thumb::Up).on("r2"), NOW).unwrap();
    assert_eq!(device.to_save().unwrap().as_ref(), Some(&first));
    assert!(matches!(device.next(NOW).unwrap(), Next::Save(save) if save == first));
    device.saved(first.version).unwrap();
    let second = device.to_save().unwrap().unwrap();
    assert!(second.version > first.version);
    let stored = [first, second].map(|save| kept_in(&save.blob.unwrap()));
    assert_eq!(stored, [1, 2]);
}

#[test]
fn a_save_that_failed_takes_back_all_that_was_not_saved_and_its_version_is_gone() {
    let (mut device, _) = device();
    device.record(thumb(Thumb::Up).on("r1"), NOW).unwrap();
    let failed = device.to_save().unwrap().unwrap();
    device.record(thumb(Thumb::Up).on("r2"), NOW).unwrap();
    device.not_saved();
    assert_eq!((kept(&device), device.to_save().unwrap()), (0, None));
    let late = device.saved(failed.version).unwrap_err();
    assert_eq!(late.kind(), ErrorKind::OutOfTurn);
    device.record(thumb(Thumb::Up).on("r3"), NOW).unwrap();
    assert!(device.to_save().unwrap().unwrap().version > failed.version);
    assert_eq!(device.saved(failed.version).unwrap_err().kind(), ErrorKind::OutOfTurn);
}

#[test]
fn what_cannot_be_read_is_kept_aside_by_the_first_save_however_often_that_fails() {
    let (mut device, found) = opened(Some(b"damaged"));
    assert!(matches!(found, Found::Unreadable { .. }));
    for _ in 0..3 {
        let save = device.to_save().unwrap().unwrap();
        assert_eq!(save.aside, Aside::Keep);
        assert!(opened(save.blob.as_deref()).0.state.silent_until > NOW);
        device.not_saved();
    }
    device.give_consent(NOW).unwrap();
    let save = device.to_save().unwrap().unwrap();
    device.saved(save.version).unwrap();
    assert_eq!((save.aside, device.to_save().unwrap()), (Aside::Keep, None));
    device.record(thumb(Thumb::Up), NOW).unwrap();
    assert_eq!(device.to_save().unwrap().unwrap().aside, Aside::Leave);
}

#[test]
fn a_device_that_forgets_erases_what_is_stored_or_keeps_its_silence() {
    let (mut device, _) = device();
    device.forget(NOW).unwrap();
    let save = device.to_save().unwrap().unwrap();
    assert_eq!((save.aside, save.blob), (Aside::Discard, None));
    device.not_saved();
    assert!(device.consent().is_given(), "it failed, so nothing is forgotten");
    device.forget(NOW).unwrap();
    device.give_consent(NOW).unwrap();
    let save = device.to_save().unwrap().unwrap();
    assert!(save.aside == Aside::Discard && save.blob.is_some(), "what was said since is kept");
}

#[test]
fn what_is_to_be_saved_does_not_show() {
    let (mut device, _) = device();
    device.record(thumb(Thumb::Up).on("r1"), NOW).unwrap();
    let next = device.next(NOW).unwrap();
    let Next::Save(save) = &next else { panic!("{next:?}") };
    let (blob, shown) = (save.blob.clone().unwrap(), format!("{next:?}"));
    assert!(shown.contains(&format!("bytes: Some({})", blob.len())), "{shown}");
    assert!(!shown.contains("blob") && !shown.contains(&format!("{}, {}", blob[0], blob[1])));
}

#[test]
fn an_answer_to_a_request_that_is_not_out_is_refused_and_changes_nothing() {
    let (mut device, _) = device();
    for id in [0, 1, u64::MAX].map(RequestId) {
        let refused = device.answered(id, Arrived::Nothing, NOW).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::OutOfTurn);
    }
    assert_eq!(device.to_save().unwrap(), None);
}

#[derive(Clone, Copy, Debug)]
enum Do {
    Vote {
        response: u8,
        up: bool,
    },
    Withdraw {
        response: u8,
    },
    Forget,
    Consent {
        given: bool,
    },
    Pass {
        hours: u8,
    },
    /// Does what is next, but for a save, which is only begun.
    Next,
    Stored,
    /// The save failed; what was to be saved is there all the same, or not.
    Failed {
        reached: bool,
    },
    /// A confirmation of a save that was given up.
    Late,
    Answer {
        which: u8,
        lost: bool,
    },
    Kill {
        reached: bool,
    },
}

fn what_happens() -> impl Strategy<Value = Vec<Do>> {
    let one = prop_oneof![
        3 => (0_u8..6, any::<bool>()).prop_map(|(response, up)| Do::Vote { response, up }),
        1 => (0_u8..6).prop_map(|response| Do::Withdraw { response }),
        1 => Just(Do::Forget),
        1 => prop::bool::weighted(0.8).prop_map(|given| Do::Consent { given }),
        4 => (1_u8..30).prop_map(|hours| Do::Pass { hours }),
        12 => Just(Do::Next),
        12 => Just(Do::Stored),
        2 => any::<bool>().prop_map(|reached| Do::Failed { reached }),
        1 => Just(Do::Late),
        6 => (any::<u8>(), prop::bool::weighted(0.2))
            .prop_map(|(which, lost)| Do::Answer { which, lost }),
        1 => any::<bool>().prop_map(|reached| Do::Kill { reached }),
    ];
    prop::collection::vec(one, 1..80)
}

/// An app that saves and sends in its own time, and what an observer of everything noted.
struct App {
    device: Device,
    stored: Option<Vec<u8>>,
    under_way: Option<Save>,
    given_up: Option<Version>,
    /// Memory as it was when it was saved last.
    saved: State,
    /// Memory as it was when the save that is under way began.
    saving: Option<State>,
    requests: Vec<Request>,
    servers: Servers,
    now: u64,
    handed_out: BTreeMap<(String, u64), Drawn>,
}

impl App {
    fn new() -> Self {
        let (device, blob) = device();
        Self {
            saved: device.state.clone(),
            device,
            stored: Some(blob),
            under_way: None,
            given_up: None,
            saving: None,
            requests: Vec::new(),
            servers: Servers::new(),
            now: NOW,
            handed_out: BTreeMap::new(),
        }
    }

    fn perform(&mut self, what: Do) {
        let (device, now) = (&mut self.device, self.now);
        match what {
            Do::Vote { response, up } => {
                let vote = thumb(if up { Thumb::Up } else { Thumb::Down });
                let _ = device.record(vote.on(&response.to_string()), now);
            }
            Do::Withdraw { response } => {
                device.withdraw("helpful", &response.to_string(), now).map(drop).unwrap();
            }
            Do::Forget => device.forget(now).unwrap(),
            Do::Consent { given: true } => device.give_consent(now).unwrap(),
            Do::Consent { given: false } => device.withdraw_consent(now).unwrap(),
            Do::Pass { hours } => self.now += u64::from(hours) * 3600,
            Do::Next => self.next(),
            Do::Stored => self.stored(),
            Do::Failed { reached } => self.failed(reached),
            Do::Late => {
                if let Some(version) = self.given_up {
                    assert_eq!(device.saved(version).unwrap_err().kind(), ErrorKind::OutOfTurn);
                }
            }
            Do::Answer { which, lost } => self.answer(which, lost),
            Do::Kill { reached } => self.kill(reached),
        }
    }

    fn next(&mut self) {
        match self.device.next(self.now).unwrap() {
            Next::Save(save) => {
                let again = self.under_way.replace(save.clone());
                if again.is_none() {
                    self.saving = Some(self.device.state.clone());
                }
                assert!(again.is_none_or(|again| again == save));
            }
            Next::Send(request) => {
                assert!(self.under_way.is_none(), "sent while a save is under way");
                self.note(&request);
                self.requests.push(request);
            }
            Next::Wait { .. } | Next::Idle => {}
        }
    }

    /// What leaves is what is stored, and is the only draw of its window that ever leaves.
    fn note(&mut self, request: &Request) {
        if request.http.body.is_empty() {
            return;
        }
        let stored = state::decode(self.stored.as_ref().unwrap(), None).unwrap().state;
        let upload = UploadRequest::from_bytes(&request.http.body).unwrap();
        for report in upload.reports {
            let entry = entry_of(&stored, &report);
            assert!(entry.in_doubt, "an upload that no state speaks of");
            let drawn = entry.drawn.clone().unwrap();
            let key = (entry.metric.clone(), entry.window);
            let before = self.handed_out.insert(key, drawn.clone());
            assert!(before.is_none_or(|before| before == drawn), "two draws of one window left");
        }
    }

    fn put(&mut self) {
        if let Some(save) = &self.under_way {
            self.stored.clone_from(&save.blob);
        }
    }

    fn stored(&mut self) {
        self.put();
        if let Some(save) = self.under_way.take() {
            self.device.saved(save.version).unwrap();
            self.saved = self.saving.take().unwrap();
        }
    }

    fn failed(&mut self, reached: bool) {
        if reached {
            self.put();
        }
        self.given_up = self.under_way.take().map(|save| save.version).or(self.given_up);
        self.saving = None;
        self.device.not_saved();
        assert!(self.device.state == self.saved, "back to what was saved");
    }

    fn answer(&mut self, which: u8, lost: bool) {
        if self.requests.is_empty() {
            return;
        }
        let request = self.requests.remove(usize::from(which) % self.requests.len());
        let response = self.servers.answer(&request.http);
        let arrived = if lost { Arrived::Nothing } else { Arrived::Response(response) };
        // Of more requests than the device remembers, the oldest are not understood any more.
        let _ = self.device.answered(request.id, arrived, self.now);
    }

    fn kill(&mut self, reached: bool) {
        if reached {
            self.put();
        }
        (self.under_way, self.saving) = (None, None);
        // What was on the wire may still arrive, and its answer finds nobody.
        for request in std::mem::take(&mut self.requests) {
            self.servers.answer(&request.http);
        }
        let program = Arc::clone(&self.device.program);
        let blob = self.stored.as_deref();
        (self.device, _) = Device::open(program, blob, Options::default(), self.now).unwrap();
        self.saved = self.device.state.clone();
        self.given_up = None;
    }
}

fn entry_of<'a>(state: &'a State, report: &Report) -> &'a crate::outbox::Entry {
    let id = report.report_metadata.report_id;
    state.outbox.entries.iter().find(|entry| entry.is(id)).expect("what is sent is stored")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_of_saves_and_all_else_what_leaves_was_stored_and_no_window_has_two_draws(
        events in what_happens(),
    ) {
        let mut app = App::new();
        for event in events {
            app.perform(event);
            prop_assert!(app.servers.most_per_window() <= 1);
        }
        // In the end everything works, and all that was drawn arrives or is given up.
        app.requests.clear();
        let done = (0..600).any(|_| {
            app.next();
            app.stored();
            app.answer(0, false);
            app.now += 300;
            app.device.state.outbox.entries.is_empty()
        });
        prop_assert!(done, "there is no end to what waits");
        prop_assert!(app.servers.most_per_window() <= 1);
    }
}
