//! The roster: who is there, who was overridden, how far the lanes are, and the switch from one plan to the next.

use std::time::Duration;

use reconverge_streams::{
    checkpoint::PlanDigest,
    disposition::Disposition,
    logical::Logical,
    roster::{LaneStart, Look, Presence, Roster, Switch, TableMove, Way},
    sink::{Claim, Sink, SinkError},
    standing::{StandingKind, Wanted},
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, lane},
};

fn people() -> Vec<Table> {
    vec![Table::new("people", &[("id", Logical::Int), ("name", Logical::Text)])]
}

fn presence(member: &str, lanes: &[&str]) -> Presence {
    Presence {
        pipeline: "pipe".into(),
        member: member.into(),
        lease: Duration::from_secs(600),
        lanes: lanes.iter().map(|lane| (*lane).to_owned()).collect(),
        shares: true,
    }
}

fn names(look: &Look) -> Vec<&str> {
    look.members.iter().map(|member| member.name.as_str()).collect()
}

pub async fn members_come_and_go<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    assert_eq!(names(&world.sink.look("pipe").await.expect("a look")), [""; 0]);
    world.sink.attend(&presence("two", &[])).await.expect("there");
    world.sink.attend(&presence("one", &[])).await.expect("there");
    let first = world.sink.look("pipe").await.expect("a look");
    assert_eq!(names(&first), ["one", "two"]);
    assert!(first.members.iter().all(|m| m.since <= first.now && m.until > first.now), "{first:?}");
    assert_eq!(names(&world.sink.look("pip").await.expect("a look")), [""; 0], "of another pipeline");
    world.sink.attend(&presence("one", &[])).await.expect("still there");
    let again = world.sink.look("pipe").await.expect("a look");
    assert_eq!(again.members[0].since, first.members[0].since, "it was there all the time");
    world.sink.leave("pipe", "two").await.expect("gone");
    assert_eq!(names(&world.sink.look("pipe").await.expect("a look")), ["one"]);
    world.fixture.end_leases().await;
    assert_eq!(names(&world.sink.look("pipe").await.expect("a look")), [""; 0], "silent past its lease");
    world.sink.attend(&presence("one", &[])).await.expect("back");
    let back = world.sink.look("pipe").await.expect("a look");
    assert!(back.members[0].since > first.members[0].since, "it is there anew");
}

pub async fn attending_keeps_the_lanes_that_are_held<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut request = world.request("one");
    request.lease = Duration::from_secs(1);
    let mut claim = world.sink.claim(request).await.expect("free");
    let before = claim.checkpoint().lease_until.expect("a lease");
    world.sink.attend(&presence("one", &["pipe/us/main/0"])).await.expect("there");
    let look = world.sink.look("pipe").await.expect("a look");
    assert!(look.lanes[0].lease_until.expect("a lease") > before + 60_000_000, "{look:?}");
    // A job keeps its lanes without being a member.
    world.sink.attend(&Presence { shares: false, ..presence("job", &[]) }).await.expect("there");
    assert_eq!(names(&world.sink.look("pipe").await.expect("a look")), ["one"]);
    // Nobody keeps what another holds.
    world.sink.attend(&presence("two", &["pipe/us/main/0"])).await.expect("there");
    let after = world.sink.look("pipe").await.expect("a look");
    assert_eq!(after.lanes[0].owner.as_deref(), Some("one"));
    // Keeping the lease disturbs no batch, before or inside its transaction.
    claim.begin(Wanted::default()).await.expect("ours");
    claim.abandon().await;
    claim.idle(3).await.expect("ours");
    assert_eq!(claim.checkpoint().sequence, 3);
}

pub async fn an_override_is_recorded<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut one = world.claim().await;
    one.idle(7).await.expect("ours");
    drop(world.claim().await);
    assert_eq!(world.sink.takeovers("pipe", 10).await.expect("a list"), [], "one's own lane is no override");
    world.fixture.end_leases().await;
    let two = world.claim_as("two").await.expect("the lease is over");
    let found = world.sink.takeovers("pipe", 10).await.expect("a list");
    assert_eq!(found.len(), 1);
    let takeover = &found[0];
    assert_eq!(
        (takeover.lane.as_str(), takeover.previous.as_str(), takeover.owner.as_str()),
        ("pipe/us/main/0", "one", "two")
    );
    assert_eq!((takeover.epoch, takeover.sequence), (two.checkpoint().epoch, 7));
    assert!(takeover.lease_until.expect("the lease that ended") <= takeover.at, "{takeover:?}");
    assert_eq!(world.sink.takeovers("other", 10).await.expect("a list"), []);
    let mut two = two;
    two.release().await;
    world.claim_as("three").await.expect("given up");
    assert_eq!(
        world.sink.takeovers("pipe", 10).await.expect("a list").len(),
        1,
        "it was given up, not taken"
    );
}

pub async fn ways_tell_how_far_lanes_are<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    batch.next(Disposition::Filtered);
    batch.writes.scanned = 60;
    batch.run(&mut claim).await;
    let asked = ["pipe/us/bulk/0".to_owned(), "pipe/us/main/0".to_owned()];
    let ways = world.sink.ways(&asked).await.expect("ways");
    assert_eq!(ways, [Way { scanned: 0, is_held: false }, Way { scanned: 60, is_held: true }]);
    // What a batch has not committed does not count.
    let mut batch = world.batch(1);
    batch.next(Disposition::Filtered);
    batch.writes.scanned = 99;
    let (wanted, writes) = batch.done();
    claim.begin(wanted).await.expect("ours");
    claim.abandon().await;
    assert_eq!(world.sink.ways(&asked[1..]).await.expect("ways")[0].scanned, 60);
    drop(writes);
    claim.release().await;
    assert!(!world.sink.ways(&asked[1..]).await.expect("ways")[0].is_held);
}

pub async fn a_plan_is_remembered_by_its_digest<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let plan = PlanDigest([3; 32]);
    assert_eq!(world.sink.plan_form(plan).await.expect("a read"), None);
    world.sink.remember_plan(plan, r#"{"tables":[]}"#).await.expect("kept");
    world.sink.remember_plan(plan, r#"{"tables":[]}"#).await.expect("known");
    let form = world.sink.plan_form(plan).await.expect("a read").expect("it was kept");
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&form).expect("JSON"),
        serde_json::json!({"tables": []})
    );
}

/// A switch of everything as it is now: `main` goes on at 5, `bulk` begins there, and `people` goes from one to the
/// other.
async fn switch<F: Fixture>(world: &World<F>) -> Switch {
    let look = world.sink.look("pipe").await.expect("a look");
    let start = |name: &str| LaneStart {
        lane: lane(name).to_string(),
        stream: "CDC".into(),
        stream_created: 1_700_000_000_000_000,
        sequence: 5,
    };
    Switch {
        pipeline: "pipe".into(),
        by: "a test".into(),
        plan: PlanDigest([8; 32]),
        form: "{}".into(),
        expected: look.lanes.iter().map(|l| (l.lane.clone(), l.epoch, l.sequence)).collect(),
        lanes: vec![start("main"), start("bulk")],
        moved: vec![TableMove {
            table: "people".into(),
            from: lane("main").to_string(),
            to: lane("bulk").to_string(),
        }],
        gates_dropped: Vec::new(),
        since: vec![("orders".into(), lane("bulk").to_string(), 5)],
    }
}

pub async fn a_switch_waits_for_nobody_and_fences_the_old<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut late = world.claim().await;
    late.idle(5).await.expect("ours");
    let held = world.sink.switch(&switch(&world).await).await;
    assert!(matches!(held, Err(SinkError::Held { .. })), "{held:?}");
    world.fixture.end_leases().await;
    let mut stale = switch(&world).await;
    stale.expected[0].2 = 4;
    let refused = world.sink.switch(&stale).await;
    assert!(matches!(refused, Err(SinkError::Fenced(_))), "{refused:?}");
    stale.expected.clear();
    assert!(
        matches!(world.sink.switch(&stale).await, Err(SinkError::Fenced(_))),
        "a lane that is not expected"
    );
    assert_eq!(world.sink.moves("pipe").await.expect("moves"), [], "a refusal changes nothing");
    world.sink.switch(&switch(&world).await).await.expect("as expected");
    assert!(matches!(late.idle(9).await, Err(SinkError::Fenced(_))));
    assert!(matches!(world.claim_as("two").await, Err(SinkError::OtherPlan { .. })), "the old plan is over");
    let mut next = switch(&world).await;
    (next.plan, next.lanes) = (PlanDigest([9; 32]), vec![next.lanes.remove(0)]);
    world.sink.switch(&next).await.expect("as expected");
    let look = world.sink.look("pipe").await.expect("a look");
    let plans: Vec<PlanDigest> = look.lanes.iter().map(|lane| lane.plan).collect();
    assert_eq!(plans, [PlanDigest::RETIRED, PlanDigest([9; 32])], "a lane that is no more is a record");
    world.sink.switch(&switch(&world).await).await.expect("as expected");
    for name in ["main", "bulk"] {
        let mut request = world.request("two");
        (request.plan, request.lane) = (PlanDigest([8; 32]), lane(name));
        let claim = world.sink.claim(request).await.expect("the new plan is in force");
        assert_eq!((claim.checkpoint().sequence, claim.checkpoint().scanned), (5, 5));
    }
}

pub async fn a_switch_takes_the_gates_along<F: Fixture>() {
    let world = World::<F>::new(people()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0).without_versions();
    for _ in 0..5 {
        batch.next(Disposition::Filtered);
    }
    let seen = world.version(StandingKind::Row, 5).seen;
    batch.gate(0, seen[0]);
    batch.run(&mut claim).await;
    claim.release().await;
    world.sink.switch(&switch(&world).await).await.expect("as expected");
    let moves = world.sink.moves("pipe").await.expect("moves");
    let told: Vec<_> =
        moves.iter().map(|m| (m.lane.as_str(), m.sequence, m.delivered, m.by.as_str())).collect();
    assert_eq!(told, [("pipe/us/bulk/0", 5, 0, "a test"), ("pipe/us/main/0", 5, 5, "a test")]);
    for (name, gates) in [("bulk", 1), ("main", 0)] {
        let mut request = world.request("two");
        (request.plan, request.lane) = (PlanDigest([8; 32]), lane(name));
        let mut claim = world.sink.claim(request).await.expect("the new plan is in force");
        let wanted = Wanted { from: 5, tables: vec![world.wanted(0, &[], &[], false)], ..Wanted::default() };
        let stands = claim.begin(wanted).await.expect("ours");
        assert_eq!(stands.tables[0].gate.len(), gates, "{name}");
        claim.abandon().await;
        claim.release().await;
    }
}
