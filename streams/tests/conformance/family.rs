//! Parents and children: rows kept beside, what a batch asks about its relatives, and the sweep.

use reconverge_streams::{
    disposition::Disposition,
    family::{ChildrenWanted, Family, FamilyWanted, Keys, Presence},
    keys::KeyList,
    logical::Logical,
    records::{Query, Records},
    sink::{Claim, Sink, SinkError},
    standing::StandingKind,
    writes::DeadLetter,
};

use crate::{
    batch::Batch,
    fixture::{Fixture, Table},
    world::{World, cell, id, lane, texts},
};

/// Table 0.
const AUDIO: usize = 0;
/// Table 1, whose column 1 names an audio.
const TEXT: usize = 1;

pub fn tables() -> Vec<Table> {
    vec![
        Table::new("audio", &[("id", Logical::Int), ("name", Logical::Text)]),
        Table::new("text", &[("id", Logical::Int), ("audio", Logical::Int), ("body", Logical::Text)]),
    ]
}

const ROW: &str = r#"{"id":10,"audio":1,"body":"ten"}"#;

/// A world in which text 10 waits for audio 1.
async fn with_a_kept_row<F: Fixture>() -> World<F> {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.keep(TEXT, &["10"], ROW, (AUDIO, &["1"]), false);
    batch.run(&mut claim).await;
    world
}

/// Begins a batch without keys, and asks.
async fn asked<F: Fixture>(
    world: &World<F>,
    claim: &mut <F::Sink as Sink>::Claim,
    wanted: FamilyWanted,
) -> Family {
    let (begun, _) = world.batch(claim.checkpoint().sequence).done();
    claim.begin(begun).await.expect("the lane is ours");
    let family = claim.family(wanted).await.expect("an answer");
    claim.abandon().await;
    family
}

fn waiting<F: Fixture>(world: &World<F>, parents: &[&[&str]]) -> FamilyWanted {
    FamilyWanted { waiting: vec![(id(AUDIO), world.keys(AUDIO, parents))], ..FamilyWanted::default() }
}

fn children(parents: Keys) -> FamilyWanted {
    let wanted = ChildrenWanted { child: id(TEXT), columns: vec![1], parent: id(AUDIO), parents };
    FamilyWanted { children: vec![wanted], ..FamilyWanted::default() }
}

async fn kept_keys<F: Fixture>(world: &World<F>) -> Vec<(String, String)> {
    let query = Query { limit: 100, ..Query::default() };
    let mut found: Vec<_> =
        world.sink.parked(&query).await.expect("a list").into_iter().map(|k| (k.key, k.why)).collect();
    found.sort();
    found
}

fn pair(key: &str, why: &str) -> (String, String) {
    (key.to_owned(), why.to_owned())
}

pub async fn a_kept_row_stands_beside_its_table<F: Fixture>() {
    let mut world = with_a_kept_row::<F>().await;
    assert!(world.rows(TEXT).await.is_empty());
    world.restart().await;
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, TEXT, &[&["10"], &["11"]], &[]).await;
    let key = &found.keys[0];
    assert_eq!(key.version, Some(world.version(StandingKind::Kept, 1)));
    assert!(key.row.is_none() && key.local.is_none() && found.keys[1].kept.is_none());
    let kept = key.kept.as_ref().expect("a kept row");
    assert_eq!((kept.orphaned, &kept.waits), (false, &Some((id(AUDIO), world.key(AUDIO, &["1"])))));
    let cells = [0, 1, 2].map(|c| cell(&found, kept.row, c));
    assert_eq!(cells, ["10", "1", "ten"].map(|c| Some(c.to_owned())));
    // Put in, it is kept no more.
    let mut batch = world.batch(1);
    batch.upsert(AUDIO, &[("id", Some("1")), ("name", Some("one"))]);
    batch.upsert(TEXT, &[("id", Some("10")), ("audio", Some("1")), ("body", Some("ten"))]);
    batch.unkeep(TEXT, &["10"]);
    batch.run(&mut claim).await;
    let found = world.stands(&mut claim, TEXT, &[&["10"]], &[]).await;
    assert!(found.keys[0].row.is_some() && found.keys[0].kept.is_none() && found.keys[0].local.is_none());
    assert_eq!(kept_keys(&world).await, []);
}

pub async fn a_kept_row_is_kept_once<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    // A later change of the key, at another position and for another parent.
    batch.keep(TEXT, &["10"], r#"{"id":10,"audio":2,"body":"later"}"#, (AUDIO, &["2"]), true);
    batch.run(&mut claim).await;
    assert_eq!(kept_keys(&world).await, [pair(r#"{"id":10}"#, "orphaned")]);
    let found = world.stands(&mut claim, TEXT, &[&["10"]], &[]).await;
    let kept = found.keys[0].kept.as_ref().expect("a kept row");
    assert_eq!((kept.orphaned, cell(&found, kept.row, 2).as_deref()), (true, Some("later")));
    assert!(asked(&world, &mut claim, waiting(&world, &[&["1"]])).await.waiting.is_empty());
}

pub async fn a_local_row_in_place_of_a_kept_one_is_seen<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    world.fixture.app_write(&world.tables[TEXT], &[("id", Some("10")), ("body", Some("theirs"))]).await;
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, TEXT, &[&["10"]], &[]).await;
    let key = &found.keys[0];
    assert!(key.local.is_some() && key.kept.is_some());
    assert_eq!(cell(&found, key.row.expect("a row"), 2).as_deref(), Some("theirs"));
}

fn dead(batch: &mut Batch<'_, impl Fixture>, key: Vec<u8>) {
    let change = batch.next(Disposition::DeadLettered);
    let sequence = batch.sequence(change);
    batch.writes.dead.push(DeadLetter {
        sequence,
        subject: "cdc.us-east.0.public.audio".into(),
        table: Some(id(AUDIO)),
        key: Some(key),
        stage: "decode",
        code: "wrong-type",
        reason: "column `name`: not a text".into(),
        generation: None,
        headers: None,
        bytes: None,
        digest: [1; 32],
        discarded: None,
    });
}

pub async fn parents_are_in_or_gone_or_unknown<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(AUDIO, &[("id", Some("1")), ("name", Some("ours"))]);
    batch.delete(AUDIO, &["2"], None);
    batch.version(AUDIO, &["3"], world.version(StandingKind::Absence, 3), None);
    batch.version(AUDIO, &["4"], world.version(StandingKind::Nothing, 4), None);
    dead(&mut batch, world.key(AUDIO, &["4"]));
    batch.version(AUDIO, &["5"], world.version(StandingKind::Nothing, 5), None);
    batch.keep(AUDIO, &["6"], r#"{"id":6,"name":"waits itself"}"#, (TEXT, &["1"]), false);
    batch.upsert(AUDIO, &[("id", Some("7")), ("name", Some("taken away"))]);
    dead(&mut batch, world.key(AUDIO, &["1"]));
    dead(&mut batch, world.key(AUDIO, &["6"]));
    batch.run(&mut claim).await;
    world.fixture.app_delete(&world.tables[AUDIO], &["7"]).await;
    world.fixture.app_write(&world.tables[AUDIO], &[("id", Some("8"))]).await;
    let keys: Vec<[&str; 1]> = ["1", "2", "3", "4", "5", "6", "7", "8", "9"].map(|k| [k]).to_vec();
    let keys: Vec<&[&str]> = keys.iter().map(|k| &k[..]).collect();
    let wanted =
        FamilyWanted { parents: vec![(id(AUDIO), world.keys(AUDIO, &keys))], ..FamilyWanted::default() };
    let family = asked(&world, &mut claim, wanted.clone()).await;
    use Presence::{Gone, In, Unknown};
    assert_eq!(family.parents, [[In, Gone, Gone, Gone, Unknown, Unknown, Unknown, In, Unknown]]);
    assert!(family.waiting.is_empty() && family.children.is_empty());
    // A letter that is closed keeps nobody waiting in vain.
    let letters = world.sink.dead_letters(&Query { limit: 9, ..Query::default() }).await.expect("letters");
    for letter in letters {
        assert!(world.sink.discard(letter.id, "test", None).await.expect("closed"));
    }
    assert_eq!(asked(&world, &mut claim, wanted).await.parents[0][3], Unknown);
}

pub async fn a_parent_key_that_cannot_be_is_unknown<F: Fixture>() {
    let world = World::<F>::new(vec![Table::new("owners", &[("name", Logical::Text)])]).await;
    world.fixture.app_write(&world.tables[0], &[("name", Some("ann"))]).await;
    let mut claim = world.claim().await;
    let keys = world.keys(0, &[&["a\0b"], &["ann"], &["bob"]]);
    let parents = vec![(id(0), keys)];
    let family = asked(&world, &mut claim, FamilyWanted { parents, ..FamilyWanted::default() }).await;
    assert_eq!(family.parents, [[Presence::Unknown, Presence::In, Presence::Unknown]]);
}

pub async fn who_waits_for_a_parent_is_found<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    batch.keep(TEXT, &["11"], r#"{"id":11,"audio":1,"body":null}"#, (AUDIO, &["1"]), true);
    batch.keep(TEXT, &["12"], r#"{"id":12,"audio":2,"body":"twelve"}"#, (AUDIO, &["2"]), false);
    batch.keep(TEXT, &["13"], r#"{"id":13,"audio":3,"body":"thirteen"}"#, (AUDIO, &["3"]), false);
    batch.run(&mut claim).await;
    let family = asked(&world, &mut claim, waiting(&world, &[&["2"], &["1"], &["9"]])).await;
    let [found] = &family.waiting[..] else { panic!("one table waits") };
    assert_eq!(found.table, id(TEXT));
    assert_eq!(found.keys, KeyList::from_iter(["10", "11", "12"].map(|k| world.key(TEXT, &[k]))));
    assert_eq!(found.standing.keys.len(), 3);
    let orphaned: Vec<_> =
        found.standing.keys.iter().map(|k| k.kept.as_ref().expect("kept").orphaned).collect();
    assert_eq!(orphaned, [false, true, false]);
    let last = &found.standing.keys[2];
    assert_eq!(last.version, Some(world.version(StandingKind::Kept, 3)));
    let row = last.kept.as_ref().expect("kept").row;
    assert_eq!(cell(&found.standing, row, 2).as_deref(), Some("twelve"));
}

pub async fn who_names_a_parent_is_found<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for (key, audio) in [("12", Some("1")), ("10", Some("1")), ("11", Some("2")), ("13", None)] {
        batch.upsert(TEXT, &[("id", Some(key)), ("audio", audio), ("body", Some("ours"))]);
    }
    batch.run(&mut claim).await;
    world.fixture.app_write(&world.tables[TEXT], &[("id", Some("14")), ("audio", Some("1"))]).await;
    let family = asked(&world, &mut claim, children(world.keys(AUDIO, &[&["1"], &["7"]]))).await;
    let [found] = &family.children[..] else { panic!("one table names it") };
    assert_eq!((found.table, family.waiting.len()), (id(TEXT), 0));
    assert_eq!(found.keys, KeyList::from_iter(["10", "12", "14"].map(|k| world.key(TEXT, &[k]))));
    let local: Vec<_> = found.standing.keys.iter().map(|k| k.local.is_some()).collect();
    assert_eq!(local, [false, false, true]);
    assert_eq!(found.standing.keys[0].version, Some(world.version(StandingKind::Row, 2)));
    let row = found.standing.keys[1].row.expect("a row");
    assert_eq!([0, 1].map(|c| cell(&found.standing, row, c)), ["12", "1"].map(|c| Some(c.to_owned())));
}

/// How a table that names itself asks for the rows above others: by the columns of its key.
pub async fn rows_are_found_by_their_own_keys<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(AUDIO, &[("id", Some("1")), ("name", Some("ours"))]);
    batch.run(&mut claim).await;
    world.fixture.app_write(&world.tables[AUDIO], &[("id", Some("7"))]).await;
    let parents = world.keys(AUDIO, &[&["1"], &["7"], &["9"]]);
    let above = ChildrenWanted { child: id(AUDIO), columns: vec![0], parent: id(AUDIO), parents };
    let wanted = FamilyWanted { children: vec![above], ..FamilyWanted::default() };
    let family = asked(&world, &mut claim, wanted).await;
    assert_eq!(family.children[0].keys, KeyList::from_iter(["1", "7"].map(|k| world.key(AUDIO, &[k]))));
}

pub async fn a_parent_of_several_columns<F: Fixture>() {
    let profiles = [("id", Logical::Int), ("region", Logical::Text), ("name", Logical::Text)];
    let notes = [("id", Logical::Int), ("of_region", Logical::Text), ("of", Logical::Int)];
    let world = World::<F>::new(vec![
        Table::new("profiles", &profiles).key(&["id", "region"]),
        Table::new("notes", &notes),
    ])
    .await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1")), ("region", Some("eu"))]);
    for (note, region) in [("1", "eu"), ("2", "us")] {
        batch.upsert(1, &[("id", Some(note)), ("of_region", Some(region)), ("of", Some("1"))]);
    }
    batch.run(&mut claim).await;
    let parents = world.keys(0, &[&["1", "eu"], &["1", "us"]]);
    let wanted = FamilyWanted {
        children_max: None,
        parents: vec![(id(0), parents)],
        waiting: Vec::new(),
        children: vec![ChildrenWanted {
            child: id(1),
            columns: vec![2, 1],
            parent: id(0),
            parents: world.keys(0, &[&["1", "eu"]]),
        }],
    };
    let family = asked(&world, &mut claim, wanted).await;
    assert_eq!(family.parents, [[Presence::In, Presence::Unknown]]);
    assert_eq!(family.children[0].keys, KeyList::from_iter([world.key(1, &["1"])]));
}

pub async fn relatives_are_written_with_the_batch<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    batch.upsert(TEXT, &[("id", Some("20")), ("audio", Some("2"))]);
    batch.run(&mut claim).await;
    // Audio 1 comes and audio 2 leaves, so 10 goes in and 20 goes out. The batch itself begins with the audios alone.
    let mut batch = world.batch(2);
    batch.upsert(AUDIO, &[("id", Some("1"))]);
    batch.delete(AUDIO, &["2"], None);
    batch.upsert(TEXT, &[("id", Some("10")), ("audio", Some("1")), ("body", Some("ten"))]);
    batch.unkeep(TEXT, &["10"]);
    batch.delete(TEXT, &["20"], None);
    let (mut wanted, mut writes) = batch.done();
    let texts_asked = wanted.tables.pop().expect("the texts");
    assert_eq!(texts_asked.table, id(TEXT));
    let gone = world.key(TEXT, &["20"]);
    let versions = &mut writes.tables[1].versions;
    let out = versions.iter_mut().find(|v| v.key == gone).expect("a version");
    out.version.standing = StandingKind::Kept;
    let mut keep = world.batch(2);
    keep.keep(TEXT, &["20"], r#"{"id":20,"audio":2,"body":null}"#, (AUDIO, &["2"]), true);
    writes.kept = keep.writes.kept;
    claim.begin(wanted).await.expect("ours");
    let mut asked = waiting(&world, &[&["1"]]);
    asked.children = children(world.keys(AUDIO, &[&["2"]])).children;
    let family = claim.family(asked).await.expect("an answer");
    assert_eq!((family.waiting[0].keys.len(), family.children[0].keys.len()), (1, 1));
    claim.commit(writes).await.expect("written");
    let rows = world.rows(TEXT).await;
    assert_eq!(rows, texts(&[&[Some("10"), Some("1"), Some("ten")]]));
    let found = world.stands(&mut claim, TEXT, &[&["10"], &["20"]], &[]).await;
    assert!(found.keys.iter().all(|k| k.local.is_none()), "both are as we wrote them");
    assert!(found.keys[1].kept.as_ref().is_some_and(|k| k.orphaned));
}

pub async fn a_sweep_finds_parents_that_the_application_wrote<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    let mut claim = world.claim().await;
    assert_eq!(claim.sweep(10).await.expect("a sweep"), []);
    let mut batch = world.batch(1);
    batch.keep(TEXT, &["11"], r#"{"id":11,"audio":2,"body":null}"#, (AUDIO, &["2"]), true);
    batch.keep(TEXT, &["12"], r#"{"id":12,"audio":3,"body":null}"#, (AUDIO, &["3"]), false);
    batch.run(&mut claim).await;
    for audio in ["1", "2"] {
        world.fixture.app_write(&world.tables[AUDIO], &[("id", Some(audio))]).await;
    }
    let mut found = claim.sweep(10).await.expect("a sweep");
    found.iter_mut().for_each(|(_, keys)| keys.sort());
    assert_eq!(found, [(id(TEXT), ["10", "11"].map(|k| world.key(TEXT, &[k])).to_vec())]);
    assert!(claim.checkpoint().sequence == 3, "a sweep moves nothing");
}

pub async fn a_sweep_is_of_its_own_lane_and_bounded<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    for key in ["11", "12"] {
        let row = format!(r#"{{"id":{key},"audio":1,"body":null}}"#);
        batch.keep(TEXT, &[key], &row, (AUDIO, &["1"]), false);
    }
    batch.run(&mut claim).await;
    world.fixture.app_write(&world.tables[AUDIO], &[("id", Some("1"))]).await;
    let count = |found: Vec<(_, Vec<Vec<u8>>)>| found.iter().map(|(_, keys)| keys.len()).sum::<usize>();
    assert_eq!(count(claim.sweep(2).await.expect("a sweep")), 2);
    assert_eq!(count(claim.sweep(10).await.expect("a sweep")), 3);
    let mut request = world.request("one");
    request.lane = lane("bulk");
    let mut other = world.sink.claim(request).await.expect("another lane");
    assert_eq!(other.sweep(10).await.expect("a sweep"), []);
    // The rows of the other lane are found all the same where their parent comes through this one.
    assert_eq!(asked(&world, &mut other, waiting(&world, &[&["1"]])).await.waiting[0].keys.len(), 3);
}

pub async fn what_was_counted_before_moves<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    batch.next(Disposition::Applied);
    batch.unkeep(TEXT, &["10"]);
    batch.writes.reclassified = vec![(Disposition::Parked, Disposition::Applied, 1)];
    batch.run(&mut claim).await;
    let counts = claim.checkpoint().counts;
    assert_eq!((counts.get(Disposition::Parked), counts.get(Disposition::Applied)), (0, 2));
    let stored = world.sink.checkpoints(None).await.expect("checkpoints");
    assert_eq!((stored[0].counts, stored[0].delivered), (counts, 2));
}

pub async fn family_without_a_batch_is_refused<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let refused = claim.family(waiting(&world, &[&["1"]])).await;
    assert!(matches!(refused, Err(SinkError::Fenced(_))), "{refused:?}");
}

pub async fn kept_rows_are_listed_and_counted<F: Fixture>() {
    let world = with_a_kept_row::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(1);
    batch.keep(TEXT, &["11"], r#"{"id":11,"audio":2,"body":null}"#, (AUDIO, &["2"]), true);
    batch.run(&mut claim).await;
    let all = Query { limit: 10, ..Query::default() };
    assert_eq!(kept_keys(&world).await, [pair(r#"{"id":10}"#, "parent"), pair(r#"{"id":11}"#, "orphaned")]);
    let of_key = Query { key: Some(world.key(TEXT, &["10"])), table: Some("text".into()), ..all.clone() };
    let [kept] = &world.sink.parked(&of_key).await.expect("a list")[..] else { panic!("one row") };
    let version = world.version(StandingKind::Kept, 1);
    assert_eq!((kept.table.as_str(), kept.sequence, kept.source.as_str()), ("text", 1, "us-east"));
    assert_eq!((kept.commit_position, kept.ordinal), (version.seen[0].position.commit, 1));
    assert_eq!(kept.waits_table.as_deref(), Some("audio"));
    assert_eq!(kept.waits_key.as_deref(), Some(r#"{"id":1}"#));
    assert_eq!(kept.row.as_ref().map(|r| r["body"].clone()), Some("ten".into()));
    let orphaned = Query { word: Some("orphaned".into()), ..all.clone() };
    assert_eq!(world.sink.parked(&orphaned).await.expect("a list").len(), 1);
    let elsewhere = Query { pipeline: Some("pip".into()), ..all.clone() };
    assert!(world.sink.parked(&elsewhere).await.expect("a list").is_empty());
    assert_eq!(world.sink.parked(&Query { limit: 1, ..all }).await.expect("a list").len(), 1);
    let counts = world.sink.parked_counts(Some("pipe")).await.expect("counts");
    assert_eq!(counts, [("text".into(), "orphaned".into(), 1), ("text".into(), "parent".into(), 1)]);
    assert!(world.sink.parked_counts(Some("other")).await.expect("counts").is_empty());
}
