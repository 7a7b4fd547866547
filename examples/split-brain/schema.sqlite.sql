-- The sink's tables on SQLite. It keeps a declared type as it is written, so the types say what the values
-- are: TIMESTAMPTZ, UUID, JSONB, TEXT_NUMERIC(5,3) and TEXT[] are read by Reconverge, not by SQLite.
-- TEXT_NUMERIC keeps all digits; a NUMERIC column would make a float of them and lose the last zero of 1.250.
-- A transcript does not reference its audio here: it may arrive first.

CREATE TABLE agent_schedules (
    schedule_id         BIGINT PRIMARY KEY NOT NULL,
    agent_id            BIGINT NOT NULL,
    shift_start         TIMESTAMPTZ NOT NULL,
    shift_end           TIMESTAMPTZ,
    modification_epoch  BIGINT NOT NULL,
    region_source       TEXT NOT NULL,
    notes               TEXT,
    overtime_minutes    INTEGER
);

CREATE TABLE wem_audio_metadata (
    audio_id       UUID PRIMARY KEY NOT NULL,
    call_id        BIGINT NOT NULL,
    duration_ms    INTEGER,
    codec          TEXT,
    storage_token  TEXT,
    recorded_at    TIMESTAMPTZ
);

CREATE TABLE wem_transcription_text (
    transcript_id  BIGINT PRIMARY KEY NOT NULL,
    audio_id       UUID,
    language       TEXT,
    body           TEXT,
    sentiment      TEXT_NUMERIC(5,3),
    updated_at     TIMESTAMPTZ
);

CREATE TABLE interaction_events (
    event_id      TEXT PRIMARY KEY NOT NULL,
    "timestamp"   TIMESTAMPTZ NOT NULL,
    queue_id      TEXT,
    event_type    TEXT,
    data_payload  JSONB
);

CREATE TABLE customer_profiles (
    customer_id      BIGINT NOT NULL,
    region           TEXT NOT NULL,
    name             TEXT,
    email            TEXT,
    phone            TEXT,
    consent_regions  TEXT[],
    PRIMARY KEY (customer_id, region)
);

CREATE TABLE tmp_session_state (
    session_id  TEXT PRIMARY KEY NOT NULL,
    state       JSONB
);
