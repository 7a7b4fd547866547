//! The smallest sink that a batch can be written to: rows and versions in maps.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use reconverge_streams::{
    canonical,
    columns::{Column, Columns, State},
    disposition::Disposition,
    headers::Headers,
    logical::Logical,
    names::Names,
    position::Position,
    source::Delivery,
    standing::{LocalWrite, Standing, StandingKey, StandingKind, StandingTable, Version, Wanted},
    table::{ColumnShape, TableId, TableShape},
    text,
    writes::{Touch, Writes},
};

use crate::{
    batch::{Batch, Change, Item, ItemKind, Op, TableBatch},
    clock::{Clocks, Hlc, VectorClock},
    plan::{Plan, TablePlan},
    resolve::{LeftOut, Resolved, decide, keys},
    stages::{Contests, Passed, Prepared, PreparedTable, Ruling, Rulings, Stages, Verdict},
};

use super::history::{Event, Kind, Policy, SOURCES};

type Row = (Option<i64>, i64);

pub(super) struct ModelSink {
    plan: Plan,
    rows: BTreeMap<i64, Row>,
    versions: BTreeMap<Vec<u8>, (Version, Option<String>)>,
    counts: Vec<Disposition>,
    /// Keys that the application wrote last, with its commit time where that is known.
    local: BTreeMap<i64, Option<i64>>,
    /// The source gives no positions, and its events have ids.
    by_event: bool,
    events: HashSet<reconverge_streams::event::Event>,
    horizon: Option<i64>,
}

/// A merge plugin that goes by rank.
struct ByRank;

impl Stages for ByRank {
    fn prepare(&mut self, _: &mut Batch, _: &Plan) -> Prepared {
        Prepared::default()
    }

    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        let rule = |contest: &crate::stages::Contest| {
            let order =
                crate::resolve::order::by_columns(&[1], &contests.arenas, contest.incoming, contest.current);
            assert_ne!(order, Ordering::Equal, "equal contract columns never reach a plugin");
            let verdict = if order == Ordering::Greater { Verdict::Take } else { Verdict::Keep };
            Ruling { verdict, archive: true, reason: None }
        };
        Rulings { rulings: contests.rows.iter().map(rule).collect(), ..Rulings::default() }
    }
}

impl ModelSink {
    pub(super) fn new(policy: Policy) -> Self {
        let columns: Vec<ColumnShape> =
            ["id", "rank", "big"].map(|name| ColumnShape::new(name, Logical::Int)).into();
        let shape = TableShape { name: "t".into(), columns, key: vec![0], has_other_unique: false };
        let names = Arc::new(Names::default());
        let region = names.intern("here").unwrap();
        let rule = policy.rule(&names);
        let table = TablePlan {
            deletes: policy.deletes(),
            archive_losers: true,
            ..TablePlan::new(TableId(0), Arc::new(shape), rule, "rule")
        };
        let plan = Plan {
            tables: vec![table],
            by_source_name: HashMap::new(),
            region,
            names,
            clock_skew_us: 0,
            value_bytes: 1 << 20,
            leaving_max: u32::MAX,
        };
        ModelSink {
            plan,
            rows: BTreeMap::new(),
            versions: BTreeMap::new(),
            counts: Vec::new(),
            local: BTreeMap::new(),
            by_event: false,
            events: HashSet::new(),
            horizon: None,
        }
    }

    /// Tombstones and absences up to a commit time go.
    pub(super) fn forget_through(&mut self, horizon: i64) {
        let stays = |v: &Version| v.standing == StandingKind::Row || v.committed_at > horizon;
        self.versions.retain(|_, (version, _)| stays(version));
        self.horizon = Some(horizon);
    }

    /// The application writes a row.
    pub(super) fn write_locally(&mut self, key: i64, row: Row, at: Option<i64>) {
        self.rows.insert(key, row);
        self.local.insert(key, at);
    }

    /// The application deletes a row.
    pub(super) fn delete_locally(&mut self, key: i64, at: Option<i64>) {
        self.rows.remove(&key);
        self.local.insert(key, at);
    }

    /// What is kept of the clocks of a key.
    pub(super) fn clock(&self, key: i64) -> Option<&str> {
        self.version(key)?.0.clock.as_deref()
    }

    /// What is kept of a row that does not stand.
    pub(super) fn ordered_by(&self, key: i64) -> Option<&str> {
        self.version(key)?.1.as_deref()
    }

    fn version(&self, key: i64) -> Option<&(Version, Option<String>)> {
        let mut column = Column::new(Logical::Int);
        column.push_int(key);
        let mut bytes = Vec::new();
        canonical::key(&[&column], 0, &mut bytes);
        self.versions.get(&bytes)
    }

    /// A sink that is sent event ids in place of positions.
    pub(super) fn by_event(policy: Policy) -> Self {
        ModelSink { by_event: true, ..ModelSink::new(policy) }
    }

    pub(super) fn rows(&self) -> BTreeMap<i64, Row> {
        self.rows.clone()
    }

    pub(super) fn dispositions(&self) -> &[Disposition] {
        &self.counts
    }

    pub(super) fn apply(&mut self, events: &[Event]) {
        // A batch resolved alone tells only sums; the fates in order come from prefixes, which is slow and exact.
        let mut before = Vec::new();
        for n in 1..=events.len() {
            let sums = *self
                .decided(self.batch(&events[..n]), &LeftOut::default(), &mut ByRank)
                .writes
                .counts
                .places();
            let new = sums.iter().zip(before.iter().chain(std::iter::repeat(&0))).position(|(a, b)| *a != *b);
            self.counts.push(Disposition::ALL[new.expect("one more change has one more disposition")]);
            before = sums.to_vec();
        }
        let resolved = self.apply_batch(self.batch(events));
        assert_eq!(resolved.writes.counts.sum(), events.len() as u64);
    }

    /// Decides a batch, which may have been changed before, and writes it.
    pub(super) fn apply_batch(&mut self, batch: (Batch, Prepared)) -> Resolved {
        self.apply_without(batch, &LeftOut::default())
    }

    /// Likewise, without what is left out.
    pub(super) fn apply_without(&mut self, batch: (Batch, Prepared), left_out: &LeftOut) -> Resolved {
        let resolved = self.decided(batch, left_out, &mut ByRank);
        self.write(resolved.writes.clone());
        resolved
    }

    /// Likewise, by another plugin.
    pub(super) fn apply_by(&mut self, batch: (Batch, Prepared), plugin: &mut dyn Stages) -> Resolved {
        let resolved = self.decided(batch, &LeftOut::default(), plugin);
        self.write(resolved.writes.clone());
        resolved
    }

    fn decided(
        &self,
        (batch, prepared): (Batch, Prepared),
        left_out: &LeftOut,
        plugin: &mut dyn Stages,
    ) -> Resolved {
        let (keyed, wanted) = keys::keyed(&batch, &self.plan, 0, &[]);
        let standing = self.standing(&wanted);
        decide(&batch, &prepared, &keyed, &standing, left_out, plugin, &self.plan, 1).close()
    }

    pub(super) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn plan_mut(&mut self) -> &mut Plan {
        &mut self.plan
    }

    pub(super) fn batch(&self, events: &[Event]) -> (Batch, Prepared) {
        let columns = || Columns::new([Logical::Int; 3]);
        let mut table = TableBatch {
            table: TableId(0),
            changes: Vec::new(),
            after: columns(),
            before: columns(),
            keys: Vec::new(),
        };
        let mut batch = Batch { through: 1, scanned: 1, ..Batch::default() };
        let mut passed = Vec::new();
        for (row, e) in (0..).zip(events) {
            let deleted = e.kind == Kind::Delete;
            table.after.columns[0].push_int(e.key);
            push(&mut table.after, 1, deleted, e.rank.map_or(State::Null, |_| State::Value), e.rank);
            push(&mut table.after, 2, deleted, e.big.map_or(State::Unavailable, |_| State::Value), e.big);
            table.after.end_row();
            match e.before {
                None => table.before.push_row_of(State::NoRow),
                Some((rank, big)) => {
                    table.before.columns[0].push_int(e.key);
                    push(&mut table.before, 1, false, rank.map_or(State::Null, |_| State::Value), rank);
                    table.before.columns[2].push_int(big);
                    table.before.end_row();
                }
            }
            let start = u32::try_from(table.keys.len()).unwrap();
            canonical::key(&[&table.after.columns[0]], row as usize, &mut table.keys);
            table.changes.push(self.change(e, row, start..u32::try_from(table.keys.len()).unwrap()));
            batch.items.push(Item { delivery: row, kind: ItemKind::Change(0, row) });
            batch.deliveries.push(Delivery {
                sequence: u64::from(row) + 1,
                subject: "s".into(),
                headers: Headers::default(),
                payload: bytes::Bytes::new(),
                published_at: 0,
            });
            passed.push(if e.let_go { Passed::Filtered } else { Passed::Keep });
        }
        let residency_passed = vec![true; passed.len()];
        batch.tables.push(table);
        (batch, Prepared { tables: vec![PreparedTable { passed, residency_passed }] })
    }

    fn change(&self, e: &Event, item: u32, key: std::ops::Range<u32>) -> Change {
        let source = self.plan.names.intern(SOURCES[e.source]).unwrap();
        Change {
            item,
            op: match e.kind {
                Kind::Create => Op::Create,
                Kind::Update => Op::Update,
                Kind::Delete => Op::Delete,
                Kind::Snapshot => Op::Snapshot,
            },
            key,
            source,
            position: (!self.by_event).then_some(Position { epoch: 0, commit: e.commit, ordinal: 0 }),
            origin: source,
            at: e.at,
            published_at: e.at,
            schema: 0,
            moved: None,
            event_id: self.by_event.then(|| format!("{}/{}", e.source, e.commit).into()),
            transaction: None,
            clocks: Clocks {
                vector: e.clock.map(|c| Arc::new(VectorClock::new(SOURCES.into_iter().zip(c)))),
                hlc: e.hlc.map(|(physical, counter)| Hlc { physical, counter }),
            },
            redriven: None,
        }
    }

    fn standing(&self, wanted: &Wanted) -> Standing {
        let shape = &self.plan.tables[0].shape;
        let rows = Columns::new(shape.logicals());
        let mut table = StandingTable { rows, too_old_through: self.horizon, ..StandingTable::default() };
        for (i, key) in wanted.tables[0].keys.iter().enumerate() {
            let id = wanted.tables[0].cells.columns[0].int(i);
            let mut standing = StandingKey::default();
            if let Some((rank, big)) = self.rows.get(&id) {
                table.rows.columns[0].push_int(id);
                push(&mut table.rows, 1, false, rank.map_or(State::Null, |_| State::Value), *rank);
                table.rows.columns[2].push_int(*big);
                table.rows.end_row();
                standing.row = u32::try_from(table.rows.rows() - 1).ok();
            }
            standing.local = self.local.get(&id).map(|at| LocalWrite { at: *at });
            if let Some((version, ordered_by)) = self.versions.get(key) {
                standing.version = Some(version.clone());
                let is_local = standing.local.is_some();
                assert!(is_local || standing.row.is_some() == (version.standing == StandingKind::Row));
                if let Some(json) = ordered_by {
                    text::from_json(shape, &wanted.tables[0].order_columns, json, &mut table.rows).unwrap();
                    standing.ordered_by = u32::try_from(table.rows.rows() - 1).ok();
                }
            }
            table.keys.push(standing);
        }
        let events = wanted.events.iter().filter(|event| self.events.contains(event)).cloned().collect();
        Standing { tables: vec![table], events, generation: None }
    }

    fn write(&mut self, writes: Writes) {
        for event in writes.events {
            assert!(self.events.insert(event), "an event is seen once");
        }
        for table in writes.tables {
            let written: Vec<Column> = table.upserts.iter().map(|u| u.rows.columns[0].clone()).collect();
            for upserts in table.upserts {
                for row in 0..upserts.rows.rows() {
                    let cell = |c: usize| {
                        let at = upserts.columns.iter().position(|x| *x == c)?;
                        let column = &upserts.rows.columns[at];
                        Some((column.state(row) == State::Value).then(|| column.int(row)))
                    };
                    let id = cell(0).flatten().expect("the key is always written");
                    let kept = self.rows.get(&id).copied().unwrap_or_default();
                    let rank = cell(1).unwrap_or(kept.0);
                    let big = cell(2).map_or(kept.1, |big| big.expect("big is never null"));
                    self.rows.insert(id, (rank, big));
                    self.local.remove(&id);
                }
            }
            for row in 0..table.deletes.keys.rows() {
                let gone = self.rows.remove(&table.deletes.keys.columns[0].int(row));
                assert!(gone.is_some(), "only rows that stand are deleted");
            }
            for version in table.versions {
                if let Touch::Written(set, row) = version.row {
                    let (keys, mut key) = (&written[set as usize], Vec::new());
                    canonical::key(&[keys], row as usize, &mut key);
                    assert_eq!(key, version.key, "a version names the row that is written with it");
                }
                self.versions.insert(version.key, (version.version, version.ordered_by));
            }
        }
    }
}

fn push(columns: &mut Columns, c: usize, no_row: bool, state: State, value: Option<i64>) {
    match (no_row, state, value) {
        (true, ..) => columns.columns[c].push_state(State::NoRow),
        (_, State::Value, Some(value)) => columns.columns[c].push_int(value),
        (_, state, _) => columns.columns[c].push_state(state),
    }
}
