//! Tables page by page, and rows that are taken over: what gives a filled table its baseline.

use reconverge_streams::{
    columns::Columns, logical::Logical, sink::Claim, standing::StandingKind, text, writes::Touch,
};

use crate::{
    fixture::{Fixture, Table},
    world::{World, cell, id},
};

fn shifts() -> Vec<Table> {
    let columns = [("site", Logical::Text), ("id", Logical::Int), ("name", Logical::Text)];
    vec![Table::new("shifts", &columns).key(&["id", "site"])]
}

/// The keys of a page as text, key columns with a slash between.
fn told(page: &Columns) -> Vec<String> {
    let cell = |at: usize, row: usize| {
        let mut out = String::new();
        text::write(&page.columns[at], row, &mut out);
        out
    };
    (0..page.rows()).map(|row| format!("{}/{}", cell(0, row), cell(1, row))).collect()
}

pub async fn pages_have_every_key_once<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    assert_eq!(claim.page(id(0), None, 10).await.expect("a page").rows(), 0);
    for (n, site) in [("1", "a"), ("1", "b"), ("2", "a"), ("10", "a"), ("-3", "z")] {
        world.fixture.app_write(&world.tables[0], &[("id", Some(n)), ("site", Some(site))]).await;
    }
    let (mut found, mut behind) = (Vec::new(), None);
    loop {
        let page = claim.page(id(0), behind.take(), 2).await.expect("a page");
        found.extend(told(&page));
        if page.rows() < 2 {
            break;
        }
        let mut last = Columns::new(world.shapes[0].key_logicals());
        last.push_row_from(&page, page.rows() - 1);
        behind = Some(last);
    }
    assert_eq!(found, ["-3/z", "1/a", "1/b", "2/a", "10/a"]);
}

pub async fn a_row_that_is_taken_over_is_ours<F: Fixture>() {
    let world = World::<F>::new(shifts()).await;
    let mut claim = world.claim().await;
    let write = async |name: &'static str| {
        let row = [("id", Some("1")), ("site", Some("a")), ("name", Some(name))];
        world.fixture.app_write(&world.tables[0], &row).await;
    };
    write("theirs").await;
    let take = |from: u64| {
        let mut batch = world.batch(from);
        batch.version(0, &["1", "a"], world.version(StandingKind::Row, from + 1), None);
        let (wanted, mut writes) = batch.done();
        writes.tables[0].versions[0].row = Touch::TakenOver;
        (wanted, writes)
    };
    for (from, name) in [(0, "theirs"), (1, "theirs again")] {
        write(name).await;
        assert!(world.stands(&mut claim, 0, &[&["1", "a"]], &[]).await.keys[0].local.is_some(), "{name}");
        let (wanted, writes) = take(from);
        claim.begin(wanted).await.expect("the lane is ours");
        claim.commit(writes).await.expect("a version and no row");
        let found = world.stands(&mut claim, 0, &[&["1", "a"]], &[]).await;
        let key = &found.keys[0];
        assert!(key.local.is_none(), "{name}");
        assert_eq!(key.version.as_ref(), Some(&world.version(StandingKind::Row, from + 1)));
        assert_eq!(cell(&found, key.row.expect("it stands"), 2).as_deref(), Some(name));
    }
}
