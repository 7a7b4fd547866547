//! What the parts are measured with, off the stream: table shapes as a real sink tells them, the plan made of them,
//! and deliveries as a reader would bring them.

use std::{path::PathBuf, sync::Arc};

use anyhow::{Result, bail};
use bytes::Bytes;
use reconverge::{
    plan::{Plan, Rule, TablePlan},
    plugin::{BoundTable, CompileCache, Limits, PluginEngine, PluginSet, PluginSpec},
};
use reconverge_capture::Database;
use reconverge_servers::{project_root, scratch, target_dir};
use reconverge_streams::{
    names::Names,
    sink::{Sink, TableName},
    source::{Delivery, Pulled},
    sqlite::SqliteSink,
    table::{ColumnShape, TableId, TableShape},
};
use tokio::runtime::Runtime;

use crate::workload::{Event, table_name};

/// Changes in a batch, as in a pipeline's default.
pub(crate) const BATCH: usize = 1000;
/// The region that everything is applied in.
pub(crate) const REGION: &str = "eu-central-1";

/// The shapes of tables made by `ddl`, as the SQLite sink tells them: names, each with its key.
pub(crate) fn shapes(
    runtime: &Runtime,
    ddl: &str,
    tables: &[(String, Vec<String>)],
) -> Result<Vec<Arc<TableShape>>> {
    let folder = scratch("bench-shapes")?;
    let file = folder.path().join("shapes.db");
    let names: Vec<TableName> =
        tables.iter().map(|(name, key)| TableName { name: name.clone(), key: key.clone() }).collect();
    let told = runtime.block_on(async {
        Database::Sqlite(file.clone()).execute(ddl).await?;
        anyhow::Ok(SqliteSink::open(&file)?.shapes(&names).await?)
    })?;
    let mut shapes = Vec::new();
    for shape in told {
        match shape {
            Ok(shape) => shapes.push(Arc::new(shape)),
            Err(problems) => bail!("a table cannot be used: {problems:?}"),
        }
    }
    Ok(shapes)
}

/// The tables of a workload, for SQLite.
pub(crate) fn workload_ddl(tables: u64) -> String {
    let table = |table: u64| {
        format!(
            "CREATE TABLE {} (schedule_id BIGINT PRIMARY KEY NOT NULL, agent_id BIGINT NOT NULL, \
             shift_start TIMESTAMPTZ NOT NULL, modification_epoch BIGINT NOT NULL, \
             region_source TEXT NOT NULL, notes TEXT, overtime INTEGER);",
            table_name(table)
        )
    };
    (0..tables).map(table).collect()
}

/// Names and keys of the tables of a workload.
pub(crate) fn workload_tables(tables: u64) -> Vec<(String, Vec<String>)> {
    (0..tables).map(|table| (table_name(table), vec!["schedule_id".to_owned()])).collect()
}

/// Plugins, opened against tables.
pub(crate) fn plugins(shapes: &[Arc<TableShape>], specs: &[PluginSpec]) -> Result<PluginSet> {
    let cache = CompileCache::at(target_dir().join("bench-cache"));
    let engine = PluginEngine::start(Limits::default(), cache)?;
    let bound = |(id, shape): (u16, &Arc<TableShape>)| BoundTable {
        id: TableId(id),
        name: shape.name.clone(),
        shape: Arc::clone(shape),
        tags: Vec::new(),
        column_tags: Vec::new(),
    };
    let bound: Vec<BoundTable> = (0..).zip(shapes).map(bound).collect();
    PluginSet::open(&engine, specs, &bound).map_err(|errors| anyhow::anyhow!("{errors:?}"))
}

/// A reference plugin's wasm file.
pub(crate) fn wasm(plugin: &str) -> PathBuf {
    let file = format!("{}.wasm", plugin.replace('-', "_"));
    project_root().join("plugins/target/wasm32-unknown-unknown/release").join(file)
}

/// The plan of these tables, all under one rule, with the columns that `set` asks for.
pub(crate) fn plan(
    shapes: &[Arc<TableShape>],
    set: &PluginSet,
    rule: impl Fn(&[ColumnShape]) -> Rule,
) -> Plan {
    let names = Names::default();
    let region = names.intern(REGION).expect("the first name fits");
    let sources = set.source_columns();
    let table = |(id, shape): (u16, &Arc<TableShape>)| {
        let mut columns = shape.columns.clone();
        let asked = sources.iter().filter(|(table, ..)| *table == TableId(id));
        columns.extend(asked.map(|(_, name, logical)| ColumnShape::new(name.clone(), *logical)));
        let rule = rule(&columns);
        TablePlan {
            columns,
            full_before_images: false,
            residency: set.has_residency(TableId(id)),
            ..TablePlan::new(TableId(id), Arc::clone(shape), rule, "bench")
        }
    };
    Plan {
        tables: (0..).zip(shapes).map(table).collect(),
        by_source_name: (0..).zip(shapes).map(|(id, shape)| (shape.name.clone(), TableId(id))).collect(),
        region,
        names: Arc::new(names),
        clock_skew_us: i64::MAX / 4,
        value_bytes: 16 << 20,
        leaving_max: u32::MAX,
    }
}

/// The deliveries of a workload as batches. `msgpack` chooses the body.
pub(crate) fn batches(events: &[Event], msgpack: bool) -> Vec<Pulled> {
    let delivery = |event: &Event| {
        let kind = msgpack.then_some(("Content-Type", "application/msgpack"));
        let headers = kind.into_iter().chain([("Reconverge-Version", "1")]).collect();
        let payload = if msgpack { event.msgpack() } else { event.json() };
        Delivery {
            sequence: event.place + 1,
            subject: event.subject().into(),
            headers,
            payload: Bytes::from(payload),
            published_at: 1_800_000_000_000_000,
        }
    };
    pulled(events.iter().map(delivery).collect())
}

/// Deliveries, cut into batches.
pub(crate) fn pulled(deliveries: Vec<Delivery>) -> Vec<Pulled> {
    let batch = |deliveries: &[Delivery]| Pulled {
        scanned: deliveries.last().map_or(0, |last| last.sequence),
        deliveries: deliveries.to_vec(),
    };
    deliveries.chunks(BATCH).map(batch).collect()
}

/// A copy, since decoding takes what was pulled.
pub(crate) fn copy(pulled: &Pulled) -> Pulled {
    Pulled { deliveries: pulled.deliveries.clone(), scanned: pulled.scanned }
}

/// Nanoseconds of one of `count` events.
pub(crate) fn nanos_each(took: std::time::Duration, count: usize) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a count of events stays far below 2^53")]
    let count = count.max(1) as f64;
    took.as_secs_f64() * 1e9 / count
}
