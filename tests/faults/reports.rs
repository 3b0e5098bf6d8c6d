//! Uploads, each sent until it is answered, and what the collector must find of them.

use crate::{
    stage::Stage,
    support::{
        device::{Shares, request},
        http::Ask,
        server::poll,
        task::{sample, total},
    },
};
use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use rayon::prelude::*;
use sottovoce_dap::{
    codec::Decode,
    collect::Query,
    media_type::MediaType,
    task::BatchMode,
    time::Time,
    upload::{
        Report,
        ReportError::{BatchCollected, ReportDropped, ReportReplayed, ReportTooEarly},
        ReportUploadStatus, UploadErrors,
    },
    vdaf::{shard::Measurement, unshard::AggregateResult},
};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Duration,
};

/// One upload: its bytes never change.
struct Parcel {
    url: String,
    reports: usize,
    body: Vec<u8>,
}

/// All uploads of a run, and what was drawn for them.
pub(crate) struct Reports {
    parcels: Vec<Parcel>,
    /// The last uploads of leader-selected tasks: each is enough for the last batch.
    fillers: Vec<Parcel>,
    /// By the task's number and window.
    drawn: BTreeMap<(usize, Time), Vec<Measurement>>,
    /// What each uploader waits after an upload.
    pub(crate) pause: Duration,
    next: AtomicUsize,
    /// Uploads that have their answer.
    answered: AtomicUsize,
    /// Uploads on their way at this moment.
    on_the_way: AtomicUsize,
    /// Reports that had been kept although no acknowledgement ever came back.
    kept_unanswered: AtomicUsize,
    /// Times that an upload was sent and not answered.
    unanswered: AtomicUsize,
    /// Times that an upload was put off with a 503.
    refused: AtomicUsize,
    /// Times that an upload was too early for the leader's clock.
    too_early: AtomicUsize,
}

impl Reports {
    /// Draws reports for each task, in this many windows, and seals them on all cores. Those of a
    /// leader-selected task are of one window, as its batches are: each ends up in a batch.
    pub(crate) fn draw(stage: &Stage, counts: &[usize], windows: u64, rng: &mut StdRng) -> Self {
        let (mut parcels, mut fillers) = (Vec::new(), Vec::new());
        let mut drawn = BTreeMap::<_, Vec<_>>::new();
        for (number, (task, count)) in stage.tasks.iter().zip(counts).enumerate() {
            let measurements = sample(&task.configuration.vdaf, *count, rng);
            let by_leader = task.configuration.batch_mode == BatchMode::LeaderSelected;
            let windows = if by_leader { 1 } else { windows };
            let times: Vec<_> =
                (0..*count).map(|_| Time(stage.window.0 + rng.random_range(0..windows))).collect();
            let sealed: Vec<Report> = measurements
                .par_iter()
                .zip(&times)
                .map(|(measurement, time)| {
                    Shares::new(task, measurement, *time).seal(task, stage.keys())
                })
                .collect();
            for (measurement, time) in measurements.into_iter().zip(times) {
                drawn.entry((number, time)).or_default().push(measurement);
            }
            let (mut rest, url) = (sealed.as_slice(), task.at_leader("reports"));
            if by_leader {
                let batch = usize::try_from(task.configuration.min_batch_size).unwrap();
                let (these, others) = rest.split_at(batch);
                fillers.push(Parcel::new(&url, these));
                rest = others;
            }
            while !rest.is_empty() {
                let (these, others) = rest.split_at(rng.random_range(1..=60).min(rest.len()));
                parcels.push(Parcel::new(&url, these));
                rest = others;
            }
        }
        parcels.shuffle(rng);
        let counters = [(); 7].map(|()| AtomicUsize::new(0));
        let [next, answered, on_the_way, kept_unanswered, unanswered, refused, too_early] =
            counters;
        Self {
            parcels,
            fillers,
            drawn,
            pause: Duration::ZERO,
            next,
            answered,
            on_the_way,
            kept_unanswered,
            unanswered,
            refused,
            too_early,
        }
    }

    /// Reports in all.
    pub(crate) fn count(&self) -> usize {
        self.all().map(|parcel| parcel.reports).sum()
    }

    /// Uploads in all.
    pub(crate) fn uploads(&self) -> usize {
        self.parcels.len()
    }

    /// Uploads that have their answer.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(SeqCst)
    }

    /// Uploads on their way at this moment.
    pub(crate) fn on_the_way(&self) -> usize {
        self.on_the_way.load(SeqCst)
    }

    /// Reports that had been kept although no acknowledgement ever came back.
    pub(crate) fn kept_unanswered(&self) -> usize {
        self.kept_unanswered.load(SeqCst)
    }

    /// Times that an upload was sent and not answered.
    pub(crate) fn unanswered(&self) -> usize {
        self.unanswered.load(SeqCst)
    }

    /// Times that an upload was put off with a 503.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(SeqCst)
    }

    /// Times that an upload was too early for the leader's clock.
    pub(crate) fn too_early(&self) -> usize {
        self.too_early.load(SeqCst)
    }

    /// Waits until so many uploads have their answer.
    pub(crate) fn wait_for(&self, uploads: usize) {
        poll("uploads", || (self.answered() >= uploads).then_some(()));
    }

    /// Uploads everything over a few connections at once, with somebody doing harm `meanwhile`.
    pub(crate) fn upload<T>(&self, meanwhile: impl FnOnce() -> T) -> T {
        let done = thread::scope(|scope| {
            for _ in 0..UPLOADERS {
                scope.spawn(|| {
                    while let Some(parcel) = self.parcels.get(self.next.fetch_add(1, SeqCst)) {
                        self.deliver(parcel);
                        self.answered.fetch_add(1, SeqCst);
                        thread::sleep(self.pause);
                    }
                });
            }
            meanwhile()
        });
        // After all others, so that no batch is begun after them.
        self.fillers.iter().for_each(|parcel| self.deliver(parcel));
        done
    }

    fn all(&self) -> impl Iterator<Item = &Parcel> {
        self.parcels.iter().chain(&self.fillers)
    }

    /// Sends the same bytes until each report has an answer.
    fn deliver(&self, parcel: &Parcel) {
        let mut attempts = 0;
        let errors = poll("an upload's answer", || {
            attempts += 1;
            self.on_the_way.fetch_add(1, SeqCst);
            let sent = parcel.ask().try_send();
            self.on_the_way.fetch_sub(1, SeqCst);
            let Ok(answer) = sent else {
                self.unanswered.fetch_add(1, SeqCst);
                return None;
            };
            if answer.status >= 500 {
                assert_eq!(answer.status, 503, "{}", answer.text());
                assert!(answer.header("retry-after").is_some(), "{answer:?}");
                self.refused.fetch_add(1, SeqCst);
                return None;
            }
            let errors = UploadErrors::from_bytes(&answer.ok()).unwrap().status;
            // A server whose clock is behind says so of all; whoever sent them comes back.
            let early = |status: &ReportUploadStatus| status.error == ReportTooEarly;
            if errors.len() == parcel.reports && errors.iter().all(early) {
                self.too_early.fetch_add(1, SeqCst);
                return None;
            }
            Some(errors)
        });
        if errors.is_empty() {
            return;
        }
        // An upload is kept as a whole or not at all, and nothing but a replay may be refused.
        assert!(errors.iter().all(|status| status.error == ReportReplayed), "{errors:?}");
        assert_eq!(errors.len(), parcel.reports, "an upload was kept in part");
        assert!(attempts > 1, "a report that was never sent before is called a replay");
        self.kept_unanswered.fetch_add(errors.len(), SeqCst);
    }

    /// Everything once more: nothing of it may be taken.
    pub(crate) fn replay(&self) {
        for parcel in self.all() {
            let errors = UploadErrors::from_bytes(&parcel.ask().send().ok()).unwrap().status;
            assert_eq!(errors.len(), parcel.reports, "a report was taken twice");
            let known = |error| matches!(error, ReportReplayed | BatchCollected | ReportDropped);
            assert!(errors.iter().all(|status| known(status.error)), "{errors:?}");
        }
    }

    /// Collects every batch of every task and checks each to the last digit.
    pub(crate) fn expect(&self, stage: &Stage) {
        for (number, task) in stage.tasks.iter().enumerate() {
            match task.configuration.batch_mode {
                BatchMode::TimeInterval => self.expect_windows(stage, number),
                BatchMode::LeaderSelected => self.expect_batches(stage, number),
            }
        }
    }

    fn expect_windows(&self, stage: &Stage, number: usize) {
        let task = &stage.tasks[number];
        for ((_, window), measurements) in self.drawn.iter().filter(|((of, _), _)| *of == number) {
            let collected = stage.collect(task, Stage::query(*window));
            assert_eq!(collected.count, measurements.len() as u64, "reports in {window:?}");
            assert_eq!(collected.result, total(&task.configuration.vdaf, measurements));
        }
    }

    /// Which report is in which batch is the leader's choice; all of them together are not.
    fn expect_batches(&self, stage: &Stage, number: usize) {
        let task = &stage.tasks[number];
        let of_task = self.drawn.iter().filter(|((of, _), _)| *of == number);
        let drawn: Vec<_> = of_task.flat_map(|(_, measurements)| measurements.clone()).collect();
        let (mut count, mut sum) = (0, 0);
        while count < drawn.len() as u64 {
            let collected = stage.collect(task, Query::LeaderSelected);
            count += collected.count;
            let AggregateResult::Integer(this) = collected.result else { panic!("{collected:?}") };
            sum += this;
            stage.delete(task, &collected);
        }
        assert_eq!(count, drawn.len() as u64);
        assert_eq!(AggregateResult::Integer(sum), total(&task.configuration.vdaf, &drawn));
    }
}

impl Parcel {
    fn new(url: &str, reports: &[Report]) -> Self {
        Self { url: url.to_owned(), reports: reports.len(), body: request(reports) }
    }

    fn ask(&self) -> Ask {
        Ask::post(&self.url, MediaType::UploadReq, self.body.clone())
    }
}

const UPLOADERS: usize = 4;
