//! `reconverge holes`: what a stream lost before a lane had applied it, and the operator's word that the lane may go
//! on without.

use clap::{Subcommand, ValueEnum};
use reconverge_streams::{
    hole::HoleRecord,
    records::{Query, Records},
};
use serde::Serialize;

use crate::{assemble::Sidecar, config::Pipeline};

use super::{
    arguments::Global,
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, or_dash},
};

/// `holes`.
#[derive(Debug, Subcommand)]
pub(super) enum Holes {
    /// List holes, the newest first
    List {
        /// Only in this state
        #[arg(long, default_value = "all")]
        state: HoleState,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Take the loss: a lane that waits before the hole goes on behind it at its next start
    Accept {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
        /// Why, for those who ask later
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Who accepts them
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
        by: Option<String>,
    },
}

/// The words of `holes list --state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum HoleState {
    /// Nobody has looked at it
    Open,
    /// Somebody took the loss
    Accepted,
    /// A mirror had it
    Filled,
    /// Whatever its state
    All,
}

impl HoleState {
    /// The state's word in the sink; none for all.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            HoleState::Open => Some("open"),
            HoleState::Accepted => Some("accepted"),
            HoleState::Filled => Some("filled"),
            HoleState::All => None,
        }
    }
}

/// What became of one hole that was to be accepted.
#[derive(Debug, Serialize)]
struct Done {
    id: i64,
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn holes(global: &Global, asked: Holes) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    match asked {
        Holes::List { state, limit } => {
            let word = state.word().map(str::to_owned);
            let found = records.holes(&Query { word, ..connect::query(&pipeline, limit) }).await?;
            output::show(global.json, &found, |found| list(found))?;
            Ok(Exit::Done)
        }
        Holes::Accept { ids, note, by } => {
            let by = by.unwrap_or_else(|| "reconverge holes accept".to_owned());
            let mut done = Vec::new();
            for id in ids {
                let error = accept(&pipeline, &records, id, &by, note.as_deref()).await?;
                done.push(Done { id, ok: error.is_none(), error });
            }
            told(global, &done)
        }
    }
}

/// Accepts one hole; why not, where that is not possible.
async fn accept(
    pipeline: &Pipeline,
    records: &Sidecar,
    id: i64,
    by: &str,
    note: Option<&str>,
) -> Result<Option<String>, Failure> {
    let query = Query { id: Some(id.to_string()), ..connect::query(pipeline, 1) };
    let Some(hole) = records.holes(&query).await?.pop() else {
        return Ok(Some(format!("there is no hole {id}")));
    };
    if records.accept_hole(id, by, note).await? {
        return Ok(None);
    }
    let by = hole.by.map(|by| format!(", by {by}")).unwrap_or_default();
    Ok(Some(format!("hole {id} is not open, it is {}{by}", hole.state)))
}

/// Every hole's end. Those that failed do not keep the others from theirs.
fn told(global: &Global, done: &[Done]) -> Result<Exit, Failure> {
    let words = |one: &Done| {
        format!("hole {} is accepted; a lane that waits before it goes on at its next start\n", one.id)
    };
    output::show(global.json, &done, |done| done.iter().filter(|one| one.ok).map(words).collect())?;
    let failed: Vec<&str> = done.iter().filter_map(|one| one.error.as_deref()).collect();
    match (failed.split_last(), global.json) {
        (None, _) => Ok(Exit::Done),
        (Some(_), true) => Ok(Exit::Runtime),
        (Some((last, others)), false) => {
            for error in others {
                Failure::new(Exit::Runtime, *error).tell();
            }
            Err(Failure::new(Exit::Runtime, *last).hint("`reconverge holes list` shows those that there are"))
        }
    }
}

fn list(found: &[HoleRecord]) -> String {
    if found.is_empty() { "no holes\n".to_owned() } else { table(found) }
}

/// Holes, a line each.
pub(super) fn table(holes: &[HoleRecord]) -> String {
    let head = ["hole#", "at", "kind", "stream", "first#", "last#", "state", "lane", "passed", "by", "note"];
    let row = |hole: &HoleRecord| {
        vec![
            hole.id.to_string(),
            hole.at.clone(),
            hole.kind.clone(),
            hole.stream.clone(),
            hole.first.to_string(),
            hole.last.map_or_else(|| "unknown".to_owned(), |last| last.to_string()),
            hole.state.clone(),
            hole.lane.clone(),
            if hole.passed_at.is_some() { "yes" } else { "no" }.to_owned(),
            or_dash(hole.by.as_ref()),
            or_dash(hole.note.as_ref()),
        ]
    };
    output::table(&head, holes.iter().map(row))
}
