//! What a rehearsal found, for people and programs. Rows are shown: it is written for the team that owns them, to a
//! place of its choosing, and never to a log.

use serde::Serialize;
use serde_json::Value;

/// All of it.
#[derive(Clone, Debug, Default, Serialize)]
#[expect(missing_docs, reason = "the fields say it; the documentation of `--json` is docs/rehearse.md")]
pub struct Report {
    pub pipeline: String,
    pub messages: usize,
    pub changes: usize,
    pub sources: Vec<Source>,
    pub orders: u64,
    pub seed: u64,
    /// Rows that last-writer-wins would have left otherwise than the plugins did.
    pub saved: Vec<Differing>,
    /// How many rows the plugins' tables have.
    pub rows: usize,
    pub conflicts: Vec<Conflicts>,
    pub diverging: Vec<Diverging>,
    pub parked: Vec<Parked>,
    pub dead: Vec<Dead>,
    /// With `--against`: rows that the other plugin would have decided otherwise.
    pub against: Option<Against>,
    /// Applying everything once, in seconds.
    pub catch_up_seconds: f64,
    pub changes_per_second: f64,
    /// Changes over time, for plots.
    pub timeline: Vec<Bucket>,
}

/// A region whose changes were played.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Source {
    pub name: String,
    pub changes: usize,
    pub first: String,
    pub last: String,
}

/// What another rule does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Harm {
    /// It puts another version in its place.
    Overwritten,
    /// It deletes it.
    Lost,
    /// It brings it back after its delete.
    Resurrected,
}

impl Harm {
    /// All, in the order in which they are told.
    pub const ALL: [Harm; 3] = [Harm::Overwritten, Harm::Lost, Harm::Resurrected];

    /// In a word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Harm::Overwritten => "overwritten",
            Harm::Lost => "lost",
            Harm::Resurrected => "resurrected",
        }
    }
}

/// A row as two rules leave it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Differing {
    pub table: String,
    pub key: Value,
    pub harm: Harm,
    /// As the pipeline's plugin left it; null where no row stands.
    pub plugin: Option<Value>,
    /// As the other rule did.
    pub other: Option<Value>,
}

/// Conflicts of one kind that ended in one way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Conflicts {
    pub table: String,
    pub kind: String,
    pub outcome: String,
    pub count: u64,
}

/// A key that does not end the same in every order.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Diverging {
    pub table: String,
    pub policy: String,
    pub key: Value,
    /// The fewest changes of the key that show it, in one order and in another; empty where the key alone does not.
    pub orders: Vec<Order>,
}

/// An order of a few changes and the row that it ends in.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Order {
    /// Recorded sequences, with source and operation.
    pub changes: Vec<String>,
    pub row: Option<Value>,
}

/// A row that still waits when everything has been applied.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Parked {
    pub table: String,
    pub key: String,
    pub why: String,
    pub waits_for: String,
}

/// Changes that could not be applied.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Dead {
    pub table: String,
    pub stage: String,
    pub code: String,
    pub count: u64,
}

/// What another plugin would have done.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Against {
    pub plugin: String,
    pub rows: Vec<Differing>,
}

/// Changes that were committed in one stretch of time.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields say it")]
pub struct Bucket {
    pub from: String,
    /// In the order of [`Report::sources`].
    pub changes: Vec<u64>,
    pub conflicts: u64,
}

impl Report {
    /// How many of these rows were harmed so.
    #[must_use]
    pub fn count(rows: &[Differing], harm: Harm) -> usize {
        rows.iter().filter(|row| row.harm == harm).count()
    }

    /// `48 overwritten, 4 lost, 1 resurrected`; what did not happen is left out.
    #[must_use]
    pub fn summary(rows: &[Differing]) -> String {
        let counted = Harm::ALL.map(|harm| (Report::count(rows, harm), harm));
        let told = counted.iter().filter(|(count, _)| *count > 0);
        told.map(|(count, harm)| format!("{count} {}", harm.word())).collect::<Vec<_>>().join(", ")
    }
}
