//! Question 9: what does it cost that a row waits for its parent? The same rows without a rule between the tables, with the
//! parents first, and with a fifth of the parents late; then how fast rows that wait are put in when their parents come.
//!
//! Built-in policies and no plugins, so that the difference is the waiting's.

use std::{
    cell::Cell,
    collections::{HashSet, VecDeque},
};

use anyhow::{Result, ensure};
use bytes::Bytes;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Line, Unit},
    desk,
    pipeline::{self, Ran},
    place::{Kind, Place},
    read::rate,
    scale::Scale,
    sinks::{Bench, SUBJECTS},
    stream::Broker,
    trial::{Contestant, interleaved},
    workload::{End, Event, Workload, table_name},
};

/// Children of a parent.
const CHILDREN: i64 = 10;
/// Of the parents, one in so many comes late.
const LATE: i64 = 5;
/// By so many messages.
const LAG: usize = 5_000;
/// The source of all of it.
const SOURCE: &str = "us-east-1";

const DDL: &str = "CREATE TABLE agents (agent_id BIGINT PRIMARY KEY NOT NULL, name TEXT NOT NULL);";

type Message = (String, Bytes);

/// When parents come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parents {
    /// Each before the first row that names it.
    First,
    /// A fifth of them [`LAG`] messages behind it.
    SomeLate,
}

/// Answers the question for a kind of sink.
///
/// # Errors
/// There is no server, a run fails, or it ends with other rows than the workload says.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kind: &Kind) -> Result<Answer> {
    let events =
        of_few_parents(&Workload { rows: scale.sink_rows, keys: scale.sink_keys, ..Workload::default() });
    let end = End::of(&events, true);
    let brokers = [runtime.block_on(Broker::start())?, runtime.block_on(Broker::start())?];
    let mut counts = Vec::new();
    for (broker, when) in brokers.iter().zip([Parents::First, Parents::SomeLate]) {
        let messages = in_stream(&events, when);
        counts.push(messages.len() as u64);
        runtime.block_on(broker.fill("FAMILY", &[SUBJECTS], messages.into_iter()))?;
    }
    let bench = Bench::of(runtime, kind);
    let run = |at: usize, is_bound: bool| -> Result<f64> {
        let place = place(&bench)?;
        let file = file(&brokers[at].server.url(), &place.url(), is_bound);
        let ran = runtime.block_on(pipeline::run(&place.folder(), &file, counts[at]))?;
        ensure!(runtime.block_on(place.end())? == end, "the run ended with other rows");
        Ok(rate(counts[at], ran.took))
    };
    let note = Cell::new(None);
    let mut contestants = [
        Contestant::new("no rule between the tables", || run(0, false)),
        Contestant::new("parents first", || run(0, true)),
        Contestant::new("a fifth of the parents late", || run(1, true)),
        Contestant::new("release", || release(&bench, scale.parked_rows, &note)),
    ];
    let measures = interleaved(scale.macro_rounds, &mut contestants)?;
    drop(contestants);
    let [plain, first, late, released] = measures.try_into().unwrap_or_default();
    let line = |what: &str, measures| Line::new(what, Unit::EventsPerSecond, measures);
    let lines = vec![
        line("no rule between the tables", plain.clone()),
        line("depends_on, parents first", first).against("no rule", &plain),
        line("depends_on, a fifth of the parents 5,000 messages late", late).against("no rule", &plain),
        line("rows that waited, put in by their parents", released).note(format!(
            "{} rows of {} parents; {}",
            scale.parked_rows,
            parents_of(scale.parked_rows),
            note.take().unwrap_or_default()
        )),
    ];
    let asks = format!(
        "family: JetStream -> {} with versions, `max` on one column, no plugins; {} changes of {} rows, {CHILDREN} of a parent",
        kind.name(),
        scale.sink_rows,
        scale.sink_keys
    );
    Ok(Answer { question: "family", asks, lines })
}

fn parents_of(rows: u64) -> u64 {
    rows.div_ceil(CHILDREN.unsigned_abs())
}

/// Rows per second from the start of a process whose stream holds the parents of rows that wait, to its end.
fn release(bench: &Bench<'_>, rows: u64, note: &Cell<Option<String>>) -> Result<f64> {
    let events = of_few_parents(&Workload { rows, keys: rows, ..Workload::default() });
    let broker = bench.runtime.block_on(Broker::start())?;
    let children: Vec<Message> = events.iter().map(|e| (e.subject(), Bytes::from(e.json()))).collect();
    bench.runtime.block_on(broker.fill("FAMILY", &[SUBJECTS], children.into_iter()))?;
    let place = place(bench)?;
    let file = file(&broker.server.url(), &place.url(), true);
    let Ran { took: parked, .. } = bench.runtime.block_on(pipeline::run(&place.folder(), &file, rows))?;
    ensure!(bench.runtime.block_on(place.end())?.rows == 0, "rows stand in the sink without their parents");
    let parents = parents_of(rows);
    let come = (0..parents).map(|agent| parent(i64::try_from(agent).unwrap_or_default() + 1, rows + agent));
    bench.runtime.block_on(broker.publish(come))?;
    let Ran { took, .. } = bench.runtime.block_on(pipeline::run(&place.folder(), &file, parents))?;
    let end = bench.runtime.block_on(place.end())?;
    ensure!(end == End::of(&events, true), "{} of {rows} rows were put in", end.rows);
    note.set(Some(format!(
        "last run {:.2} s, to keep them {:.2} s",
        took.as_secs_f64(),
        parked.as_secs_f64()
    )));
    Ok(rate(rows, took))
}

fn place<'a>(bench: &'a Bench<'_>) -> Result<Place<'a>> {
    let place = bench.fresh()?;
    bench.runtime.block_on(place.execute(DDL))?;
    Ok(place)
}

/// The changes of a workload, each row of one parent for ever.
fn of_few_parents(workload: &Workload) -> Vec<Event> {
    let mut events = workload.events();
    events.iter_mut().for_each(|event| event.agent_id = (event.schedule_id - 1) / CHILDREN + 1);
    events
}

/// The messages of a stream: the changes, and the parents where they come.
fn in_stream(events: &[Event], when: Parents) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    let mut named = HashSet::new();
    let mut late: VecDeque<(usize, i64)> = VecDeque::new();
    for event in events {
        while late.front().is_some_and(|(due, _)| *due <= messages.len()) {
            let (_, agent) = late.pop_front().unwrap_or_default();
            messages.push(parent(agent, event.place));
        }
        if named.insert(event.agent_id) {
            if when == Parents::SomeLate && event.agent_id % LATE == 0 {
                late.push_back((messages.len() + LAG, event.agent_id));
            } else {
                messages.push(parent(event.agent_id, event.place));
            }
        }
        messages.push((event.subject(), Bytes::from(event.json())));
    }
    let last = events.last().map_or(0, |event| event.place);
    messages.extend(late.into_iter().map(|(_, agent)| parent(agent, last)));
    messages
}

/// The change that makes a parent; its position lies before that of the change of the same place.
fn parent(agent: i64, place: u64) -> Message {
    let key = json!({ "agent_id": agent });
    let envelope = json!({
        "op": "c",
        "table": "agents",
        "key": key,
        "after": { "agent_id": agent, "name": format!("agent {agent}") },
        "pos": { "source": SOURCE, "epoch": 0, "commit": (place + 1_000_000).to_string(), "ordinal": 1 },
        "at": 1_760_000_000_000_000_i64 + i64::try_from(place).unwrap_or_default() * 100,
    });
    (format!("cdc.{SOURCE}.0.public.agents"), Bytes::from(envelope.to_string()))
}

/// The pipeline; `is_bound`: the rows depend on their parents.
fn file(nats: &str, sink: &str, is_bound: bool) -> String {
    let bound =
        if is_bound { "depends_on = [{ table = \"agents\", columns = [\"agent_id\"] }]\n" } else { "" };
    format!(
        "[pipeline]\nname = \"family\"\nregion = {:?}\n\n[source]\nurl = {nats:?}\nstream = \"FAMILY\"\n\
         subjects = \"cdc.{{source}}.{{partition}}.>\"\nformat = \"native\"\n\n[sink]\nurl = {sink:?}\n\n\
         [limits]\nparked = {{ rows = 1000000 }}\n\n\
         [[table]]\nname = \"agents\"\nkey = [\"agent_id\"]\npolicy = \"take-incoming\"\npriority = 1\n\n\
         [[table]]\nname = {:?}\nkey = [\"schedule_id\"]\npolicy = \"max:modification_epoch\"\npriority = 2\n\
         deletes = \"win\"\n{bound}\n",
        desk::REGION,
        table_name(0)
    )
}

#[cfg(test)]
mod tests {
    use reconverge_servers::project_root;

    use super::*;

    #[test]
    fn the_pipeline_is_one_that_the_product_takes() {
        let path = project_root().join("pipeline.toml");
        for is_bound in [false, true] {
            let text = file("nats://127.0.0.1:1", "sqlite:///it.db", is_bound);
            let parsed = reconverge::config::parse(&text, &path, &reconverge::config::ProcessEnvironment);
            let pipeline = parsed.unwrap_or_else(|error| panic!("{error}\n{text}"));
            assert_eq!(pipeline.tables[1].depends_on.len(), usize::from(is_bound));
        }
    }

    #[test]
    fn a_fifth_of_the_parents_comes_late_and_each_once() {
        let events = of_few_parents(&Workload { rows: 40_000, keys: 10_000, ..Workload::default() });
        for (when, share) in [(Parents::First, 0), (Parents::SomeLate, 200)] {
            let messages = in_stream(&events, when);
            assert_eq!(messages.len(), 41_000);
            let (mut here, mut orphans) = (HashSet::new(), HashSet::new());
            for (subject, payload) in &messages {
                let change: serde_json::Value = serde_json::from_slice(payload).unwrap();
                let agent = change["after"]["agent_id"].as_i64().unwrap();
                if subject.ends_with(".agents") {
                    assert!(here.insert(agent), "a parent comes once");
                } else if !here.contains(&agent) {
                    orphans.insert(agent);
                }
            }
            assert_eq!((here.len(), orphans.len()), (1_000, share));
        }
    }
}
