//! The recording of `examples/split-brain`: where it goes, its tables, and what must stand when it has been applied.
//! `DATA.md` beside the recording says how it was made and what each file holds.

use std::path::PathBuf;

use anyhow::{Result, bail};
use async_nats::jetstream::Context;
use reconverge_servers::project_root;

use crate::{
    Database, Difference, Form, Message, Rows, Table, create_stream, differences, publish, recorded,
};

/// The stream that the pipeline files of the example name.
pub const STREAM: &str = "CDC_SPLIT_BRAIN";
/// What the stream takes: both regions.
pub const SUBJECTS: [&str; 2] = ["us-east.>", "us-west.>"];
/// Up to here both regions' events are in and nobody has repaired anything.
pub const RECOVERY: u64 = 3987;
/// The last message.
pub const LAST: u64 = 4167;

/// Workforce schedules, the table that the merge plugin decides.
pub const SCHEDULES: Table = Table {
    name: "agent_schedules",
    key: &["schedule_id"],
    columns: &[
        ("schedule_id", Form::Plain),
        ("agent_id", Form::Plain),
        ("shift_start", Form::Timestamp),
        ("shift_end", Form::Timestamp),
        ("modification_epoch", Form::Plain),
        ("region_source", Form::Plain),
        ("notes", Form::Plain),
        ("overtime_minutes", Form::Plain),
    ],
};

/// Audio recordings, the parents of [`TRANSCRIPTS`].
pub const AUDIO: Table = Table {
    name: "wem_audio_metadata",
    key: &["audio_id"],
    columns: &[
        ("audio_id", Form::Plain),
        ("call_id", Form::Plain),
        ("duration_ms", Form::Plain),
        ("codec", Form::Plain),
        ("storage_token", Form::Plain),
        ("recorded_at", Form::Timestamp),
    ],
};

/// Transcripts, the children of [`AUDIO`].
pub const TRANSCRIPTS: Table = Table {
    name: "wem_transcription_text",
    key: &["transcript_id"],
    columns: &[
        ("transcript_id", Form::Plain),
        ("audio_id", Form::Plain),
        ("language", Form::Plain),
        ("body", Form::Plain),
        ("sentiment", Form::Plain),
        ("updated_at", Form::Timestamp),
    ],
};

const EVENTS: Table = Table {
    name: "interaction_events",
    key: &["event_id"],
    columns: &[
        ("event_id", Form::Plain),
        ("timestamp", Form::Timestamp),
        ("queue_id", Form::Plain),
        ("event_type", Form::Plain),
        ("data_payload", Form::Json),
    ],
};

const PROFILES: Table = Table {
    name: "customer_profiles",
    key: &["customer_id", "region"],
    columns: &[
        ("customer_id", Form::Plain),
        ("region", Form::Plain),
        ("name", Form::Plain),
        ("email", Form::Plain),
        ("phone", Form::Plain),
        ("consent_regions", Form::Array),
    ],
};

const SESSIONS: Table = Table {
    name: "tmp_session_state",
    key: &["session_id"],
    columns: &[("session_id", Form::Plain), ("state", Form::Json)],
};

/// All tables of the recording.
pub const TABLES: [Table; 6] = [SCHEDULES, AUDIO, TRANSCRIPTS, EVENTS, PROFILES, SESSIONS];

/// The example's folder.
#[must_use]
pub fn folder() -> PathBuf {
    project_root().join("examples/split-brain")
}

/// The recording, all of it.
///
/// # Errors
/// As [`recorded`].
pub fn messages() -> Result<Vec<Message>> {
    recorded(&folder().join("split_brain.jsonl.gz"))
}

/// Makes [`STREAM`] and fills it, so that every message has the sequence that it was recorded with.
///
/// # Errors
/// When the server refuses something, or the stream was not empty.
pub async fn fill_stream(jetstream: &Context) -> Result<()> {
    create_stream(jetstream, STREAM, &SUBJECTS).await?;
    let messages = messages()?;
    let sequences = publish(jetstream, &messages).await?;
    let moved = messages.iter().zip(&sequences).find(|(message, sequence)| message.sequence != **sequence);
    if let Some((message, sequence)) = moved {
        bail!(
            "message {} of the recording got sequence {sequence}: stream {STREAM} was not empty",
            message.sequence
        );
    }
    Ok(())
}

/// Makes the sink's tables.
///
/// # Errors
/// When the database cannot be reached or has them already.
pub async fn create_tables(database: &Database) -> Result<()> {
    let file = match database {
        Database::Sqlite(_) => "schema.sqlite.sql",
        Database::Postgres(_) => "schema.postgres.sql",
    };
    database.execute(&std::fs::read_to_string(folder().join(file))?).await
}

/// The rows that must stand at the end.
///
/// # Errors
/// As [`Rows::in_csv`].
pub fn expected(table: &Table) -> Result<Rows> {
    Rows::in_csv(*table, &folder().join(format!("expected_{}.csv", table.name)))
}

/// Everything that differs in a sink, in all tables.
///
/// # Errors
/// When the sink or an expected file cannot be read.
pub async fn differing(database: &Database) -> Result<Vec<Difference>> {
    let mut all = Vec::new();
    for table in &TABLES {
        let found = database.rows(table).await?;
        all.extend(differences(&expected(table)?, &found));
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_servers::{NatsServer, scratch};

    #[test]
    fn the_recording_is_whole_and_its_expected_rows_are_there() {
        let messages = messages().unwrap();
        assert!(messages.iter().map(|message| message.sequence).eq(1..=LAST));
        let counts = TABLES.map(|table| expected(&table).unwrap().len());
        assert_eq!(counts, [440, 234, 199, 549, 48, 0]);
    }

    #[tokio::test]
    async fn the_stream_holds_it_as_it_was_recorded() {
        let server = NatsServer::temporary().unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let jetstream = async_nats::jetstream::new(client);
        fill_stream(&jetstream).await.unwrap();
        let stream = jetstream.get_stream(STREAM).await.unwrap();
        assert_eq!(stream.cached_info().state.last_sequence, LAST);
        let renamed = stream.get_raw_message(1609).await.unwrap();
        let recorded = &messages().unwrap()[1608];
        assert_eq!(renamed.payload, recorded.data.as_bytes());
        assert_eq!(renamed.subject.as_str(), recorded.subject);
        let header = renamed.headers.get("__debezium.oldkey").map(|value| value.as_str().to_owned());
        assert_eq!(header.as_ref(), recorded.headers.as_ref().unwrap().get("__debezium.oldkey"));
        let words = fill_stream(&jetstream).await.unwrap_err().to_string();
        assert!(words.contains("was not empty"), "{words}");
    }

    /// A sink that holds the expected rows, written by hand.
    async fn right_sink(database: &Database) {
        create_tables(database).await.unwrap();
        let mut statements = "BEGIN;".to_owned();
        for table in &TABLES {
            for (_, row) in expected(table).unwrap().iter() {
                let cell = |cell: &Option<String>| match cell {
                    Some(text) => format!("'{}'", text.replace('\'', "''")),
                    None => "NULL".to_owned(),
                };
                let cells = row.iter().map(cell).collect::<Vec<_>>().join(", ");
                statements.push_str(&format!("INSERT INTO {} VALUES ({cells});", table.name));
            }
        }
        database.execute(&(statements + "COMMIT")).await.unwrap();
    }

    #[tokio::test]
    async fn a_planted_difference_is_found_in_any_table() {
        let folder = scratch("capture").unwrap();
        let database = Database::Sqlite(folder.path().join("it.db"));
        right_sink(&database).await;
        assert_eq!(differing(&database).await.unwrap(), []);
        database
            .execute(
                "DELETE FROM interaction_events WHERE event_id = 'evt-s7-000003';
                 INSERT INTO tmp_session_state VALUES ('s', '{}');
                 UPDATE agent_schedules SET notes = 'planted' WHERE schedule_id = 1008;
                 INSERT INTO wem_transcription_text VALUES
                     (1, '00000000-0000-0000-0000-000000000000', NULL, NULL, NULL, NULL);
                 UPDATE wem_transcription_text SET sentiment = '0.002' WHERE transcript_id = 500010",
            )
            .await
            .unwrap();
        let told = differing(&database).await.unwrap();
        let told = told.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(told.len(), 5, "{told:?}");
        assert!(
            told[0].starts_with("agent_schedules 1008: notes must be") && told[0].ends_with("is \"planted\"")
        );
        assert_eq!(told[1], "wem_transcription_text 500010: sentiment must be \"0.001\", is \"0.002\"");
        assert_eq!(told[2], "wem_transcription_text 1: no row should stand");
        assert_eq!(told[3], "interaction_events evt-s7-000003: the row is missing");
        assert_eq!(told[4], "tmp_session_state s: no row should stand");
    }
}
