//! The scripted run: two generations of children before and after their parents, a key that changes, a delete of a
//! parent, a repetition, a message that nobody can read, and a pause in which the lane is quiet.

use reconverge_oracle::{Cell, Change, Deletes, Message, Op, Row, Rule, Table};
use reconverge_simulator::scenario::{Event, Scenario, Step};

fn row(key: i64, up: Option<i64>, rank: i64, mark: i64) -> Row {
    vec![Some(key), up, None, Some(rank), Some(mark), Some(mark * 100), Some(0)]
}

fn change(op: Op, source: &str, commit: u64, table: usize, cells: Row) -> Change {
    Change {
        table,
        key: cells[0].unwrap(),
        op,
        source: source.into(),
        position: (0, commit, 0),
        at: 1_000_000 + i64::try_from(commit).unwrap(),
        after: if op == Op::Delete { Vec::new() } else { cells.iter().copied().map(Cell::Sent).collect() },
        before: Some(cells).filter(|_| op == Op::Delete),
        moved_from: None,
        let_go: None,
    }
}

fn write(source: &str, commit: u64, table: usize, key: i64, up: Option<i64>, rank: i64) -> Message {
    let mark = i64::try_from(commit).unwrap() + if source == "west" { 500 } else { 0 };
    Message::Changes(vec![change(Op::Write, source, commit, table, row(key, up, rank, mark))])
}

fn delete(source: &str, commit: u64, table: usize, key: i64, rank: i64) -> Message {
    Message::Changes(vec![change(Op::Delete, source, commit, table, row(key, None, rank, 0))])
}

fn moved(commit: u64, old: i64, new: i64) -> Message {
    let delete = change(Op::Delete, "east", commit, 0, row(old, None, 1, 0));
    let create = change(Op::Write, "east", commit, 0, row(new, None, 3, 77));
    Message::Changes(vec![delete, Change { moved_from: Some(old), ..create }])
}

fn messages() -> Vec<Message> {
    vec![
        write("east", 1, 2, 1, Some(1), 1),
        write("east", 2, 1, 1, Some(1), 1),
        write("east", 3, 0, 1, None, 1),
        write("west", 1, 0, 1, None, 2),
        write("west", 1, 0, 1, None, 2),
        Message::Refused(None),
        moved(4, 1, 2),
        write("east", 5, 1, 2, Some(2), 1),
        delete("west", 2, 0, 2, 9),
        write("east", 6, 0, 2, None, 4),
        write("west", 3, 0, 1, None, 7),
        delete("east", 7, 2, 1, 5),
    ]
}

fn tables() -> Vec<Table> {
    let table = |parents| Table { rule: Rule::Greatest(vec![3]), deletes: Deletes::Ordered, parents };
    vec![table(Vec::new()), table(vec![(1, 0)]), table(vec![(1, 1)])]
}

/// All at once.
pub fn at_once() -> Scenario {
    Scenario::plain(tables(), 4, messages())
}

/// With a pause of some seconds before the last messages.
pub fn scenario() -> Scenario {
    let mut scenario = at_once();
    let last = scenario.steps.len() - 3;
    scenario.steps[last].pause_ms = 2_500;
    scenario.steps.push(Step { pause_ms: 100, event: Event::Trim });
    scenario
}
