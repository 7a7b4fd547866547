//! How many rows are read that name a parent which leaves.

use reconverge_streams::{
    family::{ChildrenWanted, FamilyWanted},
    sink::Claim,
};

use crate::{
    family::tables,
    fixture::Fixture,
    world::{World, id},
};

/// Table 0, and table 1 whose column 1 names one of its rows.
const AUDIO: usize = 0;
const TEXT: usize = 1;

pub async fn rows_that_name_a_parent_are_read_up_to_a_bound<F: Fixture>() {
    let world = World::<F>::new(tables()).await;
    let mut claim = world.claim().await;
    let mut batch = world.batch(0);
    for (key, audio) in [("1", "1"), ("2", "1"), ("3", "1"), ("4", "2"), ("5", "2")] {
        batch.upsert(TEXT, &[("id", Some(key)), ("audio", Some(audio))]);
    }
    batch.run(&mut claim).await;
    for (children_max, found) in
        [(None, 5), (Some(7), 5), (Some(5), 5), (Some(4), 5), (Some(3), 4), (Some(1), 2)]
    {
        let (begun, _) = world.batch(claim.checkpoint().sequence).done();
        claim.begin(begun).await.expect("ours");
        let parents = world.keys(AUDIO, &[&["1"], &["2"]]);
        let children = vec![ChildrenWanted { child: id(TEXT), columns: vec![1], parent: id(AUDIO), parents }];
        let asked = FamilyWanted { children, children_max, ..FamilyWanted::default() };
        let family = claim.family(asked).await.expect("an answer");
        assert_eq!(family.children[0].keys.len(), found, "at most {children_max:?}");
        assert_eq!(family.children[0].standing.keys.len(), found);
        claim.abandon().await;
    }
}
