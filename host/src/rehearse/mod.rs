//! A rehearsal: recorded changes of an outage, merged into a scratch sink by the team's own rules, in many orders that
//! keep each source's own; beside it the same by last-writer-wins, and by another plugin where one is given.
//!
//! [`recording`] reads what was recorded, [`sides`] makes changes of contests, [`play`] applies it once, [`report`] is what came of it, [`page`] the same for a
//! manager. Beside the life of an event: nothing here sees a real sink.

pub mod recording;
pub mod sides;
pub mod play;
pub mod report;
pub mod page;
mod diverge;

use std::collections::{BTreeMap, BTreeSet};

use reconverge_streams::{canonical, source::Delivery, table::TableId, text};
use serde_json::Value;

use self::{
    play::{Change, Key, Played, Rules},
    report::{Against, Bucket, Conflicts, Dead, Differing, Harm, Parked, Report, Source},
};
use crate::{
    laws::dice::Dice,
    plan::Plan,
    scratch::{ScratchError, Stood},
};

/// Parts of the time between the first and the last commit.
const BUCKETS: usize = 48;
/// Keys that do not converge, of which the smallest order is looked for.
const EXPLAINED: usize = 10;

/// Everything that is played.
pub struct Rehearsal {
    /// The pipeline's name.
    pub pipeline: String,
    /// The recorded messages, each source's in its order.
    pub messages: Vec<Delivery>,
    /// The pipeline's own rules.
    pub ours: Rules,
    /// The same with last-writer-wins by commit time where a plugin decides.
    pub rival: Rules,
    /// Tables that a merge plugin decides.
    pub decided: Vec<TableId>,
    /// The same with another plugin, and its name.
    pub against: Option<(String, Rules)>,
    /// Changes in a batch.
    pub batch: usize,
}

impl Rehearsal {
    /// Plays it in so many orders besides the recorded one; `progress` is told how many are done.
    ///
    /// # Errors
    /// The scratch sink fails.
    pub fn run(
        &mut self,
        orders: u64,
        seed: u64,
        mut progress: impl FnMut(u64),
    ) -> Result<Report, ScratchError> {
        let recorded: Vec<usize> = (0..self.messages.len()).collect();
        let changes = play::changes(&self.ours, &self.messages);
        let ours = self.ours.play(&self.messages, &recorded, self.batch)?;
        let rival = self.rival.play(&self.messages, &recorded, self.batch)?;
        progress(0);
        let streams = play::streams(&self.messages);
        let mut diverging: BTreeSet<Key> = BTreeSet::new();
        for nth in 0..orders {
            let order = play::order(&streams, &mut Dice::of_case(seed, nth));
            let played = self.ours.play(&self.messages, &order, self.batch)?;
            diverging.extend(differences(&ours.rows, &played.rows).map(|(key, ..)| key.clone()));
            progress(nth + 1);
        }
        let mut explained = Vec::new();
        for (nth, key) in diverging.iter().enumerate() {
            explained.push(diverge::explain(self, &changes, &streams, key, nth < EXPLAINED)?);
        }
        let against = match &mut self.against {
            None => None,
            Some((name, rules)) => Some((name.clone(), rules.play(&self.messages, &recorded, self.batch)?)),
        };
        let plan = &self.ours.plan;
        let decided = |differing: &Differing| {
            self.decided.iter().any(|table| plan.table(*table).shape.name == differing.table)
        };
        let sources = sources(&changes);
        let seconds = ours.took.as_secs_f64().max(1e-6);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people; the count is far below 2^53")]
        let rate = changes.len() as f64 / seconds;
        Ok(Report {
            pipeline: self.pipeline.clone(),
            messages: self.messages.len(),
            changes: changes.len(),
            timeline: timeline(&changes, &sources, &ours),
            sources,
            orders: orders + 1,
            seed,
            saved: differing(plan, &ours.rows, &rival.rows).into_iter().filter(decided).collect(),
            rows: ours.rows.keys().filter(|(table, _)| self.decided.contains(table)).count(),
            conflicts: conflicts(&ours),
            diverging: explained,
            parked: parked(&ours),
            dead: dead(&ours),
            against: against
                .map(|(plugin, played)| Against { plugin, rows: differing(plan, &ours.rows, &played.rows) }),
            catch_up_seconds: seconds,
            changes_per_second: rate,
        })
    }
}

type Rows = BTreeMap<Key, Stood>;

/// Keys whose rows differ, with both.
fn differences<'a>(
    one: &'a Rows,
    other: &'a Rows,
) -> impl Iterator<Item = (&'a Key, Option<&'a Stood>, Option<&'a Stood>)> {
    let left = one.iter().map(|(key, stood)| (key, Some(stood), other.get(key)));
    let right =
        other.iter().filter(|(key, _)| !one.contains_key(*key)).map(|(key, stood)| (key, None, Some(stood)));
    left.chain(right).filter(|(_, one, other)| one.map(|s| &s.bytes) != other.map(|s| &s.bytes))
}

fn differing(plan: &Plan, ours: &Rows, other: &Rows) -> Vec<Differing> {
    let row = |stood: Option<&Stood>| stood.and_then(|stood| serde_json::from_str(&stood.json).ok());
    let one = |(key, ours, other): (&Key, Option<&Stood>, Option<&Stood>)| Differing {
        table: plan.table(key.0).shape.name.clone(),
        key: key_json(plan, key),
        harm: match (ours, other) {
            (Some(_), None) => Harm::Lost,
            (None, _) => Harm::Resurrected,
            (Some(_), Some(_)) => Harm::Overwritten,
        },
        plugin: row(ours),
        other: row(other),
    };
    let mut all: Vec<(&Key, Differing)> = differences(ours, other).map(|d| (d.0, one(d))).collect();
    all.sort_by_key(|(key, _)| *key);
    all.into_iter().map(|(_, differing)| differing).collect()
}

/// A key as a JSON object.
fn key_json(plan: &Plan, (table, key): &Key) -> Value {
    let shape = &plan.table(*table).shape;
    let logicals: Vec<_> = shape.key_logicals().collect();
    let cells = canonical::key_cells(&logicals, key).unwrap_or_default();
    let names = shape.key.iter().map(|&k| shape.columns[k].name.as_str());
    serde_json::from_str(&text::to_json(names.zip(&cells.columns), 0)).unwrap_or_default()
}

fn sources(changes: &[Change]) -> Vec<Source> {
    let mut found: BTreeMap<&str, (usize, i64, i64)> = BTreeMap::new();
    for change in changes {
        let entry = found.entry(&change.source).or_insert((0, i64::MAX, i64::MIN));
        *entry = (entry.0 + 1, entry.1.min(change.at), entry.2.max(change.at));
    }
    let source = |(name, (changes, first, last)): (&str, (usize, i64, i64))| Source {
        name: name.to_owned(),
        changes,
        first: text::format_timestamp(first),
        last: text::format_timestamp(last),
    };
    found.into_iter().map(source).collect()
}

fn conflicts(played: &Played) -> Vec<Conflicts> {
    let mut counts: BTreeMap<(&str, &str, &str), u64> = BTreeMap::new();
    for decision in &played.decisions {
        *counts.entry((&decision.table, &decision.kind, &decision.outcome)).or_default() += 1;
    }
    let counted = counts.into_iter().map(|((table, kind, outcome), count)| Conflicts {
        table: table.to_owned(),
        kind: kind.to_owned(),
        outcome: outcome.to_owned(),
        count,
    });
    counted.collect()
}

fn parked(played: &Played) -> Vec<Parked> {
    let waits = |record: &reconverge_streams::records::ParkedRecord| Parked {
        table: record.table.clone(),
        key: record.key.clone(),
        why: record.why.clone(),
        waits_for: format!(
            "{} {}",
            record.waits_table.as_deref().unwrap_or_default(),
            record.waits_key.as_deref().unwrap_or_default()
        ),
    };
    played.parked.iter().map(waits).collect()
}

fn dead(played: &Played) -> Vec<Dead> {
    let counted = played.dead.iter().map(|((table, stage, code), &count)| Dead {
        table: table.clone(),
        stage: stage.clone(),
        code: code.clone(),
        count,
    });
    counted.collect()
}

/// Changes and conflicts by commit time, in parts of equal length.
fn timeline(changes: &[Change], sources: &[Source], played: &Played) -> Vec<Bucket> {
    let times = || changes.iter().map(|change| change.at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Vec::new() };
    let parts = i64::try_from(BUCKETS).unwrap_or(1);
    let width = (last.saturating_sub(first) / parts).saturating_add(1);
    let bucket = |nth: i64| Bucket {
        from: text::format_timestamp(first.saturating_add(width.saturating_mul(nth))),
        changes: vec![0; sources.len()],
        conflicts: 0,
    };
    let mut buckets: Vec<Bucket> = (0..parts).map(bucket).collect();
    let place =
        |at: i64| usize::try_from(at.saturating_sub(first) / width).unwrap_or_default().min(BUCKETS - 1);
    for change in changes {
        if let Some(source) = sources.iter().position(|source| source.name == change.source) {
            buckets[place(change.at)].changes[source] += 1;
        }
    }
    let decided = played.decisions.iter().filter_map(|decision| decision.incoming_at.as_deref());
    for at in decided.filter_map(|at| text::read_timestamp(at).ok()).filter(|at| (first..=last).contains(at))
    {
        buckets[place(at)].conflicts += 1;
    }
    buckets
}
