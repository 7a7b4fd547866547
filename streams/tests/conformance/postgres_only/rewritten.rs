//! Tables whose rows bear other transaction ids than we gave them, and are as we wrote them all the same: rewritten by
//! ALTER, filled from a dump, updated to what they were. And rows that are not.

use reconverge_streams::sink::Claim;

use crate::{postgres::Postgres, world::World};

use super::world_of;

const DDL: &str = "CREATE TABLE notes (id int PRIMARY KEY, n int, at timestamptz, price numeric(8,2), doc jsonb, a text, \
                   of_doc text GENERATED ALWAYS AS (doc ->> 'a') STORED)";

/// Rows 1 to 3 as we wrote them, the third with nulls.
async fn three_rows() -> World<Postgres> {
    let world = world_of(DDL, &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for id in ["1", "2"] {
        batch.upsert(
            0,
            &[
                ("id", Some(id)),
                ("n", Some("7")),
                ("at", Some("2026-03-01T06:30:00.000001Z")),
                ("price", Some("12.50")),
                ("doc", Some(r#"{"b":[1,2],"a":"x"}"#)),
                ("a", Some("ours")),
            ],
        );
    }
    let nothing = ["n", "at", "price", "doc", "a"].map(|name| (name, None));
    batch.upsert(0, &[&[("id", Some("3"))], &nothing[..]].concat());
    batch.run(&mut claim).await;
    claim.release().await;
    world
}

/// Which of the three rows look written by the application, to a lane that has just begun.
async fn local(world: &mut World<Postgres>) -> Vec<&'static str> {
    world.restart().await;
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"], &["3"]], &[]).await;
    claim.release().await;
    ["1", "2", "3"]
        .into_iter()
        .zip(&found.keys)
        .filter(|(_, key)| key.local.is_some())
        .map(|(id, _)| id)
        .collect()
}

#[tokio::test]
async fn a_table_that_alter_wrote_anew_has_no_local_writes_but_those_of_before() {
    let mut world = three_rows().await;
    world.fixture.batch("UPDATE notes SET a = 'theirs' WHERE id = 2").await;
    for rewrite in [
        "ALTER TABLE notes ALTER COLUMN n TYPE bigint",
        "ALTER TABLE notes ALTER COLUMN price TYPE numeric(12,4)",
        "ALTER TABLE notes ALTER COLUMN a TYPE varchar(40), ALTER COLUMN id TYPE bigint",
        "ALTER TABLE notes SET UNLOGGED",
        "ALTER TABLE notes ADD COLUMN later text, ALTER COLUMN n TYPE int",
    ] {
        let xmins = "SELECT string_agg(xmin::text, ',' ORDER BY id) FROM notes";
        let before = world.ask(xmins).await;
        world.fixture.batch(rewrite).await;
        assert!(
            before != world.ask(xmins).await || rewrite.contains("UNLOGGED"),
            "{rewrite} writes the table anew"
        );
        assert_eq!(local(&mut world).await, ["2"], "{rewrite}");
    }
}

#[tokio::test]
async fn a_table_that_was_filled_from_a_dump_is_as_it_was() {
    let mut world = three_rows().await;
    world
        .fixture
        .batch(
            "CREATE TABLE dump AS SELECT id, n, at, price, doc, a FROM notes; TRUNCATE notes; \
             INSERT INTO notes SELECT * FROM dump WHERE id < 3; INSERT INTO notes (id) VALUES (3)",
        )
        .await;
    assert_eq!(local(&mut world).await, [""; 0]);
    world
        .fixture
        .batch("UPDATE notes SET price = 12.51 WHERE id = 1; UPDATE notes SET n = 0 WHERE id = 3")
        .await;
    assert_eq!(local(&mut world).await, ["1", "3"]);
}

#[tokio::test]
async fn an_update_to_what_was_there_is_no_write() {
    let mut world = three_rows().await;
    world
        .fixture
        .batch("UPDATE notes SET a = a; UPDATE notes SET a = 'x'; UPDATE notes SET a = 'ours' WHERE id < 3")
        .await;
    assert_eq!(local(&mut world).await, ["3"]);
}

#[tokio::test]
async fn a_row_of_which_a_part_was_written_is_known_by_its_xmin_alone() {
    let mut world = three_rows().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(3);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("new"))]);
    batch.run(&mut claim).await;
    claim.release().await;
    assert_eq!(local(&mut world).await, [""; 0]);
    // What stands is not known to be ours any more, and says so rather than what it was before.
    world.fixture.batch("UPDATE notes SET a = 'ours' WHERE id = 1").await;
    assert_eq!(local(&mut world).await, ["1"]);
}
