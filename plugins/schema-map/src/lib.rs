//! Schema versions: changes of an older version of a table are translated by a mapping table, those of a version that
//! cannot be translated are refused.
//!
//! So a schema can change in two steps while old and new sources publish side by side. *Expand*: the sink gets the new
//! columns, and the old version's rule fills them (`from` an old column, by a `convert`, or a `default`). *Contract*:
//! when no source sends the old version any more, its rule is taken out, and the sink's old columns with it.
//!
//! Which columns these are is known when the pipeline opens the plugin, so the contract is made there. The types of the
//! cells and their conversions stand in `convert.rs`.

use std::collections::BTreeMap;

use reconverge_sdk::{
    Answer, AnswerBuilder, AnyCell, AnyColumn, Batch, Block, BlockError, BlockWriter, ColumnSpec, Contract,
    Descriptor, Kind, Pattern, Plugin, Stage, Table, column, config, contract, stage,
};

mod convert;

use convert::{Cell, Conversion};

/// The mapping table.
#[config]
#[derive(Debug)]
struct Config {
    /// Rules of tables; of a table that several patterns name, the first.
    tables: Vec<TableRule>,
}

/// The versions of a table.
#[config]
#[derive(Debug)]
struct TableRule {
    /// The tables, as a pattern.
    table: Pattern,
    /// The version of changes that carry none. Left out: such changes are refused.
    unversioned: Option<i64>,
    /// Versions that are accepted, by number; others are refused.
    versions: BTreeMap<i64, VersionRule>,
}

/// What is done with changes of a version.
#[config]
#[derive(Debug)]
struct VersionRule {
    /// How columns of the sink are made. Those that are not named stay as they came.
    #[serde(default)]
    columns: BTreeMap<String, ColumnRule>,
    /// Refuse the version, for this reason.
    refuse: Option<String>,
}

/// How a column of the sink is made.
#[config]
#[derive(Debug)]
struct ColumnRule {
    /// The source's column. Left out: the `default` is written.
    from: Option<String>,
    /// How its value is converted. Left out: it has the type of the sink's column.
    convert: Option<Conversion>,
    /// Texts that stand for others: `{"A": "active"}`. One that is not here fails the change.
    values: Option<BTreeMap<String, String>>,
    /// What is written where there is no `from`, or its value is null. Timestamps are integers of microseconds.
    default: Option<serde_json::Value>,
}

/// What becomes of the changes of a version.
#[derive(Debug)]
enum Version {
    Refuse(String),
    Write(Vec<Step>),
}

/// How one column is written.
#[derive(Debug)]
struct Step {
    /// Which of the columns read.
    from: Option<usize>,
    convert: Option<Conversion>,
    values: Option<BTreeMap<String, String>>,
    default: Option<Cell>,
    /// Which of the columns written.
    to: usize,
}

/// The versions of a table, compiled against its columns.
#[derive(Debug)]
struct Plan {
    unversioned: Option<i64>,
    versions: BTreeMap<i64, Version>,
    /// Types of the columns read after the two facts.
    types: Vec<String>,
    kinds: Vec<Kind>,
}

/// Columns of a block before those of the source: version and operation.
const FACTS: usize = 2;

#[derive(Debug)]
struct SchemaMap {
    plans: Vec<Plan>,
}

impl Plugin for SchemaMap {
    fn describe() -> Descriptor {
        Descriptor {
            name: "schema-map".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config_schema: config::schema::<Config>(),
            extensions: String::new(),
        }
    }

    fn open(config: &str, tables: &[Table]) -> Result<(Self, Vec<Contract>), String> {
        let config: Config = config::read(config)?;
        let (mut plans, mut contracts) = (Vec::new(), Vec::new());
        for (k, table) in tables.iter().enumerate() {
            let rule = config.tables.iter().find(|rule| rule.table.names(&table.name));
            let rule = rule.ok_or_else(|| format!("table {}: no rule; add one to `tables`", table.name))?;
            let mut columns = Columns { table, reads: vec![], writes: vec![] };
            let versions =
                rule.versions.iter().map(|(&number, version)| Ok((number, version.compile(&mut columns)?)));
            let versions = versions
                .collect::<Result<_, String>>()
                .map_err(|why| format!("table {}: {why}", table.name))?;
            let types = columns.reads.iter().map(|spec| spec.logical.clone()).collect();
            let kinds = columns.writes.iter().filter_map(|spec| Kind::of(&spec.logical)).collect();
            plans.push(Plan { unversioned: rule.unversioned, versions, types, kinds });
            let facts =
                [column("meta", "schema-version", "int", true), column("meta", "operation", "text", true)];
            contracts.push(contract(k, [facts.to_vec(), columns.reads].concat(), columns.writes));
        }
        Ok((SchemaMap { plans }, contracts))
    }
}

/// The columns of a contract while it is made.
struct Columns<'t> {
    table: &'t Table,
    reads: Vec<ColumnSpec>,
    writes: Vec<ColumnSpec>,
}

impl VersionRule {
    fn compile(&self, columns: &mut Columns<'_>) -> Result<Version, String> {
        if let Some(why) = &self.refuse {
            return Ok(Version::Refuse(why.clone()));
        }
        let steps = self.columns.iter().map(|(name, rule)| rule.compile(name, columns));
        Ok(Version::Write(steps.collect::<Result<_, _>>()?))
    }
}

impl ColumnRule {
    fn compile(&self, name: &str, columns: &mut Columns<'_>) -> Result<Step, String> {
        let logical =
            columns.table.logical(name).ok_or_else(|| format!("there is no column {name} to write"))?;
        if columns.table.key.iter().any(|key| key == name) {
            return Err(format!(
                "{name} is a key column, which a mapping cannot write; use `key_from` in the pipeline"
            ));
        }
        Kind::of(logical)
            .ok_or_else(|| format!("column {name} is of type {logical}, which this plugin does not know"))?;
        let taken = self.convert.map_or(logical, |convert| convert.types().0);
        let given = self.convert.map_or(logical, |convert| convert.types().1);
        if given != logical || (self.values.is_some() && logical != "text") {
            return Err(format!(
                "column {name} is of type {logical}, which its `convert` or `values` do not give"
            ));
        }
        if self.from.is_none() && (self.default.is_none() || self.convert.is_some() || self.values.is_some())
        {
            return Err(format!("column {name}: say what it is made `from`, or its `default` alone"));
        }
        let default = self.default.as_ref().map(|json| convert::default(json, logical));
        Ok(Step {
            from: self
                .from
                .as_ref()
                .map(|from| place(&mut columns.reads, column("after", from, taken, false))),
            convert: self.convert,
            values: self.values.clone(),
            default: default.transpose().map_err(|why| format!("column {name}: {why}"))?,
            to: place(&mut columns.writes, column("after", name, logical, true)),
        })
    }
}

/// Where a column stands in a list, which gets it if it is new.
fn place(columns: &mut Vec<ColumnSpec>, wanted: ColumnSpec) -> usize {
    columns.iter().position(|spec| *spec == wanted).unwrap_or_else(|| {
        columns.push(wanted);
        columns.len() - 1
    })
}

impl Stage<stage::Mapping> for SchemaMap {
    fn run(&mut self, batch: &Batch<'_>) -> Result<Answer, String> {
        let plan = self.plans.get(batch.table).ok_or("there is no such table")?;
        plan.answer(&batch.block).map_err(|error| error.to_string())
    }
}

/// Verdicts of the stage.
const KEEP: u8 = 1;
const WRITE: u8 = 2;

impl Plan {
    fn answer(&self, block: &Block<'_>) -> Result<Answer, BlockError> {
        let (version, operation) = (AnyColumn::open(block, 0, "int")?, block.texts(1)?);
        let open = |(k, logical): (usize, &String)| AnyColumn::open(block, FACTS + k, logical);
        let columns = self.types.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut answer = AnswerBuilder::new(block.rows(), KEEP);
        let mut written = BlockWriter::new(block.rows(), &self.kinds);
        for row in 0..block.rows() {
            // A delete carries only its key, which has no version.
            if operation.get(row) == "d" {
                continue;
            }
            let steps = match self.steps(version.get(row)) {
                Ok(steps) => steps,
                Err(why) => {
                    answer.fail(row, &why);
                    continue;
                }
            };
            match steps.iter().try_for_each(|step| step.put(&columns, row, &mut written)) {
                Ok(()) if steps.is_empty() => {}
                Ok(()) => answer.set(row, WRITE),
                Err(why) => answer.fail(row, why),
            }
        }
        if !self.kinds.is_empty() {
            answer.block(&written);
        }
        Ok(answer.finish())
    }

    fn steps(&self, version: AnyCell<'_>) -> Result<&[Step], String> {
        let version = match version {
            AnyCell::Int(version) => version,
            _ => self.unversioned.ok_or("the change has no schema version")?,
        };
        match self.versions.get(&version) {
            Some(Version::Write(steps)) => Ok(steps),
            Some(Version::Refuse(why)) => Err(why.clone()),
            None => Err(format!("schema version {version} is not in the mapping table")),
        }
    }
}

impl Step {
    /// Writes the column of a row. A value that was not sent leaves it as it is.
    fn put(
        &self,
        columns: &[AnyColumn<'_>],
        row: usize,
        written: &mut BlockWriter,
    ) -> Result<(), &'static str> {
        let default = self.default.as_ref().map_or(AnyCell::Null, Cell::as_any);
        let value = match self.from.map(|k| columns[k].get(row)) {
            None | Some(AnyCell::Null) => default,
            Some(AnyCell::Unsent | AnyCell::NoRow) => return Ok(()),
            Some(value) => {
                let cell = convert::convert(value, self.convert, self.values.as_ref())?;
                cell.as_any().put(written, self.to, row);
                return Ok(());
            }
        };
        value.put(written, self.to, row);
        Ok(())
    }
}

reconverge_sdk::export!(SchemaMap: mapping);

#[cfg(test)]
mod tests;
