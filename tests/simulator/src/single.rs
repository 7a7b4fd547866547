//! One lane alone on models of both ends, to its end: for tests of what it does from batch to batch.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use reconverge::{
    generation::{Live, Recent, Rules},
    lane::{Before, Depths, Followed, Kept, Lane, LaneSettings, ParkedLimits, Progress, Retry, Until},
    waiting::Queue,
};
use reconverge_streams::{
    checkpoint::{LaneId, PlanDigest},
    memory::{sink::MemorySink, source::MemorySource},
    sink::ClaimRequest,
    source::Limits,
};

use crate::{
    place::{BEGINNING, shape},
    process::CREATED,
    scenario::REGION,
};

/// The lane's name.
pub const LANE: &str = "simulated/s/main/0";

/// Two sources that write the same five keys with ranks that go up and down; each seventh change has nothing in `extra`.
pub fn publish(stream: &MemorySource, changes: u64) {
    for n in 1..=changes {
        let source = if n.is_multiple_of(2) { "east" } else { "west" };
        let (key, rank) = (n % 5, (n * 7919) % 101);
        let body = serde_json::json!({
            "v": 1, "op": "c", "table": "t0", "key": {"id": key}, "origin": source, "at": 1_000_000 + n,
            "pos": {"source": source, "epoch": 0, "commit": n.to_string(), "ordinal": 0},
            "after": {"id": key, "up": null, "root": null, "rank": rank, "mark": n, "big": null, "kind": 0,
                      "extra": n % 7},
        });
        let headers = [("Reconverge-Version", "1")].into_iter().collect();
        stream.push("cdc.east.0.public.t0".to_owned(), headers, Bytes::from(body.to_string()), BEGINNING);
    }
}

/// A lane that applies the first `changes` of a stream to table `t0`, in batches of at most `rows`, by what is live.
///
/// # Panics
/// Where what is live has no rules for it.
#[must_use]
pub fn lane<'a>(
    source: &'a MemorySource,
    sink: &'a MemorySink,
    live: &Arc<Live>,
    changes: u64,
    rows: usize,
) -> Lane<'a, MemorySource, MemorySink> {
    let id = LaneId { pipeline: "simulated".into(), source: "s".into(), lane: "main".into(), partition: 0 };
    let first = live.of(LANE);
    let Rules { plan, decoder, stages } = first.rules(LANE).expect("rules of what is live");
    let claim = ClaimRequest {
        lane: id,
        owner: "one".into(),
        lease: Duration::from_secs(15),
        stream: "CDC".into(),
        stream_created: CREATED,
        plan: PlanDigest([7; 32]),
        tables: vec![Arc::new(shape(0))],
        region: REGION.into(),
        names: Arc::clone(&plan.names),
    };
    let pause = Duration::from_millis(50);
    let settings = LaneSettings {
        claim,
        limits: Limits { rows, bytes: 64 << 20, patience: pause * 5, linger: pause / 10 },
        retry: Retry { tries: 5, first: pause, max: pause, factor: 1.0, jitter: 0 },
        continue_over_holes: false,
        retention_alarm: 0.5,
        until: Until::Sequence(changes),
        before: Before::default(),
        kept: Kept::default(),
    };
    Lane {
        source,
        mirrors: &[],
        sink,
        plan,
        decoder,
        stages,
        followed: Followed::new(&first),
        live: Arc::clone(live),
        recent: Arc::new(Recent::new(0)),
        waiting: Queue::default(),
        depths: Depths::new(ParkedLimits { rows: u64::MAX, age: Duration::MAX }),
        settings,
        progress: Arc::new(Progress::new(LANE.to_owned())),
    }
}
