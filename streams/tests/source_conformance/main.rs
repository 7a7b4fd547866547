//! The contract of [`reconverge_streams::source`], run against every implementation: the same questions to the stream in
//! memory and to a real nats-server; then what only JetStream can be asked: set-up errors, faults, retentions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, its helpers too")]

mod world;
mod contract;
mod setup;
mod faults;
mod retention;
mod definitions;
mod secured;

/// The whole contract for one world.
macro_rules! keeps_the_contract {
    ($module:ident, $world:ty: $($promise:ident),+ $(,)?) => {
        mod $module {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $promise() {
                    super::contract::$promise(&<$world as super::world::World>::start().await).await;
                }
            )+
        }
    };
}

macro_rules! every_world_keeps {
    ($($promise:ident),+ $(,)?) => {
        keeps_the_contract!(memory, super::world::Memory: $($promise),+);
        keeps_the_contract!(jetstream, super::world::JetStream: $($promise),+);
    };
}

every_world_keeps!(
    messages_come_in_order_and_as_they_were_published,
    reading_begins_after_the_sequence_that_was_asked_for,
    a_batch_ends_at_its_rows,
    a_batch_ends_at_its_bytes,
    a_message_larger_than_the_limit_comes_alone,
    a_quiet_partition_learns_how_far_it_has_looked,
    partitions_are_read_apart_and_together_are_the_stream,
    waiting_ends_with_the_linger_and_with_a_message,
    an_aborted_call_leaves_the_reader_in_doubt,
    what_was_trimmed_before_opening_is_reported,
    what_is_purged_while_reading_is_reported,
    what_is_purged_and_filled_up_while_reading_is_reported,
    a_removed_message_in_the_middle_is_no_hole,
    a_checkpoint_beyond_the_end_is_a_doubt,
    a_stream_made_anew_ends_its_readers,
    one_message_can_be_fetched,
    a_published_message_is_there_when_its_sequence_is_told,
    facts_tell_where_the_stream_begins_and_ends,
    a_large_backlog_is_read_whole_and_in_order,
);
