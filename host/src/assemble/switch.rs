//! `lanes move`: brings all lanes to one common sequence of their source, and puts another plan in force there. What the
//! old plan had before that sequence is done by the old plan, what comes behind it by the new one; so nothing is skipped
//! or repeated.

use std::{collections::BTreeMap, sync::Arc};

use reconverge_streams::{
    checkpoint::{Checkpoint, PlanDigest},
    position::Micros,
    roster::{LaneStart, Look, Roster, Switch, TableMove, Takeover},
    sink::SinkError,
    source::Source as _,
};
use serde::Serialize;

use crate::{
    config::{Pipeline, PlanForm},
    lane::Lanes,
};

use super::{Options, RunError, RunUntil, Sidecar, ends, lanes, plan_change, run, sidecar::sidecar};

/// What a move came to.
#[derive(Clone, Debug, Serialize)]
pub struct Moved {
    /// Whether another plan was put in force; false where it was already.
    pub switched: bool,
    /// What has changed, a sentence each, as it was before the lanes were brought together.
    pub differences: Vec<String>,
    /// The common sequence, by source.
    pub at: BTreeMap<String, u64>,
}

/// Puts the plan of `pipeline` in force. `old` is the pipeline that the lanes ran by; with it lanes that stand apart are
/// run up to the farthest of them. `by` is who asks.
///
/// # Errors
/// [`RunError::NotFound`] where lanes stand apart and `old` is not given or is not what they ran by; where a lane
/// is at work, [`RunError::Environment`].
pub async fn switch(pipeline: &Pipeline, old: Option<&Pipeline>, by: &str) -> Result<Moved, RunError> {
    let sidecar = sidecar(pipeline).await?;
    let digest = PlanDigest(pipeline.digest());
    let look = sidecar.look(&pipeline.name).await?;
    let in_force = plan_change::in_force(look.lanes);
    let Some(other) = in_force.iter().find(|lane| lane.plan != digest) else {
        return Ok(Moved { switched: false, differences: Vec::new(), at: BTreeMap::new() });
    };
    let form = plan_change::form(&sidecar, other.plan).await?.ok_or_else(|| RunError::NotFound {
        what: "what the old plan said is not known: its process never told the sink".to_owned(),
        hint: "run the old pipeline file once with this version".to_owned(),
    })?;
    idle(&in_force, look.now)?;
    let differences = plan_change::differences(Some(&form), &pipeline.form(), pipeline, &in_force);
    let at = together(&form, pipeline, old, other.plan, &in_force).await?;
    let look = sidecar.look(&pipeline.name).await?;
    let asked = asked(pipeline, &form, &at, look.lanes, by).await?;
    sidecar.switch(&asked).await.map_err(refused)?;
    Ok(Moved { switched: true, differences, at })
}

/// Lanes that somebody works on cannot be moved, nor can their rows be taken over.
pub(super) fn idle(lanes: &[Checkpoint], now: Micros) -> Result<(), RunError> {
    let held = |lane: &&Checkpoint| lane.owner.is_some() && lane.lease_until.is_some_and(|until| until > now);
    let Some(lane) = lanes.iter().find(held) else { return Ok(()) };
    let ends_in_ms = lane.lease_until.unwrap_or(now).saturating_sub(now) / 1000;
    let owner = lane.owner.clone().unwrap_or_default();
    Err(refused(SinkError::Held { lane: lane.lane.clone(), owner, ends_in_ms }))
}

pub(super) fn refused(error: SinkError) -> RunError {
    let hint = match &error {
        SinkError::Held { .. } => {
            "stop all processes of the pipeline; one that died keeps its lanes until its lease is over"
        }
        SinkError::Fenced(_) => "a process has worked meanwhile: stop it, and try again",
        _ => return error.into(),
    };
    RunError::NotFound { what: error.to_string(), hint: hint.to_owned() }
}

/// The common sequence of each source of the old plan; lanes that are not there yet are run up to it.
async fn together(
    form: &PlanForm,
    pipeline: &Pipeline,
    old: Option<&Pipeline>,
    plan: PlanDigest,
    in_force: &[Checkpoint],
) -> Result<BTreeMap<String, u64>, RunError> {
    let stand = |name: &str| in_force.iter().find(|lane| lane.lane == name).map_or(0, |lane| lane.scanned);
    let mut at: BTreeMap<String, u64> = BTreeMap::new();
    for name in form.lane_names(&pipeline.name) {
        let farthest = at.entry(source_of(&name).to_owned()).or_default();
        *farthest = stand(&name).max(*farthest);
    }
    let apart: Vec<String> =
        form.lane_names(&pipeline.name).filter(|name| stand(name) < at[source_of(name)]).collect();
    if apart.is_empty() {
        return Ok(at);
    }
    let hint =
        "give the pipeline file that the lanes ran by: `reconverge lanes move --from OLD.toml`".to_owned();
    let Some(old) = old else {
        let what =
            format!("{} stand behind the others and have to be run by the old plan first", apart.join(", "));
        return Err(RunError::NotFound { what, hint });
    };
    if PlanDigest(old.digest()) != plan || old.name != pipeline.name {
        let what = "the file given with --from has another plan than the lanes ran by".to_owned();
        return Err(RunError::NotFound { what, hint });
    }
    let until = RunUntil::Each(at.clone());
    let options =
        Options { until, owner: Some(format!("move/{}", std::process::id())), ..Options::default() };
    run(old, &options, Arc::new(Lanes::new()), std::future::pending()).await?;
    Ok(at)
}

/// The switch itself, from where the lanes stand now.
async fn asked(
    pipeline: &Pipeline,
    old: &PlanForm,
    at: &BTreeMap<String, u64>,
    stand: Vec<Checkpoint>,
    by: &str,
) -> Result<Switch, RunError> {
    let new = pipeline.form();
    let mut starts = Vec::new();
    let mut facts = Vec::new();
    for config in &pipeline.sources {
        facts.push(ends::source(pipeline, config, false).await?.inspect().await?);
    }
    for slot in lanes::slots(pipeline) {
        let facts = &facts[slot.source];
        // A source that is new begins with what its stream still holds.
        let sequence = at.get(&slot.id.source).copied().unwrap_or(0);
        // A stream that was made anew meanwhile is for the lanes to find out, so what they know of it stays.
        let known =
            stand.iter().find(|lane| source_of(&lane.lane) == slot.id.source && lane.stream == facts.name);
        let stream_created = known.map_or(facts.created, |lane| lane.stream_created);
        let stream = facts.name.clone();
        starts.push(LaneStart { lane: slot.id.to_string(), stream, stream_created, sequence });
    }
    let mut since = Vec::new();
    for table in new.tables.iter().filter(|table| old.table(&table.name).is_none()) {
        let of_table = |start: &&LaneStart| start.lane.split('/').nth(2) == Some(table.lane.as_str());
        since.extend(
            starts.iter().filter(of_table).map(|s| (table.target.clone(), s.lane.clone(), s.sequence)),
        );
    }
    Ok(Switch {
        pipeline: pipeline.name.clone(),
        by: by.to_owned(),
        plan: PlanDigest(pipeline.digest()),
        form: plan_change::stored(&new),
        expected: stand.into_iter().map(|lane| (lane.lane, lane.epoch, lane.sequence)).collect(),
        lanes: starts,
        moved: moved(&pipeline.name, old, &new),
        gates_dropped: gates_dropped(&pipeline.name, old, &new),
        since,
    })
}

/// Tables that go to another lane, partition by partition; where a source has fewer partitions than before, what was
/// kept in those that are no more goes to the first.
fn moved(pipeline: &str, old: &PlanForm, new: &PlanForm) -> Vec<TableMove> {
    let mut moved = Vec::new();
    for (before, after) in old.tables.iter().filter_map(|t| Some((t, new.table(&t.name)?))) {
        for source in &old.sources {
            let Some(now) = new.source(&source.name) else { continue };
            for partition in 0..source.partitions {
                let to = if partition < now.partitions { partition } else { 0 };
                if before.lane != after.lane || partition != to {
                    let name =
                        |lane: &str, partition| format!("{pipeline}/{}/{lane}/{partition}", source.name);
                    let (from, to) = (name(&before.lane, partition), name(&after.lane, to));
                    moved.push(TableMove { table: after.target.clone(), from, to });
                }
            }
        }
    }
    moved
}

/// Where keys change partitions, a partition's newest positions say nothing of its keys any more.
fn gates_dropped(pipeline: &str, old: &PlanForm, new: &PlanForm) -> Vec<String> {
    let changed = |name: &str| {
        let counts = (old.source(name).map(|s| s.partitions), new.source(name).map(|s| s.partitions));
        counts.0 != counts.1
    };
    old.lane_names(pipeline).filter(|lane| changed(source_of(lane))).collect()
}

fn source_of(lane: &str) -> &str {
    lane.split('/').nth(1).unwrap_or_default()
}

/// What processes and lanes there are, for the operator.
pub async fn roster(
    pipeline: &Pipeline,
    sidecar: &Sidecar,
    takeovers: u32,
) -> Result<(Look, Vec<Takeover>), RunError> {
    let look = sidecar.look(&pipeline.name).await?;
    Ok((look, sidecar.takeovers(&pipeline.name, takeovers).await?))
}

#[cfg(test)]
mod tests {
    use crate::config::{SourceForm, TableForm};

    use super::*;

    fn form(partitions: u32, lane: &str) -> PlanForm {
        let source =
            SourceForm { name: "main".into(), stream: "S".into(), subjects: "s.>".into(), partitions };
        let table = TableForm {
            name: "goods".into(),
            target: "goods".into(),
            key: vec!["id".into()],
            lane: lane.into(),
        };
        PlanForm { sources: vec![source], lanes: vec!["main".into(), "bulk".into()], tables: vec![table] }
    }

    fn told(moved: Vec<TableMove>) -> Vec<(String, String)> {
        moved.into_iter().map(|m| (m.from, m.to)).collect()
    }

    #[test]
    fn what_is_held_for_a_table_goes_along_with_it() {
        let pair = |from: &str, to: &str| (format!("p/main/{from}"), format!("p/main/{to}"));
        assert_eq!(told(moved("p", &form(2, "main"), &form(2, "main"))), []);
        let all = told(moved("p", &form(2, "main"), &form(2, "bulk")));
        assert_eq!(all, [pair("main/0", "bulk/0"), pair("main/1", "bulk/1")]);
        let fewer = told(moved("p", &form(3, "main"), &form(1, "main")));
        assert_eq!(fewer, [pair("main/1", "main/0"), pair("main/2", "main/0")]);
    }

    #[test]
    fn gates_go_where_keys_change_partitions() {
        assert_eq!(gates_dropped("p", &form(2, "main"), &form(2, "bulk")), [""; 0]);
        assert_eq!(gates_dropped("p", &form(2, "main"), &form(3, "main")).len(), 4);
    }
}
