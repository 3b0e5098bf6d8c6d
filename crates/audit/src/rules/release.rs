//! A release: that it is large enough, costs what was promised, and gives out nothing twice.

use super::{
    Judge, agreement,
    open_release::OpenRelease,
    ranges::{Mark, Ranges},
    task::Releases,
};
use crate::finding::{At, Severity};
use sha2::{Digest, Sha256};
use sottovoce_dap::{
    codec::Encode, collect::BatchSelector, role::Role, task::BatchMode, time::Interval,
};
use sottovoce_log::entry::{
    FULL_AND_OVER, FULL_WINDOWS, RELEASES_SETTING, Release, windows_setting,
};
use sottovoce_program::format_moment;

impl Judge<'_> {
    pub(super) fn release(&mut self, at: At, time: u64, release: &Release) {
        self.facts.releases += 1;
        let name = self.known.name(&release.task);
        let Some(task) = self.facts.tasks.get_mut(&release.task) else {
            let message =
                format!("a batch of {name} was released, and no earlier entry has this task");
            return self.violation(at, "unknown-task", message);
        };
        let now = Releases::at(time);
        task.releases = Some(task.releases.map_or(now, |before| before.and(now)));
        let least = task.min_batch_size;
        let count = release.report_count;
        let small = count < least;
        let charged = super::task::encoded(&release.charged) == task.claims;
        let noise = release.noise == task.noise;
        if small {
            let message = format!(
                "a batch of {name} with {count} reports was released; the minimum is {least}"
            );
            self.violation(at, "batch-size", message);
        }
        if !charged {
            let message =
                format!("a release of {name} has a different privacy loss than its task claims");
            self.violation(at, "charge", message);
        }
        if !noise {
            let message = format!("a release of {name} has different noise than its task promises");
            self.violation(at, "noise", message);
        }
        self.full(at, &name, release);
        self.once(at, time, &name, release);
        let (batch, release) = (batch_mark(release), open(at, time, release));
        match self.others.as_deref_mut().map(|others| others.remove(&batch)) {
            // Only one log is read: nobody has to have it too.
            None => {}
            Some(Some(theirs)) => {
                let (leader, helper) = match self.role {
                    Role::Helper => (&theirs, &release),
                    _ => (&release, &theirs),
                };
                agreement::pair(self.known, leader, helper, self.findings);
            }
            Some(None) => drop(self.facts.open.insert(batch, release)),
        }
    }

    /// Whether no report of the batch was released before.
    fn once(&mut self, at: At, time: u64, name: &str, release: &Release) {
        let Some(task) = self.facts.tasks.get_mut(&release.task) else { return };
        let Some(window) = task.calendar() else { return };
        let seconds = |span: Interval| (window.start_of(span.start()), window.start_of(span.end()));
        let broken = match (&release.batch, task.batch_mode) {
            (BatchSelector::TimeInterval(batch), BatchMode::TimeInterval) => {
                match batch.interval() {
                    None => vec![(
                        "interval",
                        format!("the batch interval of a release of {name} is not valid"),
                    )],
                    Some(batch) => {
                        let (start, end) = seconds(batch);
                        let before = task.released.add(start, end);
                        self.early(at, name, time, end);
                        by_interval(name, batch, release.interval, before)
                    }
                }
            }
            (BatchSelector::LeaderSelected(id), BatchMode::LeaderSelected) => {
                let (start, end) = seconds(release.interval);
                task.released.add(start, end);
                if task.released.add_batch(Mark::of(id.as_bytes())) {
                    Vec::new()
                } else {
                    vec![("released-twice", format!("batch {id} of {name} was released twice"))]
                }
            }
            _ => vec![(
                "batch-mode",
                format!("a release of {name} has a different batch mode than its task"),
            )],
        };
        for (rule, message) in broken {
            self.violation(at, rule, message);
        }
    }

    /// Whether this log has said that it releases full windows only, and only those that are over.
    /// Logs of before have not, and what they released then broke no rule of theirs.
    fn promised(&self) -> bool {
        self.facts.settings.get(RELEASES_SETTING).is_some_and(|value| value == FULL_AND_OVER)
    }

    /// Whether the windows of a batch can each have been full. Of an interval the first and the last
    /// have reports, whatever is in between.
    fn full(&mut self, at: At, name: &str, release: &Release) {
        let Some(task) = self.facts.tasks.get(&release.task) else { return };
        let (least, windows) = (task.min_batch_size, release.interval.duration());
        let message = match task.batch_mode {
            BatchMode::LeaderSelected if windows > 1 => format!(
                "a leader-selected batch of {name} has reports of {windows} windows; the maximum is 1"
            ),
            BatchMode::TimeInterval
                if windows > 1 && release.report_count < least.saturating_mul(2) =>
            {
                format!(
                    "a batch of {name} over several windows was released with {} reports; its first and last window \
                     alone need {least} each",
                    release.report_count
                )
            }
            _ => return,
        };
        let setting = self.facts.settings.get(&windows_setting(&release.task));
        let weakened = setting.is_some_and(|value| value != FULL_WINDOWS);
        let (severity, why) = match (self.promised(), weakened) {
            (_, true) => (Severity::Note, "; the log has a setting that allows this"),
            (true, false) => (Severity::Violation, ""),
            (false, false) => {
                (Severity::Warning, "; the log had not promised full windows by then")
            }
        };
        self.findings.add(severity, "windows-not-full", at, message + why);
    }

    fn early(&mut self, at: At, name: &str, time: u64, end: u64) {
        let message = || {
            format!(
                "a batch of {name} was released at {}, {} seconds before the end of its last window",
                format_moment(time),
                end - time
            )
        };
        if self.promised() && time < end {
            return self.violation(at, "too-early", message());
        }
        if time.saturating_add(super::TOLERANCE) < end {
            self.findings.add(Severity::Warning, "too-early", at, message());
        }
    }
}

/// What is wrong with a batch that is an interval, of reports from another one.
fn by_interval(
    name: &str,
    batch: Interval,
    reports: Interval,
    before: Option<(u64, u64)>,
) -> Vec<(&'static str, String)> {
    let outside = (!batch.covers(&reports)).then(|| {
        ("interval", format!("a release of {name} has reports from outside of its batch interval"))
    });
    let twice = before.map(|(from, to)| {
        let message =
            format!("reports of {name} from {} were released twice", Ranges::label(from, to));
        ("released-twice", message)
    });
    outside.into_iter().chain(twice).collect()
}

fn open(at: At, time: u64, release: &Release) -> OpenRelease {
    OpenRelease {
        entry: at.entry.unwrap_or(0),
        time,
        task: release.task,
        report_count: release.report_count,
        checksum: Mark::of(release.checksum.as_bytes()),
        interval: (release.interval.start().0, release.interval.end().0),
    }
}

/// Names a batch of a task in both logs alike.
fn batch_mark(release: &Release) -> Mark {
    let mut bytes = release.task.to_bytes();
    release.batch.encode(&mut bytes);
    Mark::of(&Sha256::digest(bytes).into())
}
