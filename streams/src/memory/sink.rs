//! The sink in memory: the contract of [`Sink`] and [`Claim`] without a database, as the model that tests compare
//! with. A batch works on a copy of the contents that takes their place at commit.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::{
    database::{Contents, MemoryDatabase, NamedSeen, Remembered, is_local},
    epochs, events,
    fresh::fresh,
    generation, holes,
    shapes::shape,
    waiting,
    write::write,
};
use crate::{
    by_hand::Order,
    checkpoint::Checkpoint,
    columns::Columns,
    epoch::SourceEpochs,
    family::{Family, FamilyWanted, Swept},
    hole::{Hole, HoleRecord, Passed, Resume},
    names::Names,
    position::{Micros, Seen},
    records::GenerationRecord,
    retention::{Retention, Tidied},
    roster::Takeover,
    sink::{Cause, Claim, ClaimRequest, CommitError, Problem, Sink, SinkError, TableName},
    standing::{
        Kept, LocalWrite, NewGeneration, Standing, StandingKey, StandingKind, StandingTable, Version, Wanted,
        WantedTable,
    },
    table::{TableId, TableShape},
    text,
    waiting::{Aside, Depth, Paused, Waiting, WaitingWanted},
    writes::{Counted, Writes},
};

/// A sink on a database in memory.
#[derive(Clone, Debug, Default)]
pub struct MemorySink {
    pub(super) database: MemoryDatabase,
}

impl MemorySink {
    /// A sink on a database, which others may share.
    #[must_use]
    pub fn new(database: MemoryDatabase) -> Self {
        MemorySink { database }
    }
}

/// A lane of a memory sink.
#[derive(Debug)]
pub struct MemoryClaim {
    database: MemoryDatabase,
    pub(super) request: ClaimRequest,
    pub(super) checkpoint: Checkpoint,
    pub(super) aside: Aside,
    /// The open transaction: nobody else reads or writes.
    open: Option<OwnedMutexGuard<Contents>>,
    /// The generation that its commit records.
    numbered: Option<GenerationRecord>,
}

impl Sink for MemorySink {
    type Claim = MemoryClaim;

    async fn prepare(&self) -> Result<(), SinkError> {
        Ok(())
    }

    async fn check(&self) -> Result<Vec<Problem>, SinkError> {
        Ok(Vec::new())
    }

    async fn shapes(&self, tables: &[TableName]) -> Result<Vec<Result<TableShape, Vec<Problem>>>, SinkError> {
        let state = self.database.state.lock().await;
        Ok(tables.iter().map(|asked| shape(&state, asked)).collect())
    }

    async fn claim(&self, request: ClaimRequest) -> Result<MemoryClaim, SinkError> {
        let mut state = self.database.state.lock().await;
        let lane = request.lane.to_string();
        let now = state.now();
        let checkpoint = state.checkpoints.entry(lane.clone()).or_insert_with(|| fresh(&lane, &request));
        if checkpoint.plan != request.plan {
            let (stored, asked) = (checkpoint.plan, request.plan);
            return Err(SinkError::OtherPlan { lane, stored, asked });
        }
        if let (Some(owner), Some(until)) = (&checkpoint.owner, checkpoint.lease_until)
            && *owner != request.owner
            && until > now
        {
            let ends_in_ms = (until - now).div_euclid(1000) + 1;
            return Err(SinkError::Held { lane, owner: owner.clone(), ends_in_ms });
        }
        let moves = state.take_moves_of(&lane);
        let checkpoint = state.checkpoints.entry(lane.clone()).or_insert_with(|| fresh(&lane, &request));
        *checkpoint = checkpoint.settled(&moves);
        checkpoint.epoch += 1;
        let previous = checkpoint.owner.replace(request.owner.clone());
        let lease_until = checkpoint.lease_until.replace(now.saturating_add(lease(&request)));
        let checkpoint = checkpoint.clone();
        if let Some(previous) = previous.filter(|previous| *previous != request.owner) {
            state.takeovers.push(Takeover {
                lane,
                at: now,
                owner: request.owner.clone(),
                epoch: checkpoint.epoch,
                sequence: checkpoint.sequence,
                previous,
                heartbeat_at: None,
                lease_until,
            });
        }
        waiting::pause_unlike(&mut state, &request);
        let (database, aside) = (self.database.clone(), Aside::new());
        Ok(MemoryClaim { database, request, checkpoint, aside, open: None, numbered: None })
    }
}

fn lease(request: &ClaimRequest) -> Micros {
    i64::try_from(request.lease.as_micros()).unwrap_or(i64::MAX)
}

impl Claim for MemoryClaim {
    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    async fn begin(&mut self, asked: Wanted) -> Result<Standing, SinkError> {
        self.open = None;
        let state = Arc::clone(&self.database.state).lock_owned().await;
        if !self.is_ours(&state) || self.checkpoint.sequence != asked.from {
            return Err(SinkError::Fenced(self.checkpoint.lane.clone()));
        }
        let mut standing = Standing::default();
        for table in &asked.tables {
            standing.tables.push(self.stands(&state, table)?);
        }
        standing.events = events::seen(&state, &self.request, &asked.events);
        self.numbered = None;
        if let Some(new) = &asked.generation {
            let (id, record) = generation::numbered(&state, &self.checkpoint.lane, asked.from, new);
            (standing.generation, self.numbered) = (Some(id), record);
        }
        self.open = Some(state);
        Ok(standing)
    }

    async fn family(&mut self, asked: FamilyWanted) -> Result<Family, SinkError> {
        let state = self.open.take().ok_or_else(|| SinkError::Fenced(self.checkpoint.lane.clone()))?;
        let family = self.family_in(&state, &asked)?;
        self.open = Some(state);
        Ok(family)
    }

    async fn sweep(&mut self, limit: u32) -> Result<Swept, SinkError> {
        let state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(self.ready(&state, limit))
    }

    async fn commit(&mut self, writes: Writes) -> Result<Checkpoint, CommitError> {
        let Some(mut state) = self.open.take() else {
            return Err(CommitError::Again(cause("closed", "there is no open transaction")));
        };
        let mut after = Contents::clone(&state);
        write(&mut after, &self.request, &writes)?;
        let lease_until = Some(state.now() + lease(&self.request));
        let settled = self.checkpoint.settled(&after.take_moves_of(&self.checkpoint.lane));
        let checkpoint = Checkpoint { lease_until, ..settled.after(&writes) };
        after.checkpoints.insert(checkpoint.lane.clone(), checkpoint.clone());
        after.generations.extend(self.numbered.take());
        *state = after;
        self.checkpoint = checkpoint.clone();
        Ok(checkpoint)
    }

    async fn abandon(&mut self) {
        self.open = None;
    }

    async fn idle(&mut self, scanned: u64) -> Result<(), SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        let checkpoint = &mut self.checkpoint;
        checkpoint.sequence = checkpoint.sequence.max(scanned);
        checkpoint.scanned = checkpoint.scanned.max(checkpoint.sequence);
        checkpoint.lease_until = Some(state.now() + lease(&self.request));
        state.checkpoints.insert(checkpoint.lane.clone(), checkpoint.clone());
        Ok(())
    }

    async fn balance(&mut self) -> Result<(), SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        self.checkpoint = self.checkpoint.settled(&state.take_moves_of(&self.checkpoint.lane));
        state.checkpoints.insert(self.checkpoint.lane.clone(), self.checkpoint.clone());
        Ok(())
    }

    async fn tidy(&mut self, asked: &Retention) -> Result<Tidied, SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(self.tidied(&mut state, asked))
    }

    async fn epochs(&mut self) -> Result<SourceEpochs, SinkError> {
        let state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(epochs::of_lane(&state, &self.request))
    }

    async fn generation(&mut self, from_sequence: u64, plugins: String, by: &str) -> Result<i64, SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        let new = NewGeneration { plugins, by: by.into() };
        let (id, record) = generation::numbered(&state, &self.checkpoint.lane, from_sequence, &new);
        state.generations.extend(record);
        Ok(id)
    }

    async fn waiting(&mut self, asked: WaitingWanted) -> Result<Vec<Waiting>, SinkError> {
        let state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(self.waiting_in(&state, &asked))
    }

    async fn depths(&mut self) -> Result<Vec<Depth>, SinkError> {
        let state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(self.depths_in(&state))
    }

    async fn page(
        &mut self,
        table: TableId,
        behind: Option<Columns>,
        limit: u32,
    ) -> Result<Columns, SinkError> {
        let state = self.database.state.lock().await;
        let name = &self.request.tables[table.index()].name;
        let page = state.tables.get(name).map(|found| found.page(behind.as_ref(), limit as usize));
        page.ok_or_else(|| SinkError::Table(table, cause("no-table", format!("no such table: {name}"))))
    }

    async fn paused(&mut self) -> Result<Vec<Paused>, SinkError> {
        let state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(self.paused_in(&state))
    }

    async fn pause(&mut self, table: TableId, reason: &str) -> Result<(), SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        let name = self.request.tables[table.index()].name.clone();
        state.paused.entry(name).or_insert_with(|| reason.to_owned());
        Ok(())
    }

    async fn orders(&mut self) -> Result<Vec<Order>, SinkError> {
        let state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(self.orders_in(&state))
    }

    async fn refuse(&mut self, order: &Order, why: &str) -> Result<(), SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        self.refuse_in(&mut state, order, why);
        Ok(())
    }

    fn set_aside(&mut self, tables: Aside) {
        self.aside = tables;
    }

    async fn record_hole(&mut self, hole: &Hole) -> Result<HoleRecord, SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        Ok(holes::record(&mut state, &self.checkpoint, hole))
    }

    async fn pass_hole(&mut self, id: i64, how: Passed, resume: Resume) -> Result<(), SinkError> {
        let mut state = self.database.state.lock().await;
        self.fenced(&state)?;
        self.checkpoint = holes::pass(&mut state, &self.checkpoint, id, &how, resume);
        Ok(())
    }

    async fn release(&mut self) {
        self.open = None;
        let mut state = self.database.state.lock().await;
        if self.is_ours(&state)
            && let Some(checkpoint) = state.checkpoints.get_mut(&self.checkpoint.lane)
        {
            checkpoint.owner = None;
            checkpoint.lease_until = None;
        }
    }
}

impl MemoryClaim {
    fn is_ours(&self, state: &Contents) -> bool {
        let ours = &self.checkpoint;
        let same = |c: &Checkpoint| c.epoch == ours.epoch && c.sequence == ours.sequence;
        state.checkpoints.get(&ours.lane).is_some_and(same)
    }

    fn fenced(&self, state: &Contents) -> Result<(), SinkError> {
        if self.is_ours(state) { Ok(()) } else { Err(SinkError::Fenced(self.checkpoint.lane.clone())) }
    }

    /// A lane, where it is another one.
    pub(super) fn elsewhere(&self, lane: &Arc<str>) -> Option<Arc<str>> {
        Some(Arc::clone(lane)).filter(|lane| **lane != *self.checkpoint.lane)
    }

    fn kept(&self, state: &Contents, shape: &TableShape, key: &[u8], rows: &mut Columns) -> Option<Kept> {
        let kept = state.kept.get(&(shape.name.clone(), key.to_vec()))?;
        let columns: Vec<usize> = (0..shape.columns.len()).collect();
        if text::from_json(shape, &columns, &kept.row, rows).is_err() {
            rows.abandon_row();
            return None;
        }
        let waits = self.table_of(&kept.waits.0).map(|table| (table, kept.waits.1.clone()));
        let counted_by = self.elsewhere(&kept.counted_by);
        Some(Kept { row: last(rows), orphaned: kept.orphaned, waits, counted_by })
    }

    pub(super) fn stands(&self, state: &Contents, asked: &WantedTable) -> Result<StandingTable, SinkError> {
        let shape = &self.request.tables[asked.table.index()];
        let Some(table) = state.tables.get(&shape.name) else {
            let gone = cause("no-table", format!("no such table: {}", shape.name));
            return Err(SinkError::Table(asked.table, gone));
        };
        if let Some(unlike) = shape.unlike(&table.shape) {
            return Err(SinkError::Table(asked.table, cause("other-shape", unlike)));
        }
        let names = &self.request.names;
        let mut found = StandingTable { rows: Columns::new(shape.logicals()), ..StandingTable::default() };
        found.too_old_through = state.too_old_through.get(&shape.name).copied();
        if !asked.versions {
            let gate = state.gates.get(&(self.checkpoint.lane.clone(), shape.name.clone()));
            found.gate = gate.into_iter().flatten().filter_map(|s| seen(names, s)).collect();
        }
        for key in asked.keys.iter() {
            let row = table.rows.get(key);
            let remembered = state.versions.get(&(shape.name.clone(), key.to_vec()));
            let mut standing = StandingKey::default();
            if let Some(row) = row {
                found.rows.push_row_from(&row.cells, 0);
                standing.row = Some(last(&found.rows));
            }
            if asked.versions {
                let local = is_local(row.map(|r| r.stamp), remembered);
                standing.local = local.then_some(LocalWrite { at: None });
                if let Some(of) = remembered.and_then(|r| r.counted.as_ref()) {
                    let by = of.by.as_ref().and_then(|lane| self.elsewhere(lane));
                    standing.counted = Counted { by, merged: of.merged };
                }
                standing.version = remembered.and_then(|r| version(names, r));
                if remembered.is_some_and(|r| r.standing == StandingKind::Kept) {
                    standing.kept = self.kept(state, shape, key, &mut found.rows);
                }
                let json = remembered.and_then(|r| r.ordered_by.as_deref());
                let read = json.map(|j| text::from_json(shape, &asked.order_columns, j, &mut found.rows));
                standing.ordered_by = read.and_then(Result::ok).map(|()| last(&found.rows));
            }
            found.keys.push(standing);
        }
        Ok(found)
    }
}

fn last(rows: &Columns) -> u32 {
    u32::try_from(rows.rows() - 1).expect("a batch has far fewer than 4 billion rows")
}

fn seen(names: &Names, stored: &NamedSeen) -> Option<Seen> {
    let source = names.intern(&stored.source).ok()?;
    Some(Seen { source, position: stored.position, deleted: stored.deleted, live_at: stored.live_at })
}

fn version(names: &Names, stored: &Remembered) -> Option<Version> {
    Some(Version {
        standing: stored.standing,
        origin: names.intern(&stored.origin).ok()?,
        committed_at: stored.committed_at,
        seen: stored.seen.iter().filter_map(|s| seen(names, s)).collect(),
        clock: stored.clock.clone(),
    })
}

pub(super) fn cause(code: &str, text: impl Into<String>) -> Cause {
    Cause { code: code.into(), text: text.into() }
}
