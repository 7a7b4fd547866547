//! Tombstones go when every source has passed them and their time is over, and leave a horizon behind.

use reconverge_streams::{
    logical::Logical,
    position::Micros,
    retention::{Retention, Tidied},
    sink::{Claim, Sink},
    standing::StandingKind,
};

use crate::{
    fixture::{Fixture, Table},
    world::World,
};

fn goods() -> Table {
    Table::new("goods", &[("id", Logical::Int), ("a", Logical::Text)])
}

/// Commit times of the first, second, .. change of a case.
const BEGIN: Micros = 1_760_000_000_000_000;

/// Deletes of these keys, committed at `BEGIN` + 1, + 2, ..
async fn deleted<F: Fixture>(world: &World<F>, claim: &mut <F::Sink as Sink>::Claim, ids: &[&str]) {
    let mut batch = world.batch(0);
    for id in ids {
        batch.delete(0, &[id], None);
    }
    batch.run(claim).await;
}

fn asked<F: Fixture>(
    world: &World<F>,
    passed: &[(&str, Micros)],
    retention: Micros,
    limit: u32,
) -> Retention {
    let passed = passed.iter().map(|(name, at)| (world.name(name), BEGIN + *at));
    Retention { history_days: 30, tombstones: retention, passed: passed.collect(), limit }
}

pub async fn tombstones_go_in_steps_and_leave_a_horizon<F: Fixture>() {
    let world = World::<F>::new(vec![goods()]).await;
    let mut claim = world.claim().await;
    deleted(&world, &mut claim, &["1", "2", "3", "4"]).await;
    let all = asked(&world, &[("us-east", 4)], 0, 2);
    assert_eq!(
        claim.tidy(&all).await.expect("ours"),
        Tidied { tombstones: 2, passed_by_all: Some(BEGIN + 4) }
    );
    let standing = world.stands(&mut claim, 0, &[&["1"], &["2"], &["3"], &["4"]], &[]).await;
    assert_eq!(standing.too_old_through, Some(BEGIN + 2));
    let kinds: Vec<_> = standing.keys.iter().map(|k| k.version.as_ref().map(|v| v.standing)).collect();
    let tombstone = Some(StandingKind::Tombstone);
    assert_eq!(kinds, [None, None, tombstone, tombstone]);
    assert_eq!(claim.tidy(&all).await.expect("ours").tombstones, 1, "one more was passed");
    assert_eq!(claim.tidy(&all).await.expect("ours").tombstones, 0);
    assert_eq!(world.stands(&mut claim, 0, &[&["4"]], &[]).await.too_old_through, Some(BEGIN + 3));
}

pub async fn a_source_or_a_lane_that_is_behind_keeps_tombstones<F: Fixture>() {
    let world = World::<F>::new(vec![goods()]).await;
    let mut claim = world.claim().await;
    deleted(&world, &mut claim, &["1"]).await;
    let both = asked(&world, &[("us-east", 9), ("us-west", 1)], 0, 10);
    assert_eq!(
        claim.tidy(&both).await.expect("ours"),
        Tidied { tombstones: 0, passed_by_all: Some(BEGIN + 1) }
    );
    // What was told once is not taken back.
    let back = asked(&world, &[("us-east", 0)], 0, 10);
    assert_eq!(claim.tidy(&back).await.expect("ours").passed_by_all, Some(BEGIN + 1));
    let mut other = world.claim_lane("other").await;
    let passed = asked(&world, &[("us-west", 9)], 0, 10);
    assert_eq!(claim.tidy(&passed).await.expect("ours"), Tidied { tombstones: 0, passed_by_all: None });
    let far = asked(&world, &[("us-east", 9)], 0, 10);
    assert_eq!(
        other.tidy(&far).await.expect("ours"),
        Tidied { tombstones: 1, passed_by_all: Some(BEGIN + 9) }
    );
}

pub async fn tombstones_stay_for_their_time<F: Fixture>() {
    let world = World::<F>::new(vec![goods()]).await;
    let mut claim = world.claim().await;
    deleted(&world, &mut claim, &["1"]).await;
    let (day, century) = (86_400_000_000, 3_155_760_000_000_000);
    let young = asked(&world, &[("us-east", day)], century, 10);
    assert_eq!(claim.tidy(&young).await.expect("ours").tombstones, 0);
    let over = asked(&world, &[("us-east", day)], -century, 10);
    assert_eq!(claim.tidy(&over).await.expect("ours").tombstones, 1);
}
