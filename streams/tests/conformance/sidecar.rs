//! History, dead letters, suppressed keys and generations: written with the batch, read by people.

use bytes::Bytes;
use reconverge_streams::{
    disposition::Disposition,
    logical::Logical,
    position::Position,
    records::{Query, Records},
    sink::{Claim, SinkError},
    standing::{NewGeneration, StandingKind, Wanted},
    writes::{DeadLetter, Decision, Writes},
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, id},
};

pub fn shifts() -> Vec<Table> {
    vec![
        Table::new("shifts", &[("id", Logical::Int), ("region", Logical::Text), ("epoch", Logical::Int)])
            .key(&["id", "region"]),
        Table::new("other", &[("id", Logical::Int)]),
    ]
}

fn all() -> Query {
    Query { limit: 100, ..Query::default() }
}

fn decision<F: Fixture>(world: &World<F>, sequence: u64, kind: &'static str) -> Decision {
    Decision {
        sequence,
        table: id(0),
        key: world.key(0, &["7", "eu"]),
        kind,
        outcome: Disposition::KeptCurrent,
        decided_by: "plugin:shifts".into(),
        generation: 3,
        reason: Some("older".into()),
        source: world.name("us-east"),
        position: Position { epoch: 0, commit: 1 << 63, ordinal: 4 },
        incoming_at: Some(1_760_000_000_100_000),
        current_origin: Some(world.name("eu-west-1")),
        current_at: None,
        incoming: Some(r#"{"id":7,"epoch":1}"#.into()),
        current: Some(r#"{"id":7,"epoch":2}"#.into()),
        applied: None,
    }
}

pub fn letter<F: Fixture>(world: &World<F>, sequence: u64, reason: &str) -> DeadLetter {
    DeadLetter {
        sequence,
        subject: "cdc.us.0.public.shifts".into(),
        table: Some(id(0)),
        key: Some(world.key(0, &["7", "eu"])),
        stage: "decode",
        code: "wrong-type",
        reason: reason.into(),
        generation: None,
        headers: Some(r#"{"Reconverge-Version":"1"}"#.into()),
        bytes: Some(Bytes::from_static(b"{\"op\"")),
        digest: [0xab; 32],
        discarded: None,
    }
}

pub async fn decisions_are_listed<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::KeptCurrent);
    batch.writes.decisions.push(decision(&world, 1, "update_origin_differs"));
    batch.run(&mut claim).await;
    let mut batch = world.batch(1);
    batch.next(Disposition::KeptCurrent);
    batch.writes.decisions.push(decision(&world, 2, "update_deleted"));
    batch.run(&mut claim).await;
    let found = world.sink.decisions(&all()).await.expect("decisions");
    assert_eq!(found.iter().map(|d| d.sequence).collect::<Vec<_>>(), [2, 1]);
    let d = &found[1];
    assert_eq!(
        (d.lane.as_str(), d.table.as_str(), d.kind.as_str()),
        ("pipe/us/main/0", "shifts", "update_origin_differs")
    );
    assert_eq!(
        (d.outcome.as_str(), d.decided_by.as_str(), d.generation),
        ("kept-current", "plugin:shifts", 3)
    );
    let key: serde_json::Value = serde_json::from_str(&d.key).expect("a JSON object");
    assert_eq!(key, serde_json::json!({"id": 7, "region": "eu"}));
    assert_eq!((d.source.as_str(), d.commit_position, d.ordinal), ("us-east", 1 << 63, 4));
    assert_eq!(d.incoming_at.as_deref(), Some("2025-10-09T08:53:20.100000Z"));
    assert_eq!((d.current_origin.as_deref(), d.current_at.as_deref()), (Some("eu-west-1"), None));
    assert_eq!(d.incoming, Some(serde_json::json!({"id": 7, "epoch": 1})));
    assert_eq!((d.reason.as_deref(), d.applied.as_ref()), (Some("older"), None));
    let world = &world;
    let matching = |query: Query| async move { world.sink.decisions(&query).await.expect("decisions").len() };
    assert_eq!(matching(Query { table: Some("other".into()), ..all() }).await, 0);
    assert_eq!(matching(Query { table: Some("shifts".into()), limit: 1, ..Query::default() }).await, 1);
    assert_eq!(matching(Query { word: Some("update_deleted".into()), ..all() }).await, 1);
    assert_eq!(matching(Query { pipeline: Some("pip".into()), ..all() }).await, 0);
    assert_eq!(matching(Query { pipeline: Some("pipe".into()), ..all() }).await, 2);
    assert_eq!(matching(Query { key: Some(world.key(0, &["7", "eu"])), ..all() }).await, 2);
    assert_eq!(matching(Query { key: Some(world.key(0, &["8", "eu"])), ..all() }).await, 0);
    assert_eq!(matching(Query { id: Some(d.id.clone()), ..all() }).await, 1);
}

pub async fn conflicts_are_counted<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for (sequence, kind) in [(1, "update_deleted"), (2, "insert_exists"), (3, "update_deleted")] {
        batch.next(Disposition::KeptCurrent);
        batch.writes.decisions.push(decision(&world, sequence, kind));
    }
    batch.run(&mut claim).await;
    let mut counts = world.sink.conflict_counts(Some("pipe")).await.expect("counts");
    counts.sort();
    let row = |kind: &str, n| ("shifts".to_owned(), kind.to_owned(), "kept-current".to_owned(), n);
    assert_eq!(counts, [row("insert_exists", 1), row("update_deleted", 2)]);
    assert!(world.sink.conflict_counts(Some("other")).await.expect("counts").is_empty());
}

pub async fn dead_letters_are_listed_and_discarded<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::DeadLettered);
    batch.next(Disposition::DeadLettered);
    batch.writes.dead.push(letter(&world, 1, "no number"));
    let unknown =
        DeadLetter { table: None, key: None, bytes: None, headers: None, ..letter(&world, 2, "no table") };
    batch.writes.dead.push(unknown);
    batch.run(&mut claim).await;
    let found = world.sink.dead_letters(&all()).await.expect("letters");
    assert_eq!(found.iter().map(|d| d.sequence).collect::<Vec<_>>(), [2, 1]);
    let d = &found[1];
    assert_eq!((d.stream.as_str(), d.subject.as_str()), ("CDC", "cdc.us.0.public.shifts"));
    assert_eq!((d.stage.as_str(), d.code.as_str(), d.reason.as_str()), ("decode", "wrong-type", "no number"));
    assert_eq!((d.table.as_deref(), d.bytes.as_deref()), (Some("shifts"), Some(&b"{\"op\""[..])));
    assert_eq!(d.headers, Some(serde_json::json!({"Reconverge-Version": "1"})));
    assert_eq!((d.digest.as_str(), d.state.as_str()), ("ab".repeat(32).as_str(), "open"));
    assert_eq!((found[0].table.as_ref(), found[0].key.as_ref(), found[0].bytes.as_ref()), (None, None, None));
    assert!(world.sink.discard(d.id, "ann", Some("test data")).await.expect("a write"));
    assert!(!world.sink.discard(d.id, "bob", None).await.expect("a write"));
    let closed = Query { word: Some("discarded".into()), ..all() };
    let closed = world.sink.dead_letters(&closed).await.expect("letters");
    assert_eq!(closed.len(), 1);
    assert_eq!((closed[0].closed_by.as_deref(), closed[0].note.as_deref()), (Some("ann"), Some("test data")));
    assert!(closed[0].closed_at.is_some());
    let one = Query { id: Some(found[0].id.to_string()), ..all() };
    assert_eq!(world.sink.dead_letters(&one).await.expect("letters")[0].sequence, 2);
}

pub async fn two_dead_halves_of_one_message_are_one_letter<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::DeadLettered);
    batch.writes.dead.push(letter(&world, 1, "the delete"));
    batch.writes.dead.push(letter(&world, 1, "the create"));
    batch.run(&mut claim).await;
    let found = world.sink.dead_letters(&all()).await.expect("letters");
    assert_eq!(found.len(), 1);
    assert!(
        found[0].reason.contains("the delete") && found[0].reason.contains("the create"),
        "{}",
        found[0].reason
    );
}

pub async fn a_redriven_letter_is_closed<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::DeadLettered);
    batch.writes.dead.push(letter(&world, 1, "no number"));
    batch.run(&mut claim).await;
    let mut batch = world.batch(1);
    batch.next(Disposition::Applied);
    batch.writes.redriven.push(("CDC".into(), 1));
    batch.writes.redriven.push(("CDC".into(), 99));
    batch.run(&mut claim).await;
    let found = world.sink.dead_letters(&all()).await.expect("letters");
    assert_eq!((found.len(), found[0].state.as_str()), (1, "redriven"));
    assert!(found[0].closed_at.is_some());
}

pub async fn a_suppressed_key_leaves_no_bytes<F: Fixture>() {
    let table = Table::new("people", &[("mail", Logical::Text), ("v", Logical::Text)]);
    let world = World::<F>::new(vec![table]).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::Suppressed);
    batch.upsert(0, &[("mail", Some("open-key")), ("v", Some("x"))]);
    batch.writes.suppressed.push((id(0), world.key(0, &["secret-key"])));
    batch.writes.suppressed.push((id(0), world.key(0, &["secret-key"])));
    batch.run(&mut claim).await;
    let bytes = world.fixture.sidecar_bytes().await;
    let holds = |text: &str| {
        let hex: String = text.bytes().map(|b| format!("{b:02x}")).collect();
        let listed = format!("{:?}", text.as_bytes());
        let listed = listed.trim_matches(['[', ']']);
        [text, hex.as_str(), listed].iter().any(|t| bytes.windows(t.len()).any(|w| w == t.as_bytes()))
    };
    // The other key stands in its version row: the search does find what is there.
    assert!(holds("open-key"));
    assert!(!holds("secret-key"));
}

pub async fn generations_are_numbered<F: Fixture>() {
    let mut world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let first = claim.generation(1, r#"[{"name":"a"}]"#.into(), "ann").await.expect("ours");
    assert_eq!(claim.generation(5, r#"[{"name":"a"}]"#.into(), "bob").await.expect("ours"), first);
    let second = claim.generation(9, r#"[{"name":"b"}]"#.into(), "bob").await.expect("ours");
    assert!(second > first);
    world.restart().await;
    let mut claim = world.claim().await;
    assert_eq!(claim.generation(10, r#"[{"name":"b"}]"#.into(), "eve").await.expect("ours"), second);
    // Back to the first plugins is a new generation: each decision names the one that made it.
    assert!(claim.generation(12, r#"[{"name":"a"}]"#.into(), "eve").await.expect("ours") > second);
    let found = world.sink.generations(Some("pipe")).await.expect("generations");
    let facts: Vec<_> = found.iter().map(|g| (g.from_sequence, g.by.as_str())).collect();
    assert_eq!(facts, [(12, "eve"), (9, "bob"), (1, "ann")]);
    assert_eq!(found[2].plugins, serde_json::json!([{"name": "a"}]));
    assert_eq!((found[2].id, found[2].lane.as_str()), (first, "pipe/us/main/0"));
    assert!(world.sink.generations(Some("other")).await.expect("generations").is_empty());
}

pub async fn a_generation_is_recorded_with_the_first_batch_that_it_decided_or_not_at_all<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let first = claim.generation(0, r#"[{"name":"a"}]"#.into(), "ann").await.expect("ours");
    let new = |name: &str| {
        let plugins = format!(r#"[{{"name":"{name}"}}]"#);
        Some(NewGeneration { plugins, by: "ann".into() })
    };
    let recorded = async || {
        let found = world.sink.generations(None).await.expect("generations");
        found.iter().map(|g| (g.id, g.from_sequence)).collect::<Vec<_>>()
    };
    // Given up before its commit, it leaves no record.
    let wanted = |from, generation| Wanted { from, generation, ..Wanted::default() };
    let begun = claim.begin(wanted(0, new("b"))).await.expect("ours");
    assert!(begun.generation.is_some_and(|number| number > first), "{begun:?}");
    claim.abandon().await;
    assert_eq!(recorded().await, [(first, 0)]);
    // What is recorded keeps its number.
    assert_eq!(claim.begin(wanted(0, new("a"))).await.expect("ours").generation, Some(first));
    claim.abandon().await;
    // One batch without, then one that is the first of another generation.
    assert_eq!(claim.begin(wanted(0, None)).await.expect("ours").generation, None);
    let writes = |through, generation| Writes { through, scanned: through, generation, ..Writes::default() };
    claim.commit(writes(4, first)).await.expect("committed");
    let number = claim.begin(wanted(4, new("b"))).await.expect("ours").generation.expect("numbered");
    assert!(number > first);
    let checkpoint = claim.commit(writes(9, number)).await.expect("committed");
    assert_eq!((checkpoint.generation, checkpoint.sequence), (number, 9));
    assert_eq!(recorded().await, [(number, 4), (first, 0)]);
    claim.commit(writes(9, number)).await.expect_err("nothing is open");
    assert_eq!(claim.begin(wanted(9, new("b"))).await.expect("ours").generation, Some(number));
    claim.commit(writes(12, number)).await.expect("committed");
    assert_eq!(recorded().await, [(number, 4), (first, 0)]);
}

pub async fn a_generation_of_a_late_owner_is_not_recorded<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut late = world.claim().await;
    world.fixture.end_leases().await;
    let _new = world.claim_as("two").await.expect("the lease is over");
    let generation = Some(NewGeneration { plugins: "[]".into(), by: "late".into() });
    let begun = late.begin(Wanted { generation, ..Wanted::default() }).await;
    assert!(matches!(begun, Err(SinkError::Fenced(_))), "{begun:?}");
    assert!(world.sink.generations(None).await.expect("generations").is_empty());
}

pub async fn checkpoints_are_listed_by_pipeline<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    assert!(world.sink.checkpoints(None).await.expect("checkpoints").is_empty());
    let mut claim = world.claim().await;
    claim.idle(5).await.expect("ours");
    let mut request = world.request("one");
    request.lane.pipeline = "pipe_two".into();
    reconverge_streams::sink::Sink::claim(&world.sink, request).await.expect("another lane");
    let world = &world;
    let lanes = |pipeline: Option<&'static str>| async move {
        let found = world.sink.checkpoints(pipeline).await.expect("checkpoints");
        let mut lanes: Vec<String> = found.into_iter().map(|c| c.lane).collect();
        lanes.sort();
        lanes
    };
    assert_eq!(lanes(None).await, ["pipe/us/main/0", "pipe_two/us/main/0"]);
    assert_eq!(lanes(Some("pipe")).await, ["pipe/us/main/0"]);
    // A wildcard of a database's own is a letter of a name here.
    assert!(lanes(Some("pip_")).await.is_empty());
    let found = world.sink.checkpoints(Some("pipe")).await.expect("checkpoints");
    assert_eq!(&found[0], claim.checkpoint());
}

pub async fn a_key_is_explained<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("7")), ("region", Some("eu")), ("epoch", Some("5"))]);
    batch.delete(0, &["8", "eu"], Some(r#"{"epoch":3}"#));
    batch.run(&mut claim).await;
    let explain = |key: [&'static str; 2]| {
        let (bytes, cells) = (world.key(0, &key), world.key_cells(0, &key));
        let world = &world;
        async move { world.sink.key(&world.shapes[0], &bytes, &cells).await.expect("a key") }
    };
    let row = explain(["7", "eu"]).await;
    assert_eq!(row.row, Some(serde_json::json!({"id": 7, "region": "eu", "epoch": 5})));
    assert!(!row.local);
    let version = row.version.expect("a version");
    assert_eq!((version.standing.as_str(), version.origin.as_str()), ("row", "us-east"));
    let expected = world.version(StandingKind::Row, 1).seen[0].position;
    let seen = &version.seen[0];
    assert_eq!(
        (seen.source.as_str(), seen.commit, seen.ordinal, seen.deleted),
        ("us-east", expected.commit, expected.ordinal, false)
    );
    let gone = explain(["8", "eu"]).await;
    assert_eq!((gone.row.as_ref(), gone.local), (None, false));
    let version = gone.version.expect("a tombstone");
    assert_eq!(
        (version.standing.as_str(), version.ordered_by),
        ("tombstone", Some(serde_json::json!({"epoch": 3})))
    );
    world
        .fixture
        .app_write(&world.tables[0], &[("id", Some("7")), ("region", Some("eu")), ("epoch", Some("6"))])
        .await;
    assert!(explain(["7", "eu"]).await.local);
    let nothing = explain(["9", "eu"]).await;
    assert!(nothing.row.is_none() && nothing.version.is_none() && !nothing.local);
}
