//! A stream and empty sinks for questions that compare workloads and not programs: one broker a workload, a new database
//! a run. A run that ends with other rows than its workload says has no measure.

use anyhow::{Result, ensure};

use crate::{
    pipeline::{self, Ran, Variant, Wiring},
    place::{Kind, Place},
    stream::Broker,
    workload::{End, Event, Workload},
};

const STREAM: &str = "BENCH";

/// A workload in a stream.
pub(crate) struct Site<'a> {
    pub(crate) broker: Broker,
    pub(crate) workload: Workload,
    kind: &'a Kind,
    variant: Variant,
    count: u64,
    end: End,
}

impl<'a> Site<'a> {
    /// A stream that holds these changes, all that `workload` makes or the first of them.
    ///
    /// # Errors
    /// There is no server.
    pub(crate) async fn of(
        kind: &'a Kind,
        workload: Workload,
        events: &[Event],
        variant: Variant,
    ) -> Result<Site<'a>> {
        let broker = Broker::start().await?;
        broker.fill_with(STREAM, &["cdc.>"], events).await?;
        let (count, end) = (events.len() as u64, End::of(events, variant != Variant::None));
        Ok(Site { broker, workload, kind, variant, count, end })
    }

    /// An empty sink, and the pipeline that fills it.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn place(&self, name: &str) -> Result<(Place<'a>, String)> {
        let place = self.kind.fresh(self.workload.tables).await?;
        let pipeline = pipeline::file(&Wiring {
            name,
            variant: self.variant,
            nats: &self.broker.server.url(),
            stream: STREAM,
            sink: &place.url(),
            tables: self.workload.tables,
            partitions: self.workload.partitions,
            batch: None,
        });
        Ok((place, pipeline))
    }

    /// Applies the stream to an empty sink, from the pipeline's second start on.
    ///
    /// # Errors
    /// The run fails, or ends with other rows.
    pub(crate) async fn run(&self, name: &str) -> Result<Ran> {
        let (place, pipeline) = self.place(name).await?;
        pipeline::first_start(&place.folder(), &pipeline).await?;
        self.run_in(&place, &pipeline).await
    }

    /// The same from its first start on, which makes the sidecar's tables.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub(crate) async fn run_first(&self, name: &str) -> Result<Ran> {
        let (place, pipeline) = self.place(name).await?;
        self.run_in(&place, &pipeline).await
    }

    async fn run_in(&self, place: &Place<'_>, pipeline: &str) -> Result<Ran> {
        let ran = pipeline::run(&place.folder(), pipeline, self.count).await?;
        let end = place.end().await?;
        ensure!(end == self.end, "the run ended with {end:?} in place of {:?}", self.end);
        Ok(ran)
    }
}
