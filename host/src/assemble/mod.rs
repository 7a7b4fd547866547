//! From a checked configuration to ends, plugins and lanes that run: the only place where all parts meet.
//!
//! Nothing is decided here. [`run`] is a pipeline's life; [`check`] finds all that would keep it from living;
//! [`sidecar`], [`audit`] and [`redrive`] are the operator's.

mod adopt;
mod assign;
mod audit;
mod capture;
mod check;
mod ends;
mod error;
mod fleet;
mod grade;
mod key;
mod laws;
mod golden;
mod lawful;
mod lanes;
mod plan;
mod plan_change;
mod plugins;
mod redrive;
mod reload;
mod rehearse;
mod rules;
mod run;
mod sidecar;
mod steward;
mod switch;
mod workshop;

pub use self::{
    adopt::{Adopted, Adoption, adopt},
    audit::{AuditReport, LaneAudit, Recount, audit},
    capture::{Captured, Wanted, capture},
    check::{Findings, check},
    ends::stream_facts,
    error::RunError,
    key::key,
    lanes::{Slot, slots},
    laws::{Case, Described, law_cases, law_cases_of, merge_plugin_of},
    plan::plan_without_plugins,
    redrive::redrive,
    rehearse::{Recorded, rehearsal},
    reload::{Deployment, Operator, Phase, Report, Standing, Wish},
    run::{Options, RunUntil, run},
    sidecar::{Sidecar, sidecar, usable},
    switch::{Moved, roster, switch},
};
