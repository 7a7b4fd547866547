//! Source epochs and suspicions in memory.

use super::database::Contents;
use crate::{
    epoch::{EpochStart, SourceEpochs},
    position::Position,
    records::{EpochRecord, EpochWord, SuspicionRecord},
    sink::ClaimRequest,
    table::TableId,
    text,
    writes::Writes,
};

/// A beginning of an epoch, or a dismissal.
#[derive(Clone, Debug)]
pub(super) struct Started {
    pub source: String,
    pub stream: String,
    /// Empty: of all lanes.
    pub lane: String,
    pub from_sequence: u64,
    pub epoch: i32,
    pub dismissed: bool,
}

/// A suspicion.
#[derive(Clone, Debug)]
pub(super) struct Suspected {
    pub stream: String,
    pub key: Vec<u8>,
    pub newest: Position,
    pub closed: bool,
    pub record: SuspicionRecord,
}

/// What holds for a lane.
pub(super) fn of_lane(state: &Contents, request: &ClaimRequest) -> SourceEpochs {
    let mut epochs = SourceEpochs::default();
    let lane = request.lane.to_string();
    for start in
        state.epochs.iter().filter(|s| s.stream == request.stream && (s.lane.is_empty() || s.lane == lane))
    {
        let Ok(source) = request.names.intern(&start.source) else { continue };
        if start.dismissed {
            epochs.dismissed.push((source, start.from_sequence - 1));
        } else {
            let (from_sequence, epoch) = (start.from_sequence, start.epoch);
            epochs.starts.push(EpochStart { source, from_sequence, epoch });
        }
    }
    for open in state.suspicions.iter().filter(|s| !s.closed && s.stream == request.stream) {
        let table = request.tables.iter().position(|t| t.name == open.record.table);
        let table = table.and_then(|at| u16::try_from(at).ok()).map(TableId);
        let (Ok(source), Some(table)) = (request.names.intern(&open.record.source), table) else { continue };
        let key = (source, table, open.key.clone());
        if !epochs.suspected.contains(&key) {
            epochs.suspected.push(key);
        }
    }
    epochs
}

/// Adds what a batch found.
pub(super) fn remember(state: &mut Contents, request: &ClaimRequest, writes: &Writes, now: &str) {
    for start in &writes.epochs {
        state.epochs.push(Started {
            source: request.names.get(start.source).to_string(),
            stream: request.stream.clone(),
            lane: request.lane.to_string(),
            from_sequence: start.from_sequence,
            epoch: start.epoch,
            dismissed: false,
        });
    }
    for s in &writes.suspicions {
        let shape = &request.tables[s.table.index()];
        let same = |known: &Suspected| {
            known.stream == request.stream
                && known.record.sequence == s.sequence
                && known.record.table == shape.name
                && known.key == s.key
        };
        if state.suspicions.iter().any(same) {
            continue;
        }
        state.suspicions.push(Suspected {
            stream: request.stream.clone(),
            key: s.key.clone(),
            newest: s.newest,
            closed: false,
            record: SuspicionRecord {
                source: request.names.get(s.source).to_string(),
                lane: request.lane.to_string(),
                stream: request.stream.clone(),
                sequence: s.sequence,
                table: shape.name.clone(),
                key: super::write::key_json(shape, &s.key),
                position: text_of(s.position),
                committed_at: text::format_timestamp(s.at),
                newest: text_of(s.newest),
                noted_at: now.to_owned(),
            },
        });
    }
}

fn text_of(p: Position) -> String {
    format!("{}/{}/{}", p.epoch, p.commit, p.ordinal)
}

/// The operator's word; `None` where the source is not known.
pub(super) fn say(state: &mut Contents, word: &EpochWord) -> Option<EpochRecord> {
    let EpochWord { source, stream, from_sequence: from, otherwise, dismiss, .. } = word.clone();
    let of_source = |s: &Suspected| s.record.source == source && s.stream == stream && !s.closed;
    let known = state.sources.contains_key(&source) || state.suspicions.iter().any(of_source);
    if !known {
        return None;
    }
    let open: Vec<&Suspected> = state.suspicions.iter().filter(|s| of_source(s)).collect();
    let of_open = open.iter().map(|s| s.newest.epoch).max();
    let of_starts = state.epochs.iter().filter(|s| s.source == source).map(|s| s.epoch).max();
    let present = of_open.max(of_starts).unwrap_or(0).max(0);
    let epoch = if dismiss { present } else { present + 1 };
    let first = open.iter().map(|s| s.record.sequence).min();
    let from_sequence = from.or(first.filter(|_| !dismiss)).unwrap_or(otherwise);
    let suspicions = open.len() as u64;
    state.suspicions.iter_mut().filter(|s| of_source(s)).for_each(|s| s.closed = true);
    state.epochs.push(Started {
        source: source.clone(),
        stream: stream.clone(),
        lane: String::new(),
        from_sequence,
        epoch,
        dismissed: dismiss,
    });
    Some(EpochRecord { source, stream, epoch, from_sequence, suspicions })
}
