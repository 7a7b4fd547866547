//! `reconverge parked release` and `discard`: an operator's word about what is kept under a key. The lane that keeps it
//! does what is asked; this writes the word, and waits a while for what comes of it.

use std::time::Duration;

use reconverge_streams::{
    by_hand::{Hand, HandWord},
    records::{ParkedRecord, Query, Records},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    assemble::{self, Sidecar},
    config::Pipeline,
};

use super::{
    arguments::{ByHand, Global},
    connect,
    exit::Exit,
    failure::Failure,
    output,
};

/// How often to look whether the lane has done it.
const LOOK: Duration = Duration::from_millis(200);

/// What came of it.
#[derive(Debug, Serialize)]
struct Told {
    table: String,
    key: String,
    asked: &'static str,
    /// `done`; `asked` where the lane has not come to it; `refused`.
    state: &'static str,
    /// The lanes that keep it.
    lanes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

pub(super) async fn by_hand(
    global: &Global,
    pipeline: &Pipeline,
    records: &Sidecar,
    hand: Hand,
    asked: ByHand,
) -> Result<Exit, Failure> {
    let (shape, key, _) = assemble::key(pipeline, records, &asked.table, &asked.key).await?;
    let query =
        Query { table: Some(shape.name.clone()), key: Some(key.clone()), ..connect::query(pipeline, 1000) };
    let kept = records.parked(&query).await?;
    let Some(first) = kept.first() else {
        let what = format!("nothing of table {} is kept under this key", shape.name);
        return Err(Failure::new(Exit::Runtime, what).hint("`reconverge parked list` shows what is"));
    };
    if hand == Hand::Release {
        refuse_paused(records, &kept).await?;
    }
    let word = HandWord {
        pipeline: pipeline.name.clone(),
        table: shape.name.clone(),
        key,
        hand,
        by: asked.by.unwrap_or_else(|| format!("reconverge parked {}", hand.word())),
        note: asked.note,
    };
    records.ask(&word).await?;
    let mut lanes: Vec<String> = kept.iter().map(|kept| kept.lane.clone()).collect();
    lanes.sort_unstable();
    lanes.dedup();
    let mut told = Told {
        table: shape.name,
        key: first.key.clone(),
        asked: hand.word(),
        state: "asked",
        lanes,
        why: None,
    };
    let until = Instant::now() + Duration::from_secs(asked.wait);
    loop {
        (told.state, told.why) = state(&kept, &records.parked(&query).await?);
        if told.state != "asked" || Instant::now() >= until {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    if told.state == "refused" && !global.json {
        let what = format!("{} of table {}: the {} was refused", told.key, told.table, told.asked);
        let why = told.why.into_iter().collect();
        return Err(Failure::new(Exit::Runtime, what).causes(why).hint("it is kept as it was"));
    }
    output::show(global.json, &told, words)?;
    Ok(if told.state == "refused" { Exit::Runtime } else { Exit::Done })
}

/// Nothing is decided for a table that is paused.
async fn refuse_paused(records: &Sidecar, kept: &[ParkedRecord]) -> Result<(), Failure> {
    let paused = records.tables().await?.into_iter().filter(|table| table.paused.is_some());
    let paused: Vec<String> = paused.map(|table| table.name).collect();
    match kept.iter().find(|kept| paused.contains(&kept.table)) {
        None => Ok(()),
        Some(kept) => {
            let table = &kept.table;
            Err(Failure::new(Exit::Runtime, format!("table {table} is paused: nothing can be written to it"))
                .hint(format!("`reconverge tables resume {table}` releases all that waits for it, in order")))
        }
    }
}

/// What has come of what was kept.
fn state(kept: &[ParkedRecord], now: &[ParkedRecord]) -> (&'static str, Option<String>) {
    let same = |now: &&ParkedRecord| kept.iter().any(|k| (k.sequence, &k.lane) == (now.sequence, &now.lane));
    let mut left = now.iter().filter(same).peekable();
    if left.peek().is_none() {
        return ("done", None);
    }
    match left.find(|left| left.asked.is_none()) {
        Some(refused) => ("refused", refused.note.clone()),
        None => ("asked", None),
    }
}

fn words(told: &Told) -> String {
    let Told { table, key, asked, lanes, .. } = told;
    match (told.state, *asked) {
        ("done", "release") => format!("{key} of table {table} does not wait any more\n"),
        ("done", _) => format!("{key} of table {table} is discarded: a closed dead letter says so\n"),
        _ => {
            let lanes = lanes.join(", ");
            let done = if *asked == "release" { "released" } else { "discarded" };
            format!(
                "{key} of table {table} is to be {done}: lane {lanes} does it within a second of running\n"
            )
        }
    }
}
