//! The contract of `Sink`, `Claim` and `Records` as tests: one set of cases, run for every sink.
//!
//! A sink joins by a [`fixture::Fixture`] and one line `suite!(..)` below.

#![allow(clippy::panic, reason = "cases are generic functions, which the lint does not see as tests")]

mod fixture;
mod batch;
mod world;
mod claims;
mod standing;
mod pages;
mod writing;
mod guilt;
mod foreseen;
mod values;
mod sidecar;
mod family;
mod leaving;
mod ledger;
mod waiting;
mod epochs;
mod events;
mod roster;
mod retention;
mod holes;

mod cut;
mod memory;
mod postgres;
mod postgres_only;
mod postgres_family;
mod sqlite;
mod sqlite_only;

/// Makes one test per case and sink.
macro_rules! suite {
    ($sink:ident, $fixture:ty; $($file:ident: $($case:ident)+;)+) => {
        mod $sink {
            $(mod $file {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    crate::$file::$case::<$fixture>().await;
                })+
            })+
        }
    };
}

/// Hands the list of all cases to `suite!`.
macro_rules! every_case {
    ($sink:ident, $fixture:ty) => {
        suite! { $sink, $fixture;
            claims: a_fresh_lane_starts_at_nothing
                a_held_lane_is_refused_until_its_lease_ends
                an_owner_takes_its_own_lane_back_at_once
                a_late_owner_is_fenced_at_begin
                a_late_owner_is_fenced_at_idle
                a_takeover_waits_for_the_open_batch_and_reads_the_truth
                another_sequence_is_fenced
                another_plan_is_refused
                release_lets_another_claim_at_once
                idle_raises_sequence_and_scanned
                prepare_twice_is_harmless;
            standing: nothing_stands_in_an_empty_table
                what_was_written_stands_with_its_version
                a_tombstone_keeps_its_order_columns
                an_absence_stands_as_one
                a_changed_row_is_a_local_write
                a_new_row_is_a_local_write
                a_deleted_row_is_a_local_write
                a_row_that_came_back_under_a_tombstone_is_a_local_write
                our_own_writes_are_not_local
                an_added_column_makes_no_local_write
                a_version_written_alone_keeps_what_the_sink_remembers
                keys_come_back_in_the_order_asked
                keys_of_several_columns
                the_gate_of_a_table_without_versions;
            writing: only_named_columns_are_written
                a_needed_column_may_be_left_out_of_a_row_that_is_there
                a_default_fills_a_new_row
                a_delete_takes_the_row
                a_delete_of_nothing_is_nothing
                several_tables_commit_together
                abandon_leaves_nothing
                a_dropped_claim_leaves_nothing
                a_claim_works_on_after_abandon
                the_ledger_adds_up_over_batches_and_restarts
                many_rows_in_one_batch;
            retention: tombstones_go_in_steps_and_leave_a_horizon
                a_source_or_a_lane_that_is_behind_keeps_tombstones
                tombstones_stay_for_their_time;
            guilt: unique_values_swap_within_a_batch
                a_unique_value_moves_from_a_deleted_row
                a_real_clash_is_guilty
                of_two_rows_that_want_one_value_the_later_is_guilty
                a_null_where_none_may_be_is_guilty
                innocent_neighbours_are_written_without_the_guilty
                a_table_that_is_gone_is_paused;
            foreseen: what_is_foreseen_stands_as_the_commit_left_it
                another_batch_than_was_foreseen
                what_is_foreseen_is_closed_by_any_other_call
                a_commit_that_fails_begins_nothing;
            values: every_type_comes_back_as_it_was_written
                keys_of_every_type_are_found;
            sidecar: decisions_are_listed
                conflicts_are_counted
                dead_letters_are_listed_and_discarded
                two_dead_halves_of_one_message_are_one_letter
                a_redriven_letter_is_closed
                a_suppressed_key_leaves_no_bytes
                generations_are_numbered
                a_generation_is_recorded_with_the_first_batch_that_it_decided_or_not_at_all
                a_generation_of_a_late_owner_is_not_recorded
                checkpoints_are_listed_by_pipeline
                a_key_is_explained;
            holes: a_hole_is_recorded_once_and_listed
                an_accepted_hole_keeps_the_bounds_that_were_accepted
                a_hole_that_a_mirror_filled_says_so
                a_lane_begins_anew_and_keeps_its_ledger_and_letters
                a_late_owner_records_and_passes_no_hole;
            family: a_kept_row_stands_beside_its_table
                a_kept_row_is_kept_once
                a_local_row_in_place_of_a_kept_one_is_seen
                parents_are_in_or_gone_or_unknown
                a_parent_key_that_cannot_be_is_unknown
                who_waits_for_a_parent_is_found
                who_names_a_parent_is_found
                rows_are_found_by_their_own_keys
                a_parent_of_several_columns
                relatives_are_written_with_the_batch
                a_sweep_finds_parents_that_the_application_wrote
                a_sweep_is_of_its_own_lane_and_bounded
                what_was_counted_before_moves
                family_without_a_batch_is_refused
                kept_rows_are_listed_and_counted;
            leaving: rows_that_name_a_parent_are_read_up_to_a_bound;
            ledger: a_row_that_another_lane_brings_in_moves_in_the_ledger_of_its_own
                what_another_lane_moved_goes_before_what_the_lane_moves_itself
                a_lane_that_is_claimed_has_what_was_moved_meanwhile
                a_batch_that_was_given_up_moves_nothing_elsewhere
                a_late_owner_takes_no_moves
                who_counted_a_row_is_remembered
                a_table_that_moves_to_another_lane_leaves_what_was_counted
                a_change_that_waits_on_time_goes_with_its_table_and_stays_counted;
            waiting: changes_wait_in_the_order_of_their_sequences
                one_position_may_wait_twice
                a_released_change_is_gone
                a_released_change_may_leave_a_row_that_is_kept
                a_change_that_was_tried_in_vain_is_counted
                what_waits_is_of_its_own_lane
                waiting_changes_are_listed_and_counted
                depths_are_counted_by_table_and_reason
                a_change_that_waits_is_no_kept_row
                a_paused_table_is_told_with_its_first_reason
                pausing_is_fenced
                an_operator_pauses_and_lets_run
                a_table_that_is_gone_is_told_at_begin
                a_table_whose_column_turned_is_told_at_begin
                a_claim_pauses_what_is_not_as_planned
                a_parent_that_is_gone_is_told
                a_sweep_leaves_tables_alone_that_are_set_aside;
            events: an_event_is_seen_once_it_is_committed
                an_event_of_a_batch_that_was_given_up_is_not_seen
                events_of_tables_and_sources_do_not_mix
                old_events_go
                grades_are_kept;
            roster: members_come_and_go
                attending_keeps_the_lanes_that_are_held
                an_override_is_recorded
                ways_tell_how_far_lanes_are
                a_plan_is_remembered_by_its_digest
                a_switch_waits_for_nobody_and_fences_the_old
                a_switch_takes_the_gates_along;
            pages: pages_have_every_key_once
                a_row_that_is_taken_over_is_ours;
            epochs: an_epoch_of_a_control_message_holds_for_its_lane
                a_suspicion_is_noted_once_and_closed_by_the_operator;
        }
    };
}

every_case!(on_memory, crate::memory::Memory);
every_case!(on_sqlite, crate::sqlite::Sqlite);
every_case!(on_postgres, crate::postgres::Postgres);
