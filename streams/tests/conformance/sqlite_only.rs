//! What holds for SQLite alone: triggers, affinities, STRICT tables, files that are none.

use reconverge_streams::{
    logical::Logical,
    sink::{Claim, CommitError, Sink, SinkError, TableName},
    sqlite::SqliteSink,
};

use crate::{
    fixture::{Fixture, Table},
    sqlite::Sqlite,
    world::{World, cell, texts},
};

fn people() -> Vec<Table> {
    vec![Table::new("people", &[("id", Logical::Int), ("name", Logical::Text), ("n", Logical::Int)])]
}

#[tokio::test]
async fn a_row_that_a_trigger_changed_is_still_ours() {
    let mut world = World::<Sqlite>::new(people()).await;
    world.fixture.execute(
        "CREATE TRIGGER counts AFTER INSERT ON people BEGIN UPDATE people SET n = 42 WHERE id = new.id; END",
    );
    world.restart().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("name", Some("a"))]);
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    assert_eq!(cell(&found, found.keys[0].row.expect("a row"), 2).as_deref(), Some("42"));
    assert!(found.keys[0].local.is_none());
}

#[tokio::test]
async fn a_row_that_a_trigger_refuses_is_guilty_and_its_words_are_kept_back() {
    let world = World::<Sqlite>::new(people()).await;
    world.fixture.execute(
        "CREATE TRIGGER bans BEFORE INSERT ON people WHEN new.name = 'bad' BEGIN SELECT RAISE(ABORT, 'ann is banned'); END",
    );
    world.fixture.execute(
        "CREATE TRIGGER skips BEFORE INSERT ON people WHEN new.name = 'skip' BEGIN SELECT RAISE(IGNORE); END",
    );
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("name", Some("good"))]);
    let bad = batch.upsert(0, &[("id", Some("2")), ("name", Some("bad"))]);
    let skipped = batch.upsert(0, &[("id", Some("3")), ("name", Some("skip"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::Guilty(changes, cause)) => {
            assert_eq!(changes, [bad, skipped]);
            assert!(!cause.text.contains("ann"), "{cause}");
        }
        other => panic!("two rows are refused: {other:?}"),
    }
    assert_eq!(world.rows(0).await, texts(&[]));
}

#[tokio::test]
async fn a_text_that_would_become_another_number_is_guilty() {
    let table = Table::new("docs", &[("id", Logical::Int), ("doc", Logical::Json)]);
    let world = World::<Sqlite>::new(vec![table]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("doc", Some("1.5"))]);
    let loses = batch.upsert(0, &[("id", Some("2")), ("doc", Some("123456789012345678901234567890"))]);
    batch.upsert(0, &[("id", Some("3")), ("doc", Some("{\"n\":1.50}"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::Guilty(changes, cause)) => {
            assert_eq!(changes, [loses]);
            assert!(cause.text.contains("TEXT_JSONB"), "{cause}");
        }
        other => panic!("one document loses digits: {other:?}"),
    }
}

#[tokio::test]
async fn a_swap_of_parents_leaves_their_children() {
    let seats = Table::new("seats", &[("id", Logical::Int), ("seat", Logical::Text)]).unique("seat");
    let world = World::<Sqlite>::new(vec![seats]).await;
    world
        .fixture
        .execute("CREATE TABLE bags (id INTEGER PRIMARY KEY, of INT REFERENCES seats ON DELETE CASCADE)");
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("seat", Some("A"))]);
    batch.upsert(0, &[("id", Some("2")), ("seat", Some("B"))]);
    batch.run(&mut claim).await;
    world.fixture.execute("INSERT INTO bags VALUES (10, 1), (20, 2)");
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("1")), ("seat", Some("B"))]);
    batch.upsert(0, &[("id", Some("2")), ("seat", Some("A"))]);
    batch.run(&mut claim).await;
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("B")], &[Some("2"), Some("A")]]));
    let bags = Table::new("bags", &[("id", Logical::Int), ("of", Logical::Int)]);
    let expected = texts(&[&[Some("10"), Some("1")], &[Some("20"), Some("2")]]);
    assert_eq!(world.fixture.rows(&bags, &["id", "of"]).await, expected);
}

#[tokio::test]
async fn strict_tables_take_what_they_can_hold() {
    let fixture = Sqlite::fresh().await;
    fixture.execute(
        "CREATE TABLE s (id INTEGER PRIMARY KEY, t TEXT, r REAL, b BLOB, i INT, a ANY, g INTEGER AS (i + 1)) STRICT",
    );
    let sink = fixture.open().await;
    let asked = TableName { name: "S".into(), key: vec!["id".into()] };
    let shape = sink.shapes(&[asked]).await.expect("shapes").remove(0).expect("usable");
    let logicals: Vec<String> = shape.logicals().map(|l| l.to_string()).collect();
    assert_eq!(logicals, ["int", "text", "float", "bytes", "int", "text", "int"]);
    assert_eq!((shape.name.as_str(), shape.columns[6].generated), ("s", true));
}

#[tokio::test]
async fn decimals_are_refused_with_the_word_that_keeps_their_digits() {
    let fixture = Sqlite::fresh().await;
    fixture.execute("CREATE TABLE d (id INTEGER PRIMARY KEY, price NUMERIC(5,3))");
    let asked = TableName { name: "d".into(), key: vec!["id".into()] };
    let problems =
        fixture.open().await.shapes(&[asked]).await.expect("shapes").remove(0).expect_err("digits are lost");
    assert_eq!((problems.len(), problems[0].hint.as_str()), (1, "declare it TEXT_NUMERIC(5,3)"));
}

#[tokio::test]
async fn files_that_are_no_database_say_what_to_do() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = SqliteSink::open(&folder.path().join("none.db")).expect_err("no file");
    assert!(matches!(&missing, SinkError::Setup { hint, .. } if hint.contains("sqlite3")), "{missing}");
    let path = folder.path().join("text.db");
    std::fs::write(&path, "this is no database, and long enough that SQLite looks at all of its header")
        .expect("a file");
    let broken = SqliteSink::open(&path).expect_err("no database");
    assert!(matches!(&broken, SinkError::Setup { hint, .. } if hint.contains("integrity_check")), "{broken}");
}

#[tokio::test]
async fn lanes_of_one_file_take_turns() {
    let world = World::<Sqlite>::new(people()).await;
    let mut one = world.claim().await;
    let mut request = world.request("one");
    request.lane.lane = "bulk".into();
    let mut two = world.sink.claim(request).await.expect("another lane");
    let mut first = world.batch(0);
    first.upsert(0, &[("id", Some("1")), ("name", Some("first"))]);
    let mut second = world.batch(0);
    second.upsert(0, &[("id", Some("1")), ("name", Some("second"))]);
    let (wanted, writes) = first.done();
    one.begin(wanted).await.expect("ours");
    let (wanted, then) = second.done();
    let waiting = tokio::spawn(async move {
        let standing = two.begin(wanted).await.expect("ours, after the other lane");
        two.commit(then).await.expect("good");
        standing.tables[0].keys[0].row.is_some()
    });
    tokio::task::yield_now().await;
    one.commit(writes).await.expect("good");
    assert!(waiting.await.expect("no panic"), "the second lane saw what the first one wrote");
    assert_eq!(world.rows(0).await, texts(&[&[Some("1"), Some("second"), None]]));
}

#[tokio::test]
async fn the_example_schema_can_be_used() {
    let fixture = Sqlite::fresh().await;
    fixture.execute(include_str!("../../../examples/split-brain/schema.sqlite.sql"));
    let keys: [(&str, &[&str]); 6] = [
        ("agent_schedules", &["schedule_id"]),
        ("wem_audio_metadata", &["audio_id"]),
        ("wem_transcription_text", &["transcript_id"]),
        ("interaction_events", &["event_id"]),
        ("customer_profiles", &["customer_id", "region"]),
        ("tmp_session_state", &["session_id"]),
    ];
    let owned = |key: &[&str]| key.iter().map(|k| (*k).into()).collect();
    let asked: Vec<TableName> =
        keys.iter().map(|(name, key)| TableName { name: (*name).into(), key: owned(key) }).collect();
    let found = fixture.open().await.shapes(&asked).await.expect("shapes");
    let shapes: Vec<_> = found.into_iter().map(|s| s.expect("usable")).collect();
    assert!(shapes.iter().all(|s| !s.has_other_unique));
    let of = |table: usize, column: &str| {
        let at = shapes[table].column(column).expect("a column");
        (shapes[table].columns[at].logical.to_string(), shapes[table].columns[at].scale)
    };
    assert_eq!(of(2, "sentiment"), ("decimal".into(), Some(3)));
    assert_eq!(of(4, "consent_regions"), ("text[]".into(), None));
    assert_eq!(
        (of(0, "shift_end").0, of(1, "audio_id").0, of(3, "data_payload").0),
        ("timestamp".into(), "uuid".into(), "json".into())
    );
}
