//! What a merge plugin says takes effect.

use reconverge_streams::{columns::Columns, disposition::Disposition, logical::Logical};

use super::{
    history::{Event, Kind, Policy},
    model::ModelSink,
};
use crate::{
    batch::Refusal,
    resolve::Resolved,
    stages::{Contests, Ruling, Rulings, Stages, Verdict},
};

/// Says the same of every contest; what it writes is 42 into `big`.
struct Says(Verdict);

impl Stages for Says {
    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        let mut written = Columns::new([Logical::Int]);
        written.columns[0].push_int(42);
        written.end_row();
        let ruling = Ruling { verdict: self.0.clone(), archive: true, reason: Some(0) };
        let rulings = vec![ruling; contests.rows.len()];
        Rulings { rulings, reasons: vec!["by the test".into()], written, written_columns: vec![2] }
    }
}

fn change(source: usize, kind: Kind, rank: i64) -> Event {
    let deletes = kind == Kind::Delete;
    Event {
        source,
        commit: 1,
        key: 1,
        kind,
        at: rank,
        rank: (!deletes).then_some(rank),
        big: (!deletes).then_some(7),
        before: Some((Some(rank), 3)),
        let_go: false,
        clock: None,
        hlc: None,
    }
}

/// us-east has written (5, 7); a change of us-west comes.
fn after(verdict: Verdict, change: Event) -> (Option<(i64, i64)>, Resolved) {
    let mut sink = ModelSink::new(Policy::PluginOrdered);
    sink.apply(&[self::change(0, Kind::Create, 5)]);
    let batch = sink.batch(&[change]);
    let resolved = sink.apply_by(batch, &mut Says(verdict));
    (sink.rows().get(&1).map(|(rank, big)| (rank.unwrap(), *big)), resolved)
}

#[test]
fn each_verdict() {
    use Disposition::{Applied, DeadLettered, Deleted, Filtered, KeptCurrent, Merged};
    let (write, delete) = (change(1, Kind::Update, 6), change(1, Kind::Delete, 6));
    let let_go = Event { let_go: true, ..write.clone() };
    let refusal =
        Refusal { stage: "merge", code: "trap", reason: "it failed".into(), table: None, key: None };
    for (verdict, change, row, fate) in [
        (Verdict::Keep, &write, Some((5, 7)), KeptCurrent),
        (Verdict::Take, &write, Some((6, 7)), Applied),
        (Verdict::Write(0), &write, Some((6, 42)), Merged),
        (Verdict::Delete, &write, None, Deleted),
        (Verdict::Keep, &delete, Some((5, 7)), KeptCurrent),
        (Verdict::Take, &delete, None, Deleted),
        // There is no row to write columns into.
        (Verdict::Write(0), &delete, None, Deleted),
        (Verdict::Take, &let_go, None, Filtered),
        (Verdict::Write(0), &let_go, None, Filtered),
        (Verdict::Refuse(Box::new(refusal)), &write, Some((5, 7)), DeadLettered),
    ] {
        let told = format!("{verdict:?} of {:?}, let go: {}", change.kind, change.let_go);
        let (found, resolved) = after(verdict, change.clone());
        assert_eq!(found, row, "{told}");
        assert_eq!(resolved.writes.counts.get(fate), 1, "{told}");
        for letter in &resolved.writes.dead {
            assert_eq!((letter.table.map(|t| t.index()), letter.generation), (Some(0), Some(1)));
            assert!(letter.key.is_some());
        }
        for decision in &resolved.writes.decisions {
            assert_eq!((decision.reason.as_deref(), &*decision.decided_by), (Some("by the test"), "rule"));
        }
    }
}
