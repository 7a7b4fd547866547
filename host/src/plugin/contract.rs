//! What a plugin asks for: the columns that it reads and writes of a table, checked against the sink's table and
//! the rules of its stage when it is opened. By name; [`super::projection`] turns names into places.

use reconverge_streams::{
    columns::State,
    logical::{Logical, UnknownLogical},
    table::TableId,
};

use super::{
    bindings::base::reconverge::plugin::types::{ColumnSpec, Contract as Asked},
    fact::Fact,
    set::BoundTable,
};
use crate::config::Stage;

/// Columns that a contract may read and write together. Each costs room in every block.
const COLUMNS_MAX: usize = 1000;

/// A contract that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contract {
    /// The table.
    pub table: TableId,
    /// What is handed over, in this order.
    pub reads: Vec<Reading>,
    /// What is accepted, in this order.
    pub writes: Vec<Writing>,
    /// What else it says: a JSON object, as the plugin wrote it, or nothing. See [`Contract::promises`].
    pub extensions: String,
}

/// What a contract promises of its columns beyond their types (`wit/README.md`, `extensions`).
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Promises {
    /// Columns that are never null where the rule is to decide.
    pub not_null: Vec<String>,
    /// Columns that the source always sends.
    pub sent: Vec<String>,
}

/// One column that is handed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// A column of a row.
    Column {
        /// Of which row.
        side: Side,
        /// Its name in the sink, or at the source where the sink has none such.
        name: String,
        /// Its type; where only the source has it, the one that it is decoded as.
        logical: Logical,
        /// Whether the sink's table has it.
        in_sink: bool,
    },
    /// A fact about the change or what stands.
    Fact(Fact),
    /// Nothing that we have: every cell arrives as unavailable or, of a row that the stage is not given, as no
    /// such row.
    Nothing(Logical, State),
}

/// A row that a contract reads of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The row after the change.
    After,
    /// The row before it.
    Before,
    /// What stands in the sink.
    Current,
}

/// One column that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writing {
    /// Its name.
    pub name: String,
    /// Its type.
    pub logical: Logical,
    /// Whether the sink's table has it.
    pub in_sink: bool,
}

impl Contract {
    /// What it promises; `None` where it says nothing, or nothing that can be read.
    #[must_use]
    pub fn promises(&self) -> Option<Promises> {
        serde_json::from_str(&self.extensions).ok()
    }

    /// Columns that the sink's table lacks and that have to be decoded all the same.
    pub fn source_columns(&self) -> impl Iterator<Item = (&str, Logical)> {
        let read = self.reads.iter().filter_map(|reading| match reading {
            Reading::Column { name, logical, in_sink: false, .. } => Some((name.as_str(), *logical)),
            _ => None,
        });
        let written = self.writes.iter().filter(|writing| !writing.in_sink);
        read.chain(written.map(|writing| (writing.name.as_str(), writing.logical)))
    }

    /// The order columns of a merge contract: what it compares of the incoming and of the current row.
    pub fn order_columns(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for reading in &self.reads {
            if let Reading::Column { side: Side::After | Side::Current, name, .. } = reading
                && !names.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        }
        names
    }
}

/// Why a contract does not hold.
#[derive(Debug, thiserror::Error)]
pub enum BadContract {
    /// No such side.
    #[error("`{0}` is no side; known: after, before, current, meta, lookup")]
    Side(String),
    /// `current` in a stage before merge.
    #[error("it reads `{0}` of the current row, which only merge is given")]
    NotMerge(String),
    /// No such logical type.
    #[error("column `{column}`: {cause}")]
    Logical {
        /// The column.
        column: String,
        /// What is wrong.
        cause: UnknownLogical,
    },
    /// A column of another type.
    #[error("column `{column}` is {has}, not {asked}")]
    Type {
        /// The column or fact.
        column: String,
        /// What it is.
        has: Logical,
        /// What the contract asks for.
        asked: Logical,
    },
    /// A required column that the table lacks.
    #[error("it requires column `{0}`, which the table does not have")]
    NoColumn(String),
    /// No such fact.
    #[error("it requires `{0}` of meta, which there is not")]
    NoFact(String),
    /// A fact that this stage is not told.
    #[error("it asks for `{0}` of meta, which the stage `{1}` is not told")]
    FactNotTold(String, Stage),
    /// A filter that writes.
    #[error("a filter writes nothing")]
    FilterWrites,
    /// A written column on another side than `after`.
    #[error("it writes column `{0}` on another side than `after`")]
    WriteSide(String),
    /// A written key column.
    #[error("it writes key column `{0}`")]
    WritesKey(String),
    /// A written column that the database computes.
    #[error("it writes column `{0}`, which the database computes")]
    WritesGenerated(String),
    /// A column that is written twice.
    #[error("it writes column `{0}` twice")]
    WritesTwice(String),
    /// Too many columns.
    #[error("it has more than {COLUMNS_MAX} columns")]
    TooMany,
    /// A merge contract that compares nothing.
    #[error("it reads no column of the incoming or the current row, so that every contest would be a tie")]
    ComparesNothing,
    /// The same table twice, or one that was not given.
    #[error("it was given twice")]
    Twice,
}

impl BadContract {
    /// What to do about it.
    pub(super) fn hint(&self) -> &'static str {
        match self {
            BadContract::Type { .. } => {
                "ask for the column as the type that the sink's table has; `reconverge check` lists them"
            }
            BadContract::NoColumn(_) => {
                "add the column to the sink's table, or let the contract say that it is not required"
            }
            BadContract::ComparesNothing => {
                "name the columns that decide as the fields of both rows, or use a built-in policy"
            }
            BadContract::WritesKey(_) => {
                "rename key columns with `key_from` of the [[table]]; a plugin cannot write them"
            }
            BadContract::FactNotTold(..) => {
                "facts that differ between regions would make them diverge; see wit/plugin.wit"
            }
            _ => "see `contract` in wit/plugin.wit",
        }
    }
}

/// Checks what a plugin of `stage` asks of a table. A plugin of several stages does not know for which one it is
/// opened, and asks for the columns of all: `is_shared`. Then those of the other stages hold nothing.
///
/// # Errors
/// The first rule that it breaks.
pub(super) fn check(
    asked: &Asked,
    stage: Stage,
    is_shared: bool,
    table: &BoundTable,
) -> Result<Contract, BadContract> {
    if asked.reads.len() + asked.writes.len() > COLUMNS_MAX {
        return Err(BadContract::TooMany);
    }
    if stage == Stage::Filter && !is_shared && !asked.writes.is_empty() {
        return Err(BadContract::FilterWrites);
    }
    let reads =
        asked.reads.iter().map(|spec| reading(spec, stage, is_shared, table)).collect::<Result<_, _>>()?;
    let mut writes: Vec<Writing> = Vec::new();
    for spec in &asked.writes {
        let writing = writing(spec, table)?;
        if writes.iter().any(|before| before.name == writing.name) {
            return Err(BadContract::WritesTwice(writing.name));
        }
        writes.push(writing);
    }
    let contract = Contract { table: table.id, reads, writes, extensions: asked.extensions.clone() };
    if stage == Stage::Merge && contract.order_columns().is_empty() {
        return Err(BadContract::ComparesNothing);
    }
    Ok(contract)
}

fn reading(
    spec: &ColumnSpec,
    stage: Stage,
    is_shared: bool,
    table: &BoundTable,
) -> Result<Reading, BadContract> {
    let asked = logical(spec)?;
    let side = match spec.side.as_str() {
        "after" => Side::After,
        "before" => Side::Before,
        "current" if stage == Stage::Merge => Side::Current,
        "current" if is_shared => return Ok(Reading::Nothing(asked, State::NoRow)),
        "current" => return Err(BadContract::NotMerge(spec.name.clone())),
        "meta" => return fact(spec, asked, stage, is_shared),
        // No reference tables can be declared yet, so none has the column.
        "lookup" if spec.required => return Err(BadContract::NoColumn(spec.name.clone())),
        "lookup" => return Ok(Reading::Nothing(asked, State::Unavailable)),
        _ => return Err(BadContract::Side(spec.side.clone())),
    };
    match table.shape.column(&spec.name).map(|k| table.shape.columns[k].logical) {
        Some(has) if reads_as(has, asked) => {
            Ok(Reading::Column { side, name: spec.name.clone(), logical: has, in_sink: true })
        }
        Some(has) => Err(BadContract::Type { column: spec.name.clone(), has, asked }),
        None if spec.required => Err(BadContract::NoColumn(spec.name.clone())),
        None if side == Side::Current => Ok(Reading::Nothing(asked, State::Unavailable)),
        None => Ok(Reading::Column { side, name: spec.name.clone(), logical: asked, in_sink: false }),
    }
}

fn fact(spec: &ColumnSpec, asked: Logical, stage: Stage, is_shared: bool) -> Result<Reading, BadContract> {
    match Fact::named(&spec.name) {
        Some(fact) if !fact.is_told(stage) && is_shared => Ok(Reading::Nothing(asked, State::NoRow)),
        Some(fact) if !fact.is_told(stage) => Err(BadContract::FactNotTold(spec.name.clone(), stage)),
        Some(fact) if reads_as(fact.logical(), asked) => Ok(Reading::Fact(fact)),
        Some(fact) => Err(BadContract::Type { column: spec.name.clone(), has: fact.logical(), asked }),
        None if spec.required => Err(BadContract::NoFact(spec.name.clone())),
        None => Ok(Reading::Nothing(asked, State::Unavailable)),
    }
}

fn writing(spec: &ColumnSpec, table: &BoundTable) -> Result<Writing, BadContract> {
    let (name, asked) = (spec.name.clone(), logical(spec)?);
    if spec.side != "after" {
        return Err(BadContract::WriteSide(name));
    }
    let Some(k) = table.shape.column(&name) else {
        return if spec.required {
            Err(BadContract::NoColumn(name))
        } else {
            Ok(Writing { name, logical: asked, in_sink: false })
        };
    };
    let column = &table.shape.columns[k];
    if table.shape.key.contains(&k) {
        Err(BadContract::WritesKey(name))
    } else if column.generated {
        Err(BadContract::WritesGenerated(name))
    } else if column.logical != asked {
        Err(BadContract::Type { column: name, has: column.logical, asked })
    } else {
        Ok(Writing { name, logical: asked, in_sink: true })
    }
}

fn logical(spec: &ColumnSpec) -> Result<Logical, BadContract> {
    spec.logical.parse().map_err(|cause| BadContract::Logical { column: spec.name.clone(), cause })
}

/// Whether a column of one type may be read as another: the same one, or the plain type of the same layout
/// (every time is an integer, every decimal is text, everything packed is bytes).
fn reads_as(has: Logical, asked: Logical) -> bool {
    let is_plain = match asked {
        Logical::Int | Logical::Bytes => has.layout() == asked.layout(),
        Logical::Text => has.is_utf8(),
        _ => false,
    };
    has == asked || is_plain
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use reconverge_streams::table::{ColumnShape, TableShape};

    use super::*;

    fn table() -> BoundTable {
        let mut columns: Vec<_> = [
            ("id", Logical::Int),
            ("epoch", Logical::Int),
            ("note", Logical::Text),
            ("at", Logical::Timestamp),
            ("pay", Logical::Decimal),
            ("sum", Logical::Int),
        ]
        .map(|(name, logical)| ColumnShape::new(name, logical))
        .into();
        columns[5].generated = true;
        let shape = TableShape { name: "t".into(), columns, key: vec![0], has_other_unique: false };
        BoundTable {
            id: TableId(4),
            name: "t".into(),
            shape: Arc::new(shape),
            tags: vec![],
            column_tags: vec![],
        }
    }

    /// `side.name:logical`, required where it ends in `!`.
    fn specs(words: &str) -> Vec<ColumnSpec> {
        let spec = |word: &str| {
            let (side, rest) = word.split_once('.').unwrap();
            let (name, logical) = rest.split_once(':').unwrap();
            ColumnSpec {
                side: side.into(),
                name: name.into(),
                logical: logical.trim_end_matches('!').into(),
                required: logical.ends_with('!'),
            }
        };
        words.split_whitespace().map(spec).collect()
    }

    fn checked(stage: Stage, reads: &str, writes: &str) -> Result<Contract, BadContract> {
        let asked = Asked { table: 0, reads: specs(reads), writes: specs(writes), extensions: String::new() };
        check(&asked, stage, false, &table())
    }

    fn nothing(logical: Logical) -> Reading {
        Reading::Nothing(logical, State::Unavailable)
    }

    #[test]
    fn a_plugin_of_several_stages_asks_for_the_columns_of_all() {
        let reads = specs("after.epoch:int current.epoch:int meta.current-live:bool meta.published-at:int");
        let asked = Asked { table: 0, reads, writes: specs("after.note:text"), extensions: String::new() };
        let filter = check(&asked, Stage::Filter, true, &table()).unwrap();
        let no_row = |logical| Reading::Nothing(logical, State::NoRow);
        assert_eq!(
            filter.reads[1..],
            [no_row(Logical::Int), no_row(Logical::Bool), Reading::Fact(Fact::PublishedAt)]
        );
        let merge = check(&asked, Stage::Merge, true, &table()).unwrap();
        assert_eq!(merge.reads[2..], [Reading::Fact(Fact::CurrentLive), no_row(Logical::Int)]);
        assert!(check(&asked, Stage::Filter, false, &table()).is_err());
    }

    #[test]
    fn a_merge_contract_tells_its_order_columns() {
        let reads = "after.epoch:int! after.note:text current.epoch:int! current.note:text before.at:timestamp meta.origin:text";
        let contract = checked(Stage::Merge, reads, "after.note:text").unwrap();
        assert_eq!(contract.order_columns(), ["epoch", "note"]);
        assert_eq!((contract.table, contract.source_columns().count()), (TableId(4), 0));
    }

    #[test]
    fn columns_that_only_the_source_has_are_told() {
        let contract = checked(
            Stage::Mapping,
            "after.old_note:text meta.schema-version:int",
            "after.note:text after.spare:json",
        )
        .unwrap();
        assert_eq!(
            contract.source_columns().collect::<Vec<_>>(),
            [("old_note", Logical::Text), ("spare", Logical::Json)]
        );
        let merge =
            checked(Stage::Merge, "after.epoch:int current.gone:text lookup.x:int meta.later:text", "")
                .unwrap();
        assert_eq!(merge.reads[1..], [Logical::Text, Logical::Int, Logical::Text].map(nothing));
    }

    #[test]
    fn a_column_may_be_read_as_the_plain_type_of_its_layout() {
        for (reads, holds) in [
            ("after.at:timestamp", true),
            ("after.at:int", true),
            ("after.pay:text", true),
            ("after.pay:bytes", true),
            ("after.epoch:timestamp", false),
            ("after.note:json", false),
            ("after.note:int", false),
            ("meta.committed-at:int", true),
            ("meta.origin:uuid", false),
        ] {
            assert_eq!(checked(Stage::Filter, reads, "").is_ok(), holds, "{reads}");
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        use Stage::{Filter, Mapping, Merge, Residency};
        for (stage, reads, writes, told) in [
            (Filter, "sideways.epoch:int", "", "`sideways` is no side"),
            (Filter, "current.epoch:int", "", "which only merge is given"),
            (Filter, "after.epoch:colour", "", "`colour` is no logical type"),
            (Filter, "after.epoch:text", "", "column `epoch` is int, not text"),
            (Filter, "after.gone:int!", "", "requires column `gone`"),
            (Filter, "lookup.gone:int!", "", "requires column `gone`"),
            (Filter, "meta.sequence:int!", "", "requires `sequence` of meta"),
            (Merge, "meta.published-at:timestamp", "", "the stage `merge` is not told"),
            (Residency, "meta.current-live:bool", "", "the stage `residency` is not told"),
            (Filter, "", "after.note:text", "a filter writes nothing"),
            (Mapping, "", "before.note:text", "another side"),
            (Mapping, "", "after.id:int", "writes key column `id`"),
            (Mapping, "", "after.sum:int", "the database computes"),
            (Mapping, "", "after.note:text after.note:text", "`note` twice"),
            (Mapping, "", "after.pay:text", "column `pay` is decimal, not text"),
            (Mapping, "", "after.gone:text!", "requires column `gone`"),
            (Merge, "meta.origin:text before.epoch:int", "", "every contest would be a tie"),
        ] {
            let error = checked(stage, reads, writes).unwrap_err().to_string();
            assert!(error.contains(told), "{reads} {writes}: {error}");
        }
        let many = "after.epoch:int ".repeat(COLUMNS_MAX + 1);
        assert!(matches!(checked(Filter, &many, ""), Err(BadContract::TooMany)));
    }
}
