//! Promise 5 of a table that depends on itself, end to end: employees and their managers, published in any order. In
//! PostgreSQL the database's own foreign key watches over it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

use std::collections::{BTreeMap, BTreeSet};

use reconverge_tests::{Change, Kind, Scene};
use serde_json::{Value, json};

const RULES: &str = r#"
[[table]]
name = "employees"
key = ["id"]
policy = "lww:commit-time"
depends_on = [{ table = "employees", columns = ["manager"] }]
"#;

/// The people that stand, each with who is above.
#[derive(Default)]
struct People {
    stand: BTreeMap<i64, Option<i64>>,
    commit: u64,
}

impl People {
    /// A change that makes it so.
    fn hire(&mut self, id: i64, manager: Option<i64>) -> Change {
        self.stand.insert(id, manager);
        self.commit += 1;
        let row = json!({"id": id, "manager": manager, "name": format!("{id} of {}", self.commit)});
        Change::write("east", self.commit, "employees", json!({"id": id}), row)
    }

    fn dismiss(&mut self, id: i64) -> Change {
        self.stand.remove(&id);
        self.commit += 1;
        Change::delete("east", self.commit, "employees", json!({"id": id}), Value::Null)
    }

    /// Those whose managers are there, up to one who has none, or manages themselves.
    fn there(&self) -> BTreeSet<i64> {
        let mut there = BTreeSet::new();
        loop {
            let is_next = |(id, manager): (&i64, &Option<i64>)| {
                manager.is_none_or(|manager| manager == *id || there.contains(&manager))
                    && !there.contains(id)
            };
            let next: Vec<i64> = self.stand.iter().filter(|one| is_next(*one)).map(|(id, _)| *id).collect();
            if next.is_empty() {
                return there;
            }
            there.extend(next);
        }
    }
}

/// Publishes, runs, and compares.
async fn after(scene: &Scene, people: &People, changes: &[Change]) -> usize {
    scene.publish(changes).await;
    let report = scene.run().await;
    assert_eq!((report.sum("dead-lettered"), report.local_writes), (0, 0));
    let found = scene.column("SELECT id FROM employees").await;
    let found: BTreeSet<i64> = found.iter().map(|id| id.parse().unwrap()).collect();
    let there = people.there();
    assert_eq!(found, there);
    let audit = scene.audit().await;
    assert!(audit.balanced, "{audit:?}");
    let counted = |word: &str| audit.lanes[0].dispositions.get(word).copied().unwrap_or_default();
    let waiting = (people.stand.len() - there.len()) as u64;
    assert_eq!(counted("parked") + counted("orphaned"), waiting, "{audit:?}");
    there.len()
}

async fn a_tree(name: &str, kind: Kind) {
    let ddl = match kind {
        Kind::Sqlite => "CREATE TABLE employees (id bigint PRIMARY KEY NOT NULL, manager bigint, name text);",
        Kind::Postgres => {
            "CREATE TABLE employees (id bigint PRIMARY KEY NOT NULL, name text, \
             manager bigint REFERENCES employees (id)); CREATE INDEX ON employees (manager);"
        }
    };
    let mut scene = Scene::new(name, kind, ddl).await;
    scene.rows = 40;
    scene.write(RULES);
    let mut people = People::default();
    // Everybody before their manager, over several batches; the one at the top comes last, and with them all.
    let below: Vec<Change> =
        (2..=300).rev().map(|id| people.hire(id, Some(id / 3 + 1).filter(|m| *m != id))).collect();
    assert_eq!(after(&scene, &people, &below).await, 0);
    let top = people.hire(1, None);
    assert_eq!(after(&scene, &people, &[top]).await, 300);
    // People move below somebody who is hired with them, and that one below their own former subordinate.
    let moves = [people.hire(5, Some(400)), people.hire(400, Some(14)), people.hire(14, Some(1))];
    assert_eq!(after(&scene, &people, &moves).await, 301);
    // Somebody is their own manager.
    let own = [people.hire(501, Some(500)), people.hire(500, Some(500))];
    assert_eq!(after(&scene, &people, &own).await, 303);
    // A manager leaves, and all that are below with them; two levels further up as well; they come back.
    let gone = [people.dismiss(4)];
    let without = after(&scene, &people, &gone).await;
    assert!(without < 250, "{without}");
    let gone = [people.dismiss(2), people.hire(7, Some(4))];
    after(&scene, &people, &gone).await;
    let back = [people.hire(4, Some(2)), people.hire(2, Some(1))];
    assert_eq!(after(&scene, &people, &back).await, 303);
    // A ring: nobody in it, nor below it, has a top. It is undone at another place than where it was closed.
    let ring = [people.hire(2, Some(250))];
    let outside = after(&scene, &people, &ring).await;
    assert!(outside < 250, "{outside}");
    let kept: Vec<Value> = scene.call(&["parked", "list", "--json"]).await.done().json();
    assert!(kept.iter().any(|k| k["waits_table"] == "employees" && k["why"] == "parent"), "{kept:?}");
    let undone = [people.hire(250, Some(1))];
    assert_eq!(after(&scene, &people, &undone).await, 303);
    // All of it once more is no news.
    let report = scene.run().await;
    assert_eq!(report.changes, 0);
}

#[tokio::test]
async fn promise_05_a_tree_sqlite() {
    a_tree("tree_sqlite", Kind::Sqlite).await;
}

#[tokio::test]
async fn promise_05_a_tree_postgres() {
    a_tree("tree_postgres", Kind::Postgres).await;
}
