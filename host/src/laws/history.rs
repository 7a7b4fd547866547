//! Histories: the changes of a few keys as several sources wrote them, and the orders in which they may arrive. Each
//! step becomes an envelope, as a source would publish it, so that a rule meets what decode makes of it.

use std::sync::Arc;

use bytes::Bytes;
use reconverge_streams::source::Delivery;
use serde_json::{Map, Value, json};

use crate::{batch::Op, plan::TablePlan};

/// The regions that write. None of them is the one that applies.
pub const SOURCES: [&str; 3] = ["us-east", "us-west", "eu-north"];
/// When the stream took every message: later than any commit.
const PUBLISHED_AT: i64 = 4_000_000_000_000_000;
/// Between two positions of one source there is room for a change that is sent once more.
pub const STRIDE: u64 = 10;

/// A cell as the source sends it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A value in the envelope's form, or null.
    Is(Value),
    /// Not sent: the column stands in `absent`.
    Unsent,
    /// Not of the source's table, or computed by the database.
    Missing,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Index into [`SOURCES`].
    pub source: usize,
    /// The key's number.
    pub key: usize,
    /// What it does.
    pub op: Op,
    /// The row after it; of a delete the row that it deletes. In the plan's columns.
    pub row: Vec<Cell>,
    /// The row before an update, where it carries one.
    pub before: Option<Vec<Cell>>,
    /// Commit time, microseconds.
    pub at: i64,
    /// Commit position at its source: rising in each source.
    pub commit: u64,
    /// Whether a filter lets the row go.
    pub let_go: bool,
}

/// Changes in the order in which each source wrote its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The changes; of one source in the order of their positions.
    pub steps: Vec<Step>,
}

/// One way in which a history may arrive: batches of indexes into its steps. A step may come again.
pub type Arrival = Vec<Vec<usize>>;

impl History {
    /// The steps of each source, by index.
    #[must_use]
    pub fn by_source(&self) -> Vec<Vec<usize>> {
        let of = |source| (0..self.steps.len()).filter(move |&i| self.steps[i].source == source).collect();
        (0..SOURCES.len()).map(of).collect()
    }

    /// The order that takes the next step of these sources in turn.
    #[must_use]
    pub fn in_turn(&self, turns: &[usize]) -> Vec<usize> {
        let mut left: Vec<_> = self.by_source().into_iter().map(Vec::into_iter).collect();
        turns.iter().filter_map(|&source| left[source].next()).collect()
    }

    /// Every order that keeps each source's own, or the first `most` of them.
    #[must_use]
    pub fn orders(&self, most: usize) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        let mut left: Vec<std::collections::VecDeque<usize>> =
            self.by_source().into_iter().map(Into::into).collect();
        extend(&mut left, &mut Vec::new(), &mut found, most);
        found
    }

    /// The same with every change sent once more by its source, right behind itself.
    #[must_use]
    pub fn sent_twice(&self) -> History {
        let again = |step: &Step| Step { commit: step.commit + 1, ..step.clone() };
        History { steps: self.steps.iter().flat_map(|step| [step.clone(), again(step)]).collect() }
    }

    /// The same without step `i`.
    #[must_use]
    pub fn without(&self, i: usize) -> History {
        let mut steps = self.steps.clone();
        steps.remove(i);
        History { steps }
    }
}

fn extend(
    left: &mut [std::collections::VecDeque<usize>],
    order: &mut Vec<usize>,
    found: &mut Vec<Vec<usize>>,
    most: usize,
) {
    if found.len() >= most {
        return;
    }
    if left.iter().all(std::collections::VecDeque::is_empty) {
        return found.push(order.clone());
    }
    for source in 0..left.len() {
        let Some(step) = left[source].pop_front() else { continue };
        order.push(step);
        extend(left, order, found, most);
        order.pop();
        left[source].push_front(step);
    }
}

/// Each step a batch of its own.
#[must_use]
pub fn one_by_one(order: &[usize]) -> Arrival {
    order.iter().map(|&step| vec![step]).collect()
}

/// Steps as messages.
#[derive(Clone, Debug)]
pub struct Envelopes {
    subject: Arc<str>,
    payloads: Vec<Bytes>,
}

impl Envelopes {
    /// The messages of a history's steps. `source_name` is the table's name at the source.
    #[must_use]
    pub fn of(history: &History, table: &TablePlan, source_name: &str, key: &[Vec<Value>]) -> Envelopes {
        let payload =
            |step: &Step| Bytes::from(envelope(step, table, source_name, &key[step.key]).to_string());
        Envelopes {
            subject: format!("cdc.laws.0.public.{source_name}").into(),
            payloads: history.steps.iter().map(payload).collect(),
        }
    }

    /// A batch of an arrival, with sequences from `first` on.
    #[must_use]
    pub fn deliveries(&self, steps: &[usize], first: u64) -> Vec<Delivery> {
        let delivery = |(sequence, &step): (u64, &usize)| Delivery {
            sequence,
            subject: Arc::clone(&self.subject),
            headers: [("Reconverge-Version", "1")].into_iter().collect(),
            payload: self.payloads[step].clone(),
            published_at: PUBLISHED_AT,
        };
        (first..).zip(steps).map(delivery).collect()
    }
}

/// What a source calls a column: key columns may be renamed on the way.
fn source_column(table: &TablePlan, column: usize) -> &str {
    let renamed = table.key_from.iter().find(|(_, to)| *to == column);
    renamed.map_or(table.columns[column].name.as_str(), |(from, _)| from.as_str())
}

fn envelope(step: &Step, table: &TablePlan, source_name: &str, key: &[Value]) -> Value {
    let row = |cells: &[Cell]| {
        let mut object = Map::new();
        for (column, cell) in cells.iter().enumerate() {
            let in_key = table.shape.key.iter().position(|k| *k == column);
            let value = match (in_key, cell) {
                (Some(k), _) => key[k].clone(),
                (None, Cell::Is(value)) => value.clone(),
                (None, Cell::Unsent | Cell::Missing) => continue,
            };
            object.insert(source_column(table, column).to_owned(), value);
        }
        Value::Object(object)
    };
    let keys = table.shape.key.iter().zip(key);
    let keys: Map<_, _> = keys.map(|(&k, v)| (source_column(table, k).to_owned(), v.clone())).collect();
    let unsent =
        (0..step.row.len()).filter(|&c| step.row[c] == Cell::Unsent && !table.shape.key.contains(&c));
    let absent: Vec<&str> = unsent.map(|c| source_column(table, c)).collect();
    let is_delete = step.op == Op::Delete;
    json!({
        "v": 1,
        "op": step.op.letter(),
        "table": source_name,
        "key": keys,
        "before": if is_delete { row(&step.row) } else { step.before.as_deref().map_or(Value::Null, row) },
        "after": if is_delete { Value::Null } else { row(&step.row) },
        "absent": if is_delete { Vec::new() } else { absent },
        "pos": {"source": SOURCES[step.source], "epoch": 0, "commit": step.commit.to_string(), "ordinal": 0},
        "origin": SOURCES[step.source],
        "at": step.at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(source: usize, commit: u64) -> Step {
        Step { source, key: 0, op: Op::Update, row: vec![], before: None, at: 0, commit, let_go: false }
    }

    #[test]
    fn orders_keep_that_of_each_source_and_are_all() {
        let history = History { steps: vec![step(0, 10), step(1, 10), step(0, 20), step(1, 20)] };
        let orders = history.orders(100);
        assert_eq!(orders.len(), 6, "{orders:?}");
        for order in &orders {
            let place = |i| order.iter().position(|s| *s == i);
            assert!(place(0) < place(2) && place(1) < place(3), "{order:?}");
        }
        assert_eq!(history.orders(2).len(), 2);
        assert_eq!(history.in_turn(&[1, 1, 0, 0]), [1, 3, 0, 2]);
    }

    #[test]
    fn what_is_sent_twice_stands_behind_itself() {
        let twice = History { steps: vec![step(0, 10), step(0, 20)] }.sent_twice();
        assert_eq!(twice.steps.iter().map(|s| s.commit).collect::<Vec<_>>(), [10, 11, 20, 21]);
    }
}
