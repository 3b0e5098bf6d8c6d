//! Waiting reports, packed: one row of the database holds many.
//!
//! A report is `time (8 bytes) || length (4 bytes) || bytes`, and a segment is reports end to
//! end. Uploads are packed as they are gathered, copied once into a segment, and read again only
//! as slices of the whole, so no step costs an allocation or a row per report.

use super::{BatchingMode, StoreError};
use sottovoce_dap::{
    codec::{DecodeError, LengthError, Reader, U32},
    ids::{ReportId, TaskId},
    time::Time,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Reports of one task on their way into the store, in the order of the upload request.
#[derive(Clone)]
pub struct UploadBatch {
    task: TaskId,
    entries: Vec<Entry>,
    packed: Vec<u8>,
}

/// One report of an upload: what the store looks at, and where the rest is.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) id: ReportId,
    pub(super) time: Time,
    end: usize,
}

impl UploadBatch {
    /// An upload of no reports yet.
    pub fn new(task: TaskId) -> Self {
        Self { task, entries: Vec::new(), packed: Vec::new() }
    }

    /// Adds a report; fails only for one of more than `2^32-1` bytes.
    pub fn push(&mut self, id: ReportId, time: Time, report: &[u8]) -> Result<(), LengthError> {
        let len = u32::try_from(report.len()).map_err(|_| LengthError {
            len: report.len(),
            min: 0,
            max: U32,
        })?;
        self.packed.extend_from_slice(&time.0.to_be_bytes());
        self.packed.extend_from_slice(&len.to_be_bytes());
        self.packed.extend_from_slice(report);
        self.entries.push(Entry { id, time, end: self.packed.len() });
        Ok(())
    }

    /// The task of all the reports.
    pub fn task(&self) -> &TaskId {
        &self.task
    }

    /// Number of reports.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no report.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Size in memory, in bytes: for bounding what a group commit gathers.
    pub fn bytes(&self) -> usize {
        self.packed.len() + self.entries.len() * size_of::<Entry>()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The packed form of the report at `index`.
    pub(super) fn packed(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.entries[before].end);
        &self.packed[start..self.entries[index].end]
    }
}

impl fmt::Debug for UploadBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UploadBatch({}, {} reports)", self.task, self.entries.len())
    }
}

/// Reports read back, in the order in which they were accepted.
#[derive(Clone, PartialEq, Eq)]
pub struct Segment {
    body: Vec<u8>,
    reports: usize,
}

impl Segment {
    /// Checks the whole segment, so that reading its reports cannot fail.
    pub(super) fn from_stored(body: Vec<u8>) -> Result<Self, StoreError> {
        let mut reader = Reader::new(&body);
        let mut reports = 0;
        while !reader.is_empty() {
            read_report(&mut reader).map_err(|error| StoreError::Corrupt {
                what: format!("a segment of waiting reports ({error})"),
            })?;
            reports += 1;
        }
        Ok(Self { body, reports })
    }

    /// The reports, each with its time.
    pub fn reports(&self) -> impl Iterator<Item = (Time, &[u8])> {
        let mut reader = Reader::new(&self.body);
        std::iter::from_fn(
            move || {
                if reader.is_empty() { None } else { read_report(&mut reader).ok() }
            },
        )
    }

    /// Number of reports.
    pub fn len(&self) -> usize {
        self.reports
    }

    /// Whether there is no report.
    pub fn is_empty(&self) -> bool {
        self.reports == 0
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    /// The reports as they are packed, each with its time.
    fn packed(&self) -> impl Iterator<Item = (Time, &[u8])> {
        let mut rest = self.body();
        self.reports().map(move |(time, report)| {
            let (packed, others) = rest.split_at(HEADER + report.len());
            rest = others;
            (time, packed)
        })
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Segment({} reports)", self.reports)
    }
}

/// Fills segments up to [`SEGMENT_REPORTS`] and [`SEGMENT_BYTES`].
#[derive(Default)]
pub(super) struct Packer {
    open: Option<Packed>,
}

/// A segment ready to be written.
pub(super) struct Packed {
    pub(super) body: Vec<u8>,
    pub(super) reports: usize,
    pub(super) first: Time,
    pub(super) last: Time,
}

impl Packer {
    /// Adds a packed report; returns the segment that it did not fit in any more.
    pub(super) fn add(&mut self, time: Time, packed: &[u8]) -> Option<Packed> {
        let full = self.open.take_if(|open| {
            open.reports >= SEGMENT_REPORTS || open.body.len() + packed.len() > SEGMENT_BYTES
        });
        let open = self.open.get_or_insert_with(|| Packed {
            body: Vec::new(),
            reports: 0,
            first: time,
            last: time,
        });
        open.body.extend_from_slice(packed);
        open.reports += 1;
        open.first = open.first.min(time);
        open.last = open.last.max(time);
        full
    }

    /// The last segment.
    pub(super) fn finish(self) -> Option<Packed> {
        self.open
    }
}

/// Packs the reports of one commit, all of one task.
///
/// Where batches are of one time, so should segments be. But whoever uploads a report of each of very many
/// times shall not make a row of each: some times have segments of their own, those that most reports
/// have and the latest ones, and the others share segments, which are parted once it is their turn.
pub(super) fn pack<'a>(
    mode: BatchingMode,
    reports: impl Iterator<Item = (Time, &'a [u8])>,
) -> Vec<Packed> {
    if !mode.is_of_one_time() {
        return pack_in_order(reports);
    }
    let mut by_time = BTreeMap::<Time, Vec<&[u8]>>::new();
    for (time, packed) in reports {
        by_time.entry(time).or_default().push(packed);
    }
    let apart = times_apart(&by_time);
    let (alone, shared): (Vec<_>, Vec<_>) =
        by_time.into_iter().partition(|(time, _)| apart.contains(time));
    let all = |(time, reports): (Time, Vec<&'a [u8]>)| {
        reports.into_iter().map(move |packed| (time, packed))
    };
    let mut segments = pack_in_order(shared.into_iter().flat_map(all));
    segments.extend(alone.into_iter().flat_map(|one| pack_in_order(all(one))));
    segments
}

/// The times that have segments of their own: the latest, and of the others those of most reports.
fn times_apart(by_time: &BTreeMap<Time, Vec<&[u8]>>) -> BTreeSet<Time> {
    let mut others: Vec<_> = by_time.iter().rev().map(|(time, all)| (all.len(), *time)).collect();
    let latest = others.drain(..others.len().min(TIMES_APART)).collect::<Vec<_>>();
    others.sort_unstable_by(|a, b| b.cmp(a));
    others.truncate(TIMES_APART);
    latest.into_iter().chain(others).map(|(_, time)| time).collect()
}

fn pack_in_order<'a>(reports: impl Iterator<Item = (Time, &'a [u8])>) -> Vec<Packed> {
    let mut packer = Packer::default();
    let mut segments: Vec<_> =
        reports.filter_map(|(time, packed)| packer.add(time, packed)).collect();
    segments.extend(packer.finish());
    segments
}

/// Packs again the reports of a segment, each time by itself.
pub(super) fn by_time(segment: &Segment) -> Vec<Packed> {
    let mut packers = BTreeMap::<Time, Packer>::new();
    let mut full = Vec::new();
    for (time, packed) in segment.packed() {
        full.extend(packers.entry(time).or_default().add(time, packed));
    }
    full.extend(packers.into_values().filter_map(Packer::finish));
    full
}

/// Packs reports that were in segments before, in their order: into no more segments than those.
pub(super) fn pack_again(reports: &UploadBatch) -> Vec<Packed> {
    let entries = reports.entries().iter().enumerate();
    pack_in_order(entries.map(|(at, entry)| (entry.time, reports.packed(at))))
}

/// Packs again the reports of a job's segments, in their order, in two halves; `None` if there are not
/// two reports.
pub(super) fn halve(segments: &[Segment]) -> Option<Vec<Packed>> {
    let reports: usize = segments.iter().map(Segment::len).sum();
    if reports < 2 {
        return None;
    }
    let (mut packer, mut pieces) = (Packer::default(), Vec::new());
    for (at, (time, packed)) in segments.iter().flat_map(Segment::packed).enumerate() {
        if at == reports.div_ceil(2) {
            pieces.extend(std::mem::take(&mut packer).finish());
        }
        pieces.extend(packer.add(time, packed));
    }
    pieces.extend(packer.finish());
    Some(pieces)
}

/// Packs again the reports of `segment` that `keep` wants; `None` if there are none.
pub(super) fn filter(segment: &Segment, mut keep: impl FnMut(Time) -> bool) -> Option<Packed> {
    let mut kept = Packer::default();
    for (time, packed) in segment.packed().filter(|(time, _)| keep(*time)) {
        kept.add(time, packed);
    }
    kept.finish()
}

fn read_report<'a>(reader: &mut Reader<'a>) -> Result<(Time, &'a [u8]), DecodeError> {
    let time = Time(reader.u64("a report's time")?);
    let len = reader.u32("a report's length")?;
    Ok((time, reader.take("a report", len as usize)?))
}

/// Most reports in one segment: a usual aggregation job.
pub(super) const SEGMENT_REPORTS: usize = 512;
/// Most bytes in one segment, unless a single report is larger.
pub(super) const SEGMENT_BYTES: usize = 4 << 20;
/// Times that have segments of their own in one commit of a task whose batches are of one time: so many of
/// the latest, and as many others.
pub(super) const TIMES_APART: usize = 32;
/// Bytes in front of each report.
const HEADER: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(reports: &[(u64, Vec<u8>)]) -> Vec<Packed> {
        let mut batch = UploadBatch::new(TaskId::new([1; 32]));
        for (time, bytes) in reports {
            batch.push(ReportId::new([0; 16]), Time(*time), bytes).unwrap();
        }
        pack_again(&batch)
    }

    #[test]
    fn a_segment_cut_short_is_corrupt() {
        let body = pack(&[(7, vec![1, 2, 3])]).remove(0).body;
        assert!(Segment::from_stored(body.clone()).is_ok());
        for len in 1..body.len() {
            let cut = Segment::from_stored(body[..len].to_vec());
            assert!(matches!(cut, Err(StoreError::Corrupt { .. })), "{len} bytes");
        }
    }

    #[test]
    fn a_segment_is_bounded_by_reports_and_by_bytes() {
        let many = pack(&vec![(1, vec![0; 4]); SEGMENT_REPORTS + 1]);
        assert_eq!(many.iter().map(|s| s.reports).collect::<Vec<_>>(), [SEGMENT_REPORTS, 1]);
        let large = pack(&vec![(1, vec![0; SEGMENT_BYTES / 2]); 3]);
        assert_eq!(large.iter().map(|s| s.reports).collect::<Vec<_>>(), [1, 1, 1]);
    }

    #[test]
    fn many_times_share_segments_and_the_latest_and_largest_have_their_own() {
        let times = (0..20_000_u64).chain([7, 7, 7]);
        let packed = pack_of_one_time(times);
        assert!(packed.len() <= 2 * TIMES_APART + 20_000 / SEGMENT_REPORTS + 1, "{}", packed.len());
        let alone: Vec<_> = packed.iter().filter(|one| one.first == one.last).collect();
        assert_eq!(alone.len(), 2 * TIMES_APART);
        assert!(alone.iter().any(|one| (one.first, one.reports) == (Time(7), 4)));
        assert!(alone.iter().any(|one| one.first == Time(19_999)));
        assert_eq!(packed.iter().map(|one| one.reports).sum::<usize>(), 20_003);
        // Few times are all apart.
        let few = pack_of_one_time((0..600).map(|number| number % 50));
        assert!(few.len() == 50 && few.iter().all(|one| one.first == one.last));
    }

    fn pack_of_one_time(times: impl Iterator<Item = u64>) -> Vec<Packed> {
        let mut batch = UploadBatch::new(TaskId::new([1; 32]));
        for time in times {
            batch.push(ReportId::new([0; 16]), Time(time), &[1, 2, 3, 4]).unwrap();
        }
        let entries = batch.entries().iter().enumerate();
        let reports = entries.map(|(at, entry)| (entry.time, batch.packed(at)));
        super::pack(BatchingMode::LeaderSelected { target: 3 }, reports)
    }

    proptest! {
        #[test]
        fn what_is_packed_is_read_back_in_order(
            reports in prop::collection::vec((any::<u64>(), prop::collection::vec(any::<u8>(), 0..50)), 1..600)
        ) {
            let mut found = Vec::new();
            for packed in pack(&reports) {
                let segment = Segment::from_stored(packed.body).unwrap();
                prop_assert_eq!(segment.len(), packed.reports);
                let times = segment.reports().map(|(time, _)| time).collect::<Vec<_>>();
                prop_assert_eq!(times.iter().min(), Some(&packed.first));
                prop_assert_eq!(times.iter().max(), Some(&packed.last));
                found.extend(segment.reports().map(|(time, bytes)| (time.0, bytes.to_vec())));
            }
            prop_assert_eq!(found, reports);
        }

        #[test]
        fn parting_by_time_keeps_every_report_once(
            reports in prop::collection::vec((0u64..4, prop::collection::vec(any::<u8>(), 0..9)), 1..50)
        ) {
            let segment = Segment::from_stored(pack(&reports).remove(0).body).unwrap();
            let mut found = Vec::new();
            for packed in by_time(&segment) {
                prop_assert_eq!(packed.first, packed.last);
                let part = Segment::from_stored(packed.body).unwrap();
                prop_assert_eq!(part.len(), packed.reports);
                found.extend(part.reports().map(|(time, bytes)| (time.0, bytes.to_vec())));
            }
            let mut wanted = reports;
            wanted.sort_by_key(|(time, _)| *time);
            prop_assert_eq!(found, wanted);
        }

        #[test]
        fn halves_are_all_reports_in_their_order(
            reports in prop::collection::vec((0u64..9, prop::collection::vec(any::<u8>(), 0..9)), 1..1200)
        ) {
            let stored = |packed: Packed| Segment::from_stored(packed.body).unwrap();
            let segments: Vec<_> = pack(&reports).into_iter().map(stored).collect();
            let Some(pieces) = halve(&segments) else {
                prop_assert_eq!(reports.len(), 1);
                return Ok(());
            };
            prop_assert!(pieces.iter().all(|piece| piece.reports <= reports.len().div_ceil(2)));
            let pieces: Vec<_> = pieces.into_iter().map(stored).collect();
            let found = pieces.iter().flat_map(Segment::reports);
            let found: Vec<_> = found.map(|(time, bytes)| (time.0, bytes.to_vec())).collect();
            prop_assert_eq!(found, reports);
        }

        #[test]
        fn filtering_keeps_exactly_the_wanted_reports(
            reports in prop::collection::vec((0u64..4, prop::collection::vec(any::<u8>(), 0..9)), 1..50)
        ) {
            let segment = Segment::from_stored(pack(&reports).remove(0).body).unwrap();
            let kept = filter(&segment, |time| time.0 != 2).map_or(Vec::new(), |packed| {
                let segment = Segment::from_stored(packed.body).unwrap();
                segment.reports().map(|(time, bytes)| (time.0, bytes.to_vec())).collect()
            });
            let wanted: Vec<_> = reports.into_iter().filter(|(time, _)| *time != 2).collect();
            prop_assert_eq!(kept, wanted);
        }
    }
}
