//! A sink with faults in front of every call, and a witness behind each that did something. A commit that fails after
//! its work is the hardest case: it is there, and the lane is told to try again.

use std::{future::Future, pin::Pin, sync::Arc};

use reconverge_streams::{
    by_hand::Order,
    checkpoint::Checkpoint,
    columns::Columns,
    epoch::SourceEpochs,
    family::{Family, FamilyWanted, Swept},
    hole::{Hole, HoleRecord, Passed, Resume},
    retention::{Retention, Tidied},
    sink::{Cause, Claim, ClaimRequest, CommitError, Problem, Sink, SinkError, TableName},
    standing::{Standing, Wanted},
    table::{TableId, TableShape},
    waiting::{Aside, Depth, Paused, Waiting, WaitingWanted},
    writes::Writes,
};

use crate::faults::{Failed, Life};

/// A future of a witness.
pub type Looking<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Sees what took effect, at the moment at which it did.
pub trait Witness: Send + Sync {
    /// A lane was claimed.
    fn claimed(&self, partition: u32, checkpoint: &Checkpoint);
    /// A claim wrote: a batch or a sign of life.
    fn wrote(&self, partition: u32, before: &Checkpoint, after: &Checkpoint);
    /// Between two transactions: may look at everything.
    fn look(&self) -> Looking<'_>;
}

/// A sink as one process sees it.
#[derive(Clone)]
pub struct FaultySink<K> {
    sink: Arc<K>,
    life: Life,
    witness: Arc<dyn Witness>,
}

impl<K> FaultySink<K> {
    /// The sink in one life of a process.
    #[must_use]
    pub fn new(sink: Arc<K>, life: Life, witness: Arc<dyn Witness>) -> FaultySink<K> {
        FaultySink { sink, life, witness }
    }
}

impl<K: Sink> Sink for FaultySink<K> {
    type Claim = FaultyClaim<K::Claim>;

    async fn prepare(&self) -> Result<(), SinkError> {
        self.sink.prepare().await
    }

    async fn check(&self) -> Result<Vec<Problem>, SinkError> {
        self.sink.check().await
    }

    async fn shapes(&self, tables: &[TableName]) -> Result<Vec<Result<TableShape, Vec<Problem>>>, SinkError> {
        self.sink.shapes(tables).await
    }

    async fn claim(&self, request: ClaimRequest) -> Result<FaultyClaim<K::Claim>, SinkError> {
        let partition = request.lane.partition;
        let called = self.life.before(&format!("claim {partition}")).await.map_err(unreachable)?;
        let claim = self.sink.claim(request).await?;
        self.witness.claimed(partition, claim.checkpoint());
        self.life.after(called).await.map_err(unreachable)?;
        let checkpoint = claim.checkpoint().clone();
        let (life, witness) = (self.life.clone(), Arc::clone(&self.witness));
        Ok(FaultyClaim { claim, checkpoint, partition, life, witness })
    }
}

/// A lane of it.
pub struct FaultyClaim<C> {
    claim: C,
    /// As the lane was last told: behind the truth where an answer was lost.
    checkpoint: Checkpoint,
    partition: u32,
    life: Life,
    witness: Arc<dyn Witness>,
}

impl<C: Claim> FaultyClaim<C> {
    /// The transaction, or the connection, is gone before the lane hears of it.
    async fn cut(&mut self, failed: Failed) -> SinkError {
        self.claim.abandon().await;
        unreachable(failed)
    }
}

impl<C: Claim> Claim for FaultyClaim<C> {
    fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    async fn begin(&mut self, asked: Wanted) -> Result<Standing, SinkError> {
        let call = format!("begin {} from {}", self.partition, asked.from);
        let called = self.life.before(&call).await.map_err(unreachable)?;
        let standing = self.claim.begin(asked).await?;
        if let Err(failed) = self.life.after(called).await {
            return Err(self.cut(failed).await);
        }
        Ok(standing)
    }

    fn foresee(&mut self, wanted: Wanted) {
        self.claim.foresee(wanted);
    }

    async fn family(&mut self, asked: FamilyWanted) -> Result<Family, SinkError> {
        let called = match self.life.before("family").await {
            Ok(called) => called,
            Err(failed) => return Err(self.cut(failed).await),
        };
        let family = self.claim.family(asked).await?;
        if let Err(failed) = self.life.after(called).await {
            return Err(self.cut(failed).await);
        }
        Ok(family)
    }

    async fn sweep(&mut self, limit: u32) -> Result<Swept, SinkError> {
        let called = self.life.before("sweep").await.map_err(unreachable)?;
        let swept = self.claim.sweep(limit).await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(swept)
    }

    async fn balance(&mut self) -> Result<(), SinkError> {
        let called = self.life.before(&format!("balance {}", self.partition)).await.map_err(unreachable)?;
        self.claim.balance().await?;
        self.life.after(called).await.map_err(unreachable)?;
        self.checkpoint = self.claim.checkpoint().clone();
        Ok(())
    }

    async fn commit(&mut self, writes: Writes) -> Result<Checkpoint, CommitError> {
        let call = format!("commit {} through {}", self.partition, writes.through);
        let Ok(called) = self.life.before(&call).await else {
            self.claim.abandon().await;
            return Err(again());
        };
        let before = self.checkpoint.clone();
        let checkpoint = self.claim.commit(writes).await?;
        self.witness.wrote(self.partition, &before, &checkpoint);
        self.witness.look().await;
        self.life.after(called).await.map_err(|_| again())?;
        self.checkpoint = checkpoint.clone();
        Ok(checkpoint)
    }

    async fn abandon(&mut self) {
        self.claim.abandon().await;
    }

    async fn idle(&mut self, scanned: u64) -> Result<(), SinkError> {
        let called = self.life.before(&format!("idle {}", self.partition)).await.map_err(unreachable)?;
        let before = self.checkpoint.clone();
        self.claim.idle(scanned).await?;
        self.witness.wrote(self.partition, &before, self.claim.checkpoint());
        self.life.after(called).await.map_err(unreachable)?;
        self.checkpoint = self.claim.checkpoint().clone();
        Ok(())
    }

    async fn generation(&mut self, from_sequence: u64, plugins: String, by: &str) -> Result<i64, SinkError> {
        let called = self.life.before("generation").await.map_err(unreachable)?;
        let number = self.claim.generation(from_sequence, plugins, by).await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(number)
    }

    async fn depths(&mut self) -> Result<Vec<Depth>, SinkError> {
        let called = self.life.before("depths").await.map_err(unreachable)?;
        let depths = self.claim.depths().await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(depths)
    }

    async fn tidy(&mut self, asked: &Retention) -> Result<Tidied, SinkError> {
        let called = self.life.before("tidy").await.map_err(unreachable)?;
        let tidied = self.claim.tidy(asked).await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(tidied)
    }

    async fn waiting(&mut self, asked: WaitingWanted) -> Result<Vec<Waiting>, SinkError> {
        let called = self.life.before("waiting").await.map_err(unreachable)?;
        let waiting = self.claim.waiting(asked).await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(waiting)
    }

    async fn epochs(&mut self) -> Result<SourceEpochs, SinkError> {
        let called = self.life.before("epochs").await.map_err(unreachable)?;
        let epochs = self.claim.epochs().await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(epochs)
    }

    async fn page(
        &mut self,
        table: TableId,
        behind: Option<Columns>,
        limit: u32,
    ) -> Result<Columns, SinkError> {
        let called = self.life.before("page").await.map_err(unreachable)?;
        let page = self.claim.page(table, behind, limit).await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(page)
    }

    async fn paused(&mut self) -> Result<Vec<Paused>, SinkError> {
        let called = self.life.before("paused").await.map_err(unreachable)?;
        let paused = self.claim.paused().await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(paused)
    }

    async fn pause(&mut self, table: TableId, reason: &str) -> Result<(), SinkError> {
        let called = self.life.before("pause").await.map_err(unreachable)?;
        self.claim.pause(table, reason).await?;
        self.life.after(called).await.map_err(unreachable)
    }

    async fn record_hole(&mut self, hole: &Hole) -> Result<HoleRecord, SinkError> {
        let called = self.life.before("record_hole").await.map_err(unreachable)?;
        let recorded = self.claim.record_hole(hole).await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(recorded)
    }

    async fn pass_hole(&mut self, id: i64, how: Passed, resume: Resume) -> Result<(), SinkError> {
        let called = self.life.before("pass_hole").await.map_err(unreachable)?;
        let before = self.checkpoint.clone();
        self.claim.pass_hole(id, how, resume).await?;
        self.witness.wrote(self.partition, &before, self.claim.checkpoint());
        self.life.after(called).await.map_err(unreachable)?;
        self.checkpoint = self.claim.checkpoint().clone();
        Ok(())
    }

    async fn orders(&mut self) -> Result<Vec<Order>, SinkError> {
        let called = self.life.before("orders").await.map_err(unreachable)?;
        let orders = self.claim.orders().await?;
        self.life.after(called).await.map_err(unreachable)?;
        Ok(orders)
    }

    async fn refuse(&mut self, order: &Order, why: &str) -> Result<(), SinkError> {
        let called = self.life.before("refuse").await.map_err(unreachable)?;
        self.claim.refuse(order, why).await?;
        self.life.after(called).await.map_err(unreachable)
    }

    fn set_aside(&mut self, tables: Aside) {
        self.claim.set_aside(tables);
    }

    async fn release(&mut self) {
        let Ok(called) = self.life.before("release of the lane").await else { return };
        self.claim.release().await;
        // Nobody waits for this answer.
        let _ = self.life.after(called).await;
    }
}

fn unreachable(_: Failed) -> SinkError {
    SinkError::Unreachable(Failed::WORDS.into())
}

fn again() -> CommitError {
    CommitError::Again(Cause { code: "08006".into(), text: Failed::WORDS.into() })
}
