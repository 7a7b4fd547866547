//! The ledger beside the stream: does every change that was delivered have its one disposition?

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use reconverge_streams::{
    checkpoint::{Checkpoint, PlanDigest},
    hole::HoleKind,
    records::{Query, Records},
    roster::{LaneMove, Roster},
    source::{Limits, Reader, Source},
};
use serde::Serialize;

use crate::{config::Pipeline, decode::Decoder};

use super::{
    RunError, ends, lanes, plan,
    sidecar::{Sidecar, sidecar},
};

/// What an audit found.
#[derive(Clone, Debug, Serialize)]
pub struct AuditReport {
    /// Whether every lane balances and matches its stream.
    pub balanced: bool,
    /// Lane by lane.
    pub lanes: Vec<LaneAudit>,
}

/// One lane's ledger.
#[derive(Clone, Debug, Serialize)]
pub struct LaneAudit {
    /// `pipeline/source/lane/partition`.
    pub lane: String,
    /// Changes delivered, as the ledger says.
    pub delivered: u64,
    /// The sum of its dispositions.
    pub sum: u64,
    /// Whether the two are equal.
    pub balanced: bool,
    /// Dispositions by word.
    pub dispositions: BTreeMap<&'static str, u64>,
    /// The count from the stream itself.
    pub recount: Recount,
}

/// Changes counted from the stream, up to the checkpoint.
#[derive(Clone, Debug, Serialize)]
pub struct Recount {
    /// First sequence that the stream still holds.
    pub from: u64,
    /// The checkpoint's sequence.
    pub through: u64,
    /// Changes between them.
    pub changes: u64,
    /// Whether they are as many as were delivered; `None` where the stream no longer holds the beginning.
    pub matches: Option<bool>,
    /// What limits the count.
    pub note: Option<String>,
}

/// Counts each lane's changes in the stream again and holds them against the ledger.
///
/// # Errors
/// [`RunError::Environment`] where sink or stream cannot be reached.
pub async fn audit(pipeline: &Pipeline) -> Result<AuditReport, RunError> {
    let sidecar = sidecar(pipeline).await?;
    let shapes: Vec<_> = sidecar.shapes(pipeline).await?.into_iter().map(Arc::new).collect();
    let asked = vec![plan::Asked::default(); shapes.len()];
    let plan = Arc::new(plan::plan(pipeline, &shapes, &asked, Arc::default())?);
    let slots = lanes::slots(pipeline);
    let mut sources = Vec::new();
    for config in &pipeline.sources {
        sources.push(ends::source(pipeline, config, false).await?);
    }
    let moves = sidecar.moves(&pipeline.name).await?;
    let mut lanes = Vec::new();
    for checkpoint in sidecar.checkpoints(Some(&pipeline.name)).await? {
        let slot = slots.iter().find(|slot| slot.id.to_string() == checkpoint.lane);
        let mut recount = match (slot, lanes::decoder(pipeline, &checkpoint.lane, &plan)) {
            (Some(slot), Ok(decoder)) if checkpoint.plan != PlanDigest::RETIRED => {
                let since = moves.iter().find(|made| made.lane == checkpoint.lane);
                recount(&sources[slot.source], &decoder, &checkpoint, slot.id.partition, since).await?
            }
            _ => not_counted(&checkpoint),
        };
        if let Some(note) = lives_before(&sidecar, &checkpoint).await? {
            recount.matches = None;
            recount.note = Some(note);
        }
        let sum = checkpoint.counts.sum();
        lanes.push(LaneAudit {
            balanced: checkpoint.delivered == sum,
            delivered: checkpoint.delivered,
            sum,
            dispositions: checkpoint.counts.present().map(|(d, n)| (d.word(), n)).collect(),
            recount,
            lane: checkpoint.lane,
        });
    }
    let balanced = lanes.iter().all(|l| l.balanced && l.recount.matches != Some(false));
    Ok(AuditReport { balanced, lanes })
}

/// A lane that the pipeline does not have any more.
fn not_counted(checkpoint: &Checkpoint) -> Recount {
    Recount {
        from: 0,
        through: checkpoint.sequence,
        changes: 0,
        matches: None,
        note: Some("the pipeline has no such lane any more: its ledger is a record".to_owned()),
    }
}

/// Where the lane began a stream anew, which counts what it had counted in the stream before.
async fn lives_before(sidecar: &Sidecar, checkpoint: &Checkpoint) -> Result<Option<String>, RunError> {
    let pipeline = checkpoint.lane.split('/').next().map(str::to_owned);
    let holes = sidecar.holes(&Query { pipeline, limit: u32::MAX, ..Query::default() }).await?;
    let anew = holes.iter().find(|hole| {
        hole.lane == checkpoint.lane && hole.kind != HoleKind::Trimmed.word() && hole.passed_at.is_some()
    });
    Ok(anew.map(|hole| {
        format!(
            "the stream was {} (hole {}); what was counted before it cannot be counted again",
            hole.kind, hole.id
        )
    }))
}

async fn recount<S: Source>(
    source: &S,
    decoder: &Decoder,
    checkpoint: &Checkpoint,
    partition: u32,
    since: Option<&LaneMove>,
) -> Result<Recount, RunError> {
    let facts = source.inspect().await?;
    let begin = since.map_or(1, |made| made.sequence + 1);
    let expected = checkpoint.delivered - since.map_or(0, |made| made.delivered).min(checkpoint.delivered);
    let after = begin.max(facts.first) - 1;
    let mut reader = source.open(partition, after.min(facts.last)).await?;
    let patience = Duration::from_millis(200);
    // Two pulls of this size overlap; a server cuts off a client for whom more than 64 MiB wait.
    let limits = Limits { rows: 10_000, bytes: 8 << 20, patience, linger: Duration::from_millis(5) };
    let (mut changes, mut scanned) = (0, after);
    while scanned < checkpoint.sequence.min(facts.last) {
        let mut pulled = reader.next(&limits).await?;
        scanned = pulled.scanned.max(scanned);
        pulled.deliveries.retain(|d| d.sequence <= checkpoint.sequence);
        changes += decoder.decode(pulled).items.len() as u64;
    }
    let note = (facts.first > begin).then(|| {
        format!("the stream begins at sequence {}; what stood before it cannot be counted again", facts.first)
    });
    Ok(Recount {
        from: begin.max(facts.first),
        through: checkpoint.sequence,
        changes,
        matches: note.is_none().then_some(changes == expected),
        note,
    })
}
