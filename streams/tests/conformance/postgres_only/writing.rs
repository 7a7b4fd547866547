//! Writing in order: constraints, triggers, columns that the database fills or changes.

use reconverge_streams::{
    retention::Retention,
    sink::{Claim, CommitError},
    standing::StandingKind,
};

use crate::{
    fixture::Fixture,
    world::{Row, id, texts},
};

use super::world_of;

#[tokio::test]
async fn parents_and_children_go_in_the_order_of_their_tables() {
    let ddl = "CREATE TABLE parents (id int PRIMARY KEY, a text); \
               CREATE TABLE children (id int PRIMARY KEY, parent int NOT NULL REFERENCES parents)";
    let world = world_of(ddl, &[("parents", &["id"]), ("children", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(1, &[("id", Some("1")), ("parent", Some("10"))]);
    batch.upsert(0, &[("id", Some("10")), ("a", Some("x"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(2);
    batch.delete(0, &["10"], None);
    batch.delete(1, &["1"], None);
    batch.run(&mut claim).await;
    assert_eq!(world.ask("SELECT count(*)::text FROM parents").await.as_deref(), Some("0"));
    let mut batch = world.batch(4);
    batch.upsert(0, &[("id", Some("11")), ("a", Some("x"))]);
    batch.upsert(1, &[("id", Some("1")), ("parent", Some("11"))]);
    let orphan = batch.upsert(1, &[("id", Some("2")), ("parent", Some("99"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::Guilty(changes, cause)) => {
            assert_eq!((changes, cause.code.as_str()), (vec![orphan], "23503"))
        }
        other => panic!("a child without a parent: {other:?}"),
    }
}

#[tokio::test]
async fn deferred_constraints_are_found_at_commit() {
    let ddl = "CREATE TABLE parents (id int PRIMARY KEY); CREATE TABLE children (id int PRIMARY KEY, \
               parent int REFERENCES parents DEFERRABLE INITIALLY DEFERRED)";
    let world = world_of(ddl, &[("children", &["id"]), ("parents", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("parent", Some("10"))]);
    batch.upsert(1, &[("id", Some("10"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("2")), ("parent", Some("10"))]);
    let orphan = batch.upsert(0, &[("id", Some("3")), ("parent", Some("99"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    assert!(
        matches!(claim.commit(writes).await, Err(CommitError::Guilty(changes, _)) if changes == [orphan])
    );
}

#[tokio::test]
async fn columns_that_the_database_fills_are_left_to_it() {
    let ddl = "CREATE TABLE notes (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, big text NOT NULL, \
               n int GENERATED ALWAYS AS IDENTITY, len int GENERATED ALWAYS AS (length(big)) STORED, a text)";
    let world = world_of(ddl, &[("notes", &["id"])]).await;
    assert!(world.shapes[0].columns[3].generated && world.shapes[0].columns[2].has_default);
    let mut claim = world.claim().await;
    let all: Row<'_> =
        &[("id", Some("7")), ("big", Some("long")), ("n", Some("5")), ("len", Some("0")), ("a", Some("x"))];
    for _ in 0..2 {
        let mut batch = world.batch(claim.checkpoint().sequence);
        batch.upsert(0, all);
        batch.run(&mut claim).await;
    }
    // A NOT NULL column that is not named keeps its value: the source did not send it.
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("7")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
    let row = "SELECT concat_ws(',', id, big, n, len, a) FROM notes";
    assert_eq!(world.ask(row).await.as_deref(), Some("7,long,5,4,y"));
}

#[tokio::test]
async fn a_column_whose_type_changes_under_the_lane_is_planned_anew() {
    let world =
        world_of("CREATE TABLE notes (id int PRIMARY KEY, a varchar(3))", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    for (sequence, text) in [(0, "x"), (1, "longer")] {
        let mut batch = world.batch(sequence);
        batch.upsert(0, &[("id", Some("1")), ("a", Some(text))]);
        batch.run(&mut claim).await;
        world.fixture.batch("ALTER TABLE notes ALTER COLUMN a TYPE text").await;
    }
    world.fixture.batch("ALTER TABLE notes DROP COLUMN a").await;
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("z"))]);
    let (_, writes) = batch.done();
    claim.begin(reconverge_streams::standing::Wanted { from: 2, ..Default::default() }).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::PauseTable(table, cause)) => {
            assert_eq!((table, cause.code.as_str()), (id(0), "42703"))
        }
        other => panic!("the column is gone: {other:?}"),
    }
}

#[tokio::test]
async fn old_history_is_dropped_by_day() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    world
        .fixture
        .batch(
            "CREATE TABLE reconverge.decision_20200101 PARTITION OF reconverge.decision \
         FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2020-01-02 00:00:00+00')",
        )
        .await;
    let mut claim = world.claim().await;
    let kept = |days| Retention { history_days: days, tombstones: 0, passed: Vec::new(), limit: 10 };
    claim.tidy(&kept(36_500)).await.expect("ours");
    assert_eq!(
        world.ask("SELECT count(*)::text FROM pg_class WHERE relname = 'decision_20200101'").await.as_deref(),
        Some("1")
    );
    claim.tidy(&kept(30)).await.expect("ours");
    let days =
        "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class WHERE relname ~ '^decision_[0-9]+$'";
    let expected = "SELECT string_agg('decision_' || to_char((now() AT TIME ZONE 'UTC')::date + d, 'YYYYMMDD'), ' ') FROM generate_series(0, 1) d";
    assert_eq!(world.ask(days).await, world.ask(expected).await);
}

#[tokio::test]
async fn a_trigger_of_the_user_runs_and_its_words_are_not_told() {
    let ddl = "CREATE TABLE notes (id int PRIMARY KEY, a text); \
        CREATE FUNCTION check_note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
          IF NEW.a = 'bad' THEN RAISE EXCEPTION 'ann@example.org wrote %', NEW.a; END IF; \
          NEW.a := NEW.a || '!'; RETURN NEW; END $$; \
        CREATE TRIGGER t BEFORE INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION check_note()";
    let world = world_of(ddl, &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("good"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.ask("SELECT a FROM notes").await.as_deref(), Some("good!"));
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none());
    let mut batch = world.batch(1);
    let bad = batch.upsert(0, &[("id", Some("2")), ("a", Some("bad"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::Guilty(changes, cause)) => {
            assert_eq!(changes, [bad]);
            assert!(!cause.text.contains("ann"), "{}", cause.text);
        }
        other => panic!("the trigger refuses it: {other:?}"),
    }
}

#[tokio::test]
async fn a_batch_in_order_remembers_each_row_as_it_was_written() {
    let ddl = "CREATE TABLE seats (id int PRIMARY KEY, seat text UNIQUE)";
    let world = world_of(ddl, &[("seats", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for (key, seat) in [("1", "A"), ("2", "B"), ("3", "C")] {
        batch.upsert(0, &[("id", Some(key)), ("seat", Some(seat))]);
    }
    batch.run(&mut claim).await;
    let mut batch = world.batch(3);
    for (key, seat) in [("1", "B"), ("2", "C"), ("3", "A"), ("4", "D")] {
        batch.upsert(0, &[("id", Some(key)), ("seat", Some(seat))]);
    }
    batch.run(&mut claim).await;
    let mut rows = world.fixture.rows(&world.tables[0], &["id", "seat"]).await;
    rows.sort();
    let expected =
        [[Some("1"), Some("B")], [Some("2"), Some("C")], [Some("3"), Some("A")], [Some("4"), Some("D")]];
    assert_eq!(rows, texts(&expected.each_ref().map(|r| &r[..])));
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"], &["3"], &["4"]], &[]).await;
    assert!(found.keys.iter().all(|k| k.local.is_none() && k.version.as_ref().is_some_and(|v| v.standing == StandingKind::Row)));
}

#[tokio::test]
async fn a_version_that_is_written_anew_makes_no_new_entries_in_indexes() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    for at in 0..5 {
        let mut batch = world.batch(at);
        batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
        batch.run(&mut claim).await;
    }
    claim.release().await;
    // The server counts what a session did when it ends.
    drop(claim);
    let of_versions = "FROM pg_stat_user_tables WHERE relname = 'version'";
    world.until(&format!("SELECT n_tup_upd = 4 {of_versions}")).await;
    let hot = world.ask(&format!("SELECT n_tup_hot_upd::text {of_versions}")).await;
    assert_eq!(hot.as_deref(), Some("4"));
}
