//! `reconverge plugin inspect`: what a plugin file is, says of itself and asks for.

use std::path::Path;

use reconverge_streams::logical::Logical;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    cli::{
        arguments::Global,
        exit::Exit,
        failure::Failure,
        output::{self, grouped},
    },
    contests::{ContestFile, Head, Scene, TableHead},
    plugin::{self, Contract, Description, PluginEngine, PluginError, Reading, Side, stage_word},
};

use super::{arguments::Inspect, place::Place};

/// What `--json` prints.
#[derive(Serialize)]
struct Inspected {
    file: String,
    /// SHA-256 of the file.
    digest: String,
    bytes: usize,
    /// `component`, or `core module`, of which the host makes one.
    kind: &'static str,
    stages: Vec<&'static str>,
    imports: Vec<Imported>,
    name: Option<String>,
    version: Option<String>,
    config_schema: Option<Value>,
    extensions: Option<String>,
    contracts: Vec<Asked>,
    limits: Limits,
    /// Why no pipeline would take it.
    problem: Option<Problem>,
}

#[derive(Serialize)]
struct Imported {
    name: String,
    given: bool,
}

#[derive(PartialEq, Serialize)]
struct Asked {
    table: String,
    reads: Vec<Column>,
    writes: Vec<Column>,
}

#[derive(PartialEq, Serialize)]
struct Column {
    side: &'static str,
    name: String,
    logical: String,
    /// Whether the sink's table has it; facts and columns that nobody has are not in it.
    in_table: bool,
}

#[derive(Serialize)]
struct Limits {
    memory_bytes: usize,
    fuel_base: u64,
    fuel_per_row: u64,
    answer_bytes: usize,
    deadline_ms: u128,
    file_bytes: u64,
}

#[derive(Serialize)]
struct Problem {
    message: String,
    hint: String,
}

pub(super) fn inspect(global: &Global, asked: &Inspect) -> Result<Exit, Failure> {
    let place = Place::of(&asked.path)?;
    let engine = super::engine()?;
    let limits = engine.limits();
    let survey = plugin::survey(&place.file, limits.artifact_bytes)?;
    let described = plugin::inspect(&engine, &place.file);
    let (description, mut problem) = match described {
        Ok(description) => (Some(description), None),
        Err(error) => (None, Some(Problem::of(&error))),
    };
    let mut contracts = Vec::new();
    if let Some(description) = &description {
        for head in heads(asked, &place)? {
            match contracts_of(&engine, &place.file, description, &head) {
                // Files of one table have one contract.
                Ok(asked) => contracts
                    .extend(asked.into_iter().filter(|asked| !contracts.contains(asked)).collect::<Vec<_>>()),
                Err(found) => problem = Some(found),
            }
        }
    }
    let inspected = Inspected {
        file: place.file.display().to_string(),
        digest: survey.digest.to_string(),
        bytes: survey.bytes,
        kind: if survey.is_component { "component" } else { "core module" },
        stages: survey.stages.iter().map(|stage| stage_word(*stage)).collect(),
        imports: survey.imports.into_iter().map(|i| Imported { name: i.name, given: i.is_given }).collect(),
        name: description.as_ref().map(|d| d.name.clone()),
        version: description.as_ref().map(|d| d.version.clone()),
        extensions: description.as_ref().map(|d| d.extensions.clone()).filter(|text| !text.is_empty()),
        config_schema: description.and_then(|d| d.config_schema),
        contracts,
        limits: Limits {
            memory_bytes: limits.memory_bytes,
            fuel_base: limits.fuel_base,
            fuel_per_row: limits.fuel_per_row,
            answer_bytes: limits.answer_bytes,
            deadline_ms: limits.deadline.as_millis(),
            file_bytes: limits.artifact_bytes,
        },
        problem,
    };
    output::show(global.json, &inspected, words)?;
    match inspected.problem {
        Some(problem) if !global.json => {
            Err(Failure::new(Exit::Configuration, problem.message).hint(problem.hint))
        }
        Some(_) => Ok(Exit::Configuration),
        None => Ok(Exit::Done),
    }
}

impl Problem {
    fn of(error: &PluginError) -> Problem {
        Problem { message: error.to_string(), hint: error.hint() }
    }
}

/// The tables to ask a contract for: those that were typed, else those of contests.
fn heads(asked: &Inspect, place: &Place) -> Result<Vec<Head>, Failure> {
    let config = asked.config.as_deref().map(serde_json::from_str::<Value>).transpose();
    let config =
        config.map_err(|cause| Failure::new(Exit::Configuration, "`--config` is no JSON").because(&cause))?;
    let mut heads = Vec::new();
    if !asked.table.is_empty() {
        let tables = asked.table.iter().map(|shape| table(shape)).collect::<Result<_, _>>()?;
        heads.push(Head { contests: 1, stage: None, tables, config: None, captured: None });
    } else if let Some(path) = asked.golden.as_ref().or(place.contests.as_ref()) {
        heads.extend(ContestFile::read_all(path)?.into_iter().map(|file| file.head));
    }
    for head in &mut heads {
        head.config = config.clone().or(head.config.take());
    }
    Ok(heads)
}

/// `schedules(id int key, epoch int)` as a table.
fn table(shape: &str) -> Result<TableHead, Failure> {
    let wrong = |what: &str| {
        Failure::new(Exit::Configuration, format!("`{shape}` is no table: {what}"))
            .hint("write it like 'schedules(id int key, epoch int, region text)'")
    };
    let inner = shape.trim().strip_suffix(')').and_then(|open| open.split_once('('));
    let (name, inner) = inner.ok_or_else(|| wrong("it has no columns in brackets"))?;
    let mut table = TableHead { name: name.trim().into(), ..TableHead::default() };
    for column in inner.split(',') {
        let words: Vec<&str> = column.split_whitespace().collect();
        let (name, logical, is_key) = match words[..] {
            [name, logical] => (name, logical, false),
            [name, logical, "key"] => (name, logical, true),
            _ => return Err(wrong("a column is a name and a type, and `key` where it is one of the key")),
        };
        logical.parse::<Logical>().map_err(|cause| wrong(&cause.to_string()))?;
        table.columns.insert(name.into(), json!(logical));
        if is_key {
            table.key.push(name.into());
        }
    }
    if table.key.is_empty() { Err(wrong("no column is its key")) } else { Ok(table) }
}

/// What the plugin asks for in each of its stages; a head of another stage is passed over.
fn contracts_of(
    engine: &PluginEngine,
    file: &Path,
    description: &Description,
    head: &Head,
) -> Result<Vec<Asked>, Problem> {
    let mut found = Vec::new();
    for stage in description.stages.iter().filter(|stage| head.stage.is_none_or(|wanted| wanted == **stage)) {
        let scene = Scene::open(engine, file, Some(*stage), head)
            .map_err(|error| Problem { hint: error.hint(), message: error.to_string() })?;
        for (_, contract) in scene.plugins().contracts() {
            found.push(asked(contract, &head.tables[contract.table.index()].name));
        }
    }
    Ok(found)
}

fn asked(contract: &Contract, table: &str) -> Asked {
    let read = |reading: &Reading| match reading {
        Reading::Column { side, name, logical, in_sink } => Column {
            side: match side {
                Side::After => "after",
                Side::Before => "before",
                Side::Current => "current",
            },
            name: name.clone(),
            logical: logical.to_string(),
            in_table: *in_sink,
        },
        Reading::Fact(fact) => Column {
            side: "meta",
            name: fact.name().into(),
            logical: fact.logical().to_string(),
            in_table: false,
        },
        Reading::Nothing(logical, _) => {
            Column { side: "nothing", name: "-".into(), logical: logical.to_string(), in_table: false }
        }
    };
    let writes = contract.writes.iter().map(|writing| Column {
        side: "after",
        name: writing.name.clone(),
        logical: writing.logical.to_string(),
        in_table: writing.in_sink,
    });
    Asked { table: table.into(), reads: contract.reads.iter().map(read).collect(), writes: writes.collect() }
}

fn words(inspected: &Inspected) -> String {
    let dash = || "-".to_owned();
    let listed = |words: Vec<String>| if words.is_empty() { dash() } else { words.join(", ") };
    let limits = &inspected.limits;
    let import =
        |import: &Imported| format!("{}{}", import.name, if import.given { "" } else { " (refused)" });
    let facts = [
        ("file", inspected.file.clone()),
        ("kind", inspected.kind.to_owned()),
        ("size", format!("{} bytes", grouped(inspected.bytes as u64))),
        ("digest", format!("sha256:{}", inspected.digest)),
        ("name", inspected.name.clone().unwrap_or_else(dash)),
        ("version", inspected.version.clone().unwrap_or_else(dash)),
        ("stages", listed(inspected.stages.iter().map(|&stage| stage.to_owned()).collect())),
        ("imports", listed(inspected.imports.iter().map(import).collect())),
        (
            "limits",
            format!(
                "{} MiB of memory, fuel {} + {} a row, answers of twice the input + {} KiB, {} ms a call",
                limits.memory_bytes >> 20,
                grouped(limits.fuel_base),
                grouped(limits.fuel_per_row),
                limits.answer_bytes >> 10,
                limits.deadline_ms
            ),
        ),
        ("claims", inspected.extensions.clone().unwrap_or_else(dash)),
    ];
    let mut text: String = facts.iter().map(|(name, value)| format!("{name:<8} {value}\n")).collect();
    match &inspected.config_schema {
        Some(schema) => text.push_str(&format!("config   {}\n", properties(schema))),
        None => text.push_str("config   takes none\n"),
    }
    for contract in &inspected.contracts {
        text.push_str(&format!("\ncontract for table `{}`\n", contract.table));
        let row = |way: &str, column: &Column| {
            let note = if column.in_table || column.side == "meta" { "" } else { "not in the table" };
            let [side, logical] = [column.side, &column.logical].map(str::to_owned);
            vec![way.to_owned(), side, column.name.clone(), logical, note.to_owned()]
        };
        let reads = contract.reads.iter().map(|column| row("reads", column));
        let rows = reads.chain(contract.writes.iter().map(|column| row("writes", column)));
        text.push_str(&output::table(&["", "side", "column", "type", ""], rows));
    }
    if inspected.contracts.is_empty() && inspected.problem.is_none() {
        text.push_str("\nIts contract depends on the table: name one with --table to see it.\n");
    }
    text
}

/// The properties of a JSON Schema on a line, the required ones marked.
fn properties(schema: &Value) -> String {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let word = |(name, property): (&String, &Value)| {
        let kind = property["type"].as_str().unwrap_or("any");
        let mark = if required.contains(&json!(name)) { "" } else { "?" };
        format!("{name}{mark}: {kind}")
    };
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    let words: Vec<String> = properties.iter().map(word).collect();
    format!("{{ {} }} (--json shows its schema)", words.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_typed_as_its_columns() {
        let found = table("schedules(id int key, epoch timestamp,note text)").unwrap();
        assert_eq!((found.name.as_str(), found.key), ("schedules", vec!["id".to_owned()]));
        assert_eq!(found.columns.len(), 3);
        for (shape, told) in [
            ("schedules", "it has no columns in brackets"),
            ("t(id int)", "no column is its key"),
            ("t(id)", "a column is a name and a type"),
            ("t(id colour key)", "no logical type"),
        ] {
            assert!(table(shape).unwrap_err().line().contains(told), "{shape}");
        }
    }
}
