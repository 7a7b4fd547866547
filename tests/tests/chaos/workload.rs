//! What is published: two sources write, delete and write again a few hundred keys of three tables, children before
//! parents, with repetitions, and messages that nobody can read.

use std::time::Duration;

use async_nats::jetstream::{Context, message::PublishMessage};
use reconverge_tests::Change;
use serde_json::{Value, json};

use crate::Chance;

/// The tables of the sink.
pub const TABLES: &str =
    "CREATE TABLE agents (id bigint PRIMARY KEY NOT NULL, note text, version bigint NOT NULL);
    CREATE TABLE shifts (id bigint PRIMARY KEY NOT NULL, agent bigint, note text, version bigint NOT NULL);
    CREATE TABLE notes (id bigint PRIMARY KEY NOT NULL, note text, version bigint NOT NULL);";
/// Their rules.
pub const RULES: &str = "[[table]]\nname = \"agents\"\nkey = [\"id\"]\npolicy = \"max:version\"\ndeletes = \"win\"\n\n\
    [[table]]\nname = \"shifts\"\nkey = [\"id\"]\npriority = 1\npolicy = \"max:version\"\ndeletes = \"win\"\n\
    depends_on = [{ table = \"agents\", columns = [\"agent\"] }]\n\n\
    [[table]]\nname = \"notes\"\nkey = [\"id\"]\npolicy = \"take-incoming\"\n";
/// All rows, to be compared.
pub const ROWS: &str = "SELECT 'agents ' || id || ' ' || note || ' ' || version FROM agents \
    UNION ALL SELECT 'shifts ' || id || ' ' || coalesce(agent, 0) || ' ' || note || ' ' || version FROM shifts \
    UNION ALL SELECT 'notes ' || id || ' ' || note || ' ' || version FROM notes ORDER BY 1";
/// Keys of a table.
const KEYS: u64 = 120;
/// Between two handfuls.
const BEAT: Duration = Duration::from_millis(20);
/// Changes in a handful.
const HANDFUL: u64 = 8;

/// The next change of one source; its number is its position.
fn change(chance: &mut Chance, number: u64) -> Change {
    let source = if chance.below(2) == 0 { "east" } else { "west" };
    let id = 1 + chance.below(KEYS);
    let table = ["agents", "shifts", "notes"][usize::try_from(chance.below(3)).unwrap()];
    if chance.below(9) == 0 {
        return Change::delete(source, number, table, json!({"id": id}), Value::Null);
    }
    let mut row = json!({"id": id, "note": format!("{source} {number}"), "version": number / 3});
    if table == "shifts" {
        row["agent"] = json!(1 + chance.below(KEYS));
    }
    let change = Change::write(source, number, table, json!({"id": id}), row);
    if chance.below(60) == 0 { change.with("op", json!("?")) } else { change }
}

/// Publishes until it is told to stop, and tells how many messages there were. What the server did not acknowledge is
/// sent again under the same id, so that it is there once.
pub async fn publish(
    jetstream: Context,
    prefix: String,
    seed: u64,
    mut stop: tokio::sync::watch::Receiver<bool>,
) -> u64 {
    let mut chance = Chance(seed | 1);
    let mut number = 0;
    let mut sent = 0;
    let mut last = None;
    while !*stop.borrow() {
        for _ in 0..HANDFUL {
            // One in twenty is an old one once more, under a new sequence.
            let again = last.clone().filter(|_| chance.below(20) == 0);
            let change: Change = again.unwrap_or_else(|| {
                number += 1;
                change(&mut chance, number)
            });
            sent += 1;
            until_acknowledged(&jetstream, &prefix, &change, sent).await;
            last = Some(change);
        }
        drop(tokio::time::timeout(BEAT, stop.changed()).await);
    }
    sent
}

async fn until_acknowledged(jetstream: &Context, prefix: &str, change: &Change, sent: u64) {
    loop {
        let message = PublishMessage::build()
            .payload(change.payload())
            .headers(Change::headers())
            .message_id(format!("chaos/{sent}"));
        if let Ok(acknowledged) = jetstream.send_publish(change.subject(prefix), message).await
            && let Ok(Ok(_)) = tokio::time::timeout(Duration::from_secs(2), acknowledged).await
        {
            return;
        }
        tokio::time::sleep(BEAT).await;
    }
}
