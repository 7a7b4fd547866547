//! Promise 6 for the rules that keep more than a row and its version, and for what the application writes in both regions
//! while they are cut off. Rules that go by arrival are seen to end differently.

use std::collections::BTreeMap;

use reconverge_tests::{Change, Kind, Scene, guest, micros};
use serde_json::{Value, json};

use crate::convergence::{Dice, interleaved};

const KEYS: u64 = 8;
const CHANGES: u64 = 200;
const TABLES: [(&str, &str); 4] = [
    ("by_hlc", "\"lww:hlc\""),
    ("by_clock", "\"vector\""),
    ("by_cell", "\"column-merge\""),
    ("by_sum", "\"counter:hits\""),
];

fn ddl(tables: &[&str]) -> String {
    let one = |table: &&str| {
        format!(
            "CREATE TABLE {table} (id bigint PRIMARY KEY NOT NULL, hits bigint NOT NULL, note text, tag text);"
        )
    };
    tables.iter().map(one).collect()
}

fn table(name: &str, policy: &str) -> String {
    format!(
        "[[table]]\nname = \"{name}\"\nkey = [\"id\"]\npolicy = {policy}\ndeletes = \"ordered\"\n\
         before_images = \"full\"\n\n"
    )
}

/// What one region writes, as its own rows say: creates, updates of some columns, deletes, whole before images, and the
/// clocks of a writer that never hears of the other region.
fn history(source: &'static str, dice: &mut Dice) -> Vec<Change> {
    let mut rows: BTreeMap<(usize, u64), (Value, u64)> = BTreeMap::new();
    let mut changes = Vec::new();
    for commit in 1..=CHANGES {
        let (table, id) = (usize::try_from(dice.below(TABLES.len() as u64)).unwrap(), dice.below(KEYS));
        let (before, written) = rows.get(&(table, id)).cloned().unwrap_or_default();
        let written = written + 1;
        let name = TABLES[table].0;
        let key = json!({"id": id});
        let gone = !before.is_null() && dice.below(5) == 0;
        let mut row = before.clone();
        if before.is_null() {
            row = json!({"id": id, "hits": dice.below(9), "note": source, "tag": "new"});
        } else if !gone {
            match dice.below(3) {
                0 => row["hits"] = json!(row["hits"].as_u64().unwrap() + dice.below(9)),
                1 => row["note"] = json!(format!("{source} {}", dice.below(3))),
                _ => row["tag"] = json!(format!("tag {}", dice.below(3))),
            }
        }
        let change = match (gone, before.is_null()) {
            (true, _) => Change::delete(source, commit, name, key, before),
            (_, true) => Change::write(source, commit, name, key, row.clone()).with("op", json!("c")),
            _ => Change::write(source, commit, name, key, row.clone()).with("before", before),
        };
        rows.insert((table, id), (if gone { Value::Null } else { row }, written));
        let at = micros(commit - commit % 20);
        let clocked = change.with("at", json!(at)).with("clock", json!({source: written}));
        // Time and clock disagree, so that a rule that took the one for the other would be seen.
        changes.push(clocked.with("hlc", json!(format!("{}-{commit}", micros(commit / 50)))));
    }
    changes
}

/// (order value, delete, commit time, origin, position); the greater wins.
type Rank = (u64, bool, i64, String, u64);

fn rank(change: &Change) -> Rank {
    let number = |value: &Value| value.as_str().unwrap().parse::<u64>().unwrap();
    let position = number(&change.field("pos")["commit"]);
    let at = change.field("at").as_i64().unwrap();
    let source = change.source().to_owned();
    let value = match change.table() {
        "by_hlc" => {
            let text = change.field("hlc");
            let (time, counter) = text.as_str().unwrap().split_once('-').unwrap();
            time.parse::<u64>().unwrap() * 1000 + counter.parse::<u64>().unwrap()
        }
        "by_clock" => change.field("clock")[&source].as_u64().unwrap(),
        _ => u64::try_from(at).unwrap(),
    };
    (value, change.field("after").is_null(), at, source, position)
}

/// What must stand, as a function of the set of changes.
fn expected(east: &[Change], west: &[Change]) -> Vec<String> {
    let mut keys: BTreeMap<(String, u64), Vec<&Change>> = BTreeMap::new();
    for change in east.iter().chain(west) {
        let id = change.field("key")["id"].as_u64().unwrap();
        keys.entry((change.table().to_owned(), id)).or_default().push(change);
    }
    let shown = |((table, id), changes): ((String, u64), Vec<&Change>)| {
        let newest = changes.iter().max_by_key(|change| rank(change)).unwrap().field("after");
        if newest.is_null() {
            return None;
        }
        let cell = |column: &str| match &*table {
            "by_cell" => of_column(&changes, column),
            "by_sum" if column == "hits" => {
                let hits = |row: Value| row["hits"].as_i64().unwrap_or(0);
                let added = changes.iter().map(|c| hits(c.field("after")) - hits(c.field("before")));
                json!(added.sum::<i64>())
            }
            _ => newest[column].clone(),
        };
        let text = |column: &str| cell(column).as_str().unwrap().to_owned();
        Some(format!("{table} {id} {} {} {}", cell("hits"), text("note"), text("tag")))
    };
    let mut rows: Vec<String> = keys.into_iter().filter_map(shown).collect();
    rows.sort();
    rows
}

/// Of all changes to a column the newest; what a change only carries along is older than all.
fn of_column(changes: &[&Change], column: &str) -> Value {
    let told = |change: &&Change| {
        let (after, before) = (change.field("after"), change.field("before"));
        let value = if after.is_null() { before[column].clone() } else { after[column].clone() };
        let changed = !after.is_null() && before[column] != value;
        let (_, _, at, source, position) = rank(change);
        ((changed, if changed { at } else { 0 }, source, position), value)
    };
    changes.iter().map(told).max_by(|a, b| a.0.cmp(&b.0)).unwrap().1
}

async fn rows(scene: &Scene, tables: &[&str]) -> Vec<String> {
    let of = |table: &&str| {
        format!("SELECT '{table} ' || id || ' ' || hits || ' ' || note || ' ' || tag FROM {table}")
    };
    let query = tables.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ");
    let mut rows = scene.column(&query).await;
    rows.sort();
    rows
}

#[tokio::test]
async fn promise_06_convergence_of_rules_that_put_rows_together_or_go_by_clocks() {
    let names = TABLES.map(|(name, _)| name);
    for seed in [0x2545_f491_4f6c_dd1d, 0x9e37_79b9_7f4a_7c15] {
        let mut dice = Dice(seed);
        let (east, west) = (history("east", &mut dice), history("west", &mut dice));
        let expected = expected(&east, &west);
        assert!(expected.len() > 10, "{expected:?}");
        for (place, (kind, batch)) in
            [(Kind::Sqlite, 1000), (Kind::Postgres, 1000), (Kind::Postgres, 11)].into_iter().enumerate()
        {
            let mut scene = Scene::new(&format!("rules_{}_{place}", seed % 1000), kind, &ddl(&names)).await;
            scene.rows = batch;
            scene.region = format!("region-{place}");
            scene.write(&TABLES.map(|(name, policy)| table(name, policy)).concat());
            scene.publish(&interleaved(&east, &west, &mut dice)).await;
            let report = scene.run().await;
            assert_eq!(report.sum("dead-lettered"), 0, "{report:?}");
            assert!(report.sum("merged") > 10 && report.sum("kept-current") > 10, "no contest: {report:?}");
            assert_eq!(rows(&scene, &names).await, expected, "seed {seed:#x}, region {place}");
        }
    }
}

/// The checks above can fail: what goes by arrival, as a policy or as a plugin, ends differently.
#[tokio::test]
async fn promise_06_rules_that_go_by_arrival_are_seen_to_diverge() {
    let names = ["by_arrival", "by_plugin"];
    let write = |source: &str, table: &str, note: &str| {
        let row = json!({"id": 1, "hits": 1, "note": note, "tag": "t"});
        Change::write(source, 1, table, json!({"id": 1}), row)
    };
    let mut ends = Vec::new();
    for (place, order) in [["east", "west"], ["west", "east"]].into_iter().enumerate() {
        let scene = Scene::new(&format!("arrival_{place}"), Kind::Sqlite, &ddl(&names)).await;
        let plugin = format!(
            "[[plugin]]\nname = \"lawless\"\npath = {:?}\nstage = \"merge\"\ntables = [\"by_plugin\"]\n\
             config = {{ mode = \"trap\", marker = \"never\" }}\n",
            guest("faulty")
        );
        let tables = [
            "[[table]]\nname = \"by_arrival\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n\n".to_owned(),
            table("by_plugin", "{ plugin = \"lawless\" }"),
        ];
        scene.write(&(tables.concat() + &plugin));
        let changes = order.map(|source| names.map(|table| write(source, table, source)));
        scene.publish(changes.as_flattened()).await;
        let report = scene.run().await;
        assert_eq!(report.sum("applied"), 4, "{report:?}");
        ends.push(rows(&scene, &names).await);
    }
    assert_eq!(ends[0], ["by_arrival 1 1 west t", "by_plugin 1 1 west t"]);
    assert_eq!(ends[1], ["by_arrival 1 1 east t", "by_plugin 1 1 east t"]);
}

const BOTH: [(&str, &str); 5] = [
    ("by_hits", "\"max:hits\""),
    ("by_cell", "\"column-merge by max:hits\""),
    ("by_region", "\"origin-priority:west,east\""),
    ("by_clock", "\"vector by max:hits\""),
    ("by_sum", "\"counter:tally by max:hits\""),
];

/// One region of a split brain: the application writes its database, and what it writes is published from there.
struct Region {
    name: &'static str,
    scene: Scene,
    commit: u64,
    /// What the application wrote here, for the other region.
    published: Vec<Change>,
}

impl Region {
    async fn new(name: &'static str, kind: Kind) -> Region {
        let one = |(table, _): &(&str, &str)| {
            format!(
                "CREATE TABLE {table} (id bigint PRIMARY KEY NOT NULL, hits bigint NOT NULL, note text, tag text, tally bigint NOT NULL);"
            )
        };
        let ddl: String = BOTH.iter().map(one).collect();
        let mut scene = Scene::new(&format!("brain_{name}"), kind, &ddl).await;
        scene.region = name.to_owned();
        scene.write(&BOTH.map(|(name, policy)| table(name, policy)).concat());
        Region { name, scene, commit: 0, published: Vec::new() }
    }

    /// The application sets columns of a row that is there, or makes it.
    async fn set(&mut self, id: u64, hits: u64, sets: &[(&str, Value)]) {
        for (table, _) in BOTH {
            let select = format!("SELECT id, hits, note, tag, tally FROM {table} WHERE id = {id}");
            let before = self.scene.texts(&select).await.into_iter().next().map(|row| {
                let number = |at: usize| row[at].as_ref().unwrap().parse::<i64>().unwrap();
                json!({"id": id, "hits": number(1), "note": row[2], "tag": row[3], "tally": number(4)})
            });
            let mut after = before
                .clone()
                .unwrap_or_else(|| json!({"id": id, "hits": 0, "note": "new", "tag": "new", "tally": 0}));
            after["hits"] = json!(hits);
            for (column, value) in sets {
                let added = value.as_i64().filter(|_| *column == "tally");
                after[column] = added.map_or(value.clone(), |n| json!(after["tally"].as_i64().unwrap() + n));
            }
            let cells = format!(
                "{id}, {}, '{}', '{}', {}",
                after["hits"],
                after["note"].as_str().unwrap(),
                after["tag"].as_str().unwrap(),
                after["tally"]
            );
            let write = format!("DELETE FROM {table} WHERE id = {id}; INSERT INTO {table} VALUES ({cells});");
            self.scene.sink.execute(&write).await.unwrap();
            self.commit += 1;
            let change = Change::write(self.name, self.commit, table, json!({"id": id}), after);
            let change = match before {
                Some(before) => change.with("before", before),
                None => change.with("op", json!("c")),
            };
            self.published.push(change.with("clock", json!({self.name: 1})));
        }
    }

    /// Takes over what the other region published, and its own come back.
    async fn heal(&self, other: &Region) -> Vec<String> {
        self.scene.publish(&other.published).await;
        self.scene.publish(&self.published).await;
        let report = self.scene.run().await;
        assert_eq!(report.sum("dead-lettered"), 0, "{report:?}");
        assert_eq!(report.sum("echo"), self.published.len() as u64, "{report:?}");
        assert!(report.local_writes > 0, "{report:?}");
        self.rows().await
    }

    async fn rows(&self) -> Vec<String> {
        let of = |(table, _): &(&str, &str)| {
            format!(
                "SELECT '{table} ' || id || ' ' || hits || ' ' || note || ' ' || tag || ' ' || tally FROM {table}"
            )
        };
        let query = BOTH.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ");
        let mut rows = self.scene.column(&query).await;
        rows.sort();
        rows
    }
}

/// Both regions' applications write the same rows while they are cut off, and each takes over what the other wrote.
#[tokio::test]
async fn promise_06_two_regions_that_both_wrote_end_with_the_same_rows() {
    let mut east = Region::new("east", Kind::Postgres).await;
    let mut west = Region::new("west", Kind::Sqlite).await;
    east.set(1, 3, &[("note", json!("east")), ("tally", json!(5))]).await;
    west.set(1, 4, &[("tag", json!("west")), ("tally", json!(2))]).await;
    east.set(2, 9, &[("note", json!("east"))]).await;
    west.set(2, 8, &[("note", json!("west")), ("tally", json!(1))]).await;
    east.set(3, 1, &[("tally", json!(7))]).await;
    let (in_east, in_west) = (east.heal(&west).await, west.heal(&east).await);
    assert_eq!(in_east, in_west);
    for row in [
        "by_hits 1 4 new west 2",
        "by_hits 2 9 east new 0",
        "by_region 2 8 west new 1",
        "by_sum 1 4 new west 7",
        "by_sum 2 9 east new 1",
        "by_sum 3 1 new new 7",
    ] {
        assert!(in_east.iter().any(|found| found == row), "{row}\n{in_east:#?}");
    }
}

/// A tombstone goes when its source has passed it, and what comes after that is told, and brings nothing back.
#[tokio::test]
async fn promise_06_a_deleted_row_does_not_come_back_when_its_tombstone_has_gone() {
    for (name, kind) in [("gone_sqlite", Kind::Sqlite), ("gone_postgres", Kind::Postgres)] {
        let scene = Scene::new(name, kind, &ddl(&["goods"])).await;
        let keep = "\n[limits.keep]\ntombstones = \"1s\"\n";
        scene.write(&(keep.to_owned() + &table("goods", "\"lww:commit-time\"")));
        let row = json!({"id": 1, "hits": 1, "note": "n", "tag": "t"});
        let key = json!({"id": 1});
        let write =
            |source: &str, commit: u64| Change::write(source, commit, "goods", key.clone(), row.clone());
        let tombstones = format!("SELECT count(*) FROM {} WHERE standing = 'd'", scene.sidecar("version"));
        scene
            .publish(&[write("east", 1), Change::delete("east", 2, "goods", key.clone(), row.clone())])
            .await;
        scene.run().await;
        assert_eq!(scene.column(&tombstones).await, ["1"], "east has not passed it by the clock's skew");
        // 20 s later; clocks may differ by 10.
        let other = json!({"id": 2, "hits": 1, "note": "n", "tag": "t"});
        scene.publish(&[Change::write("east", 20_002, "goods", json!({"id": 2}), other)]).await;
        scene.run().await;
        assert_eq!(scene.column(&tombstones).await, ["0"]);
        scene.publish(&[write("west", 1), write("east", 2)]).await;
        assert_eq!(scene.run().await.sum("too-old"), 2);
        assert_eq!(rows(&scene, &["goods"]).await, ["goods 2 1 n t"]);
        let letters = scene.letters().await;
        assert!(letters.len() == 2 && letters.iter().all(|letter| letter.code == "too-old"), "{letters:?}");
        scene.audit().await;
    }
}
