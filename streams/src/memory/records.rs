//! The sidecar of a database in memory, for people.

use super::{
    by_hand,
    database::{Asked, KeptRow, Remembered, WaitingChange, WaitingKey, is_local},
    epochs, holes, sink,
    write::key_json,
};
use crate::{
    by_hand::HandWord,
    checkpoint::Checkpoint,
    columns::Columns,
    hole::HoleRecord,
    records::{
        DeadLetterRecord, DecisionRecord, EpochRecord, EpochWord, GenerationRecord, KeyRecord, ParkedRecord,
        Query, Records, SeenRecord, SourceRecord, SuspicionRecord, TableRecord, VersionRecord,
    },
    sink::SinkError,
    standing::StandingKind,
    table::TableShape,
    text,
};

impl Records for sink::MemorySink {
    async fn checkpoints(&self, pipeline: Option<&str>) -> Result<Vec<Checkpoint>, SinkError> {
        let state = self.database.state.lock().await;
        let all = state.checkpoints.values().filter(|c| is_of(pipeline, &c.lane));
        Ok(all.map(|c| c.settled(&state.moves_of(&c.lane))).collect())
    }

    async fn decisions(&self, query: &Query) -> Result<Vec<DecisionRecord>, SinkError> {
        let state = self.database.state.lock().await;
        let found = state.decisions.iter().rev().filter(|(key, d)| {
            is_of(query.pipeline.as_deref(), &d.lane)
                && query.table.as_ref().is_none_or(|t| *t == d.table)
                && query.key.as_ref().is_none_or(|k| k == key)
                && query.word.as_ref().is_none_or(|w| *w == d.kind)
                && query.id.as_ref().is_none_or(|id| d.id.starts_with(id))
        });
        Ok(found.map(|(_, d)| d.clone()).take(query.limit as usize).collect())
    }

    async fn conflict_counts(
        &self,
        pipeline: Option<&str>,
    ) -> Result<Vec<(String, String, String, u64)>, SinkError> {
        let state = self.database.state.lock().await;
        let mut counts = std::collections::BTreeMap::new();
        for (_, d) in state.decisions.iter().filter(|(_, d)| is_of(pipeline, &d.lane)) {
            *counts.entry((d.table.clone(), d.kind.clone(), d.outcome.clone())).or_insert(0) += 1;
        }
        Ok(counts.into_iter().map(|((table, kind, outcome), n)| (table, kind, outcome, n)).collect())
    }

    async fn sources(&self) -> Result<Vec<SourceRecord>, SinkError> {
        let state = self.database.state.lock().await;
        let epoch = |name: &String| {
            let of_source = state.epochs.iter().filter(|start| start.source == *name);
            of_source.map(|start| start.epoch).max().unwrap_or(0)
        };
        let record = |(name, grade): (&String, &char)| SourceRecord {
            name: name.clone(),
            epoch: epoch(name),
            grade: (*grade).into(),
        };
        Ok(state.sources.iter().map(record).collect())
    }

    async fn suspicions(&self, pipeline: Option<&str>) -> Result<Vec<SuspicionRecord>, SinkError> {
        let state = self.database.state.lock().await;
        let open = state.suspicions.iter().filter(|s| !s.closed && is_of(pipeline, &s.record.lane));
        let mut open: Vec<SuspicionRecord> = open.map(|s| s.record.clone()).collect();
        open.sort_by_key(|s| s.sequence);
        Ok(open)
    }

    async fn say_epoch(&self, word: &EpochWord) -> Result<Option<EpochRecord>, SinkError> {
        let mut state = self.database.state.lock().await;
        Ok(epochs::say(&mut state, word))
    }

    async fn dead_letters(&self, query: &Query) -> Result<Vec<DeadLetterRecord>, SinkError> {
        let state = self.database.state.lock().await;
        let found = state.dead.iter().rev().filter(|(key, d)| {
            is_of(query.pipeline.as_deref(), &d.lane)
                && query.table.as_ref().is_none_or(|t| Some(t) == d.table.as_ref())
                && query.key.as_ref().is_none_or(|k| Some(k) == key.as_ref())
                && query.word.as_ref().is_none_or(|w| *w == d.state)
                && query.id.as_ref().is_none_or(|id| *id == d.id.to_string())
        });
        Ok(found.map(|(_, d)| d.clone()).take(query.limit as usize).collect())
    }

    async fn parked(&self, query: &Query) -> Result<Vec<ParkedRecord>, SinkError> {
        let state = self.database.state.lock().await;
        let shown = |table: &str, key: &[u8]| {
            state.tables.get(table).map(|t| key_json(&t.shape, key)).unwrap_or_default()
        };
        let wanted = |lane: &str, table: &String, key: &Vec<u8>, why: &str| {
            is_of(query.pipeline.as_deref(), lane)
                && query.table.as_ref().is_none_or(|t| t == table)
                && query.key.as_ref().is_none_or(|k| k == key)
                && query.word.as_ref().is_none_or(|w| w == why)
        };
        let kept = state.kept.iter().filter(|((table, key), k)| wanted(&k.lane, table, key, why(k)));
        let waiting =
            state.waiting.iter().filter(|((lane, _, table, key), w)| wanted(lane, table, key, w.why.word()));
        let kept = kept.map(|(at, row)| ((row.at, row.sequence), kept_record(at, row, shown)));
        let waiting = waiting.map(|(at, w)| ((w.parked_at, at.1), waiting_record(at, w, shown)));
        let mut found: Vec<_> = kept.chain(waiting).collect();
        found.sort_by_key(|(newest, _)| std::cmp::Reverse(*newest));
        Ok(found.into_iter().map(|(_, record)| record).take(query.limit as usize).collect())
    }

    async fn ask(&self, word: &HandWord) -> Result<u64, SinkError> {
        let mut state = self.database.state.lock().await;
        Ok(by_hand::ask(&mut state, word))
    }

    async fn parked_counts(&self, pipeline: Option<&str>) -> Result<Vec<(String, String, u64)>, SinkError> {
        let state = self.database.state.lock().await;
        let mut counts = std::collections::BTreeMap::new();
        for ((table, _), kept) in state.kept.iter().filter(|(_, kept)| is_of(pipeline, &kept.lane)) {
            *counts.entry((table.clone(), why(kept).to_owned())).or_insert(0) += 1;
        }
        for ((_, _, table, _), waiting) in
            state.waiting.iter().filter(|((lane, ..), _)| is_of(pipeline, lane))
        {
            *counts.entry((table.clone(), waiting.why.word().to_owned())).or_insert(0) += 1;
        }
        Ok(counts.into_iter().map(|((table, why), n)| (table, why, n)).collect())
    }

    async fn tables(&self) -> Result<Vec<TableRecord>, SinkError> {
        let state = self.database.state.lock().await;
        let names: std::collections::BTreeSet<&String> =
            state.tables.keys().chain(state.paused.keys()).collect();
        let record =
            |name: &String| TableRecord { name: name.clone(), paused: state.paused.get(name).cloned() };
        Ok(names.into_iter().map(record).collect())
    }

    async fn set_paused(&self, table: &str, reason: Option<&str>) -> Result<bool, SinkError> {
        let mut state = self.database.state.lock().await;
        Ok(match reason {
            Some(reason) if state.tables.contains_key(table) && !state.paused.contains_key(table) => {
                state.paused.insert(table.to_owned(), reason.to_owned()).is_none()
            }
            Some(_) => false,
            None => state.paused.remove(table).is_some(),
        })
    }

    async fn discard(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        let mut state = self.database.state.lock().await;
        let now = text::format_timestamp(state.now());
        let open = state.dead.iter_mut().map(|(_, d)| d).find(|d| d.id == id && d.state == "open");
        Ok(open.is_some_and(|letter| {
            letter.state = "discarded".into();
            letter.closed_at = Some(now);
            letter.closed_by = Some(by.into());
            letter.note = note.map(String::from);
            true
        }))
    }

    async fn holes(&self, query: &Query) -> Result<Vec<HoleRecord>, SinkError> {
        let state = self.database.state.lock().await;
        let found = state.holes.iter().rev().map(|(_, hole)| hole).filter(|hole| {
            is_of(query.pipeline.as_deref(), &hole.lane)
                && query.word.as_ref().is_none_or(|w| *w == hole.state)
                && query.id.as_ref().is_none_or(|id| *id == hole.id.to_string())
        });
        Ok(found.take(query.limit as usize).cloned().collect())
    }

    async fn accept_hole(&self, id: i64, by: &str, note: Option<&str>) -> Result<bool, SinkError> {
        let mut state = self.database.state.lock().await;
        Ok(holes::accept(&mut state, id, by, note))
    }

    async fn key(&self, shape: &TableShape, key: &[u8], _cells: &Columns) -> Result<KeyRecord, SinkError> {
        let state = self.database.state.lock().await;
        let stored = state.tables.get(&shape.name).and_then(|t| t.rows.get(key));
        let remembered = state.versions.get(&(shape.name.clone(), key.to_vec()));
        let names = shape.columns.iter().map(|c| c.name.as_str());
        let json = stored.map(|s| text::to_json(names.zip(&s.cells.columns), 0));
        Ok(KeyRecord {
            row: json.and_then(|j| serde_json::from_str(&j).ok()),
            version: remembered.map(version_record),
            local: is_local(stored.map(|s| s.stamp), remembered),
        })
    }

    async fn generations(&self, pipeline: Option<&str>) -> Result<Vec<GenerationRecord>, SinkError> {
        let state = self.database.state.lock().await;
        Ok(state.generations.iter().rev().filter(|g| is_of(pipeline, &g.lane)).cloned().collect())
    }
}

fn is_of(pipeline: Option<&str>, lane: &str) -> bool {
    pipeline.is_none_or(|p| lane.strip_prefix(p).is_some_and(|rest| rest.starts_with('/')))
}

pub(super) fn why(kept: &KeptRow) -> &'static str {
    if kept.orphaned { "orphaned" } else { "parent" }
}

fn kept_record(
    (table, key): &(String, Vec<u8>),
    kept: &KeptRow,
    shown: impl Fn(&str, &[u8]) -> String,
) -> ParkedRecord {
    ParkedRecord {
        table: table.clone(),
        key: shown(table, key),
        why: why(kept).into(),
        waits_table: Some(kept.waits.0.clone()),
        waits_key: Some(shown(&kept.waits.0, &kept.waits.1)),
        lane: kept.lane.clone(),
        counted_by: kept.counted_by.to_string(),
        sequence: kept.sequence,
        source: kept.source.to_string(),
        epoch: kept.position.epoch,
        commit_position: kept.position.commit,
        ordinal: kept.position.ordinal,
        parked_at: text::format_timestamp(kept.at),
        until: None,
        attempts: 0,
        asked: word(kept.asked.as_ref()),
        asked_by: kept.asked.as_ref().map(|a| a.by.clone()),
        note: kept.asked.as_ref().and_then(|a| a.note.clone()),
        row: serde_json::from_str(&kept.row).ok(),
    }
}

fn waiting_record(
    (lane, sequence, table, key): &WaitingKey,
    waiting: &WaitingChange,
    shown: impl Fn(&str, &[u8]) -> String,
) -> ParkedRecord {
    ParkedRecord {
        table: table.clone(),
        key: shown(table, key),
        why: waiting.why.word().into(),
        waits_table: None,
        waits_key: None,
        lane: lane.clone(),
        counted_by: waiting.counted_by.to_string(),
        sequence: *sequence,
        source: waiting.source.to_string(),
        epoch: waiting.position.epoch,
        commit_position: waiting.position.commit,
        ordinal: waiting.position.ordinal,
        parked_at: text::format_timestamp(waiting.parked_at),
        until: waiting.until.map(text::format_timestamp),
        attempts: waiting.attempts,
        asked: word(waiting.asked.as_ref()),
        asked_by: waiting.asked.as_ref().map(|a| a.by.clone()),
        note: waiting.asked.as_ref().and_then(|a| a.note.clone()),
        row: None,
    }
}

fn word(asked: Option<&Asked>) -> Option<String> {
    asked.and_then(|asked| asked.hand).map(|hand| hand.word().to_owned())
}

fn version_record(stored: &Remembered) -> VersionRecord {
    let seen = stored.seen.iter().map(|s| SeenRecord {
        source: s.source.to_string(),
        epoch: s.position.epoch,
        commit: s.position.commit,
        ordinal: s.position.ordinal,
        deleted: s.deleted,
    });
    VersionRecord {
        standing: match stored.standing {
            StandingKind::Row => "row",
            StandingKind::Tombstone => "tombstone",
            StandingKind::Absence => "absence",
            StandingKind::Kept => "kept",
            StandingKind::Nothing => "nothing",
        }
        .into(),
        origin: stored.origin.to_string(),
        committed_at: text::format_timestamp(stored.committed_at),
        seen: seen.collect(),
        ordered_by: stored.ordered_by.as_deref().and_then(|t| serde_json::from_str(t).ok()),
    }
}
