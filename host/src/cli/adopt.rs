//! `reconverge adopt`: says where rows come from that stood in the sink before the pipeline knew them.

use std::str::FromStr;

use clap::Args;
use reconverge_streams::{
    columns::Column,
    logical::Logical,
    position::{Micros, Position},
    table::ColumnShape,
    text,
};

use crate::assemble::{self, Adopted, Adoption};

use super::{
    arguments::Global,
    connect,
    exit::{Exit, exit_codes},
    failure::Failure,
    help::more,
    logging::{Bar, Loudness},
    output::{self, grouped},
};

pub(super) const ADOPT: &str = "\
Gives rows that stand in the sink and that the pipeline has never seen a baseline: which region wrote them, when, and \
which changes they contain. A table that was filled from a dump is the usual case. Without it such rows count as \
written by the application in the sink's own region, at an unknown time.

With --through, changes of that source up to that position are known to be in the rows, and change nothing. Give the last \
one that surely is in them: a change that comes although it is in the rows loses or is the same, one that is left out is \
missing. Of a table with `policy = \"none\"` the lanes' newest positions are raised, and rows need nothing.

Rows that the pipeline knows and the application changed since are left as they are, but for --local. All processes of the \
pipeline have to be stopped. What was adopted stays when it is interrupted; run it again, it goes on with the rest.";
pub(super) const ADOPT_MORE: &str = more!(
    reads: "all rows of the tables, by their keys; writes reconverge.version.",
    "reconverge adopt --dry-run",
    "reconverge adopt --table agent_schedules --through us-east-1=97509212:7 --at 2026-03-01T06:30:00Z",
    "reconverge adopt --local                # after a repair by hand that counts as replicated",
);

/// `adopt`.
#[derive(Debug, Args)]
pub(super) struct Adopt {
    /// A table, by its name at the source or in the sink; may be repeated. Left out: all
    #[arg(long = "table", value_name = "TABLE")]
    tables: Vec<String>,
    /// The region that wrote the rows. Left out: the source of --through where there is one, else the sink's own
    #[arg(long, value_name = "REGION")]
    origin: Option<String>,
    /// When they were written, as 2026-03-01T06:30:00Z. Left out: unknown, older than any time
    #[arg(long, value_name = "TIME")]
    at: Option<At>,
    /// Changes of a source up to this position are in the rows: COMMIT or COMMIT:ORDINAL, the numbers that its changes
    /// carry (of Debezium's PostgreSQL connector the pair in `source.sequence`); may be repeated
    #[arg(long, value_name = "SOURCE=POSITION")]
    through: Vec<Through>,
    /// Take over also rows that the pipeline knows and that look written by the application
    #[arg(long)]
    local: bool,
    /// Look, and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// A time on the command line.
#[derive(Clone, Copy, Debug)]
struct At(Micros);

impl FromStr for At {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let mut column = Column::new(Logical::Timestamp);
        let shape = ColumnShape::new("at", Logical::Timestamp);
        text::parse(&shape, typed, &mut column).map_err(|wrong| wrong.to_string())?;
        Ok(At(column.int(0)))
    }
}

/// A position of a source on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Through {
    source: String,
    position: Position,
}

impl FromStr for Through {
    type Err = &'static str;

    fn from_str(typed: &str) -> Result<Self, &'static str> {
        let (source, position) = typed.rsplit_once('=').ok_or("give it as SOURCE=POSITION")?;
        let number = |digits: &str| {
            digits.parse().map_err(|_| "a position is COMMIT or COMMIT:ORDINAL, two whole numbers")
        };
        let (commit, ordinal) = match position.split_once(':') {
            Some((commit, ordinal)) => (number(commit)?, number(ordinal)?),
            // All of the commit is meant.
            None => (number(position)?, u64::MAX),
        };
        if source.is_empty() {
            return Err("name the source as its changes call it");
        }
        Ok(Through { source: source.to_owned(), position: Position { epoch: 0, commit, ordinal } })
    }
}

pub(super) async fn adopt(global: &Global, asked: Adopt) -> Result<Exit, Failure> {
    let bar = Bar::default();
    let pipeline = connect::pipeline(global, Loudness::Warn, &bar)?;
    let dry_run = asked.dry_run;
    let adoption = Adoption {
        tables: asked.tables,
        origin: asked.origin,
        at: asked.at.map(|at| at.0),
        through: asked.through.into_iter().map(|t| (t.source, t.position)).collect(),
        local: asked.local,
        dry_run,
    };
    let looked_at = |table: &str, rows: u64| tracing::info!(table, rows, "adopt.page");
    let adopted = assemble::adopt(&pipeline, &adoption, looked_at).await?;
    output::show(global.json, &adopted, |adopted| told(adopted, dry_run))?;
    Ok(Exit::Done)
}

fn told(adopted: &[Adopted], dry_run: bool) -> String {
    let row = |table: &Adopted| {
        let raised = if table.lanes_raised == 0 { "-".to_owned() } else { table.lanes_raised.to_string() };
        vec![table.table.clone(), grouped(table.adopted), grouped(table.ours), grouped(table.local), raised]
    };
    let head = ["table", "adopted#", "the pipeline's#", "the application's#", "lanes raised#"];
    let mut text = output::table(&head, adopted.iter().map(row));
    if adopted.iter().any(|table| table.local > 0) {
        text.push_str("\nThe application's rows were written after the pipeline's and stay as they are; --local takes them over.\n");
    }
    if dry_run {
        text.push_str("\nNothing was changed: --dry-run.\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_in_each_of_their_forms() {
        let read =
            |typed: &str| typed.parse::<Through>().map(|t| (t.source, t.position.commit, t.position.ordinal));
        let east = |commit, ordinal| Ok(("east".to_owned(), commit, ordinal));
        assert_eq!(read("east=42"), east(42, u64::MAX));
        assert_eq!(read("east=42:7"), east(42, 7));
        for wrong in ["east", "east=", "=4", "east=x", "east=1:", "east=1:-2", "east=16/B374D848"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
