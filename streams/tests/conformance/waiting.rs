//! Changes that wait on time, paused tables, and tables that changed under a claim.

use reconverge_streams::{
    disposition::Disposition,
    family::FamilyWanted,
    logical::Logical,
    position::Position,
    records::{Query, Records, TableRecord},
    sink::{Claim, Sink, SinkError},
    standing::Wanted,
    waiting::{Paused, WaitingId, WaitingWanted, WaitingWrite, Why},
};

use crate::{
    family::tables,
    fixture::{Fixture, Table},
    world::{World, id, lane, texts},
};

/// Table 0 and 1 of [`tables`].
const AUDIO: usize = 0;
const TEXT: usize = 1;

fn waiting_id<F: Fixture>(world: &World<F>, table: usize, key: &str, sequence: u64) -> WaitingId {
    WaitingId { sequence, table: id(table), key: world.key(table, &[key]) }
}

fn write<F: Fixture>(world: &World<F>, id: WaitingId, why: Why) -> WaitingWrite {
    WaitingWrite {
        why,
        until: (why == Why::Skew).then_some(1_800_000_000_000_000),
        source: world.name("us-east"),
        position: Position { epoch: 1, commit: u64::MAX, ordinal: id.sequence },
        moved: (id.sequence == 3).then(|| world.key(AUDIO, &["9"])),
        change: format!("change {}", id.sequence).into_bytes(),
        id,
    }
}

/// A world in which changes 1, 2 and 3 wait: of audio 2, of text 1, and of audio 1.
async fn with_waiting<F: Fixture>() -> World<F> {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for (table, key, why) in [(AUDIO, "2", Why::Skew), (TEXT, "1", Why::Paused), (AUDIO, "1", Why::Paused)] {
        let sequence = u64::from(batch.next(Disposition::Parked)) + 1;
        let change = write(&world, waiting_id(&world, table, key, sequence), why);
        batch.writes.waiting.push(change);
    }
    batch.run(&mut claim).await;
    world
}

async fn sequences<C: Claim>(claim: &mut C) -> Vec<u64> {
    let all = claim.waiting(WaitingWanted::All).await.expect("a list");
    all.into_iter().map(|w| w.id.sequence).collect()
}

pub async fn changes_wait_in_the_order_of_their_sequences<F: Fixture>() {
    let mut world = with_waiting::<F>().await;
    world.restart().await;
    let mut claim = world.claim().await;
    let all = claim.waiting(WaitingWanted::All).await.expect("a list");
    assert_eq!(sequences(&mut claim).await, [1, 2, 3]);
    let first = &all[0];
    assert_eq!(first.id, waiting_id(&world, AUDIO, "2", 1));
    assert_eq!((first.why, first.until, first.attempts), (Why::Skew, Some(1_800_000_000_000_000), 0));
    assert_eq!(first.position, Position { epoch: 1, commit: u64::MAX, ordinal: 1 });
    assert_eq!(first.source, Some(world.name("us-east")));
    assert!(all.iter().all(|w| w.change.is_empty() && w.parked_at > 1_600_000_000_000_000));
    assert_eq!((all[2].why, all[2].until), (Why::Paused, None));
    assert_eq!((&all[0].moved, &all[2].moved), (&None, &Some(world.key(AUDIO, &["9"]))));
    let some = claim.waiting(WaitingWanted::Sequences(vec![3, 1, 99])).await.expect("a list");
    let bytes: Vec<_> = some.iter().map(|w| String::from_utf8_lossy(&w.change).into_owned()).collect();
    assert_eq!(bytes, ["change 1", "change 3"]);
}

/// Two halves of a key change have one sequence; rows of one COPY have one position.
pub async fn one_position_may_wait_twice<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for (sequence, key) in [(1, "1"), (1, "2"), (2, "1")] {
        batch.next(Disposition::Parked);
        let change = write(&world, waiting_id(&world, AUDIO, key, sequence), Why::Paused);
        batch.writes.waiting.push(WaitingWrite { position: Position::default(), ..change });
    }
    batch.run(&mut claim).await;
    assert_eq!(sequences(&mut claim).await, [1, 1, 2]);
}

pub async fn a_released_change_is_gone<F: Fixture>() {
    let world = with_waiting::<F>().await;
    let mut claim = world.claim().await;
    let before = claim.checkpoint().clone();
    let mut batch = world.batch(before.sequence);
    batch.upsert(AUDIO, &[("id", Some("2")), ("name", Some("two"))]);
    let (mut wanted, mut writes) = batch.done();
    wanted.from = before.sequence;
    writes.through = before.sequence;
    writes.counts = Default::default();
    writes.released.push(waiting_id(&world, AUDIO, "2", 1));
    writes.reclassified.push((Disposition::Parked, Disposition::Applied, 1));
    claim.begin(wanted).await.expect("ours");
    let after = claim.commit(writes).await.expect("a good batch");
    assert_eq!(sequences(&mut claim).await, [2, 3]);
    assert_eq!((after.delivered, after.sequence), (before.delivered, before.sequence));
    assert_eq!((after.counts.get(Disposition::Parked), after.counts.get(Disposition::Applied)), (2, 1));
    assert_eq!(world.rows(AUDIO).await, texts(&[&[Some("2"), Some("two")]]));
}

/// Decided, its row waits for a parent: of the same key, position and sequence as the change that waited.
pub async fn a_released_change_may_leave_a_row_that_is_kept<F: Fixture>() {
    let world = with_waiting::<F>().await;
    let mut claim = world.claim().await;
    let from = claim.checkpoint().sequence;
    let change = write(&world, waiting_id(&world, TEXT, "1", 2), Why::Paused);
    let mut batch = world.batch(from);
    batch.keep(TEXT, &["1"], r#"{"id":1,"audio":7,"body":"one"}"#, (AUDIO, &["7"]), false);
    let (mut wanted, mut writes) = batch.done();
    wanted.from = from;
    writes.through = from;
    writes.counts = Default::default();
    (writes.kept[0].position, writes.kept[0].source) = (change.position, change.source);
    writes.kept[0].sequence = change.id.sequence;
    writes.released.push(change.id);
    claim.begin(wanted).await.expect("ours");
    claim.commit(writes).await.expect("a good batch");
    assert_eq!(sequences(&mut claim).await, [1, 3]);
    let query = Query { limit: 9, word: Some("parent".into()), ..Query::default() };
    let kept = world.sink.parked(&query).await.expect("a list");
    assert_eq!(kept.iter().map(|kept| kept.sequence).collect::<Vec<_>>(), [2]);
}

pub async fn a_change_that_was_tried_in_vain_is_counted<F: Fixture>() {
    let world = with_waiting::<F>().await;
    let mut claim = world.claim().await;
    for tries in 1..=2 {
        let mut batch = world.batch(claim.checkpoint().sequence);
        batch.writes.tried.push(waiting_id(&world, TEXT, "1", 2));
        batch.run(&mut claim).await;
        let all = claim.waiting(WaitingWanted::All).await.expect("a list");
        assert_eq!(all.iter().map(|w| w.attempts).collect::<Vec<_>>(), [0, tries, 0]);
    }
}

pub async fn what_waits_is_of_its_own_lane<F: Fixture>() {
    let world = with_waiting::<F>().await;
    let request = reconverge_streams::sink::ClaimRequest { lane: lane("bulk"), ..world.request("two") };
    let mut other = world.sink.claim(request).await.expect("a free lane");
    assert_eq!(sequences(&mut other).await, [] as [u64; 0]);
    let mut batch = world.batch(0);
    batch.writes.released.push(waiting_id(&world, AUDIO, "2", 1));
    batch.run(&mut other).await;
    let mut claim = world.claim().await;
    assert_eq!(sequences(&mut claim).await, [1, 2, 3]);
}

pub async fn waiting_changes_are_listed_and_counted<F: Fixture>() {
    let world = with_waiting::<F>().await;
    let counts = world.sink.parked_counts(Some("pipe")).await.expect("counts");
    let count = |table: &str, why: &str| (table.to_owned(), why.to_owned(), 1);
    assert_eq!(counts, [count("audio", "paused"), count("audio", "skew"), count("text", "paused")]);
    let query = Query { word: Some("skew".into()), limit: 9, ..Query::default() };
    let found = world.sink.parked(&query).await.expect("a list");
    assert_eq!(found.len(), 1);
    let one = &found[0];
    assert_eq!((one.table.as_str(), one.key.as_str(), one.sequence), ("audio", r#"{"id":2}"#, 1));
    assert_eq!(one.until.as_deref(), Some("2027-01-15T08:00:00.000000Z"));
    assert_eq!((&one.waits_table, &one.row, one.attempts), (&None, &None, 0));
}

pub async fn depths_are_counted_by_table_and_reason<F: Fixture>() {
    let world = with_waiting::<F>().await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(3);
    batch.keep(TEXT, &["10"], r#"{"id":10,"audio":1,"body":"ten"}"#, (AUDIO, &["1"]), false);
    batch.keep(TEXT, &["11"], r#"{"id":11,"audio":1,"body":"x"}"#, (AUDIO, &["1"]), false);
    batch.run(&mut claim).await;
    let mut depths = claim.depths().await.expect("counts");
    depths.sort_by(|a, b| (a.table, &a.why).cmp(&(b.table, &b.why)));
    assert!(depths.iter().all(|d| d.oldest_at > 1_600_000_000_000_000));
    let counts: Vec<_> = depths.iter().map(|d| (d.table, d.why.as_str(), d.rows)).collect();
    let expected =
        [(id(AUDIO), "paused", 1), (id(AUDIO), "skew", 1), (id(TEXT), "parent", 2), (id(TEXT), "paused", 1)];
    assert_eq!(counts, expected);
}

pub async fn a_change_that_waits_is_no_kept_row<F: Fixture>() {
    let world = with_waiting::<F>().await;
    let mut claim = world.claim().await;
    let found = world.stands(&mut claim, AUDIO, &[&["1"], &["2"]], &[]).await;
    assert!(found.keys.iter().all(|k| k.kept.is_none() && k.version.is_none() && k.row.is_none()));
    assert_eq!(claim.sweep(9).await.expect("a sweep"), []);
}

pub async fn a_paused_table_is_told_with_its_first_reason<F: Fixture>() {
    let mut world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    assert_eq!(claim.paused().await.expect("a list"), []);
    claim.pause(id(TEXT), "the first").await.expect("ours");
    claim.pause(id(TEXT), "the second").await.expect("ours");
    let paused = vec![Paused { table: id(TEXT), reason: "the first".into() }];
    assert_eq!(claim.paused().await.expect("a list"), paused);
    world.restart().await;
    assert_eq!(world.claim().await.paused().await.expect("a list"), paused);
}

pub async fn pausing_is_fenced<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut old = world.claim().await;
    let mut new = world.claim().await;
    assert!(matches!(old.pause(id(TEXT), "late").await, Err(SinkError::Fenced(_))));
    assert_eq!(new.paused().await.expect("a list"), []);
}

pub async fn an_operator_pauses_and_lets_run<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    assert!(world.sink.set_paused("audio", Some("by hand")).await.expect("written"));
    assert!(!world.sink.set_paused("audio", Some("again")).await.expect("read"), "it is paused already");
    assert!(!world.sink.set_paused("nowhere", Some("x")).await.expect("read"));
    assert_eq!(
        claim.paused().await.expect("a list"),
        [Paused { table: id(AUDIO), reason: "by hand".into() }]
    );
    let record =
        |name: &str, paused: Option<&str>| TableRecord { name: name.into(), paused: paused.map(Into::into) };
    let told = [record("audio", Some("by hand")), record("text", None)];
    assert_eq!(world.sink.tables().await.expect("a list"), told);
    assert!(world.sink.set_paused("audio", None).await.expect("written"));
    assert!(!world.sink.set_paused("audio", None).await.expect("read"), "it runs already");
    assert_eq!(claim.paused().await.expect("a list"), []);
}

/// Begins with a key of the table, which must be refused for that table's sake.
async fn is_told<F: Fixture>(world: &World<F>, claim: &mut <F::Sink as Sink>::Claim, table: usize) {
    let wanted =
        Wanted { from: 0, tables: vec![world.wanted(table, &[&["1"]], &[], true)], ..Wanted::default() };
    match claim.begin(wanted).await {
        Err(SinkError::Table(which, cause)) => {
            assert_eq!(which, id(table));
            assert!(!cause.code.is_empty() && !cause.text.is_empty());
        }
        other => panic!("the table is not as planned: {other:?}"),
    }
    // Nothing stays open, and the others go on.
    claim.set_aside([id(table)].into());
    let mut batch = world.batch(0);
    batch.upsert(1 - table, &[("id", Some("1"))]);
    batch.run(claim).await;
}

pub async fn a_table_that_is_gone_is_told_at_begin<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    world.fixture.drop_table(&world.tables[AUDIO]).await;
    is_told(&world, &mut claim, AUDIO).await;
}

/// A column of eight bytes that becomes a text of eight bytes must not be read as a number.
pub async fn a_table_whose_column_turned_is_told_at_begin<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.upsert(TEXT, &[("id", Some("1")), ("audio", Some("7")), ("body", Some("x"))]);
    let (wanted, _) = batch.done();
    claim.begin(wanted).await.expect("ours");
    claim.abandon().await;
    world.fixture.drop_table(&world.tables[TEXT]).await;
    let turned = [("id", Logical::Int), ("audio", Logical::Text), ("body", Logical::Text)];
    let turned = Table::new("text", &turned);
    world.fixture.create(&turned).await;
    world.fixture.app_write(&turned, &[("id", Some("1")), ("audio", Some("12345678"))]).await;
    is_told(&world, &mut claim, TEXT).await;
}

pub async fn a_claim_pauses_what_is_not_as_planned<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    world.claim().await;
    world.fixture.drop_table(&world.tables[AUDIO]).await;
    let mut claim = world.claim().await;
    let paused = claim.paused().await.expect("a list");
    assert_eq!(paused.iter().map(|p| p.table).collect::<Vec<_>>(), [id(AUDIO)]);
    assert!(!paused[0].reason.is_empty());
    claim.set_aside([id(AUDIO)].into());
    let mut batch = world.batch(0);
    batch.upsert(TEXT, &[("id", Some("1"))]);
    let sequence = u64::from(batch.next(Disposition::Parked)) + 1;
    let change = write(&world, waiting_id(&world, AUDIO, "1", sequence), Why::Paused);
    batch.writes.waiting.push(change);
    batch.run(&mut claim).await;
    assert_eq!(sequences(&mut claim).await, [sequence]);
}

pub async fn a_parent_that_is_gone_is_told<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    world.fixture.drop_table(&world.tables[AUDIO]).await;
    // The child alone is read first: a sink that looks at all tables when the schema changed tells at once.
    let wanted =
        Wanted { from: 0, tables: vec![world.wanted(TEXT, &[&["1"]], &[], true)], ..Wanted::default() };
    let asked =
        FamilyWanted { parents: vec![(id(AUDIO), world.keys(AUDIO, &[&["1"]]))], ..Default::default() };
    let told = match claim.begin(wanted).await {
        Ok(_) => claim.family(asked).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(told, Err(SinkError::Table(which, _)) if which == id(AUDIO)), "{told:?}");
}

pub async fn a_sweep_leaves_tables_alone_that_are_set_aside<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.keep(TEXT, &["10"], r#"{"id":10,"audio":1,"body":"ten"}"#, (AUDIO, &["1"]), false);
    batch.run(&mut claim).await;
    world.fixture.app_write(&world.tables[AUDIO], &[("id", Some("1"))]).await;
    claim.set_aside([id(TEXT)].into());
    assert_eq!(claim.sweep(9).await.expect("a sweep"), []);
    world.fixture.drop_table(&world.tables[AUDIO]).await;
    claim.set_aside([id(AUDIO), id(TEXT)].into());
    assert_eq!(claim.sweep(9).await.expect("a sweep"), [], "what is set aside is not even looked at");
}
