//! Listens to a rule while the engine asks it: the laws that show in single contests are looked at here, on the very
//! contests that resolve makes (tombstones, filled rows, rounds), never on the function alone.

use std::collections::HashSet;

use reconverge_streams::{columns::State, names::NameId, text};

use super::law::Law;
use crate::{
    batch::Batch,
    plan::Plan,
    stages::{Contest, Contests, Passed, Prepared, RowRef, Ruling, Rulings, Stages, Verdict},
};

/// How closely to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// Only what the engine asks.
    Light,
    /// Every contest is asked again, of another instance, and alone.
    Deep,
    /// As deep; rows may be such as the table does not have, so that only faults count.
    Odd,
}

/// What was heard in one contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The canonical key.
    pub key: Vec<u8>,
    /// What was said, comparably.
    pub said: Said,
}

/// A ruling without its place in a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The verdict in a word.
    pub verdict: String,
    /// Whether the loser is to be archived.
    pub archive: bool,
    /// The written columns, as JSON.
    pub written: Option<String>,
    /// The author's words.
    pub reason: Option<String>,
}

/// A contest that broke a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Which.
    pub law: Law,
    /// The canonical key.
    pub key: Vec<u8>,
    /// What happened.
    pub what: String,
    /// The contract's columns of both rows, as JSON.
    pub rows: (String, String),
}

/// See the module.
pub struct Watch<'a> {
    /// The rule as the engine asks it.
    pub main: &'a mut dyn Stages,
    /// Another instance of the same.
    pub twin: &'a mut dyn Stages,
    /// How closely to listen.
    pub depth: Depth,
    /// Changes that a filter lets go, by source and commit position.
    pub let_go: HashSet<(NameId, u64)>,
    /// All that was heard.
    pub heard: Vec<Heard>,
    /// The first contest that broke a law, by the order of the laws.
    pub caught: Option<Caught>,
}

impl Stages for Watch<'_> {
    fn prepare(&mut self, batch: &mut Batch, plan: &Plan) -> Prepared {
        let mut prepared = self.main.prepare(batch, plan);
        for (table, prepared) in batch.tables.iter().zip(&mut prepared.tables) {
            for (change, passed) in table.changes.iter().zip(&mut prepared.passed) {
                let commit = change.position.map_or(0, |position| position.commit);
                if self.let_go.contains(&(change.source, commit)) {
                    *passed = Passed::Filtered;
                }
            }
        }
        prepared
    }

    fn merge(&mut self, contests: &Contests<'_>) -> Rulings {
        let rulings = self.main.merge(contests);
        let said: Vec<Said> = (0..contests.rows.len()).map(|i| said(&rulings, i, contests)).collect();
        for (i, contest) in contests.rows.iter().enumerate() {
            self.heard.push(Heard { key: key(contests, contest), said: said[i].clone() });
            if let Some(what) = fault(contests, contest, &rulings.rulings[i], self.depth) {
                self.catch(Law::Total, contests, contest, what);
            }
        }
        if self.depth != Depth::Light {
            self.ask_again(contests, &said);
        }
        rulings
    }
}

impl Watch<'_> {
    fn ask_again(&mut self, contests: &Contests<'_>, first: &[Said]) {
        for (again, whom) in [(false, "another instance"), (true, "the same instance, asked again,")] {
            let stages: &mut dyn Stages = if again { self.main } else { self.twin };
            let rulings = stages.merge(contests);
            for (i, contest) in contests.rows.iter().enumerate() {
                let second = said(&rulings, i, contests);
                if second != first[i] {
                    let what = format!("it said {}; {whom} said {}", first[i], second);
                    self.catch(Law::Deterministic, contests, contest, what);
                }
            }
        }
        if contests.rows.len() < 2 {
            return;
        }
        for (i, contest) in contests.rows.iter().enumerate() {
            let alone = Contests { rows: std::slice::from_ref(contest), ..*contests };
            let rulings = self.twin.merge(&alone);
            let second = said(&rulings, 0, &alone);
            if second != first[i] {
                let of = contests.rows.len();
                let what =
                    format!("among {of} rows it said {}; asked about this row alone {}", first[i], second);
                self.catch(Law::Batching, contests, contest, what);
            }
        }
    }

    fn catch(&mut self, law: Law, contests: &Contests<'_>, contest: &Contest, what: String) {
        if self.caught.as_ref().is_some_and(|caught| caught.law <= law) {
            return;
        }
        let rows = (shown(contests, contest.incoming), shown(contests, contest.current));
        self.caught = Some(Caught { law, key: key(contests, contest), what, rows });
    }
}

fn key(contests: &Contests<'_>, contest: &Contest) -> Vec<u8> {
    // The key's columns stand in both arenas; those of the change are always whole.
    let table = contests.table;
    let cells: Vec<_> = table.shape.key.iter().map(|&k| &contests.arenas.after.columns[k]).collect();
    let mut bytes = Vec::new();
    reconverge_streams::canonical::key(&cells, contest.change as usize, &mut bytes);
    bytes
}

fn said(rulings: &Rulings, i: usize, contests: &Contests<'_>) -> Said {
    let Some(ruling) = rulings.rulings.get(i) else {
        return Said { verdict: "nothing".into(), archive: false, written: None, reason: None };
    };
    let written = |row: u32| {
        let names = rulings.written_columns.iter().map(|&c| contests.table.columns[c].name.as_str());
        text::to_json(names.zip(&rulings.written.columns), row as usize)
    };
    let (verdict, written) = match &ruling.verdict {
        Verdict::Keep => ("keep current".to_owned(), None),
        Verdict::Take => ("take incoming".to_owned(), None),
        Verdict::Write(row) => ("write".to_owned(), Some(written(*row))),
        Verdict::Delete => ("delete".to_owned(), None),
        Verdict::Refuse(refusal) => (format!("refused ({})", refusal.code), None),
    };
    Said {
        verdict,
        archive: ruling.archive,
        written,
        reason: rulings.reason(ruling).map(|reason| (**reason).to_owned()),
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.verdict)?;
        if let Some(written) = &self.written {
            write!(f, " {written}")?;
        }
        if self.archive {
            f.write_str(", archive the loser")?;
        }
        self.reason.as_ref().map_or(Ok(()), |reason| write!(f, " because `{reason}`"))
    }
}

/// Why a ruling is none. To reject a change is an answer; to fail one whose columns all have values is none.
fn fault(contests: &Contests<'_>, contest: &Contest, ruling: &Ruling, depth: Depth) -> Option<String> {
    let Verdict::Refuse(refusal) = &ruling.verdict else { return None };
    let is_answer = match refusal.code {
        "rejected" => true,
        "plugin-failed" => depth == Depth::Odd || !is_whole(contests, contest),
        _ => false,
    };
    (!is_answer).then(|| format!("{} ({})", refusal.reason, refusal.code))
}

fn is_whole(contests: &Contests<'_>, contest: &Contest) -> bool {
    let value = |at: RowRef| {
        let columns = &contests.arenas.of(at.arena).columns;
        let mut compared = contests.table.rule.order_columns().iter();
        compared.all(|&c| columns.get(c).is_some_and(|column| column.state(at.row as usize) == State::Value))
    };
    value(contest.incoming) && value(contest.current)
}

/// The contract's columns of a row.
fn shown(contests: &Contests<'_>, at: RowRef) -> String {
    let columns = &contests.arenas.of(at.arena).columns;
    let compared = contests.table.rule.order_columns();
    let named =
        compared.iter().filter_map(|&c| Some((contests.table.columns[c].name.as_str(), columns.get(c)?)));
    text::to_json(named, at.row as usize)
}
