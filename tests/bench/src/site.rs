//! A stream and SQLite files for questions that compare workloads and not sinks: one broker a workload, a new file a
//! run. A run that ends with other rows than its workload says has no measure.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use reconverge_capture::Database;
use reconverge_servers::scratch;
use tempfile::TempDir;

use crate::{
    desk,
    pipeline::{self, Ran, Variant, Wiring},
    plain,
    stream::Broker,
    workload::{End, Event, Workload},
};

const STREAM: &str = "BENCH";

/// A workload in a stream.
pub(crate) struct Site {
    pub(crate) broker: Broker,
    pub(crate) workload: Workload,
    pub(crate) variant: Variant,
    count: u64,
    end: End,
}

/// A file with the workload's tables, and the pipeline that fills it.
pub(crate) struct Place {
    folder: TempDir,
    pub(crate) file: PathBuf,
    pub(crate) pipeline: String,
}

impl Place {
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }
}

impl Site {
    /// A stream that holds these changes, all that `workload` makes or the first of them.
    ///
    /// # Errors
    /// There is no server.
    pub(crate) async fn of(workload: Workload, events: &[Event], variant: Variant) -> Result<Site> {
        let broker = Broker::start().await?;
        broker.fill_with(STREAM, &["cdc.>"], events).await?;
        let (count, end) = (events.len() as u64, End::of(events, variant != Variant::None));
        Ok(Site { broker, workload, variant, count, end })
    }

    /// A new file.
    ///
    /// # Errors
    /// It cannot be made.
    pub(crate) async fn place(&self, name: &str) -> Result<Place> {
        let folder = scratch("bench-site")?;
        let file = folder.path().join("sink.db");
        let database = Database::Sqlite(file.clone());
        database.execute(&desk::workload_ddl(self.workload.tables)).await?;
        let pipeline = pipeline::file(&Wiring {
            name,
            variant: self.variant,
            nats: &self.broker.server.url(),
            stream: STREAM,
            sink: &database.url(),
            tables: self.workload.tables,
            partitions: self.workload.partitions,
        });
        Ok(Place { folder, file, pipeline })
    }

    /// Applies the stream to a new file.
    ///
    /// # Errors
    /// The run fails, or ends with other rows.
    pub(crate) async fn run(&self, name: &str) -> Result<Ran> {
        let place = self.place(name).await?;
        let ran = pipeline::run(place.folder(), &place.pipeline, self.count).await?;
        let end = plain::sqlite_end(&place.file)?;
        ensure!(end == self.end, "the run ended with {end:?} in place of {:?}", self.end);
        Ok(ran)
    }
}
