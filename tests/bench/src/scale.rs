//! How much is done: in full, or quickly enough to be run beside other work. Every size of a question stands here, so
//! that a run is bounded by what can be read in one place.

/// The sizes of a run.
#[derive(Clone, Debug)]
pub(crate) struct Scale {
    /// Rounds of questions that need no server.
    pub(crate) micro_rounds: usize,
    /// Rows that one measure of the merge stage decides.
    pub(crate) merge_rows: usize,
    /// Changes that one measure of decode and resolve takes.
    pub(crate) decode_rows: u64,
    /// Rounds of questions that need servers.
    pub(crate) macro_rounds: usize,
    /// Messages that are read.
    pub(crate) read_messages: u64,
    /// Changes that go from stream to sink, and the keys that they are of.
    pub(crate) sink_rows: u64,
    pub(crate) sink_keys: u64,
    /// Rows that wait until all of their parents come.
    pub(crate) parked_rows: u64,
    /// Changes of the base workload that others are compared with.
    pub(crate) range_rows: u64,
    /// Changes of the longest run.
    pub(crate) length_rows: u64,
    /// How long a rate is kept up, and a pipeline left at rest.
    pub(crate) latency_seconds: u64,
}

impl Scale {
    /// The sizes of the published figures: about half an hour on two cores.
    pub(crate) fn full() -> Scale {
        Scale {
            micro_rounds: 7,
            merge_rows: 400_000,
            decode_rows: 20_000,
            macro_rounds: 3,
            read_messages: 200_000,
            sink_rows: 200_000,
            sink_keys: 50_000,
            parked_rows: 100_000,
            range_rows: 100_000,
            length_rows: 10_000_000,
            latency_seconds: 20,
        }
    }

    /// Less than ten minutes; good for a look, too small for a claim.
    pub(crate) fn quick() -> Scale {
        Scale {
            micro_rounds: 3,
            merge_rows: 100_000,
            decode_rows: 5_000,
            macro_rounds: 2,
            read_messages: 60_000,
            sink_rows: 60_000,
            sink_keys: 15_000,
            parked_rows: 10_000,
            range_rows: 20_000,
            length_rows: 100_000,
            latency_seconds: 4,
        }
    }
}
