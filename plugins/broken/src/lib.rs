//! Merge rules that are wrong on purpose, each in another way, to try `reconverge plugin laws` on. `config = { fault = ".." }`
//! says which; every one is a file that an author might have written in good faith. Never for a table that matters.

mod adding_counter;
mod archive_one_side;
mod batch_size;
mod counting;
mod cyclic;
mod epoch_as_text;
mod float_nan;
mod last_arrival;
mod lopsided_columns;
mod null_trap;
mod rejecting;
mod tie_by_arrival;
mod truncated_time;
mod writes_its_side;

use reconverge_sdk::{
    Answer, Batch, Contract, Descriptor, Outcome, Plugin, Stage, Table, Writes, columns, config, contract,
    rows, stage,
};

/// Which rule to be.
#[config]
#[derive(Debug)]
struct Config {
    /// The fault.
    fault: Fault,
}

/// The faults.
#[config]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    /// Adds two counts, and counts twice what is sent twice.
    AddingCounter,
    /// Archives the loser where it takes, and not where it keeps.
    ArchiveOneSide,
    /// Decides otherwise in a batch than alone.
    BatchSize,
    /// Counts its calls, and changes its mind by them.
    Counting,
    /// Beats in a circle.
    Cyclic,
    /// Compares epochs as text: 9 beats 10.
    EpochAsText,
    /// Compares floats that may be no numbers.
    FloatNan,
    /// Takes what comes last.
    LastArrival,
    /// Prefers the incoming value of each column.
    LopsidedColumns,
    /// Traps where the epoch is null.
    NullTrap,
    /// Rejects rows without a region, but only where they meet one.
    Rejecting,
    /// Takes what comes last where the epochs are equal.
    TieByArrival,
    /// Compares whole seconds.
    TruncatedTime,
    /// Writes down which region came, of either side its own.
    WritesItsSide,
}

/// The plugin.
struct Broken(Fault);

/// The rule of a fault: its row and its function.
macro_rules! with_rule {
    ($fault:expr, |$row:ident, $decide:ident| $then:expr) => {
        with_rule!(@ $fault, $row, $decide, $then,
            AddingCounter adding_counter, ArchiveOneSide archive_one_side, Counting counting, Cyclic cyclic,
            EpochAsText epoch_as_text, FloatNan float_nan, LastArrival last_arrival, LopsidedColumns lopsided_columns,
            NullTrap null_trap, Rejecting rejecting, TieByArrival tie_by_arrival, TruncatedTime truncated_time,
            WritesItsSide writes_its_side, BatchSize batch_size)
    };
    (@ $fault:expr, $row:ident, $decide:ident, $then:expr, $($name:ident $module:ident),+) => {
        match $fault {
            $(Fault::$name => { use $module::{Row as $row, decide as $decide}; $then })+
        }
    };
}

impl Plugin for Broken {
    fn describe() -> Descriptor {
        Descriptor {
            name: "broken".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config_schema: config::schema::<Config>(),
            extensions: String::new(),
        }
    }

    fn open(config: &str, tables: &[Table]) -> Result<(Self, Vec<Contract>), String> {
        let Config { fault } = config::read(config)?;
        let contracts = (0..tables.len()).map(|table| {
            with_rule!(fault, |Row, decide| {
                let writes = written(decide);
                Contract {
                    extensions: columns::promises::<Row>(),
                    ..contract(table, rows::reads_of_merge::<Row>(), writes)
                }
            })
        });
        Ok((Broken(fault), contracts.collect()))
    }
}

/// The columns that a rule writes.
fn written<R, O: Outcome>(_: fn(&R, &R) -> O) -> Vec<reconverge_sdk::ColumnSpec> {
    <O::Writes as Writes>::specs()
}

impl Stage<stage::Merge> for Broken {
    fn run(&mut self, batch: &Batch<'_>) -> Result<Answer, String> {
        batch_size::ROWS.store(batch.block.rows(), std::sync::atomic::Ordering::Relaxed);
        with_rule!(self.0, |Row, decide| rows::merge::<Row, _>(batch, decide))
            .map_err(|error| error.to_string())
    }
}

reconverge_sdk::export!(Broken: merge);
