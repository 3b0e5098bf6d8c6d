//! A helper, and a leader that asks it for anything at any time.

use crate::stage::{FIRST, LEAST, REPORTS, STAGE, WINDOW, WINDOWS, holds};
use sottovoce_aggregator::{
    helper::Helper,
    http::Failure,
    store::{Datastore, Timestamp, sqlite::SqliteStore},
};
use sottovoce_dap::{
    aggregate::{AggregationJobResp, Checksum, VerifyAnswer},
    codec::{Decode, Encode, Opaque},
    collect::{AggregateShareReq, BatchSelector, CollectionJobReq, Query},
    extension::UncheckedExtensions,
    ids::{AggregateShareId, AggregationJobId, ReportId},
    role::Role,
    time::{Interval, Time},
};
use std::{collections::BTreeMap, sync::Arc};

/// A byte of kind and what that kind takes, again and again.
pub fn helper(data: &[u8]) {
    let store: Arc<dyn Datastore> = Arc::new(SqliteStore::in_memory().expect("a database"));
    STAGE.begin(store.as_ref(), Role::Helper);
    let mut play = Play {
        helper: STAGE.helper(&store),
        store,
        hours: FIRST + WINDOWS + 24,
        counted: BTreeMap::new(),
        released: Vec::new(),
        jobs: BTreeMap::new(),
        shares: BTreeMap::new(),
    };
    let mut input = Input(data);
    for _ in 0..MOST_STEPS {
        if play.step(&mut input).is_none() {
            break;
        }
    }
    play.check_store();
}

const MOST_STEPS: usize = 64;

/// Bytes that are taken off one by one.
pub(crate) struct Input<'a>(pub(crate) &'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// A length and as many bytes, or all that are left.
    pub(crate) fn bytes(&mut self, most: u8) -> Option<&'a [u8]> {
        let len = (usize::from(self.byte()?) % (usize::from(most) + 1)).min(self.0.len());
        let (bytes, rest) = self.0.split_at(len);
        self.0 = rest;
        Some(bytes)
    }

    /// Changes up to three bytes of a message.
    pub(crate) fn change(&mut self, message: &mut Vec<u8>) -> Option<()> {
        for change in self.bytes(9)?.chunks_exact(3) {
            let at = usize::from(u16::from_be_bytes([change[0], change[1]])) % (message.len() + 1);
            match message.get_mut(at) {
                Some(byte) => *byte ^= change[2],
                None => message.push(change[2]),
            }
        }
        Some(())
    }
}

/// What was asked, and what must therefore be.
struct Play {
    helper: Helper,
    store: Arc<dyn Datastore>,
    /// The clock.
    hours: u64,
    /// The window of each report that was counted.
    counted: BTreeMap<ReportId, u64>,
    /// Batches whose share was given out.
    released: Vec<Interval>,
    /// Answers that are not forgotten, by the requests.
    jobs: BTreeMap<Vec<u8>, (AggregationJobId, Vec<u8>)>,
    shares: BTreeMap<Vec<u8>, (AggregateShareId, Vec<u8>)>,
}

impl Play {
    fn step(&mut self, input: &mut Input<'_>) -> Option<()> {
        match input.byte()? % 8 {
            0 | 1 => self.aggregate(STAGE.job(input.bytes(8)?)),
            2 => {
                let mut body = STAGE.job(input.bytes(8)?);
                input.change(&mut body)?;
                self.aggregate(body);
            }
            3 => self.look_again(usize::from(input.byte()?)),
            4 => self.forget(usize::from(input.byte()?)),
            5 => {
                let body = self.share_request(input.byte()?, input.byte()?, 0)?;
                self.release(body);
            }
            6 => {
                let mut body = self.share_request(input.byte()?, input.byte()?, input.byte()?)?;
                input.change(&mut body)?;
                self.release(body);
            }
            // Up to five days on, or back by as much.
            _ => self.hours = (self.hours + u64::from(input.byte()?)).saturating_sub(120),
        }
        Some(())
    }

    fn now(&self) -> Timestamp {
        Timestamp(self.hours * WINDOW * 1000)
    }

    fn aggregate(&mut self, body: Vec<u8>) {
        let Some((job, answer)) =
            ours(self.helper.aggregate(&STAGE.helper_task, &body, self.now()))
        else {
            assert!(!self.jobs.contains_key(&body), "what was answered is answered again");
            return;
        };
        if let Some(before) = self.jobs.get(&body) {
            assert_eq!(before, &(job, answer), "the same answer to the same request");
            return;
        }
        self.count(&answer);
        self.jobs.insert(body, (job, answer));
    }

    /// Each report that is accepted is a right one, counts once, and in a batch that is open.
    fn count(&mut self, answer: &[u8]) {
        let answer = AggregationJobResp::from_bytes(answer).expect("an answer decodes");
        for resp in answer.verify_resps {
            if matches!(resp.answer, VerifyAnswer::Reject(_)) {
                continue;
            }
            let id = resp.report_id;
            let number = usize::from(id.as_bytes()[0]);
            assert!(number < REPORTS && holds(number), "{id}: a proof that does not hold");
            let window = FIRST + number as u64 % WINDOWS;
            assert!(window <= self.hours, "{id}: of a window to come");
            assert!(self.counted.insert(id, window).is_none(), "{id}: counted twice");
            let released = self.released.iter().any(|batch| batch.contains(Time(window)));
            assert!(!released, "{id}: counted in a batch that was released");
        }
    }

    fn look_again(&self, at: usize) {
        if let Some((job, answer)) = self.jobs.values().nth(at % self.jobs.len().max(1)) {
            let again = self.helper.aggregated(&STAGE.helper_task, *job);
            assert_eq!(ours(again).as_ref(), Some(answer));
        }
        if let Some((share, answer)) = self.shares.values().nth(at % self.shares.len().max(1)) {
            let again = self.helper.released(&STAGE.helper_task, *share);
            assert_eq!(ours(again).map(|covered| covered.into_inner()).as_ref(), Some(answer));
        }
    }

    fn forget(&mut self, at: usize) {
        if let Some(body) = self.jobs.keys().nth(at / 2 % self.jobs.len().max(1)).cloned()
            && at % 2 == 0
        {
            let (job, _) = self.jobs.remove(&body).expect("it is there");
            ours(self.helper.forget_job(&STAGE.helper_task, job)).expect("it is forgotten");
            assert!(ours(self.helper.aggregated(&STAGE.helper_task, job)).is_none());
        }
        if let Some(body) = self.shares.keys().nth(at / 2 % self.shares.len().max(1)).cloned()
            && at % 2 == 1
        {
            let (share, _) = self.shares.remove(&body).expect("it is there");
            ours(self.helper.forget_share(&STAGE.helper_task, share)).expect("it is forgotten");
            assert!(ours(self.helper.released(&STAGE.helper_task, share)).is_none());
        }
    }

    /// What a leader that counts as we do asks for, or one that counts `wrong` more.
    fn share_request(&self, start: u8, duration: u8, wrong: u8) -> Option<Vec<u8>> {
        let start = FIRST + u64::from(start) % (WINDOWS + 1);
        let interval = Interval::new(Time(start), u64::from(duration) % WINDOWS + 1).ok()?;
        let mut checksum = Checksum::new([0; 32]);
        let inside = self.counted.iter().filter(|(_, window)| interval.contains(Time(**window)));
        inside.clone().for_each(|(id, _)| checksum.add(id));
        let request = AggregateShareReq {
            collection_job_req: CollectionJobReq {
                query: Query::TimeInterval(interval.into()),
                agg_param: Opaque::default(),
                extensions: UncheckedExtensions::default(),
            },
            batch_selector: BatchSelector::TimeInterval(interval.into()),
            report_count: inside.count() as u64 + u64::from(wrong),
            checksum,
        };
        Some(request.to_bytes())
    }

    fn release(&mut self, body: Vec<u8>) {
        let released = ours(self.helper.release(&STAGE.helper_task, &body, self.now()));
        let Some((share, covered)) = released else {
            assert!(!self.shares.contains_key(&body), "what was given out is given out again");
            return;
        };
        let answer = covered.into_inner();
        if let Some(before) = self.shares.get(&body) {
            assert_eq!(before, &(share, answer), "the same share to the same request");
            return;
        }
        let request = AggregateShareReq::from_bytes(&body).expect("it was taken");
        let BatchSelector::TimeInterval(batch) = request.batch_selector else {
            panic!("a batch that is no interval");
        };
        self.check_release(&request, batch.interval().expect("it was taken"));
        self.shares.insert(body, (share, answer));
    }

    /// A share is of a batch that is over and disjoint from all others, each of its windows full.
    fn check_release(&mut self, request: &AggregateShareReq, batch: Interval) {
        assert!(batch.end().0 <= self.hours, "not over yet");
        let overlaps =
            |other: &Interval| other.start() < batch.end() && batch.start() < other.end();
        assert!(!self.released.iter().any(overlaps), "collected before");
        let (mut checksum, mut windows) = (Checksum::new([0; 32]), BTreeMap::new());
        for (id, window) in &self.counted {
            if batch.contains(Time(*window)) {
                checksum.add(id);
                *windows.entry(*window).or_insert(0) += 1;
            }
        }
        let count: u64 = windows.values().sum();
        assert!(count >= LEAST && windows.values().all(|count| *count >= LEAST), "{windows:?}");
        assert_eq!((request.report_count, request.checksum), (count, checksum));
        self.released.push(batch);
    }

    /// The database holds what was counted and not released, and no more.
    fn check_store(&self) {
        let id = &STAGE.helper_task.task.id;
        let held = self.store.batches(id).expect("the database answers");
        let held: u64 = held.iter().map(|batch| batch.reports).sum();
        let open =
            |window: &&u64| !self.released.iter().any(|batch| batch.contains(Time(**window)));
        assert_eq!(held, self.counted.values().filter(open).count() as u64);
        let ids = self.store.report_ids(id, None, 1000).expect("the database answers");
        assert_eq!(ids.map(|ids| ids.len()), Some(self.counted.len() * 16));
    }
}

/// What a request got, if it was not refused. Nothing of ours may fail.
pub(crate) fn ours<T>(result: Result<T, Failure>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(failure @ (Failure::Fault(_) | Failure::Away(_) | Failure::Busy)) => {
            panic!("{failure:?}")
        }
        Err(_) => None,
    }
}
