-- The sink's tables on PostgreSQL: those of both regions, with the column that was added in the middle.
-- A transcript does not reference its audio here: it may arrive first.

CREATE TABLE agent_schedules (
    schedule_id         bigint PRIMARY KEY,
    agent_id            bigint NOT NULL,
    shift_start         timestamptz NOT NULL,
    shift_end           timestamptz,
    modification_epoch  bigint NOT NULL,
    region_source       text NOT NULL,
    notes               text,
    overtime_minutes    integer
);

CREATE TABLE wem_audio_metadata (
    audio_id       uuid PRIMARY KEY,
    call_id        bigint NOT NULL,
    duration_ms    integer,
    codec          text,
    storage_token  text,
    recorded_at    timestamptz
);

CREATE TABLE wem_transcription_text (
    transcript_id  bigint PRIMARY KEY,
    audio_id       uuid,
    language       text,
    body           text,
    sentiment      numeric(5,3),
    updated_at     timestamptz
);

CREATE TABLE interaction_events (
    event_id      text PRIMARY KEY,
    "timestamp"   timestamptz NOT NULL,
    queue_id      text,
    event_type    text,
    data_payload  jsonb
);

CREATE TABLE customer_profiles (
    customer_id      bigint,
    region           text,
    name             text,
    email            text,
    phone            text,
    consent_regions  text[],
    PRIMARY KEY (customer_id, region)
);

CREATE TABLE tmp_session_state (
    session_id  text PRIMARY KEY,
    state       jsonb
);
