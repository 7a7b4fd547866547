//! Tables, plans, batches and contests for the tests of plugins, in a few words.

use std::{path::Path, sync::Arc};

use reconverge::{
    batch::{Batch, Change, Item, ItemKind, Op, TableBatch},
    config::Stage,
    plan::{Plan, Rule, TablePlan},
    plugin::{
        BoundTable, CompileCache, Limits, PluginChain, PluginEngine, PluginError, PluginSet, PluginSpec,
    },
    stages::{Arena, Arenas, Contest, Contests, RowRef},
};
use reconverge_streams::{
    columns::{Column, Columns, State},
    logical::Logical,
    names::Names,
    position::Position,
    table::{ColumnShape, TableId, TableShape},
};
use serde_json::Value;

use crate::guests;

/// A cell of a test's row.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    Is(State),
    Int(i64),
    Text(&'a str),
}

pub const NULL: Cell<'static> = Cell::Is(State::Null);

impl Cell<'_> {
    pub fn push(self, column: &mut Column) {
        match self {
            Cell::Is(state) => column.push_state(state),
            Cell::Int(value) => column.push_int(value),
            Cell::Text(value) => column.push_bytes(value.as_bytes()),
        }
    }
}

/// An engine with the default limits but for what `change` does to them.
pub fn engine(change: impl FnOnce(&mut Limits)) -> PluginEngine {
    let mut limits = Limits { memory_bytes: 32 << 20, ..Limits::default() };
    change(&mut limits);
    // A guest is compiled once, not for each test and engine.
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins");
    PluginEngine::start(limits, CompileCache::at(cache)).unwrap()
}

/// A table by its number, name and columns; the first is the key.
pub fn table(id: u16, name: &str, columns: &[(&str, Logical)]) -> BoundTable {
    let columns = columns.iter().map(|(name, logical)| ColumnShape::new(*name, *logical)).collect();
    let shape = TableShape { name: name.into(), columns, key: vec![0], has_other_unique: false };
    BoundTable {
        id: TableId(id),
        name: name.into(),
        shape: Arc::new(shape),
        tags: vec![],
        column_tags: vec![],
    }
}

/// A plugin by its crate's name.
pub fn spec(guest: &str, stage: Stage, tables: &[u16], config: Value) -> PluginSpec {
    let tables = tables.iter().map(|id| TableId(*id)).collect();
    PluginSpec { name: guest.into(), path: guests::wasm(guest), stage, tables, config }
}

/// A pipeline of some plugins over some tables.
pub struct Pipeline {
    pub set: PluginSet,
    pub plan: Plan,
    pub chain: PluginChain,
}

impl Pipeline {
    pub fn open(
        engine: &PluginEngine,
        specs: &[PluginSpec],
        tables: &[BoundTable],
    ) -> Result<Self, Vec<PluginError>> {
        let set = PluginSet::open(engine, specs, tables)?;
        let plan = plan(tables, &set);
        let chain = set.chain(&plan).map_err(|error| vec![error])?;
        Ok(Pipeline { set, plan, chain })
    }

    pub fn new(engine: &PluginEngine, specs: &[PluginSpec], tables: &[BoundTable]) -> Self {
        Pipeline::open(engine, specs, tables).unwrap_or_else(|errors| panic!("{errors:?}"))
    }
}

fn plan(tables: &[BoundTable], set: &PluginSet) -> Plan {
    let names = Names::default();
    let region = names.intern("eu").unwrap();
    let sources = set.source_columns();
    let table = |table: &BoundTable| {
        let of_source = sources.iter().filter(|source| source.0 == table.id);
        let mut columns = table.shape.columns.clone();
        columns.extend(of_source.map(|(_, name, logical)| ColumnShape::new(name, *logical)));
        let place = |name: &str| columns.iter().position(|column| column.name == name).unwrap();
        let merge = set.merge_of(table.id);
        let rule =
            merge.map_or(Rule::None, |(_, order)| Rule::Plugin(order.into_iter().map(place).collect()));
        TablePlan {
            source_name: table.name.clone(),
            columns,
            tags: table.tags.clone(),
            residency: set.has_residency(table.id),
            ..TablePlan::new(table.id, Arc::clone(&table.shape), rule, "test")
        }
    };
    Plan {
        tables: tables.iter().map(table).collect(),
        by_source_name: tables.iter().map(|table| (table.name.clone(), table.id)).collect(),
        region,
        names: Arc::new(names),
        clock_skew_us: 0,
        value_bytes: 1 << 20,
        leaving_max: u32::MAX,
    }
}

/// One change: what it does, its schema version, the row after and before it, in the order of the plan's columns.
/// What is left out at the end of a row was not sent.
pub struct Row<'a> {
    pub op: Op,
    pub schema: u32,
    pub after: &'a [Cell<'a>],
    pub before: &'a [Cell<'a>],
}

/// The changes of one table.
pub fn table_batch(plan: &Plan, id: u16, rows: &[Row<'_>]) -> TableBatch {
    let table = plan.table(TableId(id));
    let columns = || Columns::new(table.columns.iter().map(|column| column.logical));
    let (mut after, mut before) = (columns(), columns());
    let source = plan.names.intern("us").unwrap();
    let (mut keys, mut changes) = (Vec::new(), Vec::new());
    for (i, row) in rows.iter().enumerate() {
        push(&mut after, row.after);
        push(&mut before, row.before);
        let begin = u32::try_from(keys.len()).unwrap();
        keys.extend_from_slice(format!("key {i}").as_bytes());
        changes.push(Change {
            item: u32::try_from(i).unwrap(),
            op: row.op,
            key: begin..u32::try_from(keys.len()).unwrap(),
            source,
            position: Some(Position { epoch: 0, commit: 10, ordinal: i as u64 }),
            origin: source,
            at: 1_760_000_000_000_000,
            published_at: 1_760_000_000_000_001,
            schema: row.schema,
            moved: None,
            event_id: None,
            transaction: None,
            clocks: Default::default(),
            redriven: None,
        });
    }
    TableBatch { table: TableId(id), changes, after, before, keys }
}

fn push(columns: &mut Columns, cells: &[Cell<'_>]) {
    for (k, column) in columns.columns.iter_mut().enumerate() {
        cells.get(k).copied().unwrap_or(Cell::Is(State::Missing)).push(column);
    }
    columns.end_row();
}

/// A batch of these tables, without deliveries: stages look at none.
pub fn batch(tables: Vec<TableBatch>) -> Batch {
    let mut items = Vec::new();
    for (t, table) in tables.iter().enumerate() {
        for row in 0..table.changes.len() {
            let kind = ItemKind::Change(u32::try_from(t).unwrap(), u32::try_from(row).unwrap());
            items.push(Item { delivery: 0, kind });
        }
    }
    Batch { items, tables, ..Batch::default() }
}

/// Row `i` of `after` meets row `i` of `standing`; where `composed` says so, row `i` of `composed` instead.
pub fn contests(rows: usize, plan: &Plan, composed: impl Fn(usize) -> bool) -> Vec<Contest> {
    let origin = plan.names.intern("eu").unwrap();
    let contest = |i: usize| {
        let row = u32::try_from(i).unwrap();
        let arena = if composed(i) { Arena::Composed } else { Arena::Standing };
        Contest {
            change: row,
            incoming: RowRef { arena: Arena::After, row },
            current: RowRef { arena, row },
            current_live: true,
            current_origin: origin,
            current_at: Some(7),
        }
    };
    (0..rows).map(contest).collect()
}

/// The call of merge for these contests; `standing` serves as `composed` too.
pub fn call<'a>(
    plan: &'a Plan,
    batch: &'a TableBatch,
    standing: &'a Columns,
    rows: &'a [Contest],
) -> Contests<'a> {
    let arenas = Arenas { after: &batch.after, before: &batch.before, standing, composed: standing };
    Contests { table: plan.table(batch.table), changes: &batch.changes, arenas, rows, names: &plan.names }
}
