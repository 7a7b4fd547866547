//! Seen events of sources without positions, and the grades of sources.

use reconverge_streams::{
    disposition::Disposition,
    event::{Event, Grade},
    logical::Logical,
    records::Records,
    sink::{Claim, Sink},
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, id},
};

type ClaimOf<F> = <<F as Fixture>::Sink as Sink>::Claim;

fn notes() -> Vec<Table> {
    vec![Table::new("notes", &[("id", Logical::Int)]), Table::new("other", &[("id", Logical::Int)])]
}

fn event<F: Fixture>(world: &World<F>, table: usize, source: &str, text: &str) -> Event {
    Event { table: id(table), source: world.name(source), id: text.into() }
}

/// Asks for events in a transaction that is given up.
async fn asked<F: Fixture>(world: &World<F>, claim: &mut ClaimOf<F>, events: &[Event]) -> Vec<bool> {
    let mut batch = world.batch(claim.checkpoint().sequence);
    batch.events = events.to_vec();
    let standing = claim.begin(batch.done().0).await.expect("ours");
    claim.abandon().await;
    events.iter().map(|event| standing.events.contains(event)).collect()
}

/// Commits events that a batch saw first.
async fn see<F: Fixture>(world: &World<F>, claim: &mut ClaimOf<F>, events: &[Event]) {
    let mut batch = world.batch(claim.checkpoint().sequence);
    batch.next(Disposition::Applied);
    batch.events = events.to_vec();
    batch.writes.events = events.to_vec();
    batch.run(claim).await;
}

pub async fn an_event_is_seen_once_it_is_committed<F: Fixture>() {
    let mut world = World::<F>::new(notes()).await;
    let mut claim = world.claim().await;
    let odd = ["b7c1", "", "with 'quotes' and \\ and \u{1f980}", "ä"];
    let of =
        |world: &World<F>| -> Vec<Event> { odd.iter().map(|text| event(world, 0, "east", text)).collect() };
    let events = of(&world);
    assert_eq!(asked(&world, &mut claim, &events).await, [false; 4]);
    see(&world, &mut claim, &events[1..]).await;
    assert_eq!(asked(&world, &mut claim, &events).await, [false, true, true, true]);
    claim.release().await;
    world.restart().await;
    let mut claim = world.claim().await;
    assert_eq!(asked(&world, &mut claim, &of(&world)).await, [false, true, true, true], "after a restart");
    assert_eq!(asked(&world, &mut claim, &[]).await, Vec::<bool>::new());
}

pub async fn an_event_of_a_batch_that_was_given_up_is_not_seen<F: Fixture>() {
    let world = World::<F>::new(notes()).await;
    let mut claim = world.claim().await;
    let events = [event(&world, 0, "east", "1")];
    let mut batch = world.batch(0);
    batch.upsert(0, &[("id", Some("1"))]);
    batch.events = events.to_vec();
    batch.writes.events = events.to_vec();
    let (wanted, _) = batch.done();
    claim.begin(wanted).await.expect("ours");
    claim.abandon().await;
    assert_eq!(asked(&world, &mut claim, &events).await, [false]);
}

pub async fn events_of_tables_and_sources_do_not_mix<F: Fixture>() {
    let world = World::<F>::new(notes()).await;
    let mut claim = world.claim().await;
    see(&world, &mut claim, &[event(&world, 0, "east", "1")]).await;
    let like = [(1, "east", "1"), (0, "west", "1"), (0, "east", "2"), (0, "east", "1")];
    let like = like.map(|(table, source, text)| event(&world, table, source, text));
    assert_eq!(asked(&world, &mut claim, &like).await, [false, false, false, true]);
}

pub async fn old_events_go<F: Fixture>() {
    let world = World::<F>::new(notes()).await;
    let mut claim = world.claim().await;
    let old: Vec<Event> = (0..4).map(|n| event(&world, 0, "east", &format!("old {n}"))).collect();
    see(&world, &mut claim, &old).await;
    world.fixture.age_events().await;
    let new: Vec<Event> = (0..2).map(|n| event(&world, 0, "east", &format!("new {n}"))).collect();
    see(&world, &mut claim, &new).await;
    assert_eq!(asked(&world, &mut claim, &old).await, [false; 4]);
    see(&world, &mut claim, &[event(&world, 0, "east", "newer")]).await;
    assert_eq!(asked(&world, &mut claim, &new).await, [true; 2], "what is younger than a day stays");
}

pub async fn grades_are_kept<F: Fixture>() {
    let world = World::<F>::new(notes()).await;
    let mut claim = world.claim().await;
    let grades = [("east", Grade::B), ("west", Grade::C), ("south", Grade::A)];
    for told in [&grades[..], &[("west", Grade::A)]] {
        let mut batch = world.batch(claim.checkpoint().sequence);
        batch.next(Disposition::Applied);
        batch.writes.grades = told.iter().map(|(source, grade)| (world.name(source), *grade)).collect();
        batch.run(&mut claim).await;
    }
    let sources = world.sink.sources().await.expect("sources");
    let told: Vec<(&str, i32, &str)> =
        sources.iter().map(|s| (s.name.as_str(), s.epoch, s.grade.as_str())).collect();
    assert_eq!(told, [("east", 0, "B"), ("south", 0, "A"), ("west", 0, "A")]);
}
