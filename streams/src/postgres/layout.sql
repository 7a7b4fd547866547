-- The sidecar tables of Reconverge in PostgreSQL, layout 2. Run under an advisory lock, in one transaction.
CREATE SCHEMA IF NOT EXISTS reconverge;
CREATE TABLE IF NOT EXISTS reconverge.meta (         -- one row
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  layout int NOT NULL,                               -- version of these tables
  secret bytea NOT NULL);                            -- for suppressed.key_hash; never leaves the database
CREATE TABLE IF NOT EXISTS reconverge.source (
  id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE NOT NULL,
  region text NOT NULL, epoch int NOT NULL DEFAULT 0, grade "char" NOT NULL);
CREATE TABLE IF NOT EXISTS reconverge.target (       -- one row per table
  id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE NOT NULL,
  since_sequence jsonb NOT NULL DEFAULT '{}',        -- per lane: changes before it were never ours
  baseline_source smallint REFERENCES reconverge.source, baseline_position bigint, baseline_at bigint,
  too_old_through bigint,                            -- newest commit time of a tombstone that went; null = none did
  paused text,                                       -- reason; null = runs
  key_columns text[] NOT NULL,                       -- the key as the pipeline declares it: names for key bytes
  key_types text[] NOT NULL);                        -- their logical types
CREATE TABLE IF NOT EXISTS reconverge.checkpoint (
  lane text PRIMARY KEY,                             -- pipeline/source/lane/partition
  stream text NOT NULL, stream_created timestamptz NOT NULL,
  sequence bigint NOT NULL DEFAULT 0,                -- everything up to here has a disposition
  scanned bigint NOT NULL DEFAULT 0,                 -- everything up to here has been looked at (>= sequence)
  owner text, epoch bigint NOT NULL DEFAULT 0, lease_until timestamptz, heartbeat_at timestamptz,
  generation bigint NOT NULL, plan bytea NOT NULL,   -- digest of tables, lanes and keys in force
  delivered bigint NOT NULL DEFAULT 0,               -- the ledger: delivered = sum(counts)
  counts bigint[] NOT NULL DEFAULT '{}',             -- by disposition number, parked included
  committed_at bigint                                -- newest source commit time applied, for lag
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS reconverge.reclassified ( -- moves in a lane's ledger by batches of other lanes, until it takes
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- them over; a reader of the ledger adds them
  lane text NOT NULL, was smallint NOT NULL, becomes smallint NOT NULL, n bigint NOT NULL);
CREATE INDEX IF NOT EXISTS reclassified_lane ON reconverge.reclassified (lane, id);
CREATE TABLE IF NOT EXISTS reconverge.frontier (     -- per lane and source: all that it committed before is applied
  lane text NOT NULL, source smallint NOT NULL, passed bigint NOT NULL, PRIMARY KEY (lane, source));
CREATE TABLE IF NOT EXISTS reconverge.version (
  target smallint NOT NULL, key bytea NOT NULL,      -- canonical key bytes; 0xff and a lane's name: its gate
  standing "char" NOT NULL,                          -- r row, d tombstone, a absence, p row kept in parked, g gate
  origin smallint NOT NULL, committed_at bigint NOT NULL,   -- of the value that stands; microseconds
  seen_source smallint[], seen_epoch int[],          -- layout 1 kept here what `seen` has; where they are not null they
  seen_commit bigint[], seen_ordinal bigint[],       -- count, since a program of layout 1 wrote the row
  seen_deleted boolean[], seen_at bigint[],
  row_xmin xid,                                      -- xmin of the row as we wrote it: tells local writes
  clock jsonb, ordered_by jsonb,                     -- vector; order columns of a tombstone or an absence
  -- committed_at where no row stands. A column of its own, because an index over committed_at, partial or not, would
  -- make every version that is written anew a new entry in all indexes (no HOT update).
  gone_at bigint GENERATED ALWAYS AS (CASE WHEN standing IN ('d','a') THEN committed_at END) STORED,
  -- Of EVERY source, 31 bytes, big-endian: its number (2); the newest position (epoch 4, commit 8, ordinal 8); whether
  -- that change was a delete (1); commit time of its newest live change, for snapshot rows (8).
  seen bytea,
  row_digest bigint,                                 -- what it held: tells them where a rewritten or restored table has new xmins
  counted_by text,                                   -- of tables with parents: the lane that counted what stands
  PRIMARY KEY (target, key)) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS version_tombstones ON reconverge.version (gone_at) WHERE gone_at IS NOT NULL;
CREATE TABLE IF NOT EXISTS reconverge.parked (
  target smallint NOT NULL, key bytea NOT NULL,
  source smallint NOT NULL, epoch int NOT NULL, commit_position bigint NOT NULL, ordinal bigint NOT NULL,
  lane text NOT NULL, sequence bigint NOT NULL,
  why text NOT NULL CHECK (why IN ('parent','orphaned','paused','skew')),
  waits_target smallint, waits_key bytea,            -- the parent that is missing
  ready boolean NOT NULL DEFAULT false,              -- set by the parent's transaction and by the sweep
  change bytea NOT NULL,                             -- parent, orphaned: the row that stands; paused, skew: the change, before mapping
  parked_at timestamptz NOT NULL DEFAULT now(), attempts int NOT NULL DEFAULT 0,
  until_at bigint,                                   -- skew: the commit time that has to pass; microseconds
  subject text,                                      -- parent, orphaned: where the change was published
  asked text CHECK (asked IN ('release','discard')), -- by an operator, for the lane to do
  asked_by text, note text,
  counted_by text,                                   -- the lane in whose ledger it is; null = the one that keeps it
  PRIMARY KEY (target, key, source, epoch, commit_position, ordinal, sequence));
CREATE INDEX IF NOT EXISTS parked_lane ON reconverge.parked (lane, waits_target, waits_key);
CREATE INDEX IF NOT EXISTS parked_waits ON reconverge.parked (waits_target, waits_key);
CREATE INDEX IF NOT EXISTS parked_ready ON reconverge.parked (lane, sequence) WHERE ready;
CREATE INDEX IF NOT EXISTS parked_time ON reconverge.parked (lane, sequence) WHERE why IN ('paused','skew');
CREATE INDEX IF NOT EXISTS parked_asked ON reconverge.parked (lane) WHERE asked IS NOT NULL;
CREATE TABLE IF NOT EXISTS reconverge.suppressed (
  target smallint NOT NULL, key_hash bytea NOT NULL, -- HMAC-SHA256(meta.secret, key): no suppressed bytes at rest
  at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (target, key_hash));
CREATE TABLE IF NOT EXISTS reconverge.dead_letter (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lane text NOT NULL, stream text NOT NULL, sequence bigint NOT NULL, subject text NOT NULL,
  target smallint, key bytea, stage text NOT NULL, code text NOT NULL, reason text NOT NULL,
  generation bigint, headers jsonb,
  bytes bytea,                                       -- null where residency had not passed it yet
  digest bytea NOT NULL,                             -- sha256: proves a refetch by sequence
  holds_key boolean NOT NULL DEFAULT false,
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open','redriven','discarded')),
  at timestamptz NOT NULL DEFAULT now(), closed_at timestamptz, closed_by text, note text);
-- One letter per message. Rows that were kept beside have the sequence of what put them there, which several may share.
CREATE UNIQUE INDEX IF NOT EXISTS dead_letter_message ON reconverge.dead_letter (stream, sequence) WHERE stage <> 'parked';
CREATE INDEX IF NOT EXISTS dead_letter_open ON reconverge.dead_letter (target, key) WHERE state = 'open';
CREATE TABLE IF NOT EXISTS reconverge.hole (         -- what a stream lost before a lane had applied it
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  lane text NOT NULL, stream text NOT NULL,
  stream_created timestamptz NOT NULL,               -- of the stream that the lane was on
  first bigint NOT NULL, last bigint,                -- sequences; null where nobody knows how far it went
  kind text NOT NULL CHECK (kind IN ('trimmed','rolled-back','recreated')),
  state text NOT NULL DEFAULT 'open' CHECK (state IN ('open','accepted','filled')),
  at timestamptz NOT NULL DEFAULT now(),
  passed_at timestamptz,                             -- when the lane went on behind it; null while it waits
  closed_at timestamptz, by text, note text);
CREATE UNIQUE INDEX IF NOT EXISTS hole_waits ON reconverge.hole (lane, kind, stream_created) WHERE passed_at IS NULL;
CREATE TABLE IF NOT EXISTS reconverge.decision (
  at timestamptz NOT NULL DEFAULT now(), id uuid NOT NULL DEFAULT gen_random_uuid(),
  lane text NOT NULL, sequence bigint NOT NULL, target smallint NOT NULL, key bytea NOT NULL,
  kind text NOT NULL, outcome text NOT NULL, decided_by text NOT NULL, generation bigint NOT NULL, reason text,
  source smallint NOT NULL, commit_position bigint NOT NULL, ordinal bigint NOT NULL,
  incoming_at bigint, current_origin smallint, current_at bigint,
  incoming jsonb, current jsonb, applied jsonb,
  PRIMARY KEY (at, id)) PARTITION BY RANGE (at);     -- days; kept 30; the host makes and drops them
CREATE TABLE IF NOT EXISTS reconverge.seen_event (   -- only for sources without positions; kept 24 h
  source smallint NOT NULL, event_id text NOT NULL, at timestamptz NOT NULL DEFAULT now(),
  target smallint NOT NULL,                          -- one event may bear changes of several tables
  PRIMARY KEY (target, source, event_id));
CREATE INDEX IF NOT EXISTS seen_event_at ON reconverge.seen_event (at);
CREATE TABLE IF NOT EXISTS reconverge.source_epoch ( -- from a sequence on, a source's positions are of this epoch
  source smallint NOT NULL, stream text NOT NULL,
  lane text NOT NULL,                                -- '': of all lanes, by the operator's word
  from_sequence bigint NOT NULL, epoch int NOT NULL,
  dismissed boolean NOT NULL,                        -- no epoch: what was suspected before the sequence is older after all
  at timestamptz NOT NULL DEFAULT now(), by text NOT NULL,
  PRIMARY KEY (source, stream, lane, from_sequence, dismissed));
CREATE TABLE IF NOT EXISTS reconverge.suspicion (    -- a lower position with a later commit time than its key has seen
  stream text NOT NULL, sequence bigint NOT NULL, target smallint NOT NULL, key bytea NOT NULL,
  lane text NOT NULL, source smallint NOT NULL,
  epoch int NOT NULL, commit_position bigint NOT NULL, ordinal bigint NOT NULL, committed_at bigint NOT NULL,
  newest_epoch int NOT NULL, newest_commit bigint NOT NULL, newest_ordinal bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now(), closed_at timestamptz, closed_by text,
  PRIMARY KEY (stream, sequence, target, key));
CREATE INDEX IF NOT EXISTS suspicion_open ON reconverge.suspicion (stream) WHERE closed_at IS NULL;
CREATE TABLE IF NOT EXISTS reconverge.generation (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lane text NOT NULL, from_sequence bigint NOT NULL,
  plugins jsonb NOT NULL, at timestamptz NOT NULL DEFAULT now(), by text NOT NULL);
CREATE TABLE IF NOT EXISTS reconverge.member (       -- processes that share a pipeline's lanes
  pipeline text NOT NULL, name text NOT NULL,
  since timestamptz NOT NULL DEFAULT clock_timestamp(),
  until timestamptz NOT NULL,                        -- silent past it: does not count any more
  PRIMARY KEY (pipeline, name));
CREATE TABLE IF NOT EXISTS reconverge.takeover (     -- each override of an owner that fell silent
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, lane text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(),
  owner text NOT NULL, epoch bigint NOT NULL, sequence bigint NOT NULL, -- the new one, and where it went on
  previous text NOT NULL, heartbeat_at timestamptz, lease_until timestamptz); -- the one that was overridden
CREATE TABLE IF NOT EXISTS reconverge.plan (         -- what the digests in checkpoint.plan stand for
  digest bytea PRIMARY KEY, form jsonb NOT NULL, since timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE IF NOT EXISTS reconverge.move (         -- each switch from one plan to the next
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, pipeline text NOT NULL,
  at timestamptz NOT NULL DEFAULT clock_timestamp(), by text NOT NULL, plan bytea NOT NULL,
  lane text NOT NULL, sequence bigint NOT NULL,      -- where it went on
  delivered bigint NOT NULL);                        -- what its ledger held by then
CREATE TABLE IF NOT EXISTS reconverge.failover (     -- region_version and the record of each failover
  version int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, from_region text, to_region text NOT NULL,
  reason text NOT NULL, votes jsonb NOT NULL, forced_by text, high_water jsonb NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(), completed_at timestamptz);
