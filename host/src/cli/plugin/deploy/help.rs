//! The texts of `--help` of what changes a pipeline's plugins.

use crate::cli::{exit::exit_codes, help::more};

pub(super) const DEPLOY: &str = "\
Stores a plugin file by its digest at the NATS server and points the pipeline at it. Every process that runs the \
pipeline admits it by itself, away from its lanes: signature, imports, compilation, configuration, contract against the \
tables, and the golden contests: those of the pipeline file, and those that lie in `contests/` of the plugin's folder, \
which go into the store with it. Then it decides the last batches once more beside the live generation, and what differs is shown. Only then it \
goes live, between two batches, at a sequence that the sink records.

A generation that fails too often in its first minutes ([reload] trial and max_faults) is taken back by itself: the \
batch is decided by the one before, and the deployment is turned back for all processes.

Ends with 1 where a process refuses it; nothing has changed there then.";
pub(super) const DEPLOY_MORE: &str = more!(
    reads: "pipeline.toml, the plugin file (and FILE.minisig), its contests; writes the buckets reconverge-plugins and reconverge-deployments.",
    "reconverge plugin deploy schedule_merge.wasm --plugin wfm-schedules",
    "reconverge plugin deploy ./schedule-merge                         # what it built, with its contests/",
    "reconverge plugin deploy new.wasm --shadow-changes 10000 --max-diff 0",
    "reconverge plugin deploy new.wasm --shadow-for 30m --by-hand      # then: plugin status, plugin promote",
    "reconverge plugin deploy new.wasm --lane bulk                     # a canary; then: plugin promote",
);

pub(super) const STATUS: &str = "\
Shows of each plugin what is deployed, by whom, and how far each process is with it: admitting, shadow (with what it \
decides otherwise), canary, live, refused (with the reason) or taken-back.";
pub(super) const STATUS_MORE: &str = more!(
    reads: "pipeline.toml; the deployments and reports at its NATS server.",
    "reconverge plugin status",
    "reconverge plugin status wfm-schedules --json | jq '.[0].reports[].phase'",
);

pub(super) const PROMOTE: &str = "\
Lets a generation that is in shadow, or decides on some lanes or tables, go live everywhere.";
pub(super) const PROMOTE_MORE: &str = more!(
    reads: "pipeline.toml; writes the deployment at its NATS server.",
    "reconverge plugin promote wfm-schedules",
);

pub(super) const ROLLBACK: &str = "\
Points the pipeline at the artifact that was deployed before; of the first deployment at the pipeline's own file as it \
was then. Processes take it at once, without a shadow run. Done twice, it goes back and forth.";
pub(super) const ROLLBACK_MORE: &str = more!(
    reads: "pipeline.toml; writes the deployment at its NATS server.",
    "reconverge plugin rollback wfm-schedules",
);

pub(super) const PIN: &str = "\
Keeps a plugin at the artifact that is deployed: `plugin deploy` refuses another one until `plugin unpin`, or --force.";
pub(super) const PIN_MORE: &str = more!(
    reads: "pipeline.toml; writes the deployment at its NATS server.",
    "reconverge plugin pin wfm-schedules --by 'on-call'",
);
