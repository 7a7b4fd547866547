//! Source epochs and suspicions: written with a batch, closed by the operator's word, read by the lane.

use reconverge_streams::{
    disposition::Disposition,
    epoch::{EpochStart, Suspicion},
    logical::Logical,
    position::Position,
    records::{EpochWord, Records},
    sink::Claim,
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, id},
};

fn notes() -> Vec<Table> {
    vec![Table::new("notes", &[("id", Logical::Int)])]
}

fn suspicion<F: Fixture>(world: &World<F>, key: &str, sequence: u64) -> Suspicion {
    let position = Position { epoch: 2, commit: (1 << 63) + 5, ordinal: 1 };
    Suspicion {
        source: world.name("us-east"),
        table: id(0),
        key: world.key(0, &[key]),
        sequence,
        position,
        at: 1_760_000_000_100_000,
        newest: Position { commit: position.commit + 4, ..position },
    }
}

fn word(from_sequence: Option<u64>, dismiss: bool) -> EpochWord {
    EpochWord {
        source: "us-east".into(),
        stream: "CDC".into(),
        from_sequence,
        otherwise: 900,
        dismiss,
        by: "me".into(),
    }
}

pub async fn an_epoch_of_a_control_message_holds_for_its_lane<F: Fixture>() {
    let mut world = World::<F>::new(notes()).await;
    let mut claim = world.claim().await;
    assert_eq!(claim.epochs().await.expect("ours"), Default::default());
    let mut batch = world.batch(0);
    batch.next(Disposition::Control);
    batch.writes.epochs = vec![EpochStart { source: world.name("us-east"), from_sequence: 1, epoch: 3 }];
    batch.run(&mut claim).await;
    claim.release().await;
    world.restart().await;
    let mut claim = world.claim().await;
    let known = claim.epochs().await.expect("ours");
    assert_eq!(known.starts, [EpochStart { source: world.name("us-east"), from_sequence: 1, epoch: 3 }]);
    let mut request = world.request("one");
    request.lane.partition = 7;
    let mut other = reconverge_streams::sink::Sink::claim(&world.sink, request).await.expect("free");
    assert_eq!(other.epochs().await.expect("ours").starts, []);
}

pub async fn a_suspicion_is_noted_once_and_closed_by_the_operator<F: Fixture>() {
    let world = World::<F>::new(notes()).await;
    let mut claim = world.claim().await;
    for _ in 0..2 {
        let mut batch = world.batch(claim.checkpoint().sequence);
        batch.next(Disposition::DeadLettered);
        batch.writes.suspicions =
            vec![suspicion(&world, "7", 41), suspicion(&world, "7", 44), suspicion(&world, "8", 42)];
        batch.writes.grades = vec![(world.name("us-east"), reconverge_streams::event::Grade::A)];
        batch.run(&mut claim).await;
    }
    let known = claim.epochs().await.expect("ours");
    assert_eq!(known.suspected.len(), 2, "two keys: {known:?}");
    let open = world.sink.suspicions(Some("pipe")).await.expect("suspicions");
    assert_eq!(open.iter().map(|s| s.sequence).collect::<Vec<_>>(), [41, 42, 44]);
    let first = &open[0];
    assert_eq!(
        (first.source.as_str(), first.table.as_str(), first.stream.as_str()),
        ("us-east", "notes", "CDC")
    );
    assert_eq!(
        (first.position.as_str(), first.newest.as_str()),
        ("2/9223372036854775813/1", "2/9223372036854775817/1")
    );
    assert_eq!(first.committed_at, "2025-10-09T08:53:20.100000Z");
    assert_eq!(world.sink.suspicions(Some("pip")).await.expect("none").len(), 0);
    let said = world.sink.say_epoch(&word(None, false)).await.expect("said").expect("known");
    assert_eq!((said.epoch, said.from_sequence, said.suspicions), (3, 41, 3));
    let known = claim.epochs().await.expect("ours");
    assert_eq!((known.starts.len(), known.suspected.len()), (1, 0), "{known:?}");
    assert_eq!((known.starts[0].from_sequence, known.starts[0].epoch), (41, 3));
    assert_eq!(world.sink.suspicions(None).await.expect("none").len(), 0);
    // Without an open suspicion it begins with what comes next, or where the operator says.
    let said = world.sink.say_epoch(&word(None, false)).await.expect("said").expect("known");
    assert_eq!((said.epoch, said.from_sequence, said.suspicions), (4, 900, 0));
    let said = world.sink.say_epoch(&word(Some(950), true)).await.expect("said").expect("known");
    assert_eq!((said.epoch, said.from_sequence), (4, 950));
    assert_eq!(claim.epochs().await.expect("ours").dismissed, [(world.name("us-east"), 949)]);
    let unknown = EpochWord { source: "nobody".into(), ..word(None, false) };
    assert_eq!(world.sink.say_epoch(&unknown).await.expect("an answer"), None);
}
