//! An SQLite sink with a history, made through the sink itself: one lane, a row that won a conflict, a row that
//! was deleted, a local write, two dead letters.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use reconverge_streams::{
    canonical,
    checkpoint::{LaneId, PlanDigest},
    columns::Columns,
    disposition::Disposition,
    names::Names,
    position::{Position, Seen},
    sink::{Claim as _, ClaimRequest, Sink as _, TableName},
    sqlite::{SqliteClaim, SqliteSink},
    standing::{StandingKind, Version, Wanted, WantedTable},
    table::{TableId, TableShape},
    writes::{DeadLetter, Decision, Deletes, TableWrites, Touch, Upserts, VersionWrite, Writes},
};
use tempfile::TempDir;

const PIPELINE: &str = r#"
[pipeline]
name = "wfm"
region = "us-central"

[source]
url = "nats://127.0.0.1:1"
stream = "CDC"
subjects = "cdc.{source}.{partition}.>"

[sink]
url = "sqlite://sink.db"

[[table]]
name = "schedules"
key = ["id"]
policy = "max:epoch"
deletes = "ordered"
before_images = "full"
archive = "loser"
"#;

const TABLES: &str = "CREATE TABLE schedules (id INTEGER PRIMARY KEY, shift TEXT, epoch INTEGER)";

/// 2026-03-02T06:30:00Z.
const HALF_PAST_SIX: i64 = 1_772_433_000_000_000;

/// The folder with pipeline.toml and sink.db.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    fn database(&self) -> PathBuf {
        self.path().join("sink.db")
    }
}

/// Makes the history.
pub fn with_history() -> Place {
    let place = Place { folder: TempDir::new().unwrap() };
    fs::write(place.path().join("pipeline.toml"), PIPELINE).unwrap();
    rusqlite::Connection::open(place.database()).unwrap().execute_batch(TABLES).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(write(&place));
    // What the application does by itself.
    rusqlite::Connection::open(place.database())
        .unwrap()
        .execute("INSERT INTO schedules VALUES (9, 'by hand', 1)", [])
        .unwrap();
    place
}

async fn write(place: &Place) {
    let sink = SqliteSink::open(&place.database()).unwrap();
    sink.prepare().await.unwrap();
    let name = TableName { name: "schedules".to_owned(), key: vec!["id".to_owned()] };
    let shape = Arc::new(sink.shapes(&[name]).await.unwrap().remove(0).unwrap());
    let names = Arc::new(Names::default());
    let request = ClaimRequest {
        lane: LaneId { pipeline: "wfm".into(), source: "main".into(), lane: "main".into(), partition: 0 },
        owner: "host/1".to_owned(),
        lease: Duration::from_secs(3600),
        stream: "CDC".to_owned(),
        stream_created: HALF_PAST_SIX,
        plan: PlanDigest([7; 32]),
        tables: vec![Arc::clone(&shape)],
        region: "us-central".to_owned(),
        names: Arc::clone(&names),
    };
    let mut claim = sink.claim(request).await.unwrap();
    let plugins = r#"[{"name": "schedule-merge", "digest": "0123456789abcdef"}]"#;
    let generation = claim.generation(0, plugins.to_owned(), "host/1").await.unwrap();
    let batch = Batch { shape, names, generation };
    batch.commit(&mut claim).await;
}

struct Batch {
    shape: Arc<TableShape>,
    names: Arc<Names>,
    generation: i64,
}

impl Batch {
    /// Row 7 stands from us-east after us-west lost; row 8 is deleted; sequences 4 and 5 were refused.
    async fn commit(&self, claim: &mut SqliteClaim) {
        let keys = [7, 8].map(|id| self.key(id));
        let mut cells = Columns::new(self.shape.key_logicals());
        for id in [7, 8] {
            cells.columns[0].push_int(id);
            cells.end_row();
        }
        let wanted = WantedTable {
            table: TableId(0),
            keys: keys.iter().collect(),
            cells,
            versions: true,
            order_columns: vec![2],
        };
        claim.begin(Wanted { from: 0, tables: vec![wanted], ..Wanted::default() }).await.unwrap();
        let mut writes = Writes {
            through: 5,
            scanned: 6,
            committed_at: Some(HALF_PAST_SIX),
            generation: self.generation,
            tables: vec![self.table(&keys)],
            decisions: vec![self.decision()],
            dead: vec![
                self.dead(4, "not-json", "not JSON at byte 1"),
                self.dead(5, "trap", "plugin schedule-merge trapped"),
            ],
            ..Writes::default()
        };
        for what in [Disposition::Applied, Disposition::KeptCurrent, Disposition::Deleted] {
            writes.counts.add(what);
        }
        writes.counts.add(Disposition::DeadLettered);
        writes.counts.add(Disposition::DeadLettered);
        claim.commit(writes).await.unwrap();
    }

    fn key(&self, id: i64) -> Vec<u8> {
        let mut cells = Columns::new(self.shape.key_logicals());
        cells.columns[0].push_int(id);
        cells.end_row();
        let mut bytes = Vec::new();
        canonical::key(&[&cells.columns[0]], 0, &mut bytes);
        bytes
    }

    fn table(&self, keys: &[Vec<u8>; 2]) -> TableWrites {
        let mut rows = Columns::new(self.shape.logicals());
        rows.columns[0].push_int(7);
        rows.columns[1].push_bytes(b"early");
        rows.columns[2].push_int(42);
        rows.end_row();
        let mut gone = Columns::new(self.shape.key_logicals());
        gone.columns[0].push_int(8);
        gone.end_row();
        let version = |standing| {
            let source = self.names.intern("us-east").unwrap();
            let position = Position { epoch: 0, commit: 5, ordinal: 1 };
            let deleted = standing == StandingKind::Tombstone;
            let seen = Seen { source, position, deleted, live_at: HALF_PAST_SIX };
            let seen = [seen].into_iter().collect();
            Version { standing, origin: source, committed_at: HALF_PAST_SIX, seen, clock: None }
        };
        let [first, second] = keys.clone();
        TableWrites {
            table: TableId(0),
            upserts: vec![Upserts { columns: vec![0, 1, 2], rows, changes: vec![0] }],
            deletes: Deletes { keys: gone, changes: vec![2] },
            versions: vec![
                VersionWrite {
                    key: first,
                    version: version(StandingKind::Row),
                    row: Touch::Written(0, 0),
                    ordered_by: None,
                    counted: None,
                },
                VersionWrite {
                    key: second,
                    version: version(StandingKind::Tombstone),
                    row: Touch::No,
                    ordered_by: Some(r#"{"epoch":43}"#.to_owned()),
                    counted: None,
                },
            ],
            gate: Vec::new(),
        }
    }

    fn decision(&self) -> Decision {
        Decision {
            sequence: 2,
            table: TableId(0),
            key: self.key(7),
            kind: "update_origin_differs",
            outcome: Disposition::KeptCurrent,
            decided_by: "plugin:schedule-merge".into(),
            generation: self.generation,
            reason: Some("older modification_epoch".into()),
            source: self.names.intern("us-west").unwrap(),
            position: Position { epoch: 0, commit: 9, ordinal: 0 },
            incoming_at: Some(HALF_PAST_SIX),
            current_origin: Some(self.names.intern("us-east").unwrap()),
            current_at: Some(HALF_PAST_SIX),
            incoming: Some(r#"{"id":7,"shift":"late","epoch":41}"#.to_owned()),
            current: Some(r#"{"id":7,"shift":"early","epoch":42}"#.to_owned()),
            applied: None,
        }
    }

    fn dead(&self, sequence: u64, code: &'static str, reason: &str) -> DeadLetter {
        let told = code != "not-json";
        DeadLetter {
            sequence,
            subject: "cdc.us-west.0.public.schedules".to_owned(),
            table: told.then_some(TableId(0)),
            key: told.then(|| self.key(7)),
            stage: if told { "merge" } else { "decode" },
            code,
            reason: reason.to_owned(),
            generation: told.then_some(self.generation),
            headers: Some(r#"{"Reconverge-Version":"1"}"#.to_owned()),
            bytes: told.then(|| Bytes::from_static(b"{\"v\":1}")),
            digest: [0xab; 32],
            discarded: None,
        }
    }
}
