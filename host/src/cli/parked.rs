//! `reconverge parked`: rows that stand and are not in the sink yet, because a row that they depend on is not, and
//! changes that wait on time. What an operator asks for of them stands in `by_hand`.

use reconverge_streams::{
    by_hand::Hand,
    records::{ParkedRecord, Query, Records},
};

use crate::assemble;

use super::{
    arguments::{Global, Parked},
    by_hand, connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output, story,
};

pub(super) async fn parked(global: &Global, asked: Parked) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    match asked {
        Parked::List { table, why, limit } => {
            let word = why.word().map(str::to_owned);
            let found = records.parked(&Query { table, word, ..connect::query(&pipeline, limit) }).await?;
            output::show(global.json, &found, |found| list(found))?;
        }
        Parked::Show { table, key } => {
            let (shape, bytes, _) = assemble::key(&pipeline, &records, &table, &key).await?;
            let query =
                Query { table: Some(shape.name.clone()), key: Some(bytes), ..connect::query(&pipeline, 1) };
            let found = records.parked(&query).await?.pop().ok_or_else(|| {
                let what = format!("no row of table {} is kept under this key", shape.name);
                Failure::new(Exit::Runtime, what).hint(
                    "`reconverge parked list` shows those that are; `reconverge explain` tells of any key",
                )
            })?;
            output::show(global.json, &found, shown)?;
        }
        Parked::Release(asked) => {
            return by_hand::by_hand(global, &pipeline, &records, Hand::Release, asked).await;
        }
        Parked::Discard(asked) => {
            return by_hand::by_hand(global, &pipeline, &records, Hand::Discard, asked).await;
        }
    }
    Ok(Exit::Done)
}

fn list(found: &[ParkedRecord]) -> String {
    if found.is_empty() {
        return "no rows are kept\n".to_owned();
    }
    let head = ["since", "table", "key", "why", "waits for", "sequence#", "lane"];
    let row = |kept: &ParkedRecord| {
        vec![
            kept.parked_at.clone(),
            kept.table.clone(),
            kept.key.clone(),
            kept.why.clone(),
            parent(kept),
            kept.sequence.to_string(),
            kept.lane.clone(),
        ]
    };
    output::table(&head, found.iter().map(row))
}

fn shown(kept: &ParkedRecord) -> String {
    let facts = [
        ("waits for", parent(kept)),
        ("why", reason(kept).to_owned()),
        ("since", kept.parked_at.clone()),
        ("lane", kept.lane.clone()),
        ("stream sequence", kept.sequence.to_string()),
        (
            "position",
            format!(
                "{}, epoch {}, commit {}, ordinal {}",
                kept.source, kept.epoch, kept.commit_position, kept.ordinal
            ),
        ),
    ];
    let elsewhere = (kept.counted_by != kept.lane).then(|| ("counted by", kept.counted_by.clone()));
    let asked = kept.asked.as_ref().map(|asked| ("asked for", asked.clone()));
    let asked_by = kept.asked_by.as_ref().map(|by| ("asked by", by.clone()));
    let name = if kept.asked.is_some() { "note" } else { "refused, since" };
    let note = kept.note.as_ref().map(|note| (name, note.clone()));
    let facts = facts.into_iter().chain([elsewhere, asked, asked_by, note].into_iter().flatten());
    let rows = facts.map(|(name, value)| vec![name.to_owned(), value]);
    let mut text = format!("{} {}, kept beside\n\n{}", kept.table, kept.key, story::pairs(rows));
    if let Some(row) = kept.row.as_ref().and_then(|row| row.as_object()) {
        text.push_str("\nthe row that stands\n");
        text.push_str(&story::columns(row));
    }
    text
}

/// The row that is missing.
pub(super) fn parent(kept: &ParkedRecord) -> String {
    match (&kept.waits_table, &kept.waits_key) {
        (Some(table), Some(key)) => format!("{table} {key}"),
        _ if kept.why == "skew" => kept.until.clone().unwrap_or_default(),
        _ if kept.why == "paused" => format!("{} to run again", kept.table),
        _ => "a table that is not known any more".to_owned(),
    }
}

/// What is known of the missing row.
pub(super) fn reason(kept: &ParkedRecord) -> &'static str {
    match kept.why.as_str() {
        "orphaned" => "that row was deleted, does not belong here, or is a dead letter",
        "skew" => "its source's clock is ahead: it is decided when its commit time has passed",
        "paused" => "its table is paused: it is decided when the table runs again",
        _ => "no change has brought that row yet, or it waits itself",
    }
}
