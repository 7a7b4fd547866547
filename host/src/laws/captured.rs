//! Contests that were captured from a running pipeline, as histories: what stood and what came become changes of two
//! regions, so that real values meet in every order too.

use serde_json::{Map, Value};

use super::{
    ground::KEYS_MAX,
    history::{Cell, History, SOURCES, STRIDE, Step},
};
use crate::{batch::Op, contests::ContestFile, plan::TablePlan};

/// Rows of so many contests meet on one key.
const MEET: usize = 4;
/// A commit time where a contest has none.
const AT: i64 = 1_760_000_000_000_000;

/// The contests of a table as histories: each on a key of its own, then several on one.
#[must_use]
pub fn histories(files: &[ContestFile], table: &TablePlan, name: &str) -> Vec<History> {
    let mut pairs: Vec<[Step; 2]> = Vec::new();
    for file in files {
        let only = file.head.tables.len() == 1;
        for entry in &file.contests {
            let of = entry.incoming.get("table").and_then(Value::as_str);
            let of = of.map(|of| of.rsplit('.').next().unwrap_or(of));
            let is_ours = of.map_or(only, |of| of == name) && file.head.tables.iter().any(|t| t.name == name);
            let Some(current) = entry.current.as_ref().filter(|_| is_ours) else { continue };
            let op = match entry.incoming.get("op").and_then(Value::as_str) {
                Some("d") => Op::Delete,
                _ => Op::Update,
            };
            let image = |side: &str| entry.incoming.get(side).and_then(Value::as_object);
            let Some(row) = image(if op == Op::Delete { "before" } else { "after" }) else { continue };
            let at = entry.incoming.get("at").and_then(Value::as_i64).unwrap_or(AT);
            let stood = if current.live { Op::Update } else { Op::Delete };
            let before = image("before").map(|before| cells(before, table));
            pairs.push([
                step(0, stood, cells(&current.row, table), None, current.at.unwrap_or(AT)),
                step(1, op, cells(row, table), before.filter(|_| op == Op::Update), at),
            ]);
        }
    }
    let apart = pairs.chunks(KEYS_MAX).map(|pairs| {
        let steps = (0..).zip(pairs).flat_map(|(key, pair)| pair.clone().map(|step| Step { key, ..step }));
        numbered(steps)
    });
    let together = pairs.chunks(MEET).filter(|pairs| pairs.len() > 1).map(|pairs| {
        let rows = pairs.iter().map(|pair| pair[1].clone()).enumerate();
        numbered(rows.map(|(n, step)| Step { source: n % SOURCES.len(), ..step }))
    });
    apart.chain(together).collect()
}

fn step(source: usize, op: Op, row: Vec<Cell>, before: Option<Vec<Cell>>, at: i64) -> Step {
    Step { source, key: 0, op, row, before, at, commit: 0, let_go: false }
}

/// With rising positions; of one source also with commit times that do not fall.
fn numbered(steps: impl Iterator<Item = Step>) -> History {
    let mut latest = [i64::MIN; SOURCES.len()];
    let number = |(n, step): (u64, Step)| {
        let at = step.at.max(latest[step.source]);
        latest[step.source] = at;
        Step { commit: (n + 1) * STRIDE, at, ..step }
    };
    History { steps: (0..).zip(steps).map(number).collect() }
}

fn cells(row: &Map<String, Value>, table: &TablePlan) -> Vec<Cell> {
    let cell = |column: &reconverge_streams::table::ColumnShape| match row.get(&column.name) {
        _ if column.generated => Cell::Missing,
        Some(value) => Cell::Is(value.clone()),
        None => Cell::Is(Value::Null),
    };
    table.columns.iter().map(cell).collect()
}
