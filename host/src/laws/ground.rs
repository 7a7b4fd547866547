//! What a rule is tried on: its table's columns, what each may hold, and keys to write.

use reconverge_streams::{logical::Logical, table::ColumnShape};
use serde_json::Value;

use super::values;
use crate::plan::TablePlan;

/// Keys that one history may write.
pub const KEYS_MAX: usize = 16;

/// What is known of a column beyond its type: from the plugin, or from whoever asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// It may be null.
    pub null: bool,
    /// The source may leave it out.
    pub unsent: bool,
}

/// One column to fill.
#[derive(Clone, Debug)]
pub struct Field {
    /// Values that it takes; empty where the database fills it.
    pub values: Vec<Value>,
    /// Whether the rule is handed the column.
    pub in_contract: bool,
    /// Part of the key.
    pub in_key: bool,
    /// What else it may be.
    pub holds: Holds,
    /// Whether its values have a size.
    pub is_measure: bool,
}

/// See the module. In the order of the plan's columns.
#[derive(Clone, Debug)]
pub struct Ground {
    /// The columns.
    pub fields: Vec<Field>,
    /// The keys, each with its columns in key order.
    pub keys: Vec<Vec<Value>>,
    /// Whether a filter may let rows go.
    pub lets_go: bool,
}

impl Ground {
    /// The ground of a table. `contract` are the columns that the rule compares; `holds` overrules, by column name,
    /// what the table's shape says.
    #[must_use]
    pub fn of(
        table: &TablePlan,
        contract: &[usize],
        lets_go: bool,
        holds: impl Fn(&str) -> Option<Holds>,
    ) -> Ground {
        let field = |(at, column): (usize, &ColumnShape)| {
            let (in_contract, in_key) = (contract.contains(&at), table.shape.key.contains(&at));
            // A column that only the source has is not in the sink, so that what stands never has it.
            let in_sink = at < table.shape.columns.len();
            let usual = Holds {
                null: !column.not_null,
                unsent: !in_contract
                    && in_sink
                    && matches!(column.logical, Logical::Text | Logical::Json | Logical::Bytes),
            };
            let said = holds(&column.name).unwrap_or(usual);
            Field {
                values: if column.generated { Vec::new() } else { values::of(column) },
                in_contract,
                in_key,
                holds: Holds { null: said.null && !column.not_null, ..said },
                is_measure: values::is_measure(column.logical) && in_contract && !in_key,
            }
        };
        Ground { fields: table.columns.iter().enumerate().map(field).collect(), keys: keys(table), lets_go }
    }
}

/// Distinct keys: the column with the most values counts, the others stay.
fn keys(table: &TablePlan) -> Vec<Vec<Value>> {
    let columns: Vec<&ColumnShape> = table.shape.key.iter().map(|&k| &table.shape.columns[k]).collect();
    let counted: Vec<Vec<Value>> = columns.iter().map(|column| counting(column)).collect();
    let widest = (0..counted.len()).max_by_key(|&c| counted[c].len()).unwrap_or_default();
    let most = counted.get(widest).map_or(0, Vec::len);
    let key = |n: usize| {
        counted.iter().enumerate().map(|(c, v)| v[if c == widest { n } else { 0 }].clone()).collect()
    };
    (0..most).map(key).collect()
}

fn counting(column: &ColumnShape) -> Vec<Value> {
    let numbered = |one: fn(usize) -> String| (1..=KEYS_MAX).map(|n| Value::from(one(n))).collect();
    match column.logical {
        Logical::Int | Logical::Decimal => numbered(|n| n.to_string()),
        Logical::Text if column.labels.is_empty() && column.length.is_none_or(|length| length >= 3) => {
            numbered(|n| format!("k{n}"))
        }
        Logical::Uuid => numbered(|n| format!("00000000-0000-4000-8000-{n:012}")),
        Logical::Timestamp => numbered(|n| format!("2026-03-{n:02}T00:00:00Z")),
        Logical::Date => numbered(|n| format!("2026-03-{n:02}")),
        // Not a number is not equal to itself in every database, and no key.
        Logical::Float => numbered(|n| n.to_string()),
        _ => values::of(column).into_iter().take(KEYS_MAX).collect(),
    }
}
