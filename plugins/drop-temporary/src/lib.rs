//! A filter that keeps out what is not worth a place: session and temporary tables, by the pattern of their
//! names, and rows of low value density, whose columns are mostly null or empty.
//!
//! Which columns a table has is known when the pipeline opens the plugin, so the contract is made there.

use reconverge_sdk::{
    Answer, AnswerBuilder, AnyCell, AnyColumn, Batch, Block, BlockError, Contract, Descriptor, Kind, Pattern,
    Plugin, Stage, Table, column, config, contract, stage,
};

/// What is dropped.
#[config]
#[derive(Debug)]
#[serde(default)]
struct Config {
    /// Tables of which nothing is kept, as patterns: `tmp_*`.
    tables: Vec<Pattern>,
    /// Rows that are dropped for being nearly empty. Left out: none.
    sparse: Option<Sparse>,
}

impl Default for Config {
    fn default() -> Self {
        Config { tables: ["tmp_*", "temp_*"].map(Pattern::new).into(), sparse: None }
    }
}

/// When a row says too little.
#[config]
#[derive(Debug)]
struct Sparse {
    /// Tables that it is asked of, as patterns.
    tables: Vec<Pattern>,
    /// The greatest share of columns beside the key that may be null or empty: 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    empty_share_max: f64,
}

/// What becomes of the rows of a table.
#[derive(Debug)]
enum Rule {
    Drop,
    Keep,
    /// Drop rows with a greater share of empty cells than this, of columns of these types.
    Weigh(f64, Vec<String>),
}

#[derive(Debug)]
struct DropTemporary {
    rules: Vec<Rule>,
}

impl Plugin for DropTemporary {
    fn describe() -> Descriptor {
        Descriptor {
            name: "drop-temporary".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            config_schema: config::schema::<Config>(),
            extensions: String::new(),
        }
    }

    fn open(config: &str, tables: &[Table]) -> Result<(Self, Vec<Contract>), String> {
        let config: Config = config::read(config)?;
        let (mut rules, mut contracts) = (Vec::new(), Vec::new());
        for (k, table) in tables.iter().enumerate() {
            let (mut reads, mut rule) = (Vec::new(), Rule::Keep);
            let weighed = config.sparse.as_ref().filter(|sparse| names(&sparse.tables, table));
            if names(&config.tables, table) {
                rule = Rule::Drop;
            } else if let Some(sparse) = weighed {
                // Types that are younger than this plugin are not weighed.
                let is_weighed = |(name, logical): &&(String, String)| {
                    !table.key.contains(name) && Kind::of(logical).is_some()
                };
                let columns = table.columns.iter().filter(is_weighed);
                reads = columns.clone().map(|(name, logical)| column("after", name, logical, true)).collect();
                rule = Rule::Weigh(
                    sparse.empty_share_max,
                    columns.map(|(_, logical)| logical.clone()).collect(),
                );
            }
            rules.push(rule);
            contracts.push(contract(k, reads, vec![]));
        }
        Ok((DropTemporary { rules }, contracts))
    }
}

fn names(patterns: &[Pattern], table: &Table) -> bool {
    patterns.iter().any(|pattern| pattern.names(&table.name))
}

impl Stage<stage::Filter> for DropTemporary {
    fn run(&mut self, batch: &Batch<'_>) -> Result<Answer, String> {
        let rule = self.rules.get(batch.table).ok_or("there is no such table")?;
        answer(rule, &batch.block).map_err(|error| error.to_string())
    }
}

fn answer(rule: &Rule, block: &Block<'_>) -> Result<Answer, BlockError> {
    let mut answer = AnswerBuilder::new(block.rows(), 1);
    match rule {
        Rule::Keep => {}
        Rule::Drop => (0..block.rows()).for_each(|row| drop(&mut answer, row, "temporary table")),
        Rule::Weigh(share_max, types) => {
            let open = |(k, logical): (usize, &String)| AnyColumn::open(block, k, logical);
            let columns = types.iter().enumerate().map(open).collect::<Result<Vec<_>, _>>()?;
            for row in 0..block.rows() {
                let empty = columns.iter().filter(|column| is_empty(column.get(row))).count();
                if empty as f64 > share_max * columns.len() as f64 {
                    drop(&mut answer, row, "low value density");
                }
            }
        }
    }
    Ok(answer.finish())
}

fn drop(answer: &mut AnswerBuilder, row: usize, why: &str) {
    answer.set(row, 0);
    answer.because(row, why);
}

/// Whether a cell says nothing. One that was not sent is not known to be empty, and a delete, which has no row, is
/// not weighed: it has to pass.
fn is_empty(cell: AnyCell<'_>) -> bool {
    match cell {
        AnyCell::Null => true,
        AnyCell::Text(text) => matches!(text, "" | "{}" | "[]" | "null"),
        AnyCell::Bytes(bytes) => bytes.is_empty(),
        AnyCell::Bool(_) | AnyCell::Int(_) | AnyCell::Float(_) | AnyCell::Unsent | AnyCell::NoRow => false,
    }
}

reconverge_sdk::export!(DropTemporary: filter);

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_sdk::testing::{self, Cell, Row};

    fn tables() -> [Table; 2] {
        let calls =
            [("id", "int"), ("note", "text"), ("payload", "json"), ("seconds", "int"), ("done", "bool")];
        [
            Table::new(
                "tmp_session_state",
                &["session_id"],
                &[("session_id", "text"), ("state", "json")],
                "",
            ),
            Table::new("public.calls", &["id"], &calls, ""),
        ]
    }

    #[test]
    fn without_configuration_temporary_tables_are_dropped_unread_deletes_too() {
        let mut plugin = testing::open::<DropTemporary>("", &tables()).unwrap();
        assert!(plugin.contracts.iter().all(|contract| contract.reads.is_empty()));
        let answer = plugin.run(0, &[Row::new().after("state", "{}"), Row::delete()]).unwrap();
        assert_eq!((answer.verdicts, answer.reasons[1].as_deref()), (vec![0, 0], Some("temporary table")));
        assert_eq!(plugin.run(1, &[Row::new().after("id", 1)]).unwrap().verdicts, [1]);
    }

    #[test]
    fn nearly_empty_rows_are_dropped_and_what_is_not_known_is_not_empty() {
        let config = r#"{"sparse": {"tables": ["calls"], "empty_share_max": 0.5}}"#;
        let mut plugin = testing::open::<DropTemporary>(config, &tables()).unwrap();
        let row = |note: Cell, payload: Cell, seconds: Cell, done: Cell| {
            Row::new()
                .after("note", note)
                .after("payload", payload)
                .after("seconds", seconds)
                .after("done", done)
        };
        let rows = [
            row("".into(), "{}".into(), Cell::Null, true.into()),
            row("".into(), "{}".into(), 0.into(), true.into()),
            row(Cell::Null, Cell::Null, Cell::Unavailable, false.into()),
            row(Cell::Null, Cell::Null, Cell::Null, Cell::Null),
            Row::delete(),
        ];
        let answer = plugin.run(1, &rows).unwrap();
        assert_eq!(answer.verdicts, [0, 1, 1, 0, 1]);
        assert_eq!(answer.reasons[0].as_deref(), Some("low value density"));
    }

    #[test]
    fn a_wrong_configuration_is_refused_with_its_place() {
        let error = testing::open::<DropTemporary>(r#"{"table": []}"#, &[]).unwrap_err();
        assert!(error.starts_with("configuration: unknown field `table`"), "{error}");
    }
}
