//! The texts of `--help` below `reconverge plugin`.

use crate::cli::{exit::exit_codes, help::more};

pub(in crate::cli) const PLUGIN: &str = "\
An author's workbench: makes, builds, inspects and tries plugins in any language, without a stream and a sink.

The same host runs them here and in a pipeline: what `test` shows is what `run` will do.";
pub(in crate::cli) const PLUGIN_MORE: &str = more!(
    reads: "what the command names; never pipeline.toml.",
    "reconverge plugin new my-rule --lang python",
    "reconverge plugin build my-rule",
    "reconverge plugin inspect my-rule",
    "reconverge plugin test my-rule",
);

pub(in crate::cli) const CAPTURE: &str = "\
Takes contests from a running pipeline into a file that `plugin test` reads: changes of its stream beside the rows that \
stand for their keys, as residency, filter and mapping let them by. Where a lane is behind, those are changes that have \
not met their rows yet; else the newest, beside the rows that they may have made.

With --decided: contests that were decided, both rows as they stood then, as far as the history keeps them. It only \
reads, and takes no lane. What residency suppressed or redacted is not in the file.";
pub(in crate::cli) const CAPTURE_MORE: &str = more!(
    reads: "pipeline.toml, the plugins, the stream, the sink's rows and sidecar; it writes the file.",
    "reconverge capture --events 500 --out contests/captured.jsonl",
    "reconverge capture --decided --table agent_schedules",
);

pub(super) const NEW: &str = "\
Makes a folder with a plugin that builds as it is: a typed row, a decision about one row, the language's SDK, golden \
contests, and a README with the commands of the language.

Nothing is fetched: what the folder needs beside the language's own tools is in this program.";
pub(super) const NEW_MORE: &str = more!(
    reads: "nothing; it writes the folder.",
    "reconverge plugin new my-rule --lang rust",
    "reconverge plugin new eu-only --lang python --stage residency --into plugins",
);

pub(super) const BUILD: &str = "\
Makes the component of a plugin's folder, build/NAME.wasm, with the language's ordinary tools, and says what to install \
where one is missing. Tools are looked for beside the plugin (node_modules, .venv), then on PATH.

Core modules become components here, so that Rust, C, Go and AssemblyScript need no wasm tool. WASI that a toolchain cannot \
leave out is answered inside the component: a constant clock, the same random bytes each time, no files.";
pub(super) const BUILD_MORE: &str = more!(
    reads: "plugin.toml and the sources of the folder; it writes build/.",
    "reconverge plugin build",
    "reconverge plugin build plugins/my-rule --json | jq -r .digest",
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

pub(super) const BENCH: &str = "\
Measures what a plugin's decisions cost, in batches of 1 to 1000 rows of its contests: nanoseconds and fuel a row, \
memory, time to compile and to start. Beside it stands what the host's own comparison of the same columns costs.

A decision includes the block that is built and the check of the answer, as in a pipeline.";
pub(super) const BENCH_MORE: &str = more!(
    reads: "the plugin's file and the contests.",
    "reconverge plugin bench my-rule",
    "reconverge plugin bench rule.wasm --golden captured.jsonl --json",
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
