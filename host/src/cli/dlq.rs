//! `reconverge dlq`: dead letters for their operator: seen, sent again, or closed.

use std::{ffi::OsStr, path::Path};

use reconverge_streams::records::{DeadLetterRecord, Query, Records};
use serde::Serialize;

use crate::assemble;

use super::{
    arguments::{Dlq, Global},
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, or_dash},
    story,
};

/// What became of one letter that was to be sent again or closed.
#[derive(Debug, Serialize)]
struct Done {
    id: i64,
    ok: bool,
    /// The sequence that it was sent again with.
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn dlq(global: &Global, asked: Dlq) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    match asked {
        Dlq::List { state, table, limit } => {
            let word = state.word().map(str::to_owned);
            let found =
                records.dead_letters(&Query { table, word, ..connect::query(&pipeline, limit) }).await?;
            output::show(global.json, &found, |found| list(found))?;
            Ok(Exit::Done)
        }
        Dlq::Show { id, bytes } => {
            let letter = connect::dead_letter(&pipeline, &records, id).await?;
            if let Some(file) = &bytes {
                write_bytes(&letter, file)?;
            }
            if bytes.is_none_or(|file| file != "-") {
                output::show(global.json, &letter, shown)?;
            }
            Ok(Exit::Done)
        }
        Dlq::Redrive { ids } => {
            let mut done = Vec::new();
            for id in ids {
                let sent = match connect::dead_letter(&pipeline, &records, id).await {
                    Ok(_) => assemble::redrive(&pipeline, &records, id).await.map_err(Failure::from),
                    Err(missing) => Err(missing),
                };
                done.push(Done::of(id, sent.map(Some)));
            }
            told(global, &done, |one| match one.sequence {
                Some(sequence) => format!("dead letter {} was sent again as sequence {sequence}", one.id),
                None => format!("dead letter {} was sent again", one.id),
            })
        }
        Dlq::Discard { ids, note, by } => {
            let by = by.unwrap_or_else(|| "reconverge dlq discard".to_owned());
            let mut done = Vec::new();
            for id in ids {
                let letter = connect::dead_letter(&pipeline, &records, id).await;
                let closed = match letter {
                    Ok(letter) if records.discard(id, &by, note.as_deref()).await? => Ok(letter),
                    Ok(letter) => Err(Failure::new(
                        Exit::Runtime,
                        format!("dead letter {id} is not open, it is {}", letter.state),
                    )),
                    Err(missing) => Err(missing),
                };
                done.push(Done::of(id, closed.map(|_| None)));
            }
            told(global, &done, |one| format!("dead letter {} is discarded", one.id))
        }
    }
}

impl Done {
    fn of(id: i64, result: Result<Option<u64>, Failure>) -> Done {
        match result {
            Ok(sequence) => Done { id, ok: true, sequence, error: None },
            Err(failure) => Done { id, ok: false, sequence: None, error: Some(failure.line()) },
        }
    }
}

/// Every letter's end. Those that failed do not keep the others from theirs.
fn told(global: &Global, done: &[Done], words: impl Fn(&Done) -> String) -> Result<Exit, Failure> {
    output::show(global.json, &done, |done| {
        done.iter().filter(|one| one.ok).map(|one| words(one) + "\n").collect()
    })?;
    let failed: Vec<&str> = done.iter().filter_map(|one| one.error.as_deref()).collect();
    match (failed.split_last(), global.json) {
        (None, _) => Ok(Exit::Done),
        (Some(_), true) => Ok(Exit::Runtime),
        (Some((last, others)), false) => {
            for error in others {
                Failure::new(Exit::Runtime, *error).tell();
            }
            Err(Failure::new(Exit::Runtime, *last)
                .hint("`reconverge dlq list --state all` shows what there is"))
        }
    }
}

fn write_bytes(letter: &DeadLetterRecord, file: &OsStr) -> Result<(), Failure> {
    let Some(bytes) = &letter.bytes else {
        let what = format!(
            "the bytes of dead letter {} were not kept: no residency rule had passed them",
            letter.id
        );
        let hint =
            format!("they may still stand in stream {} at sequence {}", letter.stream, letter.sequence);
        return Err(Failure::new(Exit::Runtime, what).hint(hint));
    };
    if file == "-" {
        return output::write(bytes);
    }
    std::fs::write(Path::new(file), bytes).map_err(|error| {
        Failure::new(Exit::Environment, format!("{} cannot be written", Path::new(file).display()))
            .because(&error)
    })
}

fn list(found: &[DeadLetterRecord]) -> String {
    if found.is_empty() {
        return "no dead letters\n".to_owned();
    }
    let head = ["id#", "at", "state", "table", "key", "sequence#", "stage", "code", "reason"];
    let row = |letter: &DeadLetterRecord| {
        vec![
            letter.id.to_string(),
            letter.at.clone(),
            letter.state.clone(),
            or_dash(letter.table.as_ref()),
            or_dash(letter.key.as_ref()),
            letter.sequence.to_string(),
            letter.stage.clone(),
            letter.code.clone(),
            letter.reason.clone(),
        ]
    };
    output::table(&head, found.iter().map(row))
}

fn shown(letter: &DeadLetterRecord) -> String {
    let kept = match &letter.bytes {
        Some(bytes) => format!("{} bytes, `--bytes FILE` writes them", bytes.len()),
        None => "not kept: no residency rule had passed them".to_owned(),
    };
    let mut facts = vec![
        ("reason", letter.reason.clone()),
        ("code", letter.code.clone()),
        ("refused by", letter.stage.clone()),
        ("table", or_dash(letter.table.as_ref())),
        ("key", or_dash(letter.key.as_ref())),
        ("lane", letter.lane.clone()),
        ("message", format!("{} sequence {}, subject {}", letter.stream, letter.sequence, letter.subject)),
        ("at", letter.at.clone()),
        ("bytes", kept),
        ("sha256", letter.digest.clone()),
    ];
    if let Some(generation) = letter.generation {
        facts.push(("generation", generation.to_string()));
    }
    for (name, value) in
        [("closed at", &letter.closed_at), ("closed by", &letter.closed_by), ("note", &letter.note)]
    {
        if let Some(value) = value {
            facts.push((name, value.clone()));
        }
    }
    let rows = facts.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    let mut text = format!("dead letter {}, {}\n\n{}", letter.id, letter.state, story::pairs(rows));
    if let Some(headers) = letter.headers.as_ref().and_then(|headers| headers.as_object()) {
        text.push_str("\nheaders\n");
        text.push_str(&story::columns(headers));
    }
    text
}
