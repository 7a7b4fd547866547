//! What the program's commands tell as JSON, as far as the tests look at it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// `run --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Report {
    /// Batches committed.
    pub batches: u64,
    /// Changes delivered.
    pub changes: u64,
    /// Rows met that the application had written.
    pub local_writes: u64,
    /// By table, then by disposition.
    pub tables: BTreeMap<String, BTreeMap<String, u64>>,
}

impl Report {
    /// How many changes of a table ended so.
    #[must_use]
    pub fn count(&self, table: &str, disposition: &str) -> u64 {
        self.tables.get(table).and_then(|counts| counts.get(disposition)).copied().unwrap_or_default()
    }

    /// How many changes ended so, whatever their table.
    #[must_use]
    pub fn sum(&self, disposition: &str) -> u64 {
        self.tables.values().filter_map(|counts| counts.get(disposition)).sum()
    }
}

/// `audit --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Audit {
    /// Whether every lane balances and matches its stream.
    pub balanced: bool,
    /// Lane by lane.
    pub lanes: Vec<Lane>,
}

/// One lane of an audit.
#[derive(Clone, Debug, Deserialize)]
pub struct Lane {
    /// Its name.
    pub lane: String,
    /// Changes delivered, as the ledger says.
    pub delivered: u64,
    /// The sum of its dispositions.
    pub sum: u64,
    /// Dispositions by word.
    pub dispositions: BTreeMap<String, u64>,
}

/// One letter of `dlq list --json`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "each field is the column of reconverge.dead_letter of the same name")]
pub struct Letter {
    pub id: i64,
    pub sequence: u64,
    pub table: Option<String>,
    pub key: Option<String>,
    pub stage: String,
    pub code: String,
    pub reason: String,
    pub generation: Option<i64>,
    pub state: String,
    pub closed_by: Option<String>,
    pub note: Option<String>,
}

/// One decision of `conflicts list --json`.
#[derive(Clone, Debug, Deserialize)]
#[expect(missing_docs, reason = "each field is the column of reconverge.decision of the same name")]
pub struct Decision {
    pub table: String,
    pub key: String,
    pub kind: String,
    pub outcome: String,
    pub decided_by: String,
    pub current_origin: Option<String>,
    pub incoming: Option<Value>,
    pub current: Option<Value>,
}

/// `check --json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Found {
    /// Whether the pipeline would run.
    pub ok: bool,
    /// What is wrong, each with `message` and `hint`.
    pub problems: Vec<Problem>,
}

/// One problem that `check` found.
#[derive(Clone, Debug, Deserialize)]
pub struct Problem {
    /// `error` or `warning`.
    pub severity: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A lane's checkpoint, read from the sink itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checkpoint {
    /// Everything up to here has a disposition.
    pub sequence: u64,
    /// The ledger: changes delivered, and the sum of their dispositions.
    pub delivered: u64,
    /// See `delivered`.
    pub sum: u64,
    /// Who owns the lane.
    pub owner: Option<String>,
}
