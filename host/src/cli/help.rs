//! The texts of `--help`: what a command does and reads, an example, and how it ends.
//!
//! Short help (`-h`) shows the first lines in `arguments`; these are for who asks for more.

use super::exit::exit_codes;

pub(super) const PROGRAM: &str = "\
Runs your merge rule as a WASM plugin in the very transaction that writes the row.

Reconverge reads database change events from NATS JetStream, passes them through your plugins \
(residency, filter, mapping, merge) and applies them to PostgreSQL or SQLite, in order, exactly once in \
effect. Everything that it decides stays beside the rows, so that it can be looked at later.

  reconverge check                         is everything as the pipeline needs it?
  reconverge run                           run it
  reconverge status                        how far is it?
  reconverge explain agent_schedules 7     why is this row as it is?

Data goes to stdout, talk and the log to stderr.";

/// What stands below the options: examples, what is read, exit codes.
macro_rules! more {
    (reads: $reads:literal, $($line:literal),+ $(,)?) => {
        concat!("Examples:\n", $("  ", $line, "\n",)+ "\nReads: ", $reads, "\n\n", exit_codes!())
    };
}

pub(super) use more;

pub(super) const RUN: &str = "\
Runs the pipeline until it is told to stop.

SIGTERM or Ctrl-C drains: the batch in hand is committed, the lane given up, and the process ends with 0. A \
second one stops at once (130); nothing is lost by that, since a batch is one transaction.

At the end the changes are printed by table and disposition. How far the pipeline is stands in the sink, so \
the next run goes on from there.";
pub(super) const RUN_MORE: &str = more!(
    reads: "pipeline.toml, the plugins, the stream, the sink's tables. RECONVERGE_LOG sets log levels \
            (warn,reconverge=debug); NATS_URL, NATS_CREDS, NATS_CONTEXT where [source] names no server.",
    "reconverge run                            # until it is told to stop",
    "reconverge run --until-caught-up --json   # as a job: up to the stream's present end",
    "reconverge run --ensure -f eu.toml        # create the stream where it is missing",
);

pub(super) const CHECK: &str = "\
Finds everything that would keep the pipeline from running, and tells it all at once: the file, servers, the \
stream, tables and their columns, plugins and their contracts, permissions.

Changes nothing. Warnings are told and do not count. What is wrong in the file itself ends with 2 and is told \
before anything is connected to; what is wrong around it ends with 3.";
pub(super) const CHECK_MORE: &str = more!(
    reads: "pipeline.toml, the plugins, the stream, the sink's catalog.",
    "reconverge check",
    "reconverge check --json | jq '.problems[].message'",
);

pub(super) const STATUS: &str = "\
Shows each lane: how far it is, how far the stream is, who owns it and for how long, and whether its ledger \
balances (delivered = sum of dispositions). Then the conflicts by table, kind and outcome.

`behind` counts messages of the whole stream, so with several partitions it is an upper bound. A stream that \
cannot be reached is told, and leaves its columns empty.";
pub(super) const STATUS_MORE: &str = more!(
    reads: "the sink's sidecar tables (no locks), and the stream's state where it can be reached.",
    "reconverge status",
    "reconverge status --json | jq '.lanes[] | {lane, behind}'",
);

pub(super) const EXPLAIN: &str = "\
Tells why a row is as it is: what stands for its key and where that came from, the newest change seen of every \
source, each decision about it (which policy or plugin generation decided, against what, and why), and its \
open dead letters.

A composite key is given as several values, in the order of `key` in pipeline.toml.";
pub(super) const EXPLAIN_MORE: &str = more!(
    reads: "the sink: the row, its version, decisions, generations and dead letters.",
    "reconverge explain agent_schedules 7",
    "reconverge explain customer_profiles 1001 us-east",
);

pub(super) const AUDIT: &str = "\
Recounts the ledger: for every lane, whether what was delivered is the sum of the dispositions, and whether \
that is what the stream holds for it.

Reads the stream again from its first message up to the checkpoint, so it takes about as long as reading does. \
Ends with 1 where something does not balance.";
pub(super) const AUDIT_MORE: &str = more!(
    reads: "the sink's checkpoints and the stream.",
    "reconverge audit",
    "reconverge audit --json | jq '.lanes[] | select(.balanced | not)'",
);

pub(super) const CONFLICTS: &str = "\
Looks at the history of decisions: each change that met a row or a tombstone of another origin, what became of \
it and who decided.";
pub(super) const CONFLICTS_MORE: &str = more!(
    reads: "reconverge.decision in the sink (kept for 30 days).",
    "reconverge conflicts list --table agent_schedules --kind update_origin_differs",
    "reconverge conflicts show 3f9c",
);

pub(super) const DLQ: &str = "\
Looks at dead letters: changes that could not be applied, each with the step that refused it and the reason. \
Nothing waits for them; what is behind them goes on.

`redrive` sends the original message again, to the end of its stream: it meets what stands by then, so an old \
change does not undo newer ones. `discard` closes a letter for good.";
pub(super) const DLQ_MORE: &str = more!(
    reads: "reconverge.dead_letter in the sink; `redrive` also the stream, and publishes to it.",
    "reconverge dlq list",
    "reconverge dlq show 12 --bytes change.json",
    "reconverge dlq redrive 12 13",
    "reconverge dlq discard 14 --note 'test data of the migration'",
);

pub(super) const LANES: &str = "\
Shows who works on which lane, and puts a changed plan in force.

A start with other tables, keys, lanes or partitions than the lanes ran by is refused with what would be \
skipped or repeated. `move` does neither: with all processes stopped it runs the lanes that stand behind by \
the old file, up to the farthest, and puts the new plan in force at that sequence, in one transaction. A table \
that is new begins there.";
pub(super) const LANES_MORE: &str = more!(
    reads: "reconverge.checkpoint, member and takeover in the sink; `move` also the streams, and with --from it \
            runs the old pipeline.",
    "reconverge lanes list",
    "reconverge lanes list --json | jq '.takeovers[]'",
    "reconverge lanes move --from old.toml",
);

pub(super) const PARKED: &str = "\
Looks at rows of tables with `depends_on` that stand and are not in the sink yet: a row that they name is \
missing there. They come into the sink in the transaction that brings it, and go on taking part in conflicts \
meanwhile.

`orphaned` are those whose missing row was deleted, filtered, suppressed or dead-lettered: it will not come by \
itself. Changes that wait on time (`skew`, `paused`) are listed too.

`release` puts a row in without its parent, where the sink's constraints allow it, and until its next change; a change \
is decided before its time. `discard` makes a closed dead letter of either. The lane that keeps it does what is \
asked, at once where it runs, else when it runs again.";
pub(super) const PARKED_MORE: &str = more!(
    reads: "reconverge.parked in the sink; `release` and `discard` write it.",
    "reconverge parked list --table wem_transcription_text",
    "reconverge parked list --why orphaned --json | jq -r '.[].key'",
    "reconverge parked show wem_transcription_text 12",
    "reconverge parked release wem_transcription_text 12",
    "reconverge parked discard wem_transcription_text 12 --note 'call 7 was never recorded'",
);

pub(super) const TABLES: &str = "\
Looks at the pipeline's tables. A table is paused when it is not as the pipeline knows it (gone, a column \
dropped or of another type, a right missing), when too many of its changes cannot be applied, or by hand. Its \
changes wait then, as do those of tables that are bound to it by `depends_on`; all other tables go on.

`resume` looks at the table, refuses where it still cannot be used, and lets it run: its shape is read anew, and \
what waited is applied in the order of the stream.";
pub(super) const TABLES_MORE: &str = more!(
    reads: "reconverge.target and reconverge.parked in the sink; `pause` and `resume` write the first.",
    "reconverge tables list",
    "reconverge tables pause agent_schedules --reason 'migration 14'",
    "reconverge tables resume agent_schedules",
);

pub(super) const HOLES: &str = "\
Looks at holes: what a stream lost before a lane had applied it (trimmed by its limits or a purge), or what it may \
give anew under numbers that were used before (rolled back, recreated). A hole that a mirror had is filled, and \
nothing is missing.

With `on_hole = \"halt\"` the lane stops before a hole until it is accepted: let the source send the range again \
first, if it can. After a stream was rolled back or recreated an accepted lane reads it from its beginning; what \
was applied before is known by its position.";
pub(super) const HOLES_MORE: &str = more!(
    reads: "reconverge.hole in the sink.",
    "reconverge holes list --state open",
    "reconverge holes accept 3 --note 'snapshot sent again, ticket 4711'",
);

pub(super) const COMPLETIONS: &str = "Prints the script that completes this command line in a shell.";
pub(super) const COMPLETIONS_MORE: &str = more!(
    reads: "nothing.",
    "source <(reconverge completions bash)",
    "reconverge completions zsh > ~/.zfunc/_reconverge",
    "reconverge completions fish > ~/.config/fish/completions/reconverge.fish",
);

pub(super) const SCHEMA: &str = "\
Prints the JSON Schema of pipeline.toml, by which editors complete and check the file. Put its place into the \
first line of the file: #:schema pipeline.schema.json";
pub(super) const SCHEMA_MORE: &str = more!(
    reads: "nothing.",
    "reconverge schema > pipeline.schema.json",
);
