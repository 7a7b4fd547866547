//! Every logical type, with its awkward values: written, read back the same, and never taken for a local write.

use reconverge_streams::{logical::Logical, sink::Claim};

use crate::{
    fixture::{Fixture, Table},
    world::{World, cell},
};

/// Canonical texts by logical type; each must come back as it stands here.
const VALUES: &[(&str, &[&str])] = &[
    ("bool", &["true", "false"]),
    ("int", &["0", "-1", "9007199254740993", "9223372036854775807", "-9223372036854775808"]),
    (
        "float",
        &[
            "0",
            "1",
            "-1",
            "0.1",
            "-2.5",
            "1e300",
            "5e-324",
            "1.7976931348623157e308",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
    ),
    (
        "text",
        &[
            "",
            " ",
            "007",
            "1.50",
            "true",
            "NULL",
            "it's",
            "\"q\"",
            "a\tb\nc",
            "\u{feff}x",
            "\u{1f600}",
            "\u{202e}",
        ],
    ),
    ("bytes", &["", "AA==", "AAECAwT/", "/v8="]),
    (
        "decimal",
        &[
            "0",
            "1.250",
            "-0.001",
            "12.50",
            "100",
            "123456789012345678901234567890.123456789012345678",
            "NaN",
            "Infinity",
            "-Infinity",
        ],
    ),
    (
        "timestamp",
        &[
            "2026-03-02T06:30:00.123456Z",
            "1970-01-01T00:00:00.000000Z",
            "-0043-03-15T12:00:00.000000Z",
            "+12026-01-01T00:00:00.000000Z",
            "infinity",
            "-infinity",
        ],
    ),
    ("date", &["2026-03-02", "1970-01-01", "-0043-03-15", "+12026-01-01", "infinity", "-infinity"]),
    ("time", &["00:00:00.000000", "06:30:00.123456", "23:59:59.999999"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"]),
    ("json", &["null", "true", "12", "\"text\"", "[]", "{\"a\":[1,null,{\"b\":\"c\"}],\"z\":1.5}"]),
    ("text[]", &["[]", "[\"a\",null,\"\"]", "[\"1\",\"x,y\",\"\\\"q\\\"\",\"{}\"]"]),
    ("int[]", &["[]", "[1,null,-9223372036854775808]"]),
    ("bool[]", &["[true,false,null]"]),
    ("uuid[]", &["[\"6ba7b810-9dad-11d1-80b4-00c04fd430c8\",null]"]),
    ("decimal[]", &["[\"1.250\",null]"]),
    ("timestamp[]", &["[\"2026-03-02T06:30:00.123456Z\",null]"]),
];

fn logical(word: &str) -> Logical {
    word.parse().expect("a logical type")
}

pub async fn every_type_comes_back_as_it_was_written<F: Fixture>() {
    for (word, values) in VALUES {
        let table = Table::new("zoo", &[("id", Logical::Int), ("v", logical(word)), ("w", Logical::Text)]);
        let mut world = World::<F>::new(vec![table]).await;
        assert_eq!(world.shapes[0].columns[1].logical, logical(word), "{word}");
        let mut claim = world.claim().await;
        let ids: Vec<String> = (0..values.len()).map(|i| i.to_string()).collect();
        let mut batch = world.batch(0);
        for (id, value) in ids.iter().zip(*values) {
            batch.upsert(0, &[("id", Some(id)), ("v", Some(value)), ("w", Some("x"))]);
        }
        batch.upsert(0, &[("id", Some("99")), ("v", None)]);
        let mut through = batch.done();
        claim.begin(std::mem::take(&mut through.0)).await.expect("ours");
        let after = claim.commit(through.1).await.unwrap_or_else(|e| panic!("{word}: {e}"));
        check_values(&world, &mut claim, word, values).await;
        // The other column written alone: the value stays, and the row stays ours.
        let mut batch = world.batch(after.sequence);
        for id in &ids {
            batch.upsert(0, &[("id", Some(id)), ("w", Some("y"))]);
        }
        batch.run(&mut claim).await;
        world.restart().await;
        let mut claim = world.claim().await;
        check_values(&world, &mut claim, word, values).await;
    }
}

async fn check_values<F: Fixture>(
    world: &World<F>,
    claim: &mut <F::Sink as reconverge_streams::sink::Sink>::Claim,
    word: &str,
    values: &[&str],
) {
    for (id, value) in values.iter().enumerate() {
        let id = id.to_string();
        let found = world.stands(claim, 0, &[&[&id]], &[]).await;
        let row = found.keys[0].row.expect("a row");
        assert_eq!(cell(&found, row, 1).as_deref(), Some(*value), "{word}");
        assert!(found.keys[0].local.is_none(), "{word} {value} is ours");
    }
    let found = world.stands(claim, 0, &[&["99"]], &[]).await;
    assert_eq!(cell(&found, found.keys[0].row.expect("a row"), 1), None, "{word}");
}

pub async fn keys_of_every_type_are_found<F: Fixture>() {
    for (word, values) in VALUES {
        if ["json", "float"].contains(word) || word.ends_with("[]") {
            // Not what a key is made of: a document has no order in every database, NaN no equality.
            continue;
        }
        let table = Table::new("keyed", &[("k", logical(word)), ("v", Logical::Text)]);
        let world = World::<F>::new(vec![table]).await;
        let mut claim = world.claim().await;
        let mut batch = world.batch(0);
        for value in *values {
            batch.upsert(0, &[("k", Some(value)), ("v", Some("first"))]);
        }
        batch.run(&mut claim).await;
        let mut batch = world.batch(claim_sequence(&claim));
        for value in *values {
            batch.upsert(0, &[("k", Some(value)), ("v", Some("second"))]);
        }
        let standing = batch.run(&mut claim).await;
        let found = &standing.tables[0];
        assert_eq!(found.keys.len(), values.len(), "{word}");
        assert!(
            found.keys.iter().all(|k| k.row.is_some() && k.version.is_some() && k.local.is_none()),
            "{word}"
        );
        assert_eq!(world.fixture.rows(&world.tables[0], &["v"]).await.len(), values.len(), "{word}");
        let mut batch = world.batch(claim_sequence(&claim));
        for value in *values {
            batch.delete(0, &[value], None);
        }
        batch.run(&mut claim).await;
        assert!(world.fixture.rows(&world.tables[0], &["v"]).await.is_empty(), "{word}");
    }
}

fn claim_sequence<C: Claim>(claim: &C) -> u64 {
    claim.checkpoint().sequence
}
