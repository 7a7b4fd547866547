//! `reconverge status`: how far each lane is, who owns it, its ledger, the conflicts so far and the rows that
//! wait. Reads; takes no lock.

use std::collections::BTreeMap;

use jiff::Timestamp;
use reconverge_streams::{
    checkpoint::{Checkpoint, PlanDigest},
    hole::{HoleRecord, OPEN},
    position::Micros,
    records::{Query, Records, SourceRecord, SuspicionRecord},
    source::StreamFacts,
    text::format_timestamp,
};
use serde::Serialize;

use crate::{assemble, config::Pipeline, lane::near};

use super::{
    arguments::Global,
    connect,
    exit::Exit,
    failure::Failure,
    holes,
    logging::{Bar, Loudness},
    output::{self, grouped, or_dash},
    process,
};

/// Open holes that it shows at most.
const HOLES_SHOWN: u32 = 20;

/// What the command shows.
#[derive(Debug, Serialize)]
struct Status {
    pipeline: String,
    region: String,
    lanes: Vec<LaneStatus>,
    conflicts: Vec<ConflictCount>,
    kept: Vec<KeptCount>,
    sources: Vec<SourceRecord>,
    /// Those that nobody has accepted, the newest first.
    holes: Vec<HoleRecord>,
    /// Streams whose limits come near what is not applied, and ends that do not work.
    alarms: Vec<String>,
    /// What the process that runs says of itself, as `/ready` does; none where it does not serve, or not here.
    process: Option<serde_json::Value>,
    suspicions: Vec<SuspicionRecord>,
    /// What could not be asked.
    notes: Vec<String>,
}

/// A lane of the pipeline. Fields of its checkpoint are absent where it never ran.
#[derive(Debug, Default, Serialize)]
struct LaneStatus {
    lane: String,
    stream: String,
    /// `running`, `free` (nobody owns it), `new` (it never ran), or `retired` (of an earlier plan).
    state: &'static str,
    sequence: Option<u64>,
    scanned: Option<u64>,
    stream_last: Option<u64>,
    /// Messages of the stream, of whatever partition, behind what the lane has looked at.
    behind: Option<u64>,
    /// Seconds since the newest applied change was committed at its source; grows also where the source is quiet.
    newest_age_s: Option<i64>,
    owner: Option<String>,
    lease_until: Option<String>,
    lease_s: Option<i64>,
    generation: Option<i64>,
    plan: Option<String>,
    delivered: u64,
    balanced: bool,
    counts: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Serialize)]
struct ConflictCount {
    table: String,
    kind: String,
    outcome: String,
    count: u64,
}

/// Rows that wait for the rows that they depend on.
#[derive(Debug, Serialize)]
struct KeptCount {
    table: String,
    /// `parent` or `orphaned`.
    why: String,
    count: u64,
}

pub(super) async fn status(global: &Global) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let records = connect::sidecar(&pipeline).await?;
    let checkpoints = records.checkpoints(Some(&pipeline.name)).await?;
    let conflicts = records.conflict_counts(Some(&pipeline.name)).await?;
    let kept = records.parked_counts(Some(&pipeline.name)).await?;
    let sources = records.sources().await?;
    let suspicions = records.suspicions(Some(&pipeline.name)).await?;
    let open = Query { word: Some(OPEN.to_owned()), ..connect::query(&pipeline, HOLES_SHOWN) };
    let holes = records.holes(&open).await?;
    let streams = connect::streams(&pipeline).await;
    let now = Timestamp::now().as_microsecond();
    let process = match pipeline.metrics {
        Some(listen) => process::health(listen).await,
        None => None,
    };
    let mut alarms = alarms(&pipeline, &checkpoints, &streams);
    alarms.extend(process.as_ref().map(process::troubles).unwrap_or_default());
    let ends: Vec<_> =
        streams.into_iter().map(|(name, facts)| (name, facts.map(|facts| facts.last))).collect();
    let status = Status {
        pipeline: pipeline.name.clone(),
        region: pipeline.region.clone(),
        holes,
        alarms,
        process,
        lanes: lanes(&pipeline, checkpoints, &ends, now),
        conflicts: conflicts
            .into_iter()
            .map(|(table, kind, outcome, count)| ConflictCount { table, kind, outcome, count })
            .collect(),
        kept: kept.into_iter().map(|(table, why, count)| KeptCount { table, why, count }).collect(),
        sources,
        suspicions,
        notes: notes(&pipeline, &ends),
    };
    output::show(global.json, &status, words)?;
    Ok(Exit::Done)
}

/// Streams whose limits of size come near what a lane has not applied. (Of the age a running lane knows: it asks for the
/// message itself.)
fn alarms(
    pipeline: &Pipeline,
    checkpoints: &[Checkpoint],
    streams: &[(String, Result<StreamFacts, String>)],
) -> Vec<String> {
    let mut alarms = Vec::new();
    for (source, (_, facts)) in pipeline.sources.iter().zip(streams) {
        let of_source = |lane: &str| lane.split('/').nth(1) == Some(source.name.as_str());
        for checkpoint in checkpoints.iter().filter(|c| of_source(&c.lane)) {
            let Ok(facts) = facts else { continue };
            let oldest = (checkpoint.sequence < facts.first).then_some(facts.first_at).flatten();
            let now = Timestamp::now().as_microsecond();
            if let Some(near) =
                near(facts, checkpoint.sequence, oldest, now).filter(|n| n.used >= source.retention_alarm)
            {
                alarms.push(format!("lane {}: {}", checkpoint.lane, near.words(&facts.name)));
            }
        }
    }
    alarms
}

/// By source: the last sequence of its stream, or why it is not known.
type Ends = [(String, Result<u64, String>)];

fn notes(pipeline: &Pipeline, ends: &Ends) -> Vec<String> {
    let unknown = pipeline.sources.iter().zip(ends).filter_map(|(source, (_, end))| {
        let why = end.as_ref().err()?;
        Some(format!("the end of stream {} is not known: {why}", source.stream))
    });
    unknown.collect()
}

/// The lanes that the file asks for, then those that only the sink knows (of an older form of the file).
fn lanes(pipeline: &Pipeline, checkpoints: Vec<Checkpoint>, ends: &Ends, now: Micros) -> Vec<LaneStatus> {
    let mut found: BTreeMap<String, Checkpoint> =
        checkpoints.into_iter().map(|checkpoint| (checkpoint.lane.clone(), checkpoint)).collect();
    let mut lanes = Vec::new();
    for slot in assemble::slots(pipeline) {
        let name = slot.id.to_string();
        let last = ends.get(slot.source).and_then(|(_, end)| end.as_ref().ok().copied());
        lanes.push(match found.remove(&name) {
            Some(checkpoint) => LaneStatus::of(checkpoint, last, now),
            None => LaneStatus::new(name, pipeline.sources[slot.source].stream.clone(), last),
        });
    }
    lanes.extend(found.into_values().map(|checkpoint| LaneStatus::of(checkpoint, None, now)));
    lanes
}

impl LaneStatus {
    /// A lane that never ran.
    fn new(lane: String, stream: String, last: Option<u64>) -> LaneStatus {
        let (stream_last, behind) = (last, last);
        LaneStatus {
            lane,
            stream,
            state: "new",
            stream_last,
            behind,
            balanced: true,
            ..LaneStatus::default()
        }
    }

    fn of(checkpoint: Checkpoint, last: Option<u64>, now: Micros) -> LaneStatus {
        let owned = checkpoint.owner.is_some() && checkpoint.lease_until.is_some_and(|until| until > now);
        let seconds = |micros: Micros| micros / 1_000_000;
        LaneStatus {
            state: match (owned, checkpoint.plan == PlanDigest::RETIRED) {
                (true, _) => "running",
                (false, true) => "retired",
                (false, false) => "free",
            },
            sequence: Some(checkpoint.sequence),
            scanned: Some(checkpoint.scanned),
            stream_last: last,
            behind: last.map(|last| last.saturating_sub(checkpoint.scanned)),
            newest_age_s: checkpoint.committed_at.map(|at| seconds(now.saturating_sub(at))),
            lease_until: checkpoint.lease_until.map(format_timestamp),
            lease_s: checkpoint.lease_until.map(|until| seconds(until.saturating_sub(now))),
            generation: Some(checkpoint.generation),
            plan: Some(checkpoint.plan.to_string()),
            delivered: checkpoint.delivered,
            balanced: checkpoint.delivered == checkpoint.counts.sum(),
            counts: checkpoint.counts.present().map(|(what, count)| (what.word(), count)).collect(),
            owner: checkpoint.owner,
            lane: checkpoint.lane,
            stream: checkpoint.stream,
        }
    }

    fn owner_words(&self) -> String {
        match (&self.owner, self.state, self.lease_s) {
            (Some(owner), "running", Some(left)) => format!("{owner}, {left} s left"),
            (Some(owner), _, _) => format!("{owner}, lease over"),
            (None, ..) => "-".to_owned(),
        }
    }
}

fn words(status: &Status) -> String {
    let mut text = format!("pipeline {} in region {}\n\n", status.pipeline, status.region);
    let head = ["lane", "state", "sequence#", "stream#", "behind#", "newest change", "generation#", "owner"];
    text.push_str(&output::table(&head, status.lanes.iter().map(row)));
    let head = ["lane", "delivered#", "ledger", "dispositions"];
    text.push('\n');
    text.push_str(&output::table(&head, status.lanes.iter().map(ledger)));
    if !status.conflicts.is_empty() {
        text.push('\n');
        let conflict =
            |c: &ConflictCount| vec![c.table.clone(), c.kind.clone(), c.outcome.clone(), grouped(c.count)];
        let head = ["conflicts of table", "kind", "outcome", "count#"];
        text.push_str(&output::table(&head, status.conflicts.iter().map(conflict)));
    }
    if !status.kept.is_empty() {
        text.push('\n');
        let kept = |k: &KeptCount| vec![k.table.clone(), k.why.clone(), grouped(k.count)];
        text.push_str(&output::table(&["kept rows of table", "why", "count#"], status.kept.iter().map(kept)));
    }
    let unlike = status.sources.iter().filter(|s| s.grade != "A" || s.epoch > 0).map(source);
    let unlike: Vec<Vec<String>> = unlike.collect();
    if !unlike.is_empty() {
        text.push('\n');
        text.push_str(&output::table(&["source", "epoch#", "grade", "repetitions are told"], unlike));
    }
    if !status.holes.is_empty() {
        text.push('\n');
        text.push_str(&holes::table(&status.holes));
    }
    for alarm in &status.alarms {
        text.push_str(&format!("\nalarm: {alarm}\n"));
    }
    if !status.suspicions.is_empty() {
        text.push('\n');
        text.push_str(&super::source::suspicions(&status.suspicions));
    }
    for note in &status.notes {
        text.push_str(&format!("\nnote: {note}\n"));
    }
    text
}

fn source(source: &SourceRecord) -> Vec<String> {
    let told = match source.grade.as_str() {
        "A" => "by position",
        "B" => "by event id, for 24 hours",
        _ => "not at all",
    };
    vec![source.name.clone(), source.epoch.to_string(), source.grade.clone(), told.to_owned()]
}

fn row(lane: &LaneStatus) -> Vec<String> {
    let newest = lane.newest_age_s.map(|seconds| format!("{} ago", age(seconds)));
    vec![
        lane.lane.clone(),
        lane.state.to_owned(),
        or_dash(lane.sequence.map(grouped)),
        or_dash(lane.stream_last.map(grouped)),
        or_dash(lane.behind.map(grouped)),
        or_dash(newest),
        or_dash(lane.generation),
        lane.owner_words(),
    ]
}

fn ledger(lane: &LaneStatus) -> Vec<String> {
    let counts: Vec<String> =
        lane.counts.iter().map(|(word, count)| format!("{word} {}", grouped(*count))).collect();
    let balance = if lane.balanced { "balanced" } else { "BROKEN" };
    vec![lane.lane.clone(), grouped(lane.delivered), balance.to_owned(), counts.join(", ")]
}

/// A span of time in its two greatest units: `3d 4h`.
fn age(seconds: i64) -> String {
    let seconds = seconds.max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, ..) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::disposition::{Counts, Disposition};

    use super::*;

    const NOW: Micros = 1_000_000_000;

    fn checkpoint() -> Checkpoint {
        let mut counts = Counts::default();
        counts.add(Disposition::Applied);
        counts.add(Disposition::Duplicate);
        Checkpoint {
            lane: "p/main/main/0".to_owned(),
            stream: "CDC".to_owned(),
            stream_created: 0,
            sequence: 7,
            scanned: 9,
            epoch: 1,
            owner: Some("host/1".to_owned()),
            lease_until: Some(NOW + 12_000_000),
            generation: 2,
            plan: PlanDigest([1; 32]),
            delivered: 2,
            counts,
            committed_at: Some(NOW - 65_000_000),
        }
    }

    #[test]
    fn a_lane_is_told_from_its_checkpoint() {
        let lane = LaneStatus::of(checkpoint(), Some(12), NOW);
        assert_eq!((lane.state, lane.behind, lane.newest_age_s), ("running", Some(3), Some(65)));
        assert!(lane.balanced);
        assert_eq!(lane.owner_words(), "host/1, 12 s left");
        let unknown = LaneStatus::of(checkpoint(), None, NOW);
        assert_eq!(unknown.behind, None);
    }

    #[test]
    fn a_lease_that_is_over_and_a_broken_ledger_are_seen() {
        let stale = Checkpoint { lease_until: Some(NOW - 1), delivered: 3, ..checkpoint() };
        let lane = LaneStatus::of(stale, None, NOW);
        assert_eq!((lane.state, lane.balanced), ("free", false));
        assert_eq!(lane.owner_words(), "host/1, lease over");
        assert_eq!(ledger(&lane), ["p/main/main/0", "3", "BROKEN", "applied 1, duplicate 1"]);
    }

    #[test]
    fn spans_have_two_units() {
        for (seconds, words) in [(-3, "0s"), (59, "59s"), (61, "1m 1s"), (7260, "2h 1m"), (90_000, "1d 1h")] {
            assert_eq!(age(seconds), words);
        }
    }
}
