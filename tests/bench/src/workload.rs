//! The one workload that every contestant gets: changes of workforce schedules, made from a seed.
//!
//! It comes before everything else here and knows no contestant. The standing rows that it must end with are computed
//! from the same changes, so that a fast run that is wrong does not count.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::random::Random;

/// Where the changes come from. The second one writes the changes that conflict and lose.
pub(crate) const SOURCES: [&str; 2] = ["us-east-1", "eu-west-1"];
/// When the first change was committed, in microseconds since 1970: 2025-10-09.
const BEGIN: i64 = 1_760_000_000_000_000;
/// Of the version of the table that the sources have.
const SCHEMA: u32 = 3;

/// What the changes are like.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    pub(crate) seed: u64,
    /// Changes in all.
    pub(crate) rows: u64,
    /// Distinct keys.
    pub(crate) keys: u64,
    /// Tables that the keys are dealt out to.
    pub(crate) tables: u64,
    /// So many lanes share the keys: the part of the subject that names the lane.
    pub(crate) partitions: u64,
    /// Half of all changes are of so many keys; 0: each key comes about as often as any other.
    pub(crate) hot_keys: u64,
    /// Share of changes that delete a row that stands.
    pub(crate) deletes: f64,
    /// Share of changes that come from another region, meet a newer row and lose.
    pub(crate) conflicts: f64,
    /// Average bytes of an envelope as JSON.
    pub(crate) payload_bytes: usize,
}

impl Default for Workload {
    /// The workload of the first measurement of peers: 200,000 changes of 50,000 keys, 357 bytes on average.
    fn default() -> Workload {
        Workload {
            seed: 20_261_123,
            rows: 200_000,
            keys: 50_000,
            tables: 1,
            partitions: 1,
            hot_keys: 0,
            deletes: 0.0,
            conflicts: 0.0,
            payload_bytes: 357,
        }
    }
}

/// What a change does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Create,
    Update,
    Delete,
}

/// One change of one schedule.
#[derive(Clone, Debug)]
pub(crate) struct Event {
    /// Its place in the stream, from 0; its position at the source rises with it.
    pub(crate) place: u64,
    pub(crate) op: Op,
    pub(crate) table: u64,
    pub(crate) partition: u64,
    pub(crate) source: &'static str,
    pub(crate) schedule_id: i64,
    pub(crate) agent_id: i64,
    /// Microseconds since 1970, whole minutes.
    pub(crate) shift_start: i64,
    pub(crate) modification_epoch: i64,
    pub(crate) notes: String,
    pub(crate) overtime: i64,
}

/// The name of a table.
pub(crate) fn table_name(table: u64) -> String {
    format!("schedules_{table}")
}

impl Workload {
    /// The changes, in the order of the stream: each key about as often as any other, in shuffled order.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut random = Random::new(self.seed);
        let mut keys: Vec<u64> = (0..self.rows).map(|place| place % self.keys).collect();
        random.shuffle(&mut keys);
        if self.hot_keys > 0 {
            keys.iter_mut().step_by(2).for_each(|key| *key %= self.hot_keys);
        }
        let mut newest: HashMap<u64, i64> = HashMap::new();
        let notes = self.notes_bytes();
        let mut events = Vec::with_capacity(keys.len());
        for (place, key) in (0..).zip(keys) {
            let stands = newest.get(&key).copied();
            let conflicts = stands.is_some() && random.chance(self.conflicts);
            let op = match stands {
                None => Op::Create,
                Some(_) if !conflicts && random.chance(self.deletes) => Op::Delete,
                Some(_) => Op::Update,
            };
            // Even numbers rise with the stream; the odd number below what stands is older, and nobody else's.
            let epoch = if conflicts { stands.unwrap_or_default() - 1 } else { signed(place) * 2 + 2 };
            if op == Op::Delete {
                newest.remove(&key);
            } else if !conflicts {
                newest.insert(key, epoch);
            }
            events.push(Event {
                place,
                op,
                table: key % self.tables,
                partition: key % self.partitions,
                source: SOURCES[usize::from(conflicts)],
                schedule_id: signed(key) + 1,
                agent_id: signed(random.below(5_000)) + 1,
                shift_start: BEGIN + signed(random.below(100_000)) * 60_000_000,
                modification_epoch: epoch,
                notes: words(&mut random, notes),
                overtime: signed(random.below(240)),
            });
        }
        events
    }

    /// The length that brings envelopes to the wanted average.
    fn notes_bytes(&self) -> usize {
        let middle = signed(self.rows / 2);
        let event = Event {
            place: self.rows / 2,
            op: Op::Update,
            table: 0,
            partition: 0,
            source: SOURCES[0],
            schedule_id: signed(self.keys / 2),
            agent_id: 2_500,
            shift_start: BEGIN,
            modification_epoch: middle,
            notes: String::new(),
            overtime: 100,
        };
        self.payload_bytes.saturating_sub(event.json().len())
    }
}

impl Event {
    /// The envelope, SURFACE (a). The source's column `remark` is what the sink calls `notes`.
    pub(crate) fn envelope(&self) -> Value {
        let op = match self.op {
            Op::Create => "c",
            Op::Update => "u",
            Op::Delete => "d",
        };
        let key = json!({ "schedule_id": self.schedule_id });
        let mut envelope = Map::new();
        let mut put = |name: &str, value: Value| drop(envelope.insert(name.to_owned(), value));
        put("op", json!(op));
        put("table", json!(table_name(self.table)));
        put("key", key.clone());
        if self.op == Op::Delete {
            put("before", key);
        } else {
            put("after", self.row());
        }
        let commit = (self.place + 1_000_000).to_string();
        put("pos", json!({ "source": self.source, "epoch": 0, "commit": commit, "ordinal": 0 }));
        put("at", json!(BEGIN + signed(self.place) * 100));
        put("schema", json!(SCHEMA));
        Value::Object(envelope)
    }

    /// The envelope as JSON.
    pub(crate) fn json(&self) -> Vec<u8> {
        serde_json::to_vec(&self.envelope()).expect("a value with text keys is JSON")
    }

    /// The envelope as MessagePack.
    pub(crate) fn msgpack(&self) -> Vec<u8> {
        rmp_serde::to_vec(&self.envelope()).expect("a JSON value is MessagePack")
    }

    /// The subject that it is published under.
    pub(crate) fn subject(&self) -> String {
        format!("cdc.{}.{}.public.{}", self.source, self.partition, table_name(self.table))
    }

    fn row(&self) -> Value {
        json!({
            "schedule_id": self.schedule_id,
            "agent_id": self.agent_id,
            "shift_start": text_of(self.shift_start),
            "modification_epoch": self.modification_epoch,
            "region_source": self.source,
            "remark": self.notes,
            "overtime": self.overtime,
        })
    }
}

/// What a sink's table must hold in the end: rows, and the sum of their modification epochs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) rows: i64,
    pub(crate) epochs: i64,
}

impl End {
    /// The end of the first table. `newest_wins` is the merge plugin's rule; otherwise the last change stands.
    pub(crate) fn of(events: &[Event], newest_wins: bool) -> End {
        let mut stands: HashMap<i64, i64> = HashMap::new();
        for event in events.iter().filter(|event| event.table == 0) {
            let (key, epoch) = (event.schedule_id, event.modification_epoch);
            match event.op {
                Op::Delete => drop(stands.remove(&key)),
                _ if newest_wins => {
                    let newest = stands.entry(key).or_insert(epoch);
                    *newest = epoch.max(*newest);
                }
                _ => drop(stands.insert(key, epoch)),
            }
        }
        End { rows: i64::try_from(stands.len()).unwrap_or_default(), epochs: stands.values().sum() }
    }
}

/// An instant as the envelope writes it.
pub(crate) fn text_of(micros: i64) -> String {
    let instant = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    instant.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Words of about the wanted length: half of it to one and a half.
fn words(random: &mut Random, bytes: usize) -> String {
    const WORDS: [&str; 8] = ["early ", "late ", "swap ", "cover ", "night ", "hold ", "team-b ", "split "];
    let wanted = bytes / 2 + usize::try_from(random.below(bytes.max(1) as u64)).unwrap_or_default();
    let mut text = String::with_capacity(wanted + 8);
    while text.len() < wanted {
        text.push_str(WORDS[usize::try_from(random.below(8)).unwrap_or_default()]);
    }
    text.truncate(wanted);
    text
}

/// Counts of a workload are far below 2^63.
fn signed(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> Workload {
        Workload { rows: 20_000, keys: 5_000, ..Workload::default() }
    }

    #[test]
    fn the_same_seed_gives_the_same_changes_and_another_one_others() {
        let bytes = |workload: &Workload| workload.events().iter().map(Event::json).collect::<Vec<_>>();
        assert_eq!(bytes(&small()), bytes(&small()));
        assert_ne!(bytes(&small()), bytes(&Workload { seed: 1, ..small() }));
    }

    #[test]
    fn envelopes_have_the_wanted_size_on_average() {
        for wanted in [357, 500, 2_000] {
            let events = Workload { payload_bytes: wanted, ..small() }.events();
            let average = events.iter().map(|event| event.json().len()).sum::<usize>() / events.len();
            assert!(average.abs_diff(wanted) <= 8, "{average} for {wanted}");
        }
    }

    #[test]
    fn every_key_comes_as_often_as_asked_and_its_first_change_creates_it() {
        let events = small().events();
        let mut seen: HashMap<i64, u32> = HashMap::new();
        for event in &events {
            let count = seen.entry(event.schedule_id).or_default();
            assert_eq!(event.op == Op::Create, *count == 0);
            *count += 1;
        }
        assert!(seen.len() == 5_000 && seen.values().all(|count| *count == 4));
    }

    #[test]
    fn a_conflict_is_older_than_what_stands_and_changes_no_end() {
        let events = Workload { conflicts: 0.3, ..small() }.events();
        let conflicts = events.iter().filter(|event| event.source == SOURCES[1]).count();
        assert!((4_000..5_000).contains(&conflicts), "{conflicts}");
        let ours: Vec<Event> = events.iter().filter(|event| event.source == SOURCES[0]).cloned().collect();
        assert_eq!(End::of(&events, true), End::of(&ours, true));
        assert_ne!(End::of(&events, true), End::of(&events, false));
    }

    #[test]
    fn half_of_the_changes_are_of_the_hot_keys_and_each_key_has_one_lane() {
        let events = Workload { hot_keys: 10, partitions: 4, ..small() }.events();
        let hot = events.iter().filter(|event| event.schedule_id <= 10).count();
        assert!((10_000..10_100).contains(&hot), "{hot}");
        assert!(events.iter().all(|event| event.partition == (event.schedule_id as u64 - 1) % 4));
    }

    #[test]
    fn deletes_and_tables_come_in_their_shares() {
        let events = Workload { deletes: 0.1, tables: 4, ..small() }.events();
        let deletes = events.iter().filter(|event| event.op == Op::Delete).count();
        assert!((1_000..2_000).contains(&deletes), "{deletes}");
        let first = events.iter().filter(|event| event.table == 0).count();
        assert_eq!(first, 5_000);
        assert!(End::of(&events, false).rows < 1_250);
    }
}
