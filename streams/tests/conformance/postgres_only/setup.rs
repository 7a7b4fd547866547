//! Tables, roles and sidecars that cannot be used.

use reconverge_streams::{
    postgres::PostgresSink,
    sink::{Claim, Sink, SinkError, TableName},
    standing::StandingKind,
};

use crate::{fixture::Fixture, postgres::Postgres};

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

/// The sidecar as layout 1 made it.
const BACK_TO_1: &str = "ALTER TABLE reconverge.version DROP COLUMN seen, DROP COLUMN row_digest, DROP COLUMN counted_by, \
    ALTER COLUMN seen_source SET NOT NULL, ALTER COLUMN seen_epoch SET NOT NULL, \
    ALTER COLUMN seen_commit SET NOT NULL, ALTER COLUMN seen_ordinal SET NOT NULL, \
    ALTER COLUMN seen_deleted SET NOT NULL, ALTER COLUMN seen_at SET NOT NULL; \
    ALTER TABLE reconverge.parked DROP COLUMN counted_by; DROP TABLE reconverge.reclassified; \
    UPDATE reconverge.meta SET layout = 1";

#[tokio::test]
async fn a_sidecar_of_layout_1_goes_on_as_it_is() {
    let mut world =
        super::world_of("CREATE TABLE notes (id int PRIMARY KEY, a text)", &[("notes", &["id"])]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("x"))]);
    batch.upsert(0, &[("id", Some("2")), ("a", Some("x"))]);
    batch.run(&mut claim).await;
    claim.release().await;
    // What layout 1 wrote for the same rows, by the positions that the cases give.
    let arrays = "UPDATE reconverge.version v SET seen_source = ARRAY[s.id], seen_epoch = '{0}', \
        seen_commit = ARRAY[(-9223372036854775808) + n.n], seen_ordinal = ARRAY[n.n], seen_deleted = '{f}', \
        seen_at = ARRAY[v.committed_at] FROM reconverge.source s, \
        (SELECT ctid, row_number() OVER (ORDER BY key) AS n FROM reconverge.version) n \
        WHERE n.ctid = v.ctid AND s.name = 'us-east'";
    world.fixture.batch(arrays).await;
    world.fixture.batch(BACK_TO_1).await;
    world.sink = world.fixture.open().await;
    assert_eq!(world.sink.check().await.expect("a check"), [], "it is brought up by the next start");
    world.sink.prepare().await.expect("brought up");
    assert_eq!(world.sink.check().await.expect("a check"), []);
    assert_eq!(world.ask("SELECT layout::text FROM reconverge.meta").await.as_deref(), Some("2"));
    let mut claim = world.claim().await;
    let mut batch = world.batch(2);
    batch.upsert(0, &[("id", Some("1")), ("a", Some("y"))]);
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, 0, &[&["1"], &["2"]], &[]).await;
    let expected = [3, 2].map(|n| Some(world.version(StandingKind::Row, n)));
    assert_eq!([0, 1].map(|at: usize| found.keys[at].version.clone()), expected);
    assert!(found.keys.iter().all(|key| key.local.is_none()));
    let packed = "SELECT string_agg((seen IS NOT NULL)::text || (seen_source IS NULL)::text, ' ' ORDER BY key) FROM reconverge.version";
    assert_eq!(world.ask(packed).await.as_deref(), Some("truetrue falsefalse"), "only what was written anew");
    // A program of layout 1 that still runs writes arrays; they count.
    world.fixture.batch("UPDATE reconverge.version SET seen_source = (SELECT array_agg(id) FROM reconverge.source WHERE name = 'us-east'), \
        seen_epoch = '{7}', seen_commit = '{8}', seen_ordinal = '{9}', seen_deleted = '{t}', seen_at = '{10}'").await;
    let found = world.stands(&mut claim, 0, &[&["1"]], &[]).await;
    let seen = found.keys[0].version.as_ref().expect("a version").seen[0];
    assert_eq!((seen.position.epoch, seen.position.commit, seen.position.ordinal), (7, 8, 9));
    assert_eq!((seen.deleted, seen.live_at), (true, 10));
}
