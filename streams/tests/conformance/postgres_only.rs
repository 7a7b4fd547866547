//! What only PostgreSQL has: its types, its transaction ids, its sessions that can be killed, its catalog.

use std::{sync::Arc, time::Duration};

use reconverge_streams::{
    columns::{Column, State},
    disposition::Disposition,
    postgres::{PostgresClaim, PostgresSink},
    sink::{Claim, CommitError, Sink, SinkError, TableName},
    standing::StandingKind,
    text,
};

use crate::{
    cut::Proxy,
    fixture::{Fixture, Table},
    postgres::{Postgres, connect},
    world::{Row, World, cell, id, lane, texts},
};

/// A world whose tables are made by this DDL. Each is named with its key.
async fn world_of(ddl: &str, tables: &[(&'static str, &[&'static str])]) -> World<Postgres> {
    let fixture = Postgres::fresh().await;
    fixture.batch(ddl).await;
    let sink = fixture.open().await;
    sink.prepare().await.expect("the sidecar is made");
    let names: Vec<TableName> = tables
        .iter()
        .map(|(name, key)| TableName { name: (*name).into(), key: key.iter().map(|k| (*k).into()).collect() })
        .collect();
    let shapes = sink.shapes(&names).await.expect("shapes");
    let shapes = shapes.into_iter().map(|s| Arc::new(s.expect("a table that can be used"))).collect();
    let tables = tables
        .iter()
        .map(|(name, key)| Table { name, columns: Vec::new(), key: key.to_vec(), unique: Vec::new() })
        .collect();
    World { fixture, sink, tables, shapes, names: Arc::default() }
}

impl World<Postgres> {
    /// One value that a query of the application gives, as text.
    async fn ask(&self, sql: &str) -> Option<String> {
        self.fixture.app().query_one(sql, &[]).await.expect("the application's query").get(0)
    }

    /// Waits until the application's query says true; the test fails after ten seconds.
    pub(crate) async fn until(&self, sql: &str) {
        for _ in 0..1000 {
            if self.ask(&format!("SELECT ({sql})::text")).await.as_deref() == Some("true") {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("never true: {sql}");
    }
}

/// The server process of the lane's session, while its batch is open.
const LANE_SESSION: &str =
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'";

const ZOO: &str = "
CREATE TYPE mood AS ENUM ('calm', 'tense', 'says \"no\"');
CREATE DOMAIN percent AS numeric(5,2) CHECK (VALUE BETWEEN 0 AND 100);
CREATE TABLE type_zoo (
    id int PRIMARY KEY, i2 smallint, i4 integer, i8 bigint, f4 real, f8 double precision,
    n53 numeric(5,3), n380 numeric(38,0), n3818 numeric(38,18), nfree numeric, cash money, flag boolean,
    c5 char(5), vc varchar(40), txt text, b bytea, bit1 bit(1), bit8 bit(8), vbit bit varying(16),
    d date, t time, t3 time(3), ttz timetz, ts timestamp, ts3 timestamp(3), tstz timestamptz, iv interval,
    u uuid, j json, jb jsonb, x xml, e mood, p percent,
    ta text[], ia int[], na numeric(5,3)[], ua uuid[], tsa timestamptz[], ba bytea[], ja jsonb[], ea mood[], da date[],
    fa real[], bita bit(4)[], ca char(3)[], ipa inet[], boola boolean[],
    ip inet, net cidr, mac macaddr, r4 int4range, rts tstzrange, pt point, tsv tsvector, oidc oid, nm name,
    gen bigint GENERATED ALWAYS AS (i8 + 1) STORED,
    dflt text NOT NULL DEFAULT 'none given');";

/// Column, text that is written, the server's own text of it, canonical text read back (where not the written one).
const VALUES: &[(&str, &str, &str, Option<&str>)] = &[
    ("i2", "-32768", "-32768", None),
    ("i4", "2147483647", "2147483647", None),
    ("i8", "-9223372036854775808", "-9223372036854775808", None),
    ("f4", "1.5", "1.5", None),
    ("f4", "NaN", "NaN", None),
    ("f4", "-Infinity", "-Infinity", None),
    ("f8", "5e-324", "5e-324", None),
    ("f8", "1.7976931348623157e308", "1.7976931348623157e+308", None),
    ("n53", "-99.999", "-99.999", None),
    ("n53", "NaN", "NaN", None),
    ("n380", "12345678901234567890123456789012345678", "12345678901234567890123456789012345678", None),
    ("n3818", "1.500000000000000000", "1.500000000000000000", None),
    ("nfree", "0.00000000000000000000000000000000000001", "0.00000000000000000000000000000000000001", None),
    ("nfree", "-Infinity", "-Infinity", None),
    ("cash", "-12.34", "-$12.34", None),
    ("flag", "false", "false", None),
    ("c5", "ab   ", "ab", None),
    ("vc", "caf\u{e9}", "caf\u{e9}", None),
    ("txt", "", "", None),
    ("txt", "\\x00 'it''s' \u{1f600} \u{202e}", "\\x00 'it''s' \u{1f600} \u{202e}", None),
    ("b", "AAH/", "\\x0001ff", None),
    ("b", "", "\\x", None),
    ("bit1", "1", "1", None),
    ("bit8", "10100101", "10100101", None),
    ("vbit", "101", "101", None),
    ("vbit", "", "", None),
    ("d", "2026-03-02", "2026-03-02", None),
    ("d", "-4712-01-01", "4713-01-01 BC", None),
    ("d", "+5874897-12-31", "5874897-12-31", None),
    ("d", "-infinity", "-infinity", None),
    ("t", "24:00:00.000000", "24:00:00", None),
    ("t3", "08:30:00.123000", "08:30:00.123", None),
    ("ttz", "06:30:00.5+02", "06:30:00.5+02", None),
    ("ts", "2026-03-02T08:30:00.123456Z", "2026-03-02 08:30:00.123456", None),
    ("ts", "infinity", "infinity", None),
    ("ts3", "2026-03-02T08:30:00.123400Z", "2026-03-02 08:30:00.123", Some("2026-03-02T08:30:00.123000Z")),
    ("tstz", "-4712-01-01T00:00:00.000000Z", "4713-01-01 00:00:00+00 BC", None),
    ("tstz", "+294246-12-31T23:59:59.999999Z", "294246-12-31 23:59:59.999999+00", None),
    ("tstz", "-infinity", "-infinity", None),
    ("iv", "1 year 2 mons 3 days 04:05:06.789", "1 year 2 mons 3 days 04:05:06.789", None),
    ("iv", "37015506789000 microseconds", "10282:05:06.789", Some("10282:05:06.789")),
    ("u", "0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001", "0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001", None),
    ("j", r#"{"a":2,"b":1}"#, r#"{"a":2,"b":1}"#, None),
    (
        "jb",
        r#"{"a":2.50,"big":12345678901234567890.10}"#,
        r#"{"a": 2.50, "big": 12345678901234567890.10}"#,
        None,
    ),
    ("jb", "null", "null", None),
    ("x", "<a>1</a>", "<a>1</a>", None),
    ("e", "says \"no\"", "says \"no\"", None),
    ("p", "99.50", "99.50", None),
    ("ta", r#"["a",null,"q\"","c,d","","NULL","\\"]"#, r#"{a,NULL,"q\"","c,d","","NULL","\\"}"#, None),
    ("ia", "[1,null,-2147483648]", "{1,NULL,-2147483648}", None),
    ("ia", "[]", "{}", None),
    ("na", r#"["1.250",null]"#, "{1.250,NULL}", None),
    ("ua", r#"["0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001"]"#, "{0b0e4f2a-8d6e-4c1b-9c55-2f6f2f6b0001}", None),
    (
        "tsa",
        r#"["2026-03-02T06:30:00.123456Z","-0043-03-15T12:00:00.000000Z","infinity"]"#,
        r#"{"2026-03-02 06:30:00.123456+00","0044-03-15 12:00:00+00 BC",infinity}"#,
        None,
    ),
    ("ba", r#"["AAH/","",null]"#, r#"{"\\x0001ff","\\x",NULL}"#, None),
    ("ja", r#"[{"a":[1]},null,"x"]"#, r#"{"{\"a\": [1]}",NULL,"\"x\""}"#, None),
    ("ea", r#"["calm","says \"no\""]"#, r#"{calm,"says \"no\""}"#, None),
    ("da", r#"["-0043-03-15","+12026-01-01"]"#, r#"{"0044-03-15 BC",12026-01-01}"#, None),
    ("fa", r#"[1.5,"NaN",null]"#, "{1.5,NaN,NULL}", None),
    ("bita", r#"["1010"]"#, "{1010}", None),
    ("ca", r#"["abc"]"#, "{abc}", None),
    ("ipa", r#"["10.0.0.1"]"#, "{10.0.0.1}", Some(r#"["10.0.0.1/32"]"#)),
    ("boola", "[true,false,null]", "{t,f,NULL}", None),
    ("ip", "10.1.2.3/24", "10.1.2.3/24", None),
    ("net", "10.1.0.0/16", "10.1.0.0/16", None),
    ("mac", "08:00:2b:01:02:03", "08:00:2b:01:02:03", None),
    ("r4", "[1,5)", "[1,5)", None),
    ("rts", r#"["2026-01-01 00:00:00+00",infinity)"#, r#"["2026-01-01 00:00:00+00",infinity)"#, None),
    ("pt", "(1.5,-2)", "(1.5,-2)", None),
    ("tsv", "'a':1 'b':2", "'a':1 'b':2", None),
    ("oidc", "4294967295", "4294967295", None),
    ("nm", "some_name", "some_name", None),
];

#[tokio::test]
async fn every_type_takes_and_gives_its_extreme_values() {
    let world = world_of(ZOO, &[("type_zoo", &["id"])]).await;
    let mut claim = world.claim().await;
    let ids: Vec<String> = (0..VALUES.len()).map(|i| i.to_string()).collect();
    // Twice: as inserts, then as updates of rows that stand.
    for _ in 0..2 {
        let mut batch = world.batch(claim.checkpoint().sequence);
        for (key, (column, written, _, _)) in ids.iter().zip(VALUES) {
            batch.upsert(0, &[("id", Some(key)), (column, Some(written))]);
        }
        batch.run(&mut claim).await;
    }
    for (key, (column, written, server, read)) in ids.iter().zip(VALUES) {
        let at = world.shapes[0].column(column).expect("a column");
        let found = world.stands(&mut claim, 0, &[&[key]], &[]).await;
        let row = found.keys[0].row.expect("a row");
        assert!(found.keys[0].local.is_none(), "{column}");
        let sql = format!("SELECT \"{column}\"::text FROM type_zoo WHERE id = {key}");
        assert_eq!(world.ask(&sql).await.as_deref(), Some(*server), "{column} in the server");
        assert_eq!(cell(&found, row, at).as_deref(), Some(read.unwrap_or(written)), "{column} read back");
    }
    assert_eq!(world.ask("SELECT dflt FROM type_zoo WHERE id = 0").await.as_deref(), Some("none given"));
    let generated = world.ask("SELECT (gen = i8 + 1)::text FROM type_zoo WHERE i8 IS NOT NULL").await;
    assert_eq!(generated, Some("true".into()));
}

#[tokio::test]
async fn what_does_not_fit_its_column_is_one_guilty_change() {
    let world = world_of(ZOO, &[("type_zoo", &["id"])]).await;
    for (column, bad, code) in [
        ("i2", "32768", "22003"),
        ("n53", "100.000", "22003"),
        ("vc", "more than forty characters, which is what it takes", "22001"),
        ("c5", "abcdef", "22001"),
        ("bit8", "101", "22026"),
        ("vbit", "10101010101010101", "22001"),
        ("e", "cheerful", "22P02"),
        ("p", "101", "23514"),
        ("x", "<a>", "2200N"),
        ("ip", "nowhere", "22P02"),
        ("txt", "a\0b", "22021"),
        ("tstz", "-4713-01-01T00:00:00.000000Z", "22008"),
        ("ca", r#"["abcd"]"#, "22001"),
        ("f4", "1e300", "22003"),
    ] {
        let mut claim = world.claim().await;
        let mut batch = world.batch(0);
        batch.upsert(0, &[("id", Some("1")), (column, None)]);
        let guilty = batch.upsert(0, &[("id", Some("2")), (column, Some(bad))]);
        batch.upsert(0, &[("id", Some("3")), (column, None)]);
        let (wanted, writes) = batch.done();
        claim.begin(wanted).await.expect("ours");
        match claim.commit(writes).await {
            Err(CommitError::Guilty(changes, cause)) => {
                assert_eq!((changes, cause.code.as_str()), (vec![guilty], code), "{column}");
                assert!(cause.text.contains("type_zoo") && !cause.text.contains(bad), "{}", cause.text);
            }
            other => panic!("{column}: {other:?}"),
        }
    }
    assert_eq!(world.ask("SELECT count(*)::text FROM type_zoo").await.as_deref(), Some("0"));
}

#[tokio::test]
async fn a_key_that_the_server_cannot_read_stops_nobody_else() {
    let ddl = "CREATE TABLE hosts (ip inet PRIMARY KEY, name text)";
    let world = world_of(ddl, &[("hosts", &["ip"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("ip", Some("10.0.0.1")), ("name", Some("one"))]);
    batch.run(&mut claim).await;
    let mut batch = world.batch(1);
    batch.upsert(0, &[("ip", Some("10.0.0.1")), ("name", Some("two"))]);
    let bad = batch.upsert(0, &[("ip", Some("nowhere")), ("name", Some("x"))]);
    let (wanted, writes) = batch.done();
    let standing = claim.begin(wanted).await.expect("the readable key stands");
    let rows: Vec<bool> = standing.tables[0].keys.iter().map(|k| k.row.is_some()).collect();
    assert_eq!(rows, [false, true], "a shorter text comes first among keys");
    assert!(matches!(claim.commit(writes).await, Err(CommitError::Guilty(changes, _)) if changes == [bad]));
}

#[tokio::test]
async fn a_row_stays_ours_through_vacuum_cluster_and_an_added_column() {
    let ddl = "CREATE TABLE notes (id int PRIMARY KEY, a text); CREATE TABLE spare (id int)";
    let world = world_of(ddl, &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.run(&mut claim).await;
    for upkeep in [
        "VACUUM (FREEZE) notes",
        "VACUUM (FULL, FREEZE) notes",
        "CLUSTER notes USING notes_pkey",
        "ALTER TABLE notes ADD COLUMN later int DEFAULT 5",
        "ANALYZE notes",
        "SELECT * FROM notes FOR UPDATE",
    ] {
        world.fixture.batch(upkeep).await;
        assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none(), "{upkeep}");
    }
    world.fixture.batch("UPDATE notes SET a = a").await;
    assert!(
        world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_some(),
        "an update of the application"
    );
}

#[tokio::test]
async fn a_local_write_bears_its_commit_time() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint::text";
    let before: i64 = world.ask(now).await.expect("a time").parse().expect("a number");
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs'), (2, 'theirs')").await;
    let after: i64 = world.ask(now).await.expect("a time").parse().expect("a number");
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"], &["3"]], &[]).await;
    for key in &found.keys[..2] {
        let at = key.local.expect("a local write").at.expect("the server keeps commit times");
        assert!((before..=after).contains(&at), "{before} <= {at} <= {after}");
    }
    assert!(found.keys[2].local.is_none());
    world.fixture.batch("DELETE FROM notes WHERE id = 1").await;
    assert!(
        world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_none(),
        "never ours, and gone"
    );
}

#[tokio::test]
async fn a_row_that_the_application_inserts_meanwhile_is_not_overwritten() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("ours"))]);
    let (wanted, writes) = batch.done();
    let standing = claim.begin(wanted.clone()).await.expect("ours");
    assert!(standing.tables[0].keys[0].row.is_none());
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs')").await;
    assert!(matches!(claim.commit(writes).await, Err(CommitError::Again(_))));
    let standing = claim.begin(wanted).await.expect("ours");
    assert!(standing.tables[0].keys[0].local.is_some());
    assert_eq!(cell(&standing.tables[0], 0, 1).as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_row_under_lock_cannot_be_written_by_the_application() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs')").await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("ours"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    let app = connect(&world.fixture.url).await;
    let theirs =
        tokio::spawn(
            async move { app.batch_execute("UPDATE notes SET a = a || '+theirs' WHERE id = 1").await },
        );
    world.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").await;
    claim.commit(writes).await.expect("nobody came between");
    theirs.await.expect("no panic").expect("the application's turn comes");
    assert_eq!(world.ask("SELECT a FROM notes").await.as_deref(), Some("ours+theirs"));
    assert!(world.stands(&mut claim, 0, &[&["1"]], &[]).await.keys[0].local.is_some());
}

#[tokio::test]
async fn two_lanes_that_meet_on_a_new_key_see_each_other() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut main = world.claim().await;
    let mut request = world.request("one");
    request.lane = lane("other");
    let mut other = world.sink.claim(request).await.expect("another lane");
    let written = |text: &'static str| {
        let mut batch = world.batch(0);
        batch.upsert(0, &[("id", Some("1")), ("a", Some(text))]);
        batch.done()
    };
    let ((wanted, first), (_, second)) = (written("first"), written("second"));
    main.begin(wanted.clone()).await.expect("ours");
    other.begin(wanted.clone()).await.expect("ours");
    main.commit(first).await.expect("the first one");
    assert!(matches!(other.commit(second).await, Err(CommitError::Again(_))));
    let standing = other.begin(wanted).await.expect("ours");
    let key = &standing.tables[0].keys[0];
    assert!(key.row.is_some() && key.version.is_some() && key.local.is_none());
}

#[tokio::test]
async fn an_old_owner_with_an_open_batch_is_waited_for() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let waiting = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')";
    let take = |owner: &'static str| {
        let (sink, request) = (world.sink.clone(), world.request(owner));
        tokio::spawn(async move { sink.claim(request).await.map(|c| c.checkpoint().clone()) })
    };
    let mut old = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    world.fixture.end_leases().await;
    old.begin(wanted.clone()).await.expect("ours");
    let taking = take("two");
    world.until(waiting).await;
    old.commit(writes.clone()).await.expect("nobody has it yet");
    // The commit renewed the lease, so the lane is not stale any more.
    assert!(matches!(taking.await.expect("no panic"), Err(SinkError::Held { .. })));
    // The same process, restarted, need not wait for the lease, only for the batch.
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("y"))]);
    let (wanted, writes) = batch.done();
    old.begin(wanted).await.expect("ours");
    let taking = take("one");
    world.until(waiting).await;
    old.commit(writes).await.expect("the batch was open before");
    let taken = taking.await.expect("no panic").expect("the same owner");
    assert_eq!((taken.sequence, taken.delivered), (2, 2));
    // One that gives up leaves its lane at the old truth.
    world.fixture.end_leases().await;
    let mut two = world.claim_as("two").await.expect("stale");
    assert_eq!(two.checkpoint().sequence, 2);
    two.release().await;
}

/// Ends the lane's session on the server.
async fn kill_lane(world: &World<Postgres>) {
    let pid = world.fixture.app().query_one(LANE_SESSION, &[]).await.expect("a lane's session");
    let pid: i32 = pid.get(0);
    world.fixture.batch(&format!("SELECT pg_terminate_backend({pid})")).await;
    world.until(&format!("SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = {pid})")).await;
}

#[tokio::test]
async fn a_session_killed_before_the_commit_costs_a_second_try() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted.clone()).await.expect("ours");
    kill_lane(&world).await;
    assert!(matches!(claim.commit(writes.clone()).await, Err(CommitError::Again(_))));
    assert_eq!(world.ask("SELECT count(*)::text FROM notes").await.as_deref(), Some("0"));
    claim.begin(wanted).await.expect("on a new connection");
    assert_eq!(claim.commit(writes).await.expect("the second try").sequence, 1);
    // Between batches it is not even noticed.
    claim.begin(world.batch(1).done().0).await.expect("ours");
    kill_lane(&world).await;
    claim.abandon().await;
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
}

#[tokio::test]
async fn a_session_killed_during_the_commit_leaves_nothing() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted.clone()).await.expect("ours");
    // The application's open insert of the same key makes the commit wait half-way.
    let app = connect(&world.fixture.url).await;
    app.batch_execute("BEGIN; INSERT INTO notes VALUES (2, 'theirs')").await.expect("an insert");
    let (failed, ()) = tokio::join!(claim.commit(writes.clone()), async {
        world.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')").await;
        let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                    WHERE datname = current_database() AND wait_event_type = 'Lock'";
        world.fixture.batch(kill).await;
    });
    assert!(matches!(failed, Err(CommitError::Again(_))), "{failed:?}");
    app.batch_execute("ROLLBACK").await.expect("the application gives up");
    assert_eq!(world.ask("SELECT count(*)::text FROM notes").await.as_deref(), Some("0"));
    claim.begin(wanted).await.expect("on a new connection");
    assert_eq!(claim.commit(writes).await.expect("the second try").delivered, 2);
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_found_out() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let proxy = Proxy::before(&world.fixture.url).await;
    let sink = PostgresSink::connect(&proxy.url).await.expect("a sink");
    let mut claim: PostgresClaim = sink.claim(world.request("one")).await.expect("the lane is free");
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    // The first commit of a claim prepares its statements, which needs answers: so the second one is cut.
    claim.commit(writes).await.expect("committed");
    let mut batch = world.batch(1);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x"))]);
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    proxy.swallow_answers();
    let (committed, ()) = tokio::join!(claim.commit(writes), async {
        world.until("SELECT sequence = 2 FROM reconverge.checkpoint").await;
        proxy.cut();
    });
    let committed = committed.expect("it took effect, whatever became of the answer");
    assert_eq!((committed.sequence, committed.delivered), (2, 2));
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
}

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
    claim.begin(reconverge_streams::standing::Wanted { from: 2, tables: Vec::new() }).await.expect("ours");
    match claim.commit(writes).await {
        Err(CommitError::PauseTable(table, cause)) => {
            assert_eq!((table, cause.code.as_str()), (id(0), "42703"))
        }
        other => panic!("the column is gone: {other:?}"),
    }
}

#[tokio::test]
async fn tables_that_cannot_be_used_are_refused_with_what_to_do() {
    let fixture = Postgres::fresh().await;
    fixture.batch("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int PRIMARY KEY, lines int[][]); \
         CREATE TABLE plain (id int, v text); CREATE UNIQUE INDEX part ON plain (id) WHERE v IS NOT NULL; \
         CREATE VIEW seen AS SELECT * FROM plain; CREATE TABLE good (a int, b int, c int UNIQUE, UNIQUE (b, a))").await;
    let sink = fixture.open().await;
    let name = |name: &str, key: &[&str]| TableName {
        name: name.into(),
        key: key.iter().map(|k| (*k).into()).collect(),
    };
    let asked = [
        name("orders", &["id"]),
        name("shop.orders", &["id"]),
        name("plain", &["id", "w"]),
        name("seen", &["id"]),
        name("good", &["a", "b"]),
    ];
    let found = sink.shapes(&asked).await.expect("shapes");
    let told = |at: usize| -> Vec<String> {
        found[at].as_ref().expect_err("refused").iter().map(|p| format!("{} / {}", p.what, p.hint)).collect()
    };
    assert!(told(0)[0].contains("no table orders in schema public"), "{:?}", told(0));
    assert!(told(1)[0].contains("lines is an array of 2 dimensions"), "{:?}", told(1));
    assert!(told(2).iter().any(|t| t.contains("no key column w")), "{:?}", told(2));
    assert!(
        told(2).iter().any(|t| t.contains(r#"CREATE UNIQUE INDEX ON "public"."plain" ("id", "w")"#)),
        "{:?}",
        told(2)
    );
    assert!(told(3).iter().any(|t| t.contains("no table but a view")), "{:?}", told(3));
    let good = found[4].as_ref().expect("a good table");
    assert_eq!((good.key.as_slice(), good.has_other_unique), ([0, 1].as_slice(), true));
}

#[tokio::test]
async fn a_role_without_rights_is_told_which() {
    let fixture = Postgres::fresh().await;
    let role = "weak_role";
    fixture.batch(&format!("CREATE TABLE notes (id int PRIMARY KEY); DROP ROLE IF EXISTS {role}; \
         CREATE ROLE {role} LOGIN; GRANT SELECT, INSERT ON notes TO {role}; REVOKE CREATE ON SCHEMA public FROM PUBLIC")).await;
    let sink =
        PostgresSink::connect(&fixture.url.replace("postgres@", &format!("{role}@"))).await.expect("a login");
    let problems = sink.check().await.expect("a check");
    assert!(problems[0].what.contains("may not make them"), "{problems:?}");
    assert!(matches!(sink.prepare().await, Err(SinkError::Setup { .. })));
    let asked = [TableName { name: "notes".into(), key: vec!["id".into()] }];
    let problems = sink.shapes(&asked).await.expect("shapes").remove(0).expect_err("two rights are missing");
    assert_eq!(problems[0].what, "the sink's role lacks UPDATE, DELETE");
    fixture.batch("ALTER TABLE notes ENABLE ROW LEVEL SECURITY").await;
    let problems = sink.shapes(&asked).await.expect("shapes").remove(0).expect_err("rows are hidden");
    assert!(problems.iter().any(|p| p.what.contains("row-level security")), "{problems:?}");
}

#[tokio::test]
async fn a_sidecar_that_someone_else_prepared_is_refused() {
    let trap = "CREATE FUNCTION trap() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; \
                CREATE TRIGGER trap BEFORE INSERT ON reconverge.version FOR EACH ROW EXECUTE FUNCTION trap()";
    for (spoil, told) in [
        (trap, "table reconverge.version has a trigger"),
        ("ALTER TABLE reconverge.checkpoint DROP COLUMN scanned", "reconverge.checkpoint has other columns"),
        ("UPDATE reconverge.meta SET layout = 99", "layout 99"),
        (
            "DROP ROLE IF EXISTS stranger; CREATE ROLE stranger; ALTER TABLE reconverge.source OWNER TO stranger",
            "another owner",
        ),
    ] {
        let fixture = Postgres::fresh().await;
        let sink = fixture.open().await;
        sink.prepare().await.expect("made");
        assert_eq!(sink.check().await.expect("a check"), []);
        fixture.batch(spoil).await;
        let problems = sink.check().await.expect("a check");
        assert!(problems.iter().any(|p| p.what.contains(told)), "{problems:?}");
        match fixture.open().await.prepare().await {
            Err(SinkError::Setup { what, hint }) => {
                assert!(what.contains(told) && !hint.is_empty(), "{what}")
            }
            other => panic!("{told}: {other:?}"),
        }
        fixture.batch("DROP SCHEMA reconverge CASCADE").await;
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
    let _claim = world.claim().await;
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
async fn a_claim_given_up_half_way_through_a_call_works_on() {
    let world = world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let app = connect(&world.fixture.url).await;
    world.fixture.batch("INSERT INTO notes VALUES (1, 'theirs')").await;
    app.batch_execute("BEGIN; UPDATE notes SET a = 'open'").await.expect("the application holds the row");
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    let (wanted, _) = batch.done();
    tokio::select! {
        biased;
        _ = claim.begin(wanted) => panic!("the row is locked"),
        () = world.until("SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')") => {}
    }
    app.batch_execute("COMMIT").await.expect("the row is free");
    let mut batch = world.batch(0);
    batch.next(Disposition::Filtered);
    batch.run(&mut claim).await;
    assert_eq!(claim.checkpoint().sequence, 1);
}

/// Whether a text is readable as a column's canonical form: the table of values must not test its own typos.
#[test]
fn the_zoo_values_are_canonical() {
    for (column, written, _, _) in VALUES.iter().filter(|v| v.0.ends_with('a') && v.0.len() <= 3) {
        assert!(written.starts_with('['), "{column}");
    }
    let shape = reconverge_streams::table::ColumnShape::new("d", reconverge_streams::logical::Logical::Date);
    let mut column = Column::new(shape.logical);
    text::parse(&shape, "-4712-01-01", &mut column).expect("a date");
    assert_eq!(column.state(0), State::Value);
}
