//! The sidecar tables: made where they are missing, checked where they are not. Stands before any claim.
//!
//! Never alters a table that it finds, but to bring layout 1 to this one by adding columns and a table: any other layout, owner or
//! column, or a trigger, is refused and named.

use tokio_postgres::{Client, Error};

use crate::sink::{Problem, SinkError};

use super::fate;

/// The layout that this version reads and writes.
pub(super) const LAYOUT: i32 = 2;

/// From layout 1 on: what a version has seen is packed into one column ([`super::seen`]), it has a digest of its row, and
/// the lane that counted it. Rows stay as they are until they are written anew, so this takes as long as the lock on the
/// table.
const FROM_1: &str = "ALTER TABLE reconverge.version ADD COLUMN seen bytea, ADD COLUMN row_digest bigint, ADD COLUMN counted_by text, \
    ALTER COLUMN seen_source DROP NOT NULL, ALTER COLUMN seen_epoch DROP NOT NULL, \
    ALTER COLUMN seen_commit DROP NOT NULL, ALTER COLUMN seen_ordinal DROP NOT NULL, \
    ALTER COLUMN seen_deleted DROP NOT NULL, ALTER COLUMN seen_at DROP NOT NULL; \
    ALTER TABLE reconverge.parked ADD COLUMN counted_by text; \
    UPDATE reconverge.meta SET layout = 2 WHERE layout = 1";
/// The tables that it changes or that are made with it.
const NEW_IN_2: [&str; 3] = ["version", "parked", "reclassified"];

/// The tables, as a person may run them too.
const TABLES: &str = include_str!("layout.sql");

/// What the advisory lock is taken on, so that two processes that start at once make the tables once.
pub(super) const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended('reconverge.layout', 0))";

const HINT: &str =
    "drop the schema `reconverge` where nothing needs it any more, or use the version that made it";

/// Makes what is missing, then checks all of it, in one transaction.
pub(super) async fn prepare(client: &Client) -> Result<(), SinkError> {
    let made = make(client).await;
    let problems = match made {
        Ok(()) => problems(client).await,
        Err(error) => Err(error),
    };
    let end = match &problems {
        Ok(found) if found.is_empty() => client.batch_execute("COMMIT").await,
        _ => client.batch_execute("ROLLBACK").await,
    };
    match problems {
        Err(error) => Err(fate::sink_error(&error, "making the sidecar tables")),
        Ok(found) => match found.into_iter().next() {
            Some(problem) => Err(SinkError::Setup { what: problem.what, hint: problem.hint }),
            None => end.map_err(|error| fate::sink_error(&error, "making the sidecar tables")),
        },
    }
}

async fn make(client: &Client) -> Result<(), Error> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(LOCK).await?;
    // Looked at first, because `IF NOT EXISTS` still demands the right to create.
    if is_there(client).await? {
        if is_layout_1(client).await? {
            client.batch_execute(FROM_1).await?;
            // Makes what came since, too.
            client.batch_execute(TABLES).await?;
        }
        return Ok(());
    }
    client.batch_execute(TABLES).await?;
    // 32 bytes from the server's strong random source: two version-4 uuids have 244 random bits.
    let secret = "INSERT INTO reconverge.meta (layout, secret) SELECT $1, \
                  sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())) \
                  ON CONFLICT DO NOTHING";
    client.execute(secret, &[&LAYOUT]).await.map(drop)
}

/// Whether all tables are there; looks at the last one that `TABLES` makes.
pub(super) async fn is_there(client: &Client) -> Result<bool, Error> {
    let there = client.query_one("SELECT to_regclass('reconverge.failover') IS NOT NULL", &[]).await?;
    Ok(there.get(0))
}

/// Whether the sidecar is of the layout that [`FROM_1`] brings to ours, told by the table that it changes most.
async fn is_layout_1(client: &Client) -> Result<bool, Error> {
    let version: Option<String> = client.query_one(COLUMNS_OF, &[&"version"]).await?.get(0);
    Ok(version.as_deref() == Some(VERSION_1))
}

/// All that is wrong with the sidecar; nothing where there is none yet and we may make one, or where it is of the layout
/// that `prepare` brings to this one.
pub(super) async fn problems(client: &Client) -> Result<Vec<Problem>, Error> {
    let problem = |what: String, hint: &str| Problem { table: None, what, hint: hint.into() };
    let exists = client.query_one("SELECT to_regclass('reconverge.meta') IS NOT NULL", &[]).await?;
    if !exists.get::<_, bool>(0) {
        return may_make(client).await;
    }
    let mut found = Vec::new();
    let layout = if is_layout_1(client).await? { 1 } else { LAYOUT };
    for row in client.query(UNLIKE, &[]).await? {
        let (table, what): (String, String) = (row.get(0), row.get(1));
        found.push(problem(format!("table reconverge.{table} {what}"), HINT));
    }
    for (table, columns) in COLUMNS {
        let stored: Option<String> = client.query_one(COLUMNS_OF, &[&table]).await?.get(0);
        let comes_with_2 = layout == 1 && NEW_IN_2.contains(&table);
        if !comes_with_2 && stored.as_deref() != Some(columns) {
            found.push(problem(
                format!("table reconverge.{table} has other columns than layout {LAYOUT}"),
                HINT,
            ));
        }
    }
    if !found.is_empty() {
        return Ok(found);
    }
    let denied = "SELECT has_table_privilege('reconverge.meta', 'SELECT')";
    if !client.query_one(denied, &[]).await?.get::<_, bool>(0) {
        let hint =
            "grant SELECT, INSERT, UPDATE and DELETE on all tables in schema reconverge to the sink's role";
        return Ok(vec![problem("no permission on the tables of schema reconverge".into(), hint)]);
    }
    match client.query_opt("SELECT layout FROM reconverge.meta", &[]).await? {
        Some(row) if row.get::<_, i32>(0) == layout => {}
        Some(row) => {
            let stored: i32 = row.get(0);
            found.push(problem(
                format!("schema reconverge has layout {stored}, this version knows {LAYOUT}"),
                HINT,
            ));
        }
        None => found.push(problem("table reconverge.meta is empty".into(), HINT)),
    }
    Ok(found)
}

async fn may_make(client: &Client) -> Result<Vec<Problem>, Error> {
    let may = "SELECT CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE') \
               ELSE has_schema_privilege(n.oid, 'CREATE') END \
               FROM (SELECT 1) one LEFT JOIN pg_namespace n ON n.nspname = 'reconverge'";
    if client.query_one(may, &[]).await?.get(0) {
        return Ok(Vec::new());
    }
    Ok(vec![Problem {
        table: None,
        what: "the sidecar tables are missing, and this role may not make them".into(),
        hint:
            "GRANT CREATE ON DATABASE to the sink's role, or run `reconverge check` once as a role that may"
                .into(),
    }])
}

/// Tables of the sidecar that someone else made, or made a trap of: another owner than the schema's, a trigger,
/// a rule, row-level security.
const UNLIKE: &str = "
SELECT c.relname::text,
  CASE WHEN c.relowner <> n.nspowner THEN 'has another owner than the schema'
       WHEN NOT pg_has_role(c.relowner, 'USAGE') THEN 'belongs to a role that this one is no member of'
       WHEN c.relrowsecurity THEN 'has row-level security'
       WHEN c.relhasrules THEN 'has a rule'
       WHEN c.relkind NOT IN ('r', 'p') THEN 'is no table'
       ELSE 'has a trigger' END
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'reconverge' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
  AND (c.relowner <> n.nspowner OR NOT pg_has_role(c.relowner, 'USAGE') OR c.relrowsecurity OR c.relhasrules
    OR c.relkind NOT IN ('r', 'p')
    OR EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal))
ORDER BY 1";

const COLUMNS_OF: &str = "
SELECT string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
FROM pg_attribute a
WHERE a.attrelid = to_regclass('reconverge.' || $1::text) AND a.attnum > 0 AND NOT a.attisdropped";

/// The columns of `version` in layout 1.
const VERSION_1: &str = "target smallint, key bytea, standing \"char\", origin smallint, committed_at bigint, \
    seen_source smallint[], seen_epoch integer[], seen_commit bigint[], seen_ordinal bigint[], \
    seen_deleted boolean[], seen_at bigint[], row_xmin xid, clock jsonb, ordered_by jsonb, gone_at bigint";

/// The columns of the layout, for the tables that this version reads and writes.
const COLUMNS: [(&str, &str); 18] = [
    ("meta", "one boolean, layout integer, secret bytea"),
    ("source", "id smallint, name text, region text, epoch integer, grade \"char\""),
    (
        "target",
        "id smallint, name text, since_sequence jsonb, baseline_source smallint, baseline_position bigint, \
         baseline_at bigint, too_old_through bigint, paused text, key_columns text[], key_types text[]",
    ),
    (
        "checkpoint",
        "lane text, stream text, stream_created timestamp with time zone, sequence bigint, scanned bigint, \
         owner text, epoch bigint, lease_until timestamp with time zone, heartbeat_at timestamp with time zone, \
         generation bigint, plan bytea, delivered bigint, counts bigint[], committed_at bigint",
    ),
    ("reclassified", "id bigint, lane text, was smallint, becomes smallint, n bigint"),
    ("frontier", "lane text, source smallint, passed bigint"),
    (
        "version",
        "target smallint, key bytea, standing \"char\", origin smallint, committed_at bigint, \
         seen_source smallint[], seen_epoch integer[], seen_commit bigint[], seen_ordinal bigint[], \
         seen_deleted boolean[], seen_at bigint[], row_xmin xid, clock jsonb, ordered_by jsonb, gone_at bigint, \
         seen bytea, row_digest bigint, counted_by text",
    ),
    (
        "parked",
        "target smallint, key bytea, source smallint, epoch integer, commit_position bigint, ordinal bigint, lane text, \
         sequence bigint, why text, waits_target smallint, waits_key bytea, ready boolean, change bytea, \
         parked_at timestamp with time zone, attempts integer, until_at bigint, subject text, asked text, asked_by text, \
         note text, counted_by text",
    ),
    ("suppressed", "target smallint, key_hash bytea, at timestamp with time zone"),
    (
        "dead_letter",
        "id bigint, lane text, stream text, sequence bigint, subject text, target smallint, key bytea, stage text, \
         code text, reason text, generation bigint, headers jsonb, bytes bytea, digest bytea, holds_key boolean, \
         state text, at timestamp with time zone, closed_at timestamp with time zone, closed_by text, note text",
    ),
    (
        "decision",
        "at timestamp with time zone, id uuid, lane text, sequence bigint, target smallint, key bytea, kind text, \
         outcome text, decided_by text, generation bigint, reason text, source smallint, commit_position bigint, \
         ordinal bigint, incoming_at bigint, current_origin smallint, current_at bigint, incoming jsonb, \
         current jsonb, applied jsonb",
    ),
    ("seen_event", "source smallint, event_id text, at timestamp with time zone, target smallint"),
    (
        "hole",
        "id bigint, lane text, stream text, stream_created timestamp with time zone, first bigint, last bigint, \
         kind text, state text, at timestamp with time zone, passed_at timestamp with time zone, \
         closed_at timestamp with time zone, by text, note text",
    ),
    (
        "generation",
        "id bigint, lane text, from_sequence bigint, plugins jsonb, at timestamp with time zone, by text",
    ),
    ("member", "pipeline text, name text, since timestamp with time zone, until timestamp with time zone"),
    (
        "takeover",
        "id bigint, lane text, at timestamp with time zone, owner text, epoch bigint, sequence bigint, previous text, \
         heartbeat_at timestamp with time zone, lease_until timestamp with time zone",
    ),
    ("plan", "digest bytea, form jsonb, since timestamp with time zone"),
    (
        "move",
        "id bigint, pipeline text, at timestamp with time zone, by text, plan bytea, lane text, sequence bigint, \
         delivered bigint",
    ),
];
