//! Promise 6: two regions that apply the same changes in different orders end with the same rows, deletes included.

use std::collections::BTreeMap;

use reconverge_tests::{Change, Kind, Scene, guest, micros};
use serde_json::{Value, json};

/// A generator with a seed, so that a failure can be had again.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        // Xorshift64: good enough to shuffle, and the same everywhere.
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// What a change is compared by: order value, whether it deletes, commit time, origin, position.
type Rank = ((i64, String), bool, i64, String, u64);

const KEYS: u64 = 12;
const CHANGES: usize = 240;
const TABLES: [&str; 3] = ["by_plugin", "by_column", "by_time"];

fn ddl() -> String {
    TABLES
        .map(|table| {
            format!(
                "CREATE TABLE {table} (id bigint PRIMARY KEY NOT NULL, modification_epoch bigint NOT NULL, \
                 region_source text NOT NULL, note text);"
            )
        })
        .concat()
}

fn rules() -> String {
    let table = |name: &str, policy: &str| {
        format!(
            "[[table]]\nname = \"{name}\"\nkey = [\"id\"]\npolicy = {policy}\ndeletes = \"ordered\"\n\
             before_images = \"full\"\n\n"
        )
    };
    let tables = [
        table("by_plugin", "{ plugin = \"merge\" }"),
        table("by_column", "\"max:modification_epoch\""),
        table("by_time", "\"lww:commit-time\""),
    ];
    format!(
        "{}[[plugin]]\nname = \"merge\"\npath = {:?}\nstage = \"merge\"\n",
        tables.concat(),
        guest("schedule-merge")
    )
}

/// What one region writes: few keys and few order values, so that ties are many; some commit times are those of the
/// other region's changes. A row's own image goes with each delete.
fn history(source: &'static str, dice: &mut Dice) -> Vec<Change> {
    let mut rows: Vec<Vec<Option<Value>>> = vec![vec![None; usize::try_from(KEYS).unwrap()]; TABLES.len()];
    let mut changes = Vec::new();
    for commit in 1..=CHANGES as u64 {
        let table = usize::try_from(dice.below(TABLES.len() as u64)).unwrap();
        let id = dice.below(KEYS);
        let place = usize::try_from(id).unwrap();
        let at = json!(micros(commit - commit % 40));
        let key = json!({"id": id});
        let gone = if dice.below(4) == 0 { rows[table][place].take() } else { None };
        let change = match gone {
            Some(before) => Change::delete(source, commit, TABLES[table], key, before),
            None => {
                let epoch = dice.below(4);
                let row = json!({
                    "id": id, "modification_epoch": epoch, "region_source": source,
                    "note": format!("{source} {}", dice.below(3)),
                });
                rows[table][place] = Some(row.clone());
                Change::write(source, commit, TABLES[table], key, row)
            }
        };
        changes.push(change.with("at", at));
    }
    changes
}

/// Both histories as one stream that keeps the order of each.
pub(crate) fn interleaved(east: &[Change], west: &[Change], dice: &mut Dice) -> Vec<Change> {
    let (mut east, mut west) = (east.iter().peekable(), west.iter().peekable());
    let mut stream = Vec::new();
    // A region may be away for long.
    let mut bias = dice.below(100);
    loop {
        if stream.len() % 40 == 0 {
            bias = dice.below(100);
        }
        let from_east = dice.below(100) < bias;
        let next =
            if from_east { east.next().or_else(|| west.next()) } else { west.next().or_else(|| east.next()) };
        match next {
            Some(change) => stream.push(change.clone()),
            None => return stream,
        }
    }
}

/// What must stand, by the rules alone and without any order of arrival: of all changes of a key the greatest, by
/// order value, then delete before write, commit time, origin and position.
fn greatest(east: &[Change], west: &[Change]) -> Vec<String> {
    let mut winners: BTreeMap<(String, u64), (Rank, Option<Value>)> = BTreeMap::new();
    for change in east.iter().chain(west) {
        let (row, before) = (change.field("after"), change.field("before"));
        let is_delete = row.is_null();
        let order = if is_delete { &before } else { &row };
        let number = |name: &str| order[name].as_i64().unwrap();
        let at = change.field("at").as_i64().unwrap();
        let table = change.table();
        let value = match table {
            "by_time" => (at, String::new()),
            "by_column" => (number("modification_epoch"), String::new()),
            _ => (number("modification_epoch"), order["region_source"].as_str().unwrap().to_owned()),
        };
        let position: u64 = change.field("pos")["commit"].as_str().unwrap().parse().unwrap();
        let rank = (value, is_delete, at, change.source().to_owned(), position);
        let key = (table.to_owned(), order["id"].as_u64().unwrap());
        let stands = Some(row).filter(|_| !is_delete);
        match winners.get(&key) {
            Some((known, _)) if *known > rank => {}
            _ => drop(winners.insert(key, (rank, stands))),
        }
    }
    let shown = |((table, id), (_, row)): ((String, u64), (Rank, Option<Value>))| {
        let row = row?;
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        Some(format!("{table} {id} {} {} {}", row["modification_epoch"], text("region_source"), text("note")))
    };
    let mut rows: Vec<String> = winners.into_iter().filter_map(shown).collect();
    rows.sort();
    rows
}

async fn rows(scene: &Scene) -> Vec<String> {
    let of = |table: &&str| {
        format!(
            "SELECT '{table} ' || id || ' ' || modification_epoch || ' ' || region_source || ' ' || note FROM {table}"
        )
    };
    let query = TABLES.iter().map(of).collect::<Vec<_>>().join(" UNION ALL ");
    let mut rows = scene.column(&query).await;
    rows.sort();
    rows
}

#[tokio::test]
async fn promise_06_convergence() {
    for seed in [0x2545_f491_4f6c_dd1d, 0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03] {
        let mut dice = Dice(seed);
        let (east, west) = (history("east", &mut dice), history("west", &mut dice));
        let expected = greatest(&east, &west);
        assert!(expected.len() > 10, "{expected:?}");
        for (place, (kind, batch)) in
            [(Kind::Sqlite, 1000), (Kind::Sqlite, 9), (Kind::Postgres, 40)].into_iter().enumerate()
        {
            let mut scene = Scene::new(&format!("region_{}_{place}", seed % 1000), kind, &ddl()).await;
            scene.rows = batch;
            scene.region = format!("region-{place}");
            scene.write(&rules());
            scene.publish(&interleaved(&east, &west, &mut dice)).await;
            let report = scene.run().await;
            assert_eq!(report.sum("dead-lettered"), 0, "{report:?}");
            assert!(report.sum("deleted") > 5 && report.sum("kept-current") > 20, "no contest: {report:?}");
            assert_eq!(report.local_writes, 0, "nobody else writes here");
            assert_eq!(rows(&scene).await, expected, "seed {seed:#x}, region {place}");
        }
    }
}
