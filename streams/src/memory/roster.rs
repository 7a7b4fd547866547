//! The roster of a database in memory: who is there, and the switch from one plan to the next.

use super::{database::Contents, fresh::fresh_at, sink::MemorySink};
use crate::{
    checkpoint::{Checkpoint, PlanDigest},
    position::Micros,
    roster::{FORGET_AFTER_MICROS, LaneMove, Look, Member, Presence, Roster, Switch, Takeover, Way},
    sink::SinkError,
};

impl Roster for MemorySink {
    async fn attend(&self, presence: &Presence) -> Result<(), SinkError> {
        let mut state = self.database.state.lock().await;
        let now = state.now();
        let until = now.saturating_add(i64::try_from(presence.lease.as_micros()).unwrap_or(i64::MAX));
        state.members.retain(|_, member| member.until + FORGET_AFTER_MICROS > now);
        if presence.shares {
            let at = (presence.pipeline.clone(), presence.member.clone());
            let fresh = Member { name: presence.member.clone(), since: now, until };
            let member = state.members.entry(at).or_insert(fresh);
            // Who was taken for gone is there anew.
            member.since = if member.until > now { member.since } else { now };
            member.until = until;
        }
        for lane in &presence.lanes {
            let ours = state.checkpoints.get_mut(lane).filter(|c| c.owner.as_ref() == Some(&presence.member));
            if let Some(checkpoint) = ours {
                checkpoint.lease_until = Some(until);
            }
        }
        Ok(())
    }

    async fn leave(&self, pipeline: &str, member: &str) -> Result<(), SinkError> {
        self.database.state.lock().await.members.remove(&(pipeline.to_owned(), member.to_owned()));
        Ok(())
    }

    async fn look(&self, pipeline: &str) -> Result<Look, SinkError> {
        let state = self.database.state.lock().await;
        let now = state.now();
        let there = |(of, _): &(String, String), member: &Member| of == pipeline && member.until > now;
        let members = state.members.iter().filter(|(at, m)| there(at, m)).map(|(_, m)| m.clone()).collect();
        let lanes = lanes_of(&state, pipeline).cloned().collect();
        Ok(Look { now, members, lanes })
    }

    async fn ways(&self, lanes: &[String]) -> Result<Vec<Way>, SinkError> {
        let state = self.database.state.lock().await;
        let now = state.now();
        let way = |lane: &String| {
            let checkpoint = state.checkpoints.get(lane);
            Way {
                scanned: checkpoint.map_or(0, |c| c.scanned),
                is_held: checkpoint.is_some_and(|c| is_held(c, now)),
            }
        };
        Ok(lanes.iter().map(way).collect())
    }

    async fn takeovers(&self, pipeline: &str, limit: u32) -> Result<Vec<Takeover>, SinkError> {
        let state = self.database.state.lock().await;
        let found = state.takeovers.iter().rev().filter(|t| is_of(pipeline, &t.lane));
        Ok(found.take(limit as usize).cloned().collect())
    }

    async fn remember_plan(&self, plan: PlanDigest, form: &str) -> Result<(), SinkError> {
        self.database.state.lock().await.plans.entry(plan.0).or_insert_with(|| form.to_owned());
        Ok(())
    }

    async fn plan_form(&self, plan: PlanDigest) -> Result<Option<String>, SinkError> {
        Ok(self.database.state.lock().await.plans.get(&plan.0).cloned())
    }

    async fn switch(&self, switch: &Switch) -> Result<(), SinkError> {
        let mut state = self.database.state.lock().await;
        let now = state.now();
        as_expected(&state, switch, now)?;
        state.plans.entry(switch.plan.0).or_insert_with(|| switch.form.clone());
        state.checkpoints.values_mut().filter(|c| is_of(&switch.pipeline, &c.lane)).for_each(|checkpoint| {
            checkpoint.epoch += 1;
            checkpoint.owner = None;
            checkpoint.lease_until = None;
            checkpoint.plan = PlanDigest::RETIRED;
        });
        for start in &switch.lanes {
            let fresh = || fresh_at(start, switch.plan);
            let checkpoint = state.checkpoints.entry(start.lane.clone()).or_insert_with(fresh);
            checkpoint.plan = switch.plan;
            checkpoint.stream.clone_from(&start.stream);
            checkpoint.stream_created = start.stream_created;
            checkpoint.sequence = start.sequence;
            checkpoint.scanned = start.sequence;
            let delivered = checkpoint.delivered;
            let (lane, by, sequence) = (start.lane.clone(), switch.by.clone(), start.sequence);
            let made = LaneMove { lane, at: now, by, sequence, delivered };
            state.moves.push((switch.pipeline.clone(), made));
        }
        carry(&mut state, switch);
        Ok(())
    }

    async fn moves(&self, pipeline: &str) -> Result<Vec<LaneMove>, SinkError> {
        let state = self.database.state.lock().await;
        let all =
            state.moves.iter().filter(|(of, _)| of == pipeline).map(|(_, m)| (m.lane.clone(), m.clone()));
        let newest: std::collections::BTreeMap<String, LaneMove> = all.collect();
        Ok(newest.into_values().collect())
    }
}

/// Gates and what is kept go with their tables; it stays in the ledger of the lane that counted it.
fn carry(state: &mut Contents, switch: &Switch) {
    for lane in &switch.gates_dropped {
        state.gates.retain(|(of, _), _| of != lane);
    }
    for moved in &switch.moved {
        if let Some(gate) = state.gates.remove(&(moved.from.clone(), moved.table.clone())) {
            state.gates.insert((moved.to.clone(), moved.table.clone()), gate);
        }
        let kept = state
            .kept
            .iter_mut()
            .filter(|((table, _), kept)| *table == moved.table && kept.lane == moved.from);
        kept.for_each(|(_, kept)| kept.lane.clone_from(&moved.to));
        let waiting = std::mem::take(&mut state.waiting).into_iter();
        state.waiting = waiting
            .map(|((lane, sequence, table, key), change)| {
                let goes = lane == moved.from && table == moved.table;
                ((if goes { moved.to.clone() } else { lane }, sequence, table, key), change)
            })
            .collect();
    }
    state.since.extend(switch.since.iter().cloned());
}

fn as_expected(state: &Contents, switch: &Switch, now: Micros) -> Result<(), SinkError> {
    let mut known = 0;
    for checkpoint in lanes_of(state, &switch.pipeline) {
        let lane = &checkpoint.lane;
        if let Some(owner) = checkpoint.owner.as_ref().filter(|_| is_held(checkpoint, now)) {
            let ends_in_ms = checkpoint.lease_until.unwrap_or_default().saturating_sub(now) / 1000;
            return Err(SinkError::Held { lane: lane.clone(), owner: owner.clone(), ends_in_ms });
        }
        let expected = (lane.clone(), checkpoint.epoch, checkpoint.sequence);
        if !switch.expected.contains(&expected) {
            return Err(SinkError::Fenced(lane.clone()));
        }
        known += 1;
    }
    if known == switch.expected.len() { Ok(()) } else { Err(SinkError::Fenced(switch.pipeline.clone())) }
}

fn is_held(checkpoint: &Checkpoint, now: Micros) -> bool {
    checkpoint.owner.is_some() && checkpoint.lease_until.is_some_and(|until| until > now)
}

fn lanes_of<'a>(state: &'a Contents, pipeline: &'a str) -> impl Iterator<Item = &'a Checkpoint> {
    state.checkpoints.values().filter(move |c| is_of(pipeline, &c.lane))
}

fn is_of(pipeline: &str, lane: &str) -> bool {
    lane.strip_prefix(pipeline).is_some_and(|rest| rest.starts_with('/'))
}
