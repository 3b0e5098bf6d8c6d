//! Requests and their responses: fetching keys, uploads, retries.
//!
//! An upload is handed out only after the state says so: from then on it is *in doubt*, until an
//! answer says that the leader has it or that it has not. It is sent again as the same bytes, or, where the
//! leader cannot read them, as the same shares sealed afresh: always as the report with its one ID, which
//! the helper counts once. What an answer means, [`verdict`] says.

use super::{
    super::{
        hpke_configs::{CachedConfig, HpkeConfigs},
        ledger::Fate,
        logged::{self, KeyNotLogged, KeyProof, MAX_PROOF, NotLogged},
        outbox::Entry,
        report::Reporter,
        verdict::{self, Verdict, verdict},
    },
    ChangeStep, Device, DeviceError,
    request::{Purpose, Request, RequestId, Sent},
    save::Save,
    window,
};
use sottovoce_dap::{
    exchange::{self, Exchange, ExchangeError, FetchHpkeConfigs, Method, Response, Upload},
    ids::TaskId,
    role::Role,
    task::Url,
    time::Time,
    upload::{ReportError, UploadErrors},
};
use sottovoce_program::log::LogPolicy;
use std::{collections::HashMap, time::Duration};

/// What the caller does now.
#[derive(Debug)]
pub enum Next {
    /// Make this durable, then call [`Device::saved`], or [`Device::not_saved`].
    Save(Save),
    /// Send this, and pass what came back to [`Device::answered`]. All of memory is saved.
    Send(Request),
    /// Call again at this moment, in seconds since the Epoch. What is recorded in the meantime changes nothing
    /// about it: an app that calls after each event shows by when it calls that there was one.
    Wait {
        /// When.
        until: u64,
    },
    /// There is nothing to do until the user agrees to take part.
    Idle,
}

/// What came back.
#[derive(Debug)]
pub enum Arrived {
    /// This.
    Response(Response),
    /// Nothing. Whether the request arrived is not known.
    Nothing,
}

/// The aggregators' keys, as long as they may be kept.
#[derive(Debug, Default)]
pub(super) struct Keys {
    leader: Option<CachedConfig>,
    helper: Option<CachedConfig>,
    /// One whose proof has to come before it is used.
    unproved: Option<(Role, CachedConfig)>,
    /// From when to when a failed request for keys is not repeated.
    waits: Option<(u64, u64)>,
    failures: u32,
    /// Why the last key that came is not used, if it is not for a while only.
    refused: Option<NotLogged>,
}

impl Keys {
    /// Both, if they may still be used.
    fn fresh(&self, now: u64) -> Option<HpkeConfigs> {
        let configs = HpkeConfigs { leader: self.leader.clone()?, helper: self.helper.clone()? };
        configs.are_fresh(now).then_some(configs)
    }

    /// Whose to ask for.
    fn missing(&self, now: u64) -> Role {
        let leader = self.leader.as_ref().filter(|config| config.is_fresh(now));
        if leader.is_none() { Role::Leader } else { Role::Helper }
    }

    /// The one whose proof is to be asked for.
    fn to_be_proved(&self, now: u64) -> Option<(Role, &CachedConfig)> {
        let (role, config) = self.unproved.as_ref()?;
        config.is_fresh(now).then_some((*role, config))
    }

    /// Why the last key that came is not used.
    pub(super) fn refused(&self) -> Option<&NotLogged> {
        self.refused.as_ref()
    }

    /// Until when nothing is asked for. A clock that was put back to before the failure ends the wait.
    fn waits(&self, now: u64) -> Option<u64> {
        self.waits.filter(|(from, until)| (*from..*until).contains(&now)).map(|(_, until)| until)
    }

    fn failed(&mut self, now: u64) {
        let wait = FIRST_WAIT.saturating_mul(1 << self.failures.min(10)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        self.waits = Some((now, now.saturating_add(wait)));
    }

    fn came(&mut self, role: Role, config: CachedConfig) {
        (self.failures, self.waits, self.refused) = (0, None, None);
        match role {
            Role::Leader => self.leader = Some(config),
            _ => self.helper = Some(config),
        }
    }
}

/// Seconds before keys are asked for again.
const FIRST_WAIT: u64 = 30;
/// The same, at most.
const LONGEST_WAIT: u64 = 3600;
/// Keys that a server does not let be kept are good for the reports at hand.
const SHORTEST_LIFETIME: Duration = Duration::from_secs(60);

impl Device {
    /// What to do now: closes what is over, seals what is due, and says what to save and what to send.
    ///
    /// A request that is not answered may be asked for again: the same reports, as the same bytes. Refuses with
    /// [`DeviceError::NotLogged`] where something would be drawn or sent, and the program demands
    /// proofs that are not there, or a key that is not in the log.
    pub fn next(&mut self, now: u64) -> Result<Next, DeviceError> {
        super::error::check_clock(now)?;
        if let Some(save) = self.to_save()? {
            return Ok(Next::Save(save));
        }
        if window::will_draw(&self.program, &self.state, now) {
            self.check_logged()?;
        }
        let may_draw = self.check_logged().is_ok();
        self.change(now, |step| {
            step.close_what_is_over(now, may_draw)?;
            step.state.outbox.reschedule(now, step.program.jitter());
            Ok(())
        })?;
        loop {
            if let Some(save) = self.to_save()? {
                return Ok(Next::Save(save));
            }
            if let Some(request) = self.held_upload() {
                return Ok(Next::Send(request));
            }
            let Some(entry) = self.state.outbox.next_due(now) else { return Ok(self.wait()) };
            let (task, metric, window) = (entry.task_id, entry.metric.clone(), entry.window);
            if self.program.tasks().iter().all(|known| known.task_id != task) {
                self.change_at_any_time(|step| step.settle(&metric, window, Fate::Refused));
                continue;
            }
            self.check_logged()?;
            if entry.sealed.is_some() {
                self.hold_upload(task, now);
            } else if let Some(keys) = self.keys.fresh(now) {
                self.seal(task, now, &keys)?;
            } else if let Some(until) = self.keys.waits(now) {
                let refused = self.keys.refused.clone();
                return refused.map_or(Ok(Next::Wait { until }), |refused| Err(refused.into()));
            } else if let Some((role, config)) = self.keys.to_be_proved(now) {
                let config = config.clone();
                return Ok(Next::Send(self.prove_key(role, config)));
            } else {
                let role = self.keys.missing(now);
                return Ok(Next::Send(self.fetch(role)));
            }
        }
    }

    /// What came of a request; `now` is when it came. Of a request that this device did not hand out since it was
    /// opened, or that was answered already, it is refused and changes nothing.
    pub fn answered(
        &mut self,
        id: RequestId,
        arrived: Arrived,
        now: u64,
    ) -> Result<(), DeviceError> {
        super::error::check_clock(now)?;
        let purpose = self.requests.answered(id);
        let unknown = DeviceError::OutOfTurn("no response is expected to this request");
        match purpose.ok_or(unknown)? {
            Purpose::Keys(role, exchange) => self.keys_arrived(role, &exchange, arrived, now),
            Purpose::KeyProof(role, config) => self.key_proof_arrived(role, config, &arrived, now),
            Purpose::Reports(exchange, sent) => {
                self.reports_arrived(&exchange, &sent, arrived, now);
            }
        }
        Ok(())
    }

    /// Before anything is spent: a task that is kept from the public gets nothing.
    pub(super) fn check_logged(&self) -> Result<(), DeviceError> {
        let required = self.program.log().is_some_and(LogPolicy::devices_require);
        if required && self.logged.is_none() { Err(NotLogged::Missing.into()) } else { Ok(()) }
    }

    fn wait(&self) -> Next {
        let open = self.state.open.filter(|_| self.state.consent.is_given());
        let end = open.map(|open| self.program.window().start_of(Time(open.saturating_add(1))));
        match [end, self.state.outbox.due()].into_iter().flatten().min() {
            Some(until) => Next::Wait { until },
            None => Next::Idle,
        }
    }

    fn endpoint(&self, role: Role) -> &Url {
        match role {
            Role::Leader => self.program.leader(),
            _ => self.program.helper(),
        }
    }

    fn fetch(&mut self, role: Role) -> Request {
        let exchange = FetchHpkeConfigs { endpoint: self.endpoint(role).clone() };
        let (request, most) = (exchange.request(), exchange.max_response_len());
        self.requests.repeat(request, most, Purpose::Keys(role, exchange))
    }

    fn keys_arrived(
        &mut self,
        role: Role,
        exchange: &FetchHpkeConfigs,
        arrived: Arrived,
        now: u64,
    ) {
        let config = match arrived {
            Arrived::Nothing => None,
            Arrived::Response(response) => exchange.read(response).ok().and_then(|fetched| {
                let lifetime = fetched.lifetime.map(|lifetime| lifetime.max(SHORTEST_LIFETIME));
                CachedConfig::choose(role, &fetched.list, lifetime, now).ok()
            }),
        };
        let demanded = self.program.log().is_some_and(LogPolicy::devices_require);
        match config {
            None => {
                self.keys.refused = None;
                self.keys.failed(now);
            }
            Some(config) if demanded => self.keys.unproved = Some((role, config)),
            Some(config) => self.keys.came(role, config),
        }
    }

    /// Asks for the proof that a key is in its server's log, for all to see.
    fn prove_key(&mut self, role: Role, config: CachedConfig) -> Request {
        let url = logged::key_proof_url(self.endpoint(role), config.config());
        let (method, media_type, body) = (Method::Get, None, Vec::new());
        let http = exchange::Request { method, url, media_type, body, authorized: false };
        self.requests.repeat(http, MAX_PROOF, Purpose::KeyProof(role, config))
    }

    fn key_proof_arrived(&mut self, role: Role, config: CachedConfig, arrived: &Arrived, now: u64) {
        self.keys.unproved = None;
        let given = match arrived {
            Arrived::Response(Response { status: 200, body, .. }) => Some(KeyProof::Given(body)),
            Arrived::Response(Response { status: 404, .. }) => Some(KeyProof::None),
            _ => None,
        };
        let proved = match (given, self.program.log()) {
            (Some(proof), Some(policy)) => logged::check_key(role, config.config(), policy, proof),
            _ => Err(KeyNotLogged::NotYet),
        };
        let refused = match proved {
            Ok(()) => return self.keys.came(role, config),
            Err(KeyNotLogged::NotYet) => None,
            Err(KeyNotLogged::Refused(reason)) => Some(reason),
        };
        self.keys.refused = refused;
        self.keys.failed(now);
    }

    /// Seals what is due of a task, as it will be sent.
    fn seal(&mut self, task: TaskId, now: u64, keys: &HpkeConfigs) -> Result<(), DeviceError> {
        self.change(now, |step| {
            let known = step.program.tasks().iter().find(|known| known.task_id == task);
            let Some(known) = known else { return Ok(()) };
            let reporter = Reporter::new(known)?;
            let due = |entry: &&mut Entry| {
                entry.task_id == task && entry.due <= now && entry.sealed.is_none()
            };
            for entry in step.state.outbox.entries.iter_mut().filter(due) {
                if let Some(drawn) = &entry.drawn {
                    entry.sealed = Some(reporter.seal(drawn, keys)?);
                }
            }
            Ok(())
        })
    }

    /// Makes the upload of all sealed reports of a task that are due. It is handed out once the state that calls
    /// them in doubt is saved.
    fn hold_upload(&mut self, task: TaskId, now: u64) {
        let (mut request, mut sent) = (Vec::new(), Vec::new());
        for entry in self.state.outbox.sealed(task, now) {
            if let Some(sealed) = &entry.sealed {
                request.extend_from_slice(sealed.bytes());
                let (in_doubt, resealed) = (entry.in_doubt, entry.resealed);
                sent.push(Sent { id: sealed.id(), in_doubt, resealed });
            }
        }
        self.change_at_any_time(|step| {
            for entry in &mut step.state.outbox.entries {
                if sent.iter().any(|sent| entry.is(sent.id)) {
                    entry.in_doubt = true;
                    entry.attempts = entry.attempts.saturating_add(1);
                }
            }
        });
        let exchange = Upload { endpoint: self.program.leader().clone(), task, request };
        let request = self.requests.number(exchange.request(), exchange.max_response_len());
        self.requests.hold(request, Purpose::Reports(exchange, sent));
    }

    /// The upload that was made, unless one of its reports was withdrawn or changed while the state was saved.
    fn held_upload(&mut self) -> Option<Request> {
        let (request, purpose) = self.requests.release()?;
        let entries = &self.state.outbox.entries;
        let is_there = |sent: &Sent| {
            entries
                .iter()
                .any(|entry| entry.is(sent.id) && entry.in_doubt && entry.sealed.is_some())
        };
        let is_whole = match &purpose {
            Purpose::Reports(_, sent) => sent.iter().all(is_there),
            Purpose::Keys(..) | Purpose::KeyProof(..) => true,
        };
        is_whole.then(|| self.requests.hand_out(request, purpose))
    }

    fn reports_arrived(&mut self, exchange: &Upload, sent: &[Sent], arrived: Arrived, now: u64) {
        let answer = match arrived {
            Arrived::Nothing => Answer::Unknown(None),
            Arrived::Response(response) => Answer::of(exchange, response),
        };
        if matches!(&answer, Answer::Each(errors)
            if errors.status.iter().any(|status| status.error == ReportError::HpkeUnknownConfigId))
        {
            self.keys = Keys::default();
        }
        self.change_at_any_time(|step| match &answer {
            Answer::Each(errors) => {
                let errors: HashMap<_, _> =
                    errors.status.iter().map(|status| (status.id, status.error)).collect();
                for sent in sent {
                    step.log_outcome(sent, errors.get(&sent.id).copied(), now);
                }
            }
            Answer::No(asked) => {
                for sent in sent {
                    step.put_off(sent, false, *asked, now);
                }
            }
            Answer::Unknown(asked) => {
                for sent in sent {
                    step.put_off(sent, true, *asked, now);
                }
            }
        });
    }
}

/// What a response to an upload says of its reports.
enum Answer {
    /// Each was taken, or has an error.
    Each(UploadErrors),
    /// None was taken.
    No(Option<Duration>),
    /// Whether any was taken is not known.
    Unknown(Option<Duration>),
}

impl Answer {
    fn of(exchange: &Upload, response: Response) -> Self {
        let (asked, status) = (response.asked_to_wait(), response.status);
        match exchange.read(response) {
            Ok(errors) => Self::Each(errors),
            // A client's error is found before anything is taken; a server's may come after.
            Err(ExchangeError::Problem { .. } | ExchangeError::Status { .. })
                if (400..500).contains(&status) =>
            {
                Self::No(asked)
            }
            Err(_) => Self::Unknown(asked),
        }
    }
}

impl ChangeStep<'_> {
    /// What the leader said of one report.
    fn log_outcome(&mut self, sent: &Sent, error: Option<ReportError>, now: u64) {
        let entries = &mut self.state.outbox.entries;
        let Some(entry) = entries.iter_mut().find(|entry| entry.is(sent.id)) else { return };
        let can_be_resealed = entry.drawn.is_some() && !sent.resealed;
        match verdict(error, verdict::Sent { in_doubt: sent.in_doubt, can_be_resealed }) {
            Verdict::Over(fate) => {
                let (metric, window) = (entry.metric.clone(), entry.window);
                self.settle(&metric, window, fate);
            }
            Verdict::Later => self.put_off(sent, false, None, now),
            Verdict::Reseal => {
                // An earlier attempt may have been taken, under keys that were fresh then.
                (entry.sealed, entry.resealed, entry.in_doubt) = (None, true, sent.in_doubt);
                entry.due = now;
            }
        }
    }

    /// An attempt came to nothing: the report is sent again, unless its time is over.
    fn put_off(&mut self, sent: &Sent, in_doubt: bool, asked: Option<Duration>, now: u64) {
        let entries = &mut self.state.outbox.entries;
        let Some(entry) = entries.iter_mut().find(|entry| entry.is(sent.id)) else { return };
        entry.in_doubt = sent.in_doubt || in_doubt;
        if now < entry.expires {
            return entry.put_off(now, asked, self.rng);
        }
        let fate = if entry.in_doubt { Fate::Unknown } else { Fate::Expired };
        let (metric, window) = (entry.metric.clone(), entry.window);
        self.settle(&metric, window, fate);
    }

    /// Notes what became of a report, and takes it from the outbox.
    pub(super) fn settle(&mut self, metric: &str, window: u64, fate: Fate) {
        self.state.ledger.settle(metric, window, fate);
        let entries = &mut self.state.outbox.entries;
        entries.retain(|entry| entry.metric != metric || entry.window != window);
    }
}
