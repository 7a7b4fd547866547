//! A claimed lane: one connection, one transaction at a time. Holds what a batch needs to know of the server
//! between batches; a batch itself stands in `begin`, `write` and `order`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_postgres::Error;

use crate::{
    by_hand::Order,
    checkpoint::Checkpoint,
    columns::Columns,
    epoch::SourceEpochs,
    family::{Family, FamilyWanted, Swept},
    hole::{Hole, HoleRecord, Passed, Resume},
    retention::{Retention, Tidied},
    sink::{Claim, ClaimRequest, CommitError, SinkError},
    standing::{NewGeneration, Standing, Wanted},
    table::TableId,
    waiting::{Aside, Depth, Paused, Waiting, WaitingWanted},
    writes::Writes,
};

use super::{
    Shared, ahead::Begun, drift, epochs, fate, ids::Ids, lane, origin, params::Param, partitions, retention,
    session::Session, sidecar::Batch, standing::Open, target::Target,
};

/// How often the history's partitions are looked after.
const UPKEEP: Duration = Duration::from_secs(3600);

/// See the module.
pub struct PostgresClaim {
    pub(super) facts: Facts,
    pub(super) session: Session,
    pub(super) checkpoint: Checkpoint,
    pub(super) open: Option<Open>,
    /// What the batch behind the next commit will ask for.
    pub(super) foreseen: Option<Wanted>,
    /// The batch that was begun with the last commit.
    pub(super) begun: Option<Begun>,
    /// Whether the server may be inside a transaction of ours, also after a call that was given up half-way.
    pub(super) in_transaction: bool,
    /// How often in a row a key that was not there came meanwhile.
    pub(super) clashes: u32,
    pub(super) keeps_commit_times: bool,
    /// The parent that the last sweep ended with, as the sidecar has it; none: at its beginning.
    pub(super) swept_up_to: Option<(i16, Vec<u8>)>,
    /// Tables that are left alone.
    pub(super) aside: Aside,
    /// Whether the tables have to be looked at before one is read again.
    pub(super) doubtful: bool,
    upkeep_at: Instant,
}

/// What a claim knows of the lane and of the server.
pub(super) struct Facts {
    pub shared: Arc<Shared>,
    pub request: ClaimRequest,
    /// The lane's name, as the sidecar has it.
    pub lane: String,
    /// The plan's tables, by their id.
    pub targets: Vec<Target>,
    pub ids: Ids,
    /// What suppressed keys are hashed with.
    pub secret: Vec<u8>,
}

impl Facts {
    pub(super) fn target(&self, table: TableId) -> &Target {
        &self.targets[table.index()]
    }

    /// The table behind a number of the sidecar; `None` where the plan does not list it.
    pub(super) fn table_of(&self, number: i64) -> Option<TableId> {
        let at = self.targets.iter().position(|t| i64::from(t.id) == number)?;
        u16::try_from(at).ok().map(TableId)
    }

    /// What the sidecar's statements of a batch are made of.
    pub(super) fn batch<'a>(&'a self, open: &'a Open, writes: &'a Writes) -> Batch<'a> {
        Batch {
            lane: &self.lane,
            stream: &self.request.stream,
            lease_seconds: lane::lease_seconds(&self.request),
            secret: &self.secret,
            targets: &self.targets,
            ids: &self.ids,
            open,
            writes,
        }
    }
}

impl PostgresClaim {
    /// Takes the lane and learns what a batch needs to know.
    pub(super) async fn take(shared: Arc<Shared>, request: ClaimRequest) -> Result<Self, SinkError> {
        let lane = request.lane.to_string();
        let mut session = connect(&shared, &lane).await?;
        let failed = |e: Error| fate::sink_error(&e, "reading the sidecar tables");
        let meta = "SELECT secret, current_setting('track_commit_timestamp')::bool FROM reconverge.meta";
        let meta =
            session.client.query_opt(meta, &[]).await.map_err(failed)?.ok_or_else(|| SinkError::Setup {
                what: "the sidecar tables are empty".into(),
                hint: "run `reconverge check`".into(),
            })?;
        let mut ids = Ids::new(Arc::clone(&request.names));
        ids.load(&session.client).await.map_err(failed)?;
        let targets = drift::targets(&shared, &session.client, &request).await?;
        partitions::keep(&session.client, partitions::ALL_DAYS).await.map_err(failed)?;
        let checkpoint = lane::claim(&mut session, &request, &lane).await?;
        drift::prepare_reads(&mut session, &targets).await;
        let mut claim = PostgresClaim {
            facts: Facts { secret: meta.get(0), shared, request, lane, targets, ids },
            keeps_commit_times: meta.get(1),
            upkeep_at: Instant::now() + UPKEEP,
            open: None,
            foreseen: None,
            begun: None,
            swept_up_to: None,
            aside: Aside::new(),
            doubtful: false,
            in_transaction: false,
            clashes: 0,
            session,
            checkpoint,
        };
        claim.balance().await?;
        Ok(claim)
    }

    /// Connects anew where the connection is known to be gone.
    pub(super) async fn connected(&mut self) -> Result<(), SinkError> {
        if self.session.client.is_closed() {
            self.session = connect(&self.facts.shared, &self.facts.lane).await?;
            self.in_transaction = false;
            self.doubtful = true;
        }
        Ok(())
    }

    /// Ends the transaction, if there is one, without a trace.
    pub(super) async fn close(&mut self) {
        if std::mem::take(&mut self.in_transaction) && self.session.say("ROLLBACK").await.is_err() {
            // The server rolls back when the connection ends; a new one is made at the next call.
            tracing::debug!(lane = self.facts.lane, "connection lost at rollback");
        }
    }

    /// Looks after the history's partitions, at most hourly.
    pub(super) async fn upkeep(&mut self) -> Result<(), SinkError> {
        if Instant::now() < self.upkeep_at {
            return Ok(());
        }
        let client = self.facts.shared.server.connect().await?;
        partitions::keep(&client, partitions::ALL_DAYS)
            .await
            .map_err(|e| fate::sink_error(&e, "making the history's partitions"))?;
        self.upkeep_at = Instant::now() + UPKEEP;
        Ok(())
    }

    async fn keep_lane(&mut self, scanned: u64) -> Result<Option<Checkpoint>, Error> {
        let keep = format!(
            "UPDATE reconverge.checkpoint SET sequence = greatest(sequence, $4::bigint), \
             scanned = greatest(scanned, $4::bigint), heartbeat_at = clock_timestamp(), \
             lease_until = clock_timestamp() + make_interval(secs => $5::float8) \
             WHERE lane = $1::text AND epoch = $2::bigint AND sequence = $3::bigint RETURNING {}",
            lane::COLUMNS
        );
        let at = [self.checkpoint.epoch, self.checkpoint.sequence.cast_signed(), scanned.cast_signed()]
            .map(Param::Int8);
        let [epoch, sequence, scanned] = at;
        let lease = Param::Float8(lane::lease_seconds(&self.facts.request));
        let rows = self
            .session
            .query(&keep, vec![Param::Text(&self.facts.lane), epoch, sequence, scanned, lease])
            .await?;
        Ok(rows.first().and_then(|row| lane::read(row).ok()))
    }
}

/// A lane's connection.
pub(super) async fn connect(shared: &Shared, lane: &str) -> Result<Session, SinkError> {
    let client = shared.server.connect_lane().await?;
    origin::take(&client, lane).await;
    Ok(Session::new(client))
}

impl Claim for PostgresClaim {
    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    async fn begin(&mut self, asked: Wanted) -> Result<Standing, SinkError> {
        self.open = None;
        let (standing, open) = self.open(asked).await?;
        self.open = Some(open);
        Ok(standing)
    }

    fn foresee(&mut self, wanted: Wanted) {
        self.foreseen = Some(wanted);
    }

    async fn family(&mut self, asked: FamilyWanted) -> Result<Family, SinkError> {
        let Some(mut open) = self.open.take() else {
            return Err(SinkError::Fenced(self.facts.lane.clone()));
        };
        let answer = self.ask_family(&mut open, asked).await;
        match answer {
            Ok(_) => self.open = Some(open),
            Err(_) => self.close().await,
        }
        answer
    }

    async fn sweep(&mut self, limit: u32) -> Result<Swept, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let found = self.find_ready(limit).await;
        found.map_err(|e| e.told(&self.facts.lane, "looking for kept rows whose parent stands"))
    }

    async fn commit(&mut self, writes: Writes) -> Result<Checkpoint, CommitError> {
        self.write(&writes).await
    }

    async fn abandon(&mut self) {
        (self.open, self.foreseen, self.begun) = (None, None, None);
        self.close().await;
    }

    async fn idle(&mut self, scanned: u64) -> Result<(), SinkError> {
        self.abandon().await;
        self.connected().await?;
        let kept = self.keep_lane(scanned).await.map_err(|e| fate::sink_error(&e, "keeping the lane"))?;
        self.checkpoint = kept.ok_or_else(|| SinkError::Fenced(self.facts.lane.clone()))?;
        self.upkeep().await
    }

    async fn balance(&mut self) -> Result<(), SinkError> {
        self.abandon().await;
        self.connected().await?;
        let balanced = self.take_over().await;
        self.close().await;
        let balanced = balanced.map_err(|e| fate::sink_error(&e, "taking over moves in the ledger"))?;
        self.checkpoint = balanced.ok_or_else(|| SinkError::Fenced(self.facts.lane.clone()))?;
        Ok(())
    }

    async fn tidy(&mut self, asked: &Retention) -> Result<Tidied, SinkError> {
        let failed = |e: Error| fate::sink_error(&e, "removing what was kept for its time");
        let mut client = self.facts.shared.server.connect().await?;
        partitions::keep(&client, asked.history_days).await.map_err(failed)?;
        let Facts { lane, ids, .. } = &mut self.facts;
        ids.learn(&client, asked.passed.iter().map(|(source, _)| *source)).await.map_err(failed)?;
        let ids = &*ids;
        retention::tidy(&mut client, lane, asked, |source| ids.number(source)).await.map_err(failed)
    }

    async fn epochs(&mut self) -> Result<SourceEpochs, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let found = epochs::of_lane(&mut self.session, &mut self.facts).await;
        found.map_err(|e| fate::sink_error(&e, "reading the epochs of sources"))
    }

    async fn generation(&mut self, from_sequence: u64, plugins: String, by: &str) -> Result<i64, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let new = NewGeneration { plugins, by: by.to_owned() };
        let number = self.number_generation(from_sequence, &new).await;
        self.close().await;
        let number = number.map_err(|e| fate::sink_error(&e, "recording the generation"))?;
        number.ok_or_else(|| SinkError::Fenced(self.facts.lane.clone()))
    }

    async fn waiting(&mut self, asked: WaitingWanted) -> Result<Vec<Waiting>, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let found = self.read_waiting(&asked).await;
        found.map_err(|e| e.told(&self.facts.lane, "reading changes that wait"))
    }

    async fn depths(&mut self) -> Result<Vec<Depth>, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let found = self.read_depths().await;
        found.map_err(|e| e.told(&self.facts.lane, "counting what is kept beside"))
    }

    async fn page(
        &mut self,
        table: TableId,
        behind: Option<Columns>,
        limit: u32,
    ) -> Result<Columns, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let found = self.read_page(table, behind.as_ref(), limit).await;
        found.map_err(|e| e.told(&self.facts.lane, "reading keys of a table"))
    }

    async fn paused(&mut self) -> Result<Vec<Paused>, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let found = self.read_paused().await;
        found.map_err(|e| e.told(&self.facts.lane, "reading which tables are paused"))
    }

    async fn pause(&mut self, table: TableId, reason: &str) -> Result<(), SinkError> {
        self.abandon().await;
        self.connected().await?;
        let paused = self.pause_table(table, reason).await;
        let ours = paused.map_err(|e| e.told(&self.facts.lane, "pausing a table"))?;
        if ours { Ok(()) } else { Err(SinkError::Fenced(self.facts.lane.clone())) }
    }

    async fn orders(&mut self) -> Result<Vec<Order>, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let found = self.read_orders().await;
        found.map_err(|e| e.told(&self.facts.lane, "reading what is asked for by hand"))
    }

    async fn refuse(&mut self, order: &Order, why: &str) -> Result<(), SinkError> {
        self.abandon().await;
        self.connected().await?;
        let refused = self.refuse_order(order, why).await;
        let ours = refused.map_err(|e| e.told(&self.facts.lane, "refusing what is asked for by hand"))?;
        if ours { Ok(()) } else { Err(SinkError::Fenced(self.facts.lane.clone())) }
    }

    fn set_aside(&mut self, tables: Aside) {
        self.aside = tables;
    }

    async fn record_hole(&mut self, hole: &Hole) -> Result<HoleRecord, SinkError> {
        self.abandon().await;
        self.connected().await?;
        let recorded = self.note_hole(hole).await;
        self.close().await;
        let recorded = recorded.map_err(|e| fate::sink_error(&e, "recording a hole"))?;
        recorded.ok_or_else(|| SinkError::Fenced(self.facts.lane.clone()))
    }

    async fn pass_hole(&mut self, id: i64, how: Passed, resume: Resume) -> Result<(), SinkError> {
        self.abandon().await;
        self.connected().await?;
        let passed = self.go_behind(id, &how, resume).await;
        self.close().await;
        let passed = passed.map_err(|e| fate::sink_error(&e, "passing a hole"))?;
        self.checkpoint = passed.ok_or_else(|| SinkError::Fenced(self.facts.lane.clone()))?;
        Ok(())
    }

    async fn release(&mut self) {
        self.abandon().await;
        let give_up = "UPDATE reconverge.checkpoint SET owner = NULL, lease_until = NULL \
                       WHERE lane = $1::text AND epoch = $2::bigint";
        let params = vec![Param::Text(&self.facts.lane), Param::Int8(self.checkpoint.epoch)];
        if self.session.query(give_up, params).await.is_err() {
            // The lease runs out by itself.
            tracing::debug!(lane = self.facts.lane, "lane not released: connection lost");
        }
    }
}
