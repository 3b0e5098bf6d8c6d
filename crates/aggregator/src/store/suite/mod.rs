//! What every backend must do, as tests over any [`Bench`].
//!
//! A backend writes `conformance!(path::to::bench)` in its tests, where `bench()` makes an empty
//! database; each test below then runs on a database of its own.

pub(super) mod collections;
pub(super) mod helper;
pub(super) mod leader;
pub(super) mod operator;
pub(super) mod record;
pub(super) mod repair;
pub(super) mod tasks;
pub(super) mod upkeep;
pub(super) mod upload;

use super::{
    Acceptance, BatchingMode, Blob, BucketKey, BucketRange, BucketShard, Datastore, LeaderCommit,
    LeasePolicy, LeasedJob, Quota, TaskRecord, Timestamp, UploadBatch,
};
use sottovoce_dap::{
    ids::{ReportId, TaskId},
    time::{Interval, Time},
};
use std::{sync::Arc, time::Duration};

/// A database that outlives the stores opened on it.
pub(super) trait Bench {
    /// Opens the database; again after a store is dropped, as after a crash.
    fn open(&self) -> Arc<dyn Datastore>;
}

/// Runs the suite on the benches that a function makes.
macro_rules! conformance {
    (@ $bench:path, $($module:ident: $($name:ident),+;)+) => { $(
        mod $module { $(
            #[test]
            fn $name() {
                $crate::store::suite::$module::$name(&$bench());
            }
        )+ }
    )+ };
    ($bench:path) => { $crate::store::suite::conformance! { @ $bench,
        tasks:
            a_changed_task_under_the_same_id_is_refused,
            a_task_is_changed_only_if_it_is_still_the_same,
            a_batch_begun_before_batches_are_of_one_time_is_filled_up,
            a_changed_key_under_the_same_id_is_refused,
            tasks_and_keys_survive_a_restart_in_their_order,
            an_unknown_task_is_named;
        upload:
            a_report_is_accepted_once_whatever_call_or_process_it_comes_in,
            an_id_is_accepted_once_whatever_its_time,
            a_report_of_a_collected_interval_is_refused,
            an_upload_of_very_many_distant_times_is_one_like_any_other,
            a_failed_call_accepts_nothing,
            the_same_report_from_many_threads_is_accepted_once,
            reports_come_out_whole_and_in_order;
        leader:
            a_job_is_lent_to_one_worker_at_a_time,
            an_expired_job_comes_back_byte_for_byte_and_fences_off_its_first_worker,
            a_killed_worker_loses_no_report,
            a_young_report_waits_for_company_and_no_longer_than_linger,
            a_clock_that_was_put_back_holds_up_no_report,
            a_full_job_leaves_at_once_and_is_bounded_both_ways,
            a_commit_replaces_reports_by_shards_and_happens_once,
            a_commit_to_a_collected_bucket_changes_nothing,
            what_is_lost_is_added_up_by_its_reason_once_for_each_job,
            a_released_job_comes_back_when_it_may_and_not_before,
            a_refused_job_is_halved_down_to_single_reports,
            pieces_of_a_job_keep_its_place,
            no_more_jobs_are_cut_up_than_bounded,
            reports_of_an_abandoned_job_are_stuck_until_they_are_tried_again,
            tasks_take_turns,
            tasks_of_one_peer_share_its_room_in_new_jobs_and_old_ones,
            new_jobs_come_first_if_that_is_asked_for,
            jobs_go_in_the_oldest_batch_with_room,
            a_batch_is_next_when_it_is_full_and_nothing_is_in_flight,
            reports_of_two_times_never_share_a_batch,
            a_time_with_many_reports_does_not_wait_for_very_many_others,
            a_job_goes_in_a_batch_of_its_time_however_many_there_are,
            a_batch_that_was_left_empty_is_not_used_again,
            segments_packed_before_batches_were_of_one_time_are_parted;
        helper:
            a_conflict_names_every_report_and_bucket_and_changes_nothing,
            what_a_helper_loses_is_counted_once_however_often_the_job_comes,
            a_report_twice_in_one_job_is_a_conflict,
            an_id_is_aggregated_once_whatever_its_time,
            a_job_is_committed_once_and_answered_again_after_a_restart,
            a_deleted_job_keeps_its_report_ids,
            of_two_jobs_with_a_common_report_one_is_committed,
            a_batch_of_one_time_takes_no_job_of_another,
            of_two_jobs_of_two_times_for_one_batch_one_is_committed;
        collections:
            an_overlapping_batch_is_refused_even_where_it_is_empty,
            a_batch_is_not_closed_while_its_reports_wait_or_are_in_flight,
            reports_that_arrive_late_do_not_hold_up_a_collection,
            a_report_that_is_put_off_holds_up_a_collection_that_came_after_it,
            a_piece_that_is_put_off_holds_up_a_collection_that_came_after_it,
            a_stuck_report_does_not_hold_up_a_collection,
            a_refusal_changes_nothing_but_lets_in_what_arrived_since,
            a_panic_while_deciding_changes_nothing,
            a_closed_batch_stays_closed_and_is_decided_once,
            a_collection_that_failed_and_reopened_can_be_tried_again,
            a_collection_that_failed_for_good_keeps_its_batch,
            an_identical_request_is_the_same_collection_until_it_is_deleted,
            no_more_collections_of_a_task_are_pending_than_bounded,
            a_collection_that_failed_and_closed_nothing_is_forgotten,
            a_deleted_collection_never_gives_back_its_batch,
            the_first_end_of_a_collection_stands,
            pending_and_closed_collections_are_found_after_a_restart,
            a_clock_that_was_put_back_holds_up_no_collection,
            a_helpers_batch_is_finished_when_it_is_closed,
            a_leader_selected_batch_is_closed_once;
        record:
            entries_wait_until_they_are_published_and_get_their_indices_for_good,
            a_log_without_entries_gets_its_first_checkpoint_once,
            a_refused_or_failed_publication_changes_nothing,
            more_entries_than_one_publication_takes_are_left_for_the_next,
            each_entry_gets_one_index_whoever_publishes,
            a_checkpoint_is_replaced_only_if_it_is_still_the_newest,
            what_is_released_is_in_the_log_and_what_is_not_is_not,
            the_end_of_a_collection_is_in_the_log_once,
            keys_of_the_log_are_apart_from_those_of_hpke;
        repair:
            a_repair_drops_what_only_one_side_has_and_happens_once,
            a_repair_is_refused_unless_the_batch_is_as_it_was_agreed_on,
            a_batch_that_is_set_aside_blocks_no_other_and_a_repair_puts_it_back,
            what_a_leader_dropped_is_not_uploaded_again;
        operator:
            commands_of_operators_are_kept_in_their_order_and_the_newest_are_told;
        upkeep:
            forgotten_reports_are_replays_even_if_the_clock_is_put_back,
            report_ids_are_told_by_time_and_only_if_they_are_few,
            large_runs_of_ids_are_compacted_however_few_they_are,
            a_helper_forgets_reports_too,
            old_answers_are_forgotten_and_what_they_closed_is_not,
            lists_show_what_is_there,
            a_sealed_secret_is_replaced_only_if_it_is_still_the_same,
            a_deleted_key_is_gone_and_its_id_free;
    } };
}
pub(super) use conformance;

const NOW: Timestamp = Timestamp(1_000_000);

/// Jobs of 4 reports, lent for 10 seconds; a report waits a second.
const POLICY: LeasePolicy = LeasePolicy {
    lease_for: Duration::from_secs(10),
    max_reports: 4,
    max_bytes: 1 << 20,
    linger: Duration::from_secs(1),
    limit: 10,
    new_first: false,
    quotas: Vec::new(),
};

fn seconds_later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn task_id(byte: u8) -> TaskId {
    TaskId::new([byte; 32])
}

fn put(store: &dyn Datastore, byte: u8, mode: BatchingMode) -> TaskId {
    let id = task_id(byte);
    let [public, sealed] = [b"public", b"sealed"].map(|b| Blob::from(&b[..]));
    store.put_task(&TaskRecord { id, mode, public, sealed }).unwrap();
    id
}

/// A store with one time-interval task.
fn with_intervals(bench: &dyn Bench) -> (Arc<dyn Datastore>, TaskId) {
    let store = bench.open();
    let task = put(&*store, 1, BatchingMode::TimeInterval);
    (store, task)
}

/// A store with one leader-selected task.
fn with_batches_of(target: u64, bench: &dyn Bench) -> (Arc<dyn Datastore>, TaskId) {
    let store = bench.open();
    let task = put(&*store, 1, BatchingMode::LeaderSelected { target });
    (store, task)
}

fn report_id(number: u64) -> ReportId {
    let mut bytes = [0; 16];
    // Not in the order of the numbers, as real ones are not.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    ReportId::new(bytes)
}

/// One upload of reports given as (number, time); a report's bytes are its number.
fn upload(task: TaskId, reports: &[(u64, u64)]) -> UploadBatch {
    let mut batch = UploadBatch::new(task);
    for (number, time) in reports {
        batch.push(report_id(*number), Time(*time), &number.to_be_bytes()).unwrap();
    }
    batch
}

/// Uploads each report in a call of its own, so that each is a segment of its own.
fn upload_singly(store: &dyn Datastore, task: TaskId, reports: &[(u64, u64)]) {
    for report in reports {
        let rulings = store.accept_reports(NOW, &[upload(task, &[*report])]).unwrap();
        assert!(rulings[0][0].is_ok());
    }
}

fn accept(store: &dyn Datastore, batch: UploadBatch) -> Vec<Acceptance> {
    store.accept_reports(NOW, &[batch]).unwrap().remove(0)
}

/// The numbers of a job's reports.
fn numbers(job: &LeasedJob) -> Vec<u64> {
    job.reports().map(|(_, bytes)| u64::from_be_bytes(bytes.try_into().unwrap())).collect()
}

fn shard(key: BucketKey, reports: u64) -> BucketShard {
    BucketShard {
        key,
        share: Blob::from(vec![7; 3]),
        reports,
        checksum: [9; 32],
        first: Time(1),
        last: Time(1),
    }
}

fn at(time: u64) -> BucketKey {
    BucketKey::time(Time(time))
}

fn range(start: u64, duration: u64) -> BucketRange {
    BucketRange::interval(&Interval::new(Time(start), duration).unwrap())
}

/// Leases all there is at `now`, lingering or not.
fn lease(store: &dyn Datastore, now: Timestamp) -> Vec<LeasedJob> {
    store.lease_jobs(now, &LeasePolicy { linger: Duration::ZERO, ..POLICY }).unwrap()
}

/// Commits a job, as if all its reports were valid and of the bucket.
fn commit(store: &dyn Datastore, job: &LeasedJob, key: BucketKey) {
    let shards = [shard(key, job.reports().count() as u64)];
    let commit =
        LeaderCommit { job: job.job, lease: job.lease, shards: &shards, again: None, lost: &[] };
    store.commit_leader_job(&commit).unwrap();
}
