//! Histories made by chance, biased to what breaks rules: few values, so that ties are common; nulls, extremes, equal
//! rows; deletes and returns; rows that a filter lets go.
//!
//! Only what may happen: of one source commit times and positions rise, and under `deletes = "win"` nobody writes a key
//! again that he has deleted while others write it (SURFACE (g) 4 promises nothing then).

use serde_json::Value;

use super::{
    dice::Dice,
    ground::{Field, Ground},
    history::{Cell, History, SOURCES, STRIDE, Step},
};
use crate::{batch::Op, plan::Deletes};

/// A commit time to begin at.
const BEGIN: i64 = 1_760_000_000_000_000;
/// Commits of one source are so far apart, in microseconds: often not at all.
const PAUSES: [i64; 5] = [0, 0, 1, 1_000, 1_000_000];
/// Keys of a duel.
const DUELS: usize = 12;
/// Values of a measure that are compared with each other.
const MEASURED: usize = 5;

/// A few values for each column.
struct Palette(Vec<Vec<Cell>>);

impl Palette {
    fn of(ground: &Ground, dice: &mut Dice, is_odd: bool) -> Palette {
        let column = |field: &Field| {
            let most = if field.in_contract { 3 } else { 2 };
            let mut cells: Vec<Cell> =
                (0..most).filter_map(|_| dice.one_of(&field.values)).cloned().map(Cell::Is).collect();
            let odd = is_odd && field.in_contract && !field.in_key;
            if odd || field.holds.null && dice.once_in(2) {
                cells.push(Cell::Is(Value::Null));
            }
            if odd {
                cells.push(Cell::Unsent);
            }
            if field.values.is_empty() { vec![Cell::Missing] } else { cells }
        };
        Palette(ground.fields.iter().map(column).collect())
    }

    fn row(&self, dice: &mut Dice) -> Vec<Cell> {
        self.0.iter().map(|cells| dice.one_of(cells).cloned().unwrap_or(Cell::Missing)).collect()
    }
}

/// Who writes, and when: the positions and commit times of one history.
#[derive(Default)]
struct Clocks {
    at: [i64; SOURCES.len()],
    commit: [u64; SOURCES.len()],
}

impl Clocks {
    fn tick(&mut self, source: usize, dice: &mut Dice) -> (i64, u64) {
        self.at[source] += dice.one_of(&PAUSES).copied().unwrap_or_default();
        self.commit[source] += STRIDE;
        (BEGIN + self.at[source], self.commit[source])
    }
}

/// Changes of up to three keys by two or three sources. `is_odd`: nulls and cells that were not sent in the contract's
/// columns too, whether or not the table has such; good only to see that a rule answers at all.
#[must_use]
pub fn history(ground: &Ground, deletes: Deletes, is_odd: bool, dice: &mut Dice) -> History {
    let palette = Palette::of(ground, dice, is_odd);
    let sources = 2 + usize::from(dice.once_in(2));
    let mut clocks = Clocks::default();
    let mut history = History::default();
    let keys = ground.keys.len().min(3);
    let mut writers = vec![vec![Writer::default(); SOURCES.len()]; keys];
    for _ in 0..keys * (2 + dice.below(3)) {
        let (key, source) = (dice.below(keys), dice.below(sources));
        if let Some(step) = writers[key][source].writes(ground, deletes, &palette, dice) {
            let (at, commit) = clocks.tick(source, dice);
            history.steps.push(Step { source, key, at, commit, ..step });
        }
    }
    history
}

/// What a source did to a key last.
#[derive(Clone, Default)]
struct Writer {
    row: Option<Vec<Cell>>,
    is_gone: bool,
    has_written: bool,
}

impl Writer {
    fn writes(
        &mut self,
        ground: &Ground,
        deletes: Deletes,
        palette: &Palette,
        dice: &mut Dice,
    ) -> Option<Step> {
        if self.is_gone && deletes == Deletes::Win {
            return None;
        }
        // A resend, or an update that changes nothing that the rule looks at.
        let row = match &self.row {
            Some(row) if dice.once_in(5) => row.clone(),
            _ => palette.row(dice),
        };
        let is_delete = dice.once_in(5);
        let op = match (is_delete, self.has_written, self.is_gone) {
            (true, ..) => Op::Delete,
            (_, false, _) if dice.once_in(4) => Op::Snapshot,
            (_, true, false) => Op::Update,
            _ => Op::Create,
        };
        let before = (op == Op::Update).then(|| self.row.clone().unwrap_or_else(|| palette.row(dice)));
        let row = if is_delete {
            self.row.clone().unwrap_or(row)
        } else {
            unsent(row, before.is_some(), ground, dice)
        };
        let let_go = ground.lets_go && !is_delete && dice.once_in(10);
        (self.has_written, self.is_gone) = (true, is_delete);
        // The next before image is whole: the source has all cells, whatever it sent.
        self.row = Some(whole(&row, before.as_deref()));
        Some(Step { source: 0, key: 0, op, row, before, at: 0, commit: 0, let_go })
    }
}

/// Leaves cells out that the source may leave out; the before image has them.
fn unsent(mut row: Vec<Cell>, has_before: bool, ground: &Ground, dice: &mut Dice) -> Vec<Cell> {
    for (cell, field) in row.iter_mut().zip(&ground.fields) {
        if has_before && field.holds.unsent && dice.once_in(6) {
            *cell = Cell::Unsent;
        }
    }
    row
}

fn whole(row: &[Cell], before: Option<&[Cell]>) -> Vec<Cell> {
    let cell = |(at, cell): (usize, &Cell)| match (cell, before) {
        (Cell::Unsent, Some(before)) => before[at].clone(),
        (Cell::Unsent, None) => Cell::Is(Value::Null),
        (cell, _) => cell.clone(),
    };
    row.iter().enumerate().map(cell).collect()
}

/// Many keys, each with one change of two sources.
#[must_use]
pub fn duels(ground: &Ground, dice: &mut Dice) -> History {
    let palette = Palette::of(ground, dice, false);
    let mut clocks = Clocks::default();
    let mut history = History::default();
    for key in 0..ground.keys.len().min(DUELS) {
        for source in 0..2 {
            let row = palette.row(dice);
            let op = if dice.once_in(6) { Op::Delete } else { Op::Create };
            let (at, commit) = clocks.tick(source, dice);
            history.steps.push(Step { source, key, op, row, before: None, at, commit, let_go: false });
        }
    }
    history
}

/// Duels of rows that differ in one measure alone, every two of a few values; `None` where the contract has no measure.
#[must_use]
pub fn measures(ground: &Ground, dice: &mut Dice) -> Option<History> {
    let measures: Vec<usize> = (0..ground.fields.len()).filter(|&f| ground.fields[f].is_measure).collect();
    let &column = dice.one_of(&measures)?;
    let row = Palette::of(ground, dice, false).row(dice);
    let mut values: Vec<&Value> = Vec::new();
    for _ in 0..MEASURED * 2 {
        let value = dice.one_of(&ground.fields[column].values)?;
        if values.len() < MEASURED && !values.contains(&value) {
            values.push(value);
        }
    }
    let mut history = History::default();
    let mut commit = 0;
    let pairs = (0..values.len()).flat_map(|a| (a + 1..values.len()).map(move |b| (a, b)));
    for (key, (a, b)) in pairs.enumerate().take(ground.keys.len()) {
        commit += STRIDE;
        for (source, value) in [(0, values[a]), (1, values[b])] {
            let mut row = row.clone();
            row[column] = Cell::Is(value.clone());
            let op = Op::Create;
            history.steps.push(Step { source, key, op, row, before: None, at: BEGIN, commit, let_go: false });
        }
    }
    Some(history)
}
