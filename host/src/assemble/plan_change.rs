//! A start with another plan than the lanes ran by: refused, with what would be skipped or repeated. Pure but for the
//! one question to the sink.

use std::collections::HashMap;

use reconverge_streams::{
    checkpoint::{Checkpoint, PlanDigest},
    roster::Roster,
};

use crate::config::{Pipeline, PlanForm, SourceForm, TableForm};

use super::RunError;

/// Remembers the pipeline's plan, and refuses it where the lanes ran by another.
///
/// # Errors
/// [`RunError::PlanChanged`] with the differences.
pub(super) async fn refuse(pipeline: &Pipeline, sink: &impl Roster) -> Result<(), RunError> {
    let digest = PlanDigest(pipeline.digest());
    let lanes = in_force(sink.look(&pipeline.name).await?.lanes);
    let Some(other) = lanes.iter().find(|lane| lane.plan != digest) else {
        return Ok(sink.remember_plan(digest, &stored(&pipeline.form())).await?);
    };
    let old = form(sink, other.plan).await?;
    Err(RunError::PlanChanged { differences: differences(old.as_ref(), &pipeline.form(), pipeline, &lanes) })
}

/// The checkpoints of the plan in force: all but those of lanes that a move retired.
pub(super) fn in_force(lanes: Vec<Checkpoint>) -> Vec<Checkpoint> {
    lanes.into_iter().filter(|lane| lane.plan != PlanDigest::RETIRED).collect()
}

/// What a plan says, where the sink remembers it.
pub(super) async fn form(sink: &impl Roster, plan: PlanDigest) -> Result<Option<PlanForm>, RunError> {
    Ok(sink.plan_form(plan).await?.and_then(|form| serde_json::from_str(&form).ok()))
}

/// A form as the sink keeps it.
pub(super) fn stored(form: &PlanForm) -> String {
    serde_json::to_string(form).expect("a form is names and numbers")
}

/// What follows from running `new` where the lanes stand, a sentence each.
pub(super) fn differences(
    old: Option<&PlanForm>,
    new: &PlanForm,
    pipeline: &Pipeline,
    lanes: &[Checkpoint],
) -> Vec<String> {
    let Some(old) = old else {
        return vec!["what the old plan said is not known: its process never told the sink".to_owned()];
    };
    let stand: HashMap<&str, u64> = lanes.iter().map(|lane| (lane.lane.as_str(), lane.scanned)).collect();
    let change = Change { old, new, pipeline: &pipeline.name, stand };
    let mut found = change.sources();
    found.extend(change.lanes());
    found.extend(change.tables());
    if found.is_empty() {
        // The digest sees what the form has, but for the order of what stands in the file.
        found.push("its parts stand in another order; nothing is skipped or repeated".to_owned());
    }
    found
}

struct Change<'a> {
    old: &'a PlanForm,
    new: &'a PlanForm,
    pipeline: &'a str,
    /// How far each lane is.
    stand: HashMap<&'a str, u64>,
}

impl Change<'_> {
    fn at(&self, source: &str, lane: &str, partition: u32) -> u64 {
        let name = format!("{}/{source}/{lane}/{partition}", self.pipeline);
        self.stand.get(name.as_str()).copied().unwrap_or(0)
    }

    /// Where the lanes of a source stand, the least and the greatest.
    fn range(&self, source: &SourceForm) -> (u64, u64) {
        let lanes = self.old.lanes.iter();
        let all = lanes.flat_map(|lane| (0..source.partitions).map(|p| self.at(&source.name, lane, p)));
        all.fold((u64::MAX, 0), |(least, most), at| (least.min(at), most.max(at)))
    }

    fn sources(&self) -> Vec<String> {
        let mut found = Vec::new();
        for old in &self.old.sources {
            let name = &old.name;
            let (least, most) = self.range(old);
            let Some(new) = self.new.source(name) else {
                found.push(format!(
                    "source `{name}` is gone: its stream {} is not read behind sequence {most}",
                    old.stream
                ));
                continue;
            };
            if old.stream != new.stream {
                found.push(format!(
                    "source `{name}` reads stream {} in place of {}: sequence {least} means something else there",
                    new.stream, old.stream
                ));
            }
            if old.subjects != new.subjects {
                found.push(format!(
                    "source `{name}` reads `{}` in place of `{}`: what only the new subjects have is skipped up to \
                     sequence {least}",
                    new.subjects, old.subjects
                ));
            }
            if old.partitions != new.partitions {
                found.push(format!(
                    "source `{name}` has {} partitions in place of {}, and keys change partitions: lanes stand between \
                     {least} and {most}; what lies between is skipped or repeated",
                    new.partitions, old.partitions
                ));
            }
        }
        let fresh = self.new.sources.iter().filter(|new| self.old.source(&new.name).is_none());
        found.extend(fresh.map(|new| {
            format!("source `{}` is new: it begins with what its stream {} still holds", new.name, new.stream)
        }));
        found
    }

    fn lanes(&self) -> Vec<String> {
        let gone = self.old.lanes.iter().filter(|lane| !self.new.lanes.contains(lane));
        let fresh = self.new.lanes.iter().filter(|lane| !self.old.lanes.contains(lane));
        let gone = gone.map(|lane| format!("lane `{lane}` is gone: nothing goes on where it stands"));
        gone.chain(
            fresh
                .map(|lane| format!("lane `{lane}` is new: it begins where the others are brought together")),
        )
        .collect()
    }

    fn tables(&self) -> Vec<String> {
        let mut found = Vec::new();
        for old in &self.old.tables {
            match self.new.table(&old.name) {
                None => found.push(format!(
                    "table `{}` is gone: its changes behind sequence {} are counted as unlisted; its rows stay",
                    old.name,
                    self.stands(old)
                )),
                Some(new) => self.table(old, new, &mut found),
            }
        }
        for new in self.new.tables.iter().filter(|new| self.old.table(&new.name).is_none()) {
            let main = TableForm { lane: "main".to_owned(), ..new.clone() };
            found.push(format!(
                "table `{}` is new: its changes up to sequence {} were counted as unlisted and are skipped; a pipeline of \
                 another name with this table alone reads them again",
                new.name,
                self.stands(&main)
            ));
        }
        found
    }

    /// Where the lane of a table stands, as words: one sequence, or one per source.
    fn stands(&self, table: &TableForm) -> String {
        let of = |source: &SourceForm| {
            let all = (0..source.partitions).map(|p| self.at(&source.name, &table.lane, p));
            let (least, most) = all.fold((u64::MAX, 0), |(least, most), at| (least.min(at), most.max(at)));
            if least == most { most.to_string() } else { format!("{least} to {most}") }
        };
        match &self.old.sources[..] {
            [only] => of(only),
            many => many.iter().map(|s| format!("{} of `{}`", of(s), s.name)).collect::<Vec<_>>().join(", "),
        }
    }

    fn table(&self, old: &TableForm, new: &TableForm, found: &mut Vec<String>) {
        let name = &old.name;
        if old.target != new.target {
            found.push(format!(
                "table `{name}` is written to `{}` in place of `{}`: what was written so far is not there",
                new.target, old.target
            ));
        }
        if old.key != new.key {
            found.push(format!(
                "table `{name}` is keyed by {} in place of {}: versions and positions are known by the old keys, so its \
                 rows look written by the application, and changes of before would be taken again",
                new.key.join(", "),
                old.key.join(", ")
            ));
        }
        if old.lane != new.lane {
            self.other_lane(old, new, found);
        }
    }

    /// Between where the old lane stands and where the new one does, changes are skipped or come again.
    fn other_lane(&self, old: &TableForm, new: &TableForm, found: &mut Vec<String>) {
        let (name, from, to) = (&old.name, &old.lane, &new.lane);
        for source in &self.old.sources {
            for partition in 0..source.partitions {
                let (a, b) = (self.at(&source.name, from, partition), self.at(&source.name, to, partition));
                let of = format!("source `{}`, partition {partition}", source.name);
                let what = match a.cmp(&b) {
                    std::cmp::Ordering::Less => format!("its changes from {} to {b} are skipped", a + 1),
                    std::cmp::Ordering::Greater => format!("its changes from {} to {a} are repeated", b + 1),
                    std::cmp::Ordering::Equal => format!("both stand at {a}: nothing is skipped or repeated"),
                };
                found.push(format!("table `{name}` goes from lane `{from}` to `{to}`: {of}: {what}"));
            }
        }
    }
}
