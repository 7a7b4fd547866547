//! `reconverge tables`: which tables run and which are paused, why, and what waits for them; paused and let run by hand.

use std::collections::BTreeMap;

use reconverge_streams::records::Records;
use serde::Serialize;

use crate::{assemble, config::Pipeline};

use super::{
    arguments::{Global, Tables},
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, grouped, or_dash},
};

/// A table of the pipeline, as the sink has it.
#[derive(Debug, Serialize)]
struct TableState {
    table: String,
    /// `running`, `paused`, or `waiting` for a table that it is bound to by `depends_on`.
    state: &'static str,
    /// Why it is paused, or which table it waits for.
    why: Option<String>,
    /// Changes that wait for it to run again.
    waiting: u64,
}

pub(super) async fn tables(global: &Global, asked: Tables) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    match asked {
        Tables::List => {
            let states = states(&pipeline, &records).await?;
            output::show(global.json, &states, |states| list(states))?;
        }
        Tables::Pause { table, reason } => {
            let name = named(&pipeline, &table)?;
            let reason = reason.unwrap_or_else(|| "by hand".to_owned());
            if !records.set_paused(&name, Some(&reason)).await? {
                let what = format!("table {name} is paused already, or was never written to");
                return Err(Failure::new(Exit::Runtime, what).hint("`reconverge tables list` shows which is"));
            }
            said(global, &name, "is paused: its changes wait from within a second on")?;
        }
        Tables::Resume { table } => {
            let name = named(&pipeline, &table)?;
            assemble::usable(&pipeline, &records, &name).await?;
            if !records.set_paused(&name, None).await? {
                let what = format!("table {name} is not paused");
                return Err(Failure::new(Exit::Runtime, what).hint("`reconverge tables list` shows which is"));
            }
            said(global, &name, "runs again: what waited for it is applied in order")?;
        }
    }
    Ok(Exit::Done)
}

/// A table's name in the sink.
fn named(pipeline: &Pipeline, table: &str) -> Result<String, Failure> {
    let found = connect::table(pipeline, table).map(|table| table.target.clone());
    found.ok_or_else(|| {
        Failure::new(Exit::Configuration, format!("the pipeline has no table {table}"))
            .hint("`reconverge tables list` shows its tables")
    })
}

fn said(global: &Global, table: &str, what: &str) -> Result<(), Failure> {
    let done = serde_json::json!({ "table": table, "ok": true });
    output::show(global.json, &done, |_| format!("table {table} {what}\n"))
}

async fn states(pipeline: &Pipeline, records: &impl Records) -> Result<Vec<TableState>, Failure> {
    let paused: BTreeMap<String, String> =
        records.tables().await?.into_iter().filter_map(|t| Some((t.name, t.paused?))).collect();
    let counts = records.parked_counts(Some(&pipeline.name)).await?;
    let waiting = |name: &str| {
        let of_table = counts.iter().filter(|(table, why, _)| table == name && why == "paused");
        of_table.map(|(.., n)| n).sum()
    };
    let family = families(pipeline, &paused);
    let state = |(place, table): (usize, &crate::config::Table)| {
        let (state, why) = match (paused.get(&table.target), family.get(&place)) {
            (Some(why), _) => ("paused", Some(why.clone())),
            (None, Some(other)) => ("waiting", Some(format!("it is bound to {other} by depends_on"))),
            (None, None) => ("running", None),
        };
        TableState { table: table.target.clone(), state, why, waiting: waiting(&table.target) }
    };
    Ok(pipeline.tables.iter().enumerate().map(state).collect())
}

/// Tables that are bound to a paused one by `depends_on`, in either direction, with the name of one that is paused.
fn families(pipeline: &Pipeline, paused: &BTreeMap<String, String>) -> BTreeMap<usize, String> {
    let mut family: BTreeMap<usize, String> = BTreeMap::new();
    for (place, table) in pipeline.tables.iter().enumerate() {
        if paused.contains_key(&table.target) {
            family.insert(place, table.target.clone());
        }
    }
    loop {
        let before = family.len();
        for (child, table) in pipeline.tables.iter().enumerate() {
            for parent in &table.depends_on {
                let known = family.get(&child).or_else(|| family.get(&parent.parent)).cloned();
                if let Some(known) = known {
                    family.entry(child).or_insert_with(|| known.clone());
                    family.entry(parent.parent).or_insert(known);
                }
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

fn list(states: &[TableState]) -> String {
    let row = |s: &TableState| {
        vec![s.table.clone(), s.state.to_owned(), grouped(s.waiting), or_dash(s.why.as_ref())]
    };
    output::table(&["table", "state", "changes that wait#", "why"], states.iter().map(row))
}
