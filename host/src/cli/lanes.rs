//! `reconverge lanes`: who works on what, which silent owners were overridden, and another plan put in force.

use reconverge_streams::{
    checkpoint::{Checkpoint, PlanDigest},
    position::Micros,
    roster::{Look, Takeover},
    text::format_timestamp,
};
use serde::Serialize;

use crate::{
    assemble::{self, Moved},
    config,
};

use super::{
    arguments::{Global, Lanes},
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, grouped, or_dash},
};

/// What `list` shows.
#[derive(Debug, Serialize)]
struct Roster {
    pipeline: String,
    members: Vec<MemberRow>,
    lanes: Vec<LaneRow>,
    takeovers: Vec<TakeoverRow>,
}

#[derive(Debug, Serialize)]
struct MemberRow {
    name: String,
    since: String,
    /// Seconds until it does not count any more, if it says nothing.
    left_s: i64,
    lanes: usize,
}

#[derive(Debug, Serialize)]
struct LaneRow {
    lane: String,
    /// `held`, `free`, or `retired`: of an earlier plan.
    state: &'static str,
    owner: Option<String>,
    sequence: u64,
    scanned: u64,
    plan: String,
}

#[derive(Debug, Serialize)]
struct TakeoverRow {
    at: String,
    lane: String,
    owner: String,
    previous: String,
    /// The last sign of life of the one that was overridden.
    heartbeat_at: Option<String>,
    sequence: u64,
    epoch: i64,
}

pub(super) async fn lanes(global: &Global, asked: Lanes) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Warn, &Bar::default())?;
    match asked {
        Lanes::List { takeovers } => {
            let sidecar = connect::sidecar(&pipeline).await?;
            let (look, overridden) = assemble::roster(&pipeline, &sidecar, takeovers).await?;
            output::show(global.json, &roster(pipeline.name, look, overridden), listed)?;
        }
        Lanes::Move { from, by } => {
            let old = from.map(|path| config::load(&path)).transpose()?;
            let by = by.unwrap_or_else(|| "lanes move".to_owned());
            let moved = assemble::switch(&pipeline, old.as_ref(), &by).await?;
            output::show(global.json, &moved, told)?;
        }
    }
    Ok(Exit::Done)
}

fn roster(pipeline: String, look: Look, takeovers: Vec<Takeover>) -> Roster {
    let now = look.now;
    let holds = |name: &str| {
        let is_its = |lane: &&Checkpoint| lane.owner.as_deref() == Some(name) && is_held(lane, now);
        look.lanes.iter().filter(is_its).count()
    };
    let members = look.members.iter().map(|member| MemberRow {
        name: member.name.clone(),
        since: format_timestamp(member.since),
        left_s: member.until.saturating_sub(now) / 1_000_000,
        lanes: holds(&member.name),
    });
    let members = members.collect();
    let lane = |lane: Checkpoint| LaneRow {
        state: match (is_held(&lane, now), lane.plan == PlanDigest::RETIRED) {
            (true, _) => "held",
            (false, true) => "retired",
            (false, false) => "free",
        },
        owner: lane.owner.clone(),
        sequence: lane.sequence,
        scanned: lane.scanned,
        plan: lane.plan.to_string(),
        lane: lane.lane,
    };
    let takeover = |t: Takeover| TakeoverRow {
        at: format_timestamp(t.at),
        lane: t.lane,
        owner: t.owner,
        previous: t.previous,
        heartbeat_at: t.heartbeat_at.map(format_timestamp),
        sequence: t.sequence,
        epoch: t.epoch,
    };
    Roster {
        pipeline,
        members,
        lanes: look.lanes.into_iter().map(lane).collect(),
        takeovers: takeovers.into_iter().map(takeover).collect(),
    }
}

fn is_held(lane: &Checkpoint, now: Micros) -> bool {
    lane.owner.is_some() && lane.lease_until.is_some_and(|until| until > now)
}

fn listed(roster: &Roster) -> String {
    let mut text = format!("pipeline {}\n\n", roster.pipeline);
    if roster.members.is_empty() {
        text.push_str("no process is there\n");
    } else {
        let row =
            |m: &MemberRow| vec![m.name.clone(), m.since.clone(), m.lanes.to_string(), m.left_s.to_string()];
        let head = ["process", "since", "lanes#", "lease s#"];
        text.push_str(&output::table(&head, roster.members.iter().map(row)));
    }
    let row = |lane: &LaneRow| {
        let owner = or_dash(lane.owner.clone());
        vec![lane.lane.clone(), lane.state.to_owned(), grouped(lane.sequence), grouped(lane.scanned), owner]
    };
    text.push('\n');
    let head = ["lane", "state", "sequence#", "looked at#", "owner"];
    text.push_str(&output::table(&head, roster.lanes.iter().map(row)));
    if !roster.takeovers.is_empty() {
        let row = |t: &TakeoverRow| {
            let sign = or_dash(t.heartbeat_at.clone());
            vec![t.at.clone(), t.lane.clone(), t.previous.clone(), sign, t.owner.clone(), grouped(t.sequence)]
        };
        text.push('\n');
        let head = ["taken over", "lane", "from", "last heard", "by", "at sequence#"];
        text.push_str(&output::table(&head, roster.takeovers.iter().map(row)));
    }
    text
}

fn told(moved: &Moved) -> String {
    if !moved.switched {
        return "the lanes run by this plan already: nothing to move\n".to_owned();
    }
    let mut text = String::new();
    for difference in &moved.differences {
        text.push_str(&format!("{difference}\n"));
    }
    let at: Vec<String> = moved
        .at
        .iter()
        .map(|(source, sequence)| format!("{} of source {source}", grouped(*sequence)))
        .collect();
    text.push_str(&format!(
        "\nThe lanes met at sequence {}; the new plan is in force from there.\n",
        at.join(", ")
    ));
    text
}

#[cfg(test)]
mod tests {
    use reconverge_streams::{disposition::Counts, roster::Member};

    use super::*;

    fn lane(name: &str, owner: Option<&str>, lease_until: Micros, plan: PlanDigest) -> Checkpoint {
        Checkpoint {
            lane: name.to_owned(),
            stream: "CDC".to_owned(),
            stream_created: 0,
            sequence: 7,
            scanned: 9,
            epoch: 1,
            owner: owner.map(str::to_owned),
            lease_until: Some(lease_until),
            generation: 2,
            plan,
            delivered: 2,
            counts: Counts::default(),
            committed_at: None,
        }
    }

    #[test]
    fn who_holds_what_is_told() {
        let plan = PlanDigest([1; 32]);
        let look = Look {
            now: 1_000_000,
            members: vec![Member { name: "one".into(), since: 0, until: 9_000_000 }],
            lanes: vec![
                lane("p/main/main/0", Some("one"), 2_000_000, plan),
                lane("p/main/main/1", Some("two"), 500_000, plan),
                lane("p/main/old/0", None, 0, PlanDigest::RETIRED),
            ],
        };
        let roster = roster("p".into(), look, Vec::new());
        assert_eq!((roster.members[0].lanes, roster.members[0].left_s), (1, 8));
        assert_eq!(roster.lanes.iter().map(|l| l.state).collect::<Vec<_>>(), ["held", "free", "retired"]);
        assert!(listed(&roster).contains("process"), "{}", listed(&roster));
    }
}
