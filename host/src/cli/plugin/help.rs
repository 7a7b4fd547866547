//! The texts of `--help` below `reconverge plugin`.

use crate::cli::{exit::exit_codes, help::more};

pub(in crate::cli) const PLUGIN: &str = "\
An author's workbench: makes, builds, inspects and tries plugins in any language, without a stream and a sink.

The same host runs them here and in a pipeline: what `test` shows is what `run` will do.";
pub(in crate::cli) const PLUGIN_MORE: &str = more!(
    reads: "what the command names; never pipeline.toml.",
    "reconverge plugin inspect plugins/schedule_merge.wasm",
    "reconverge plugin test plugins/schedule_merge.wasm --golden contests/",
);

pub(super) const INSPECT: &str = "\
Shows what a plugin is: its stages, its name and version, what it imports, the schema of its configuration, and its \
contract, which is the columns that it is given of a table and those that it writes.

A file that a pipeline would refuse is shown as far as it can be, with what is wrong and how to build it without; the \
command ends with 2 then.";
pub(super) const INSPECT_MORE: &str = more!(
    reads: "the plugin's file; contests where there are some, for their tables.",
    "reconverge plugin inspect my-rule",
    "reconverge plugin inspect rule.wasm --table 'schedules(id int key, epoch int, region text)'",
    "reconverge plugin inspect rule.wasm --json | jq '.imports[] | select(.given | not)'",
);

pub(super) const TEST: &str = "\
Tries a plugin on contests: changes beside what stands for their keys. Each is decoded and asked by the host's own \
stage, once in a batch with all others and once alone, and what comes of it is compared with what is written down.

Contests are JSON lines; `reconverge capture` takes them from a running pipeline, and an author writes more by hand. \
One without an expectation fails until `--update` writes it. Ends with 1 where a decision is another one.";
pub(super) const TEST_MORE: &str = more!(
    reads: "the plugin's file and the contests; `--update` writes the contests.",
    "reconverge plugin test my-rule                       # contests/*.jsonl of its folder",
    "reconverge plugin test rule.wasm --golden captured.jsonl --update",
    "reconverge plugin test rule.wasm --golden contests --json | jq '.differ'",
);

pub(super) const LAWS: &str = "\
Finds out whether a merge rule keeps the laws by which regions end with the same rows, whatever arrives first: \
total, deterministic, indifferent to batches and redelivery, idempotent, commutative, associative, the same seen \
from both sides. It makes histories by chance, runs them through the host's own resolve, deletes and tombstones \
included, and prints the smallest ones that end in different rows.

Without a table it makes one of the plugin's contract. With `--pipeline` it takes the tables of the pipeline's sink, \
their policy for deletes and the plugin's configuration. Passing is no proof. Ends with 1 where a law is broken.";
pub(super) const LAWS_MORE: &str = more!(
    reads: "the plugin's file; with `--pipeline` pipeline.toml and the sink's catalog.",
    "reconverge plugin laws my-rule",
    "reconverge plugin laws schedule-merge --pipeline pipeline.toml",
    "reconverge plugin laws rule.wasm --table schedules.toml --seed 7 --cases 1000",
    "reconverge plugin laws rule.wasm --captured captured.jsonl --json | jq '.held'",
);
