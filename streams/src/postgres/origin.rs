//! The replication origin of a lane's connection: what we write then bears it, and the region's own CDC with
//! `origin = none` leaves it out. Optional: only where the server lets us.

use tokio_postgres::{Client, Error, error::SqlState};

/// A session owns its origin alone, so a lane whose old session still lives takes the next of so many names.
const NAMES_MAX: u32 = 8;

/// Longer names are refused by older servers' catalogs.
const NAME_LENGTH_MAX: usize = 200;

/// Takes an origin for this session. Without the right to, or without a free one, nothing happens and the log
/// says so: the table's `origin_column` then has to tell echoes.
pub(super) async fn take(client: &Client, lane: &str) {
    match may(client).await {
        Ok(true) => {}
        Ok(false) | Err(_) => {
            tracing::debug!(lane, "no replication origin: no right to take one");
            return;
        }
    }
    for number in 0..NAMES_MAX {
        let mut name = format!("reconverge_{lane}_{number}");
        name.truncate(name.floor_char_boundary(NAME_LENGTH_MAX));
        match setup(client, &name).await {
            Ok(()) => return,
            // Another session has this one.
            Err(error) if error.code() == Some(&SqlState::OBJECT_IN_USE) => {}
            Err(_) => break,
        }
    }
    tracing::warn!(lane, "no replication origin: none could be taken");
}

async fn may(client: &Client) -> Result<bool, Error> {
    let may = "SELECT has_function_privilege('pg_replication_origin_session_setup(text)', 'EXECUTE') \
               AND has_function_privilege('pg_replication_origin_create(text)', 'EXECUTE') \
               AND current_setting('max_replication_slots')::int > 0 AND NOT pg_is_in_recovery()";
    Ok(client.query_one(may, &[]).await?.get(0))
}

async fn setup(client: &Client, name: &str) -> Result<(), Error> {
    let create = "SELECT pg_replication_origin_create($1) WHERE NOT EXISTS (SELECT FROM pg_replication_origin WHERE roname = $1)";
    client.query(create, &[&name]).await?;
    client.query("SELECT pg_replication_origin_session_setup($1)", &[&name]).await.map(drop)
}
