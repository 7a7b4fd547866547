//! Checks `[[lane]]` and puts the lanes in an order in which each stands behind those it comes after.

use std::ops::Range;

use super::Checker;
use crate::config::checked::{Lane, Pipeline};
use crate::config::located::At;
use crate::config::raw;

/// The lane that is always there.
pub(super) const MAIN: &str = "main";

impl Checker<'_> {
    pub(super) fn lanes(&mut self, lanes: &[At<raw::Lane>]) -> Vec<Lane> {
        let mut named: Vec<(String, Range<usize>)> = Vec::new();
        let mut written: Vec<&At<raw::Lane>> = Vec::new();
        for lane in lanes {
            let Some(name) = self.needed(lane.name.as_ref(), &lane.span(), "[[lane]]", "name") else {
                continue;
            };
            if self.is_new(&named, name, "lane") {
                named.push((self.plain_name(Some(name), "lane"), name.span()));
                written.push(lane);
            }
        }
        let others = named.iter().map(|(name, _)| name.as_str()).filter(|name| *name != MAIN);
        let names: Vec<&str> = std::iter::once(MAIN).chain(others).collect();
        for lane in &written {
            self.lane_alone(lane, &names);
        }
        self.in_order(&names, &written)
    }

    fn lane_alone(&mut self, lane: &raw::Lane, names: &[&str]) {
        self.distinct(&lane.after, "lane");
        for before in &lane.after {
            if !names.contains(&before.as_str()) {
                self.unknown(before, "lane", names);
            }
        }
        if let Some(lag) = lane.yield_lag.as_ref().filter(|_| lane.after.is_empty()) {
            self.refuse(lag.span(), "`yield_lag` without `after` yields to nobody")
                .help("name the lanes that go before, such as `after = [\"main\"]`");
        }
    }

    /// Takes, again and again, the first lane whose predecessors are taken; what is left stands in a circle.
    fn in_order(&mut self, names: &[&str], written: &[&At<raw::Lane>]) -> Vec<Lane> {
        let raw_of = |name: &str| {
            written.iter().find(|lane| lane.name.as_ref().is_some_and(|written| written.value() == name))
        };
        let mut waiting: Vec<&str> = names.to_vec();
        let mut lanes: Vec<Lane> = Vec::new();
        while !waiting.is_empty() {
            let place = |name: &str| lanes.iter().position(|lane| lane.name == name);
            let ready = waiting.iter().position(|name| {
                let before = raw_of(name).map_or(&[][..], |lane| &lane.after);
                before.iter().all(|before| place(before).is_some() || !names.contains(&before.as_str()))
            });
            let circular = ready.is_none();
            let name = waiting.remove(ready.unwrap_or(0));
            let lane = raw_of(name);
            if let Some(lane) = lane.filter(|_| circular) {
                let span = lane.name.as_ref().map_or(lane.span(), At::span);
                self.refuse(span, format!("lane `{name}` comes after itself"))
                    .label("in a circle of `after`")
                    .help("take one lane out of an `after` of the circle");
                // One complaint a circle: who waits for it goes on as if it were well placed.
            }
            lanes.push(Lane {
                name: name.to_owned(),
                after: lane
                    .map_or_else(Vec::new, |lane| lane.after.iter().filter_map(|name| place(name)).collect()),
                yield_lag: lane.and_then(|lane| lane.yield_lag.as_ref()).map(|lag| lag.duration),
                span: lane.map_or(0..0, |lane| lane.span()),
            });
        }
        lanes
    }

    /// A lane that carries no table would still hold a consumer and a checkpoint.
    pub(super) fn lanes_in_use(&mut self, plan: &Pipeline) {
        for (index, lane) in plan.lanes.iter().enumerate() {
            if lane.name != MAIN && !plan.tables.iter().any(|table| table.lane == index) {
                self.refuse(lane.span.clone(), format!("no table is in lane `{}`", lane.name))
                    .warn()
                    .help(format!("set `lane = \"{}\"` in a [[table]], or leave the lane out", lane.name));
            }
        }
    }
}
