//! What the seeds found, as small as it was shrunk.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use reconverge_oracle::{Cell, Change, Deletes, Fate, Message, Op, Row, Rule, Table};
use reconverge_simulator::{scenario::Scenario, world};

fn row(key: i64, mark: i64) -> Row {
    vec![Some(key), None, None, Some(1), Some(mark), Some(mark * 100), Some(0)]
}

fn change(op: Op, key: i64, commit: u64) -> Change {
    let mark = i64::try_from(commit).unwrap();
    let after =
        if op == Op::Delete { Vec::new() } else { row(key, mark).into_iter().map(Cell::Sent).collect() };
    Change {
        table: 0,
        key,
        op,
        source: "east".into(),
        position: (0, commit, 0),
        at: 1_000_000 + mark,
        after,
        before: None,
        moved_from: None,
        let_go: None,
    }
}

/// A row that left before its key changed filled the new key's row where all of it stood in one batch, and did not
/// where it stood in two.
#[test]
fn the_cut_of_batches_does_not_decide_what_a_moved_row_is_filled_from() {
    let table = Table { rule: Rule::TakeIncoming, deletes: Deletes::Win, parents: Vec::new() };
    let first = change(Op::Write, 4, 1);
    let mut leaves = change(Op::Write, 4, 2);
    (leaves.after[6], leaves.let_go) = (Cell::Sent(Some(13)), Some(Fate::Filtered));
    let delete = Change { before: Some(row(4, 3)), ..change(Op::Delete, 4, 3) };
    let mut create = Change { moved_from: Some(4), ..change(Op::Write, 3, 3) };
    create.after[5] = Cell::Unavailable;
    let messages = [vec![first], vec![leaves], vec![delete, create]]
        .map(Message::Changes)
        .into_iter()
        .collect::<Vec<_>>();
    for rows in [1, 2, 17] {
        for seed in 0..8 {
            let scenario = Scenario { seed, ..Scenario::plain(vec![table.clone()], rows, messages.clone()) };
            assert_eq!(world::run(&scenario).wrong, None, "batches of {rows}");
        }
    }
}
