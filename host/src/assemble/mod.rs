//! From a checked configuration to ends, plugins and lanes that run: the only place where all parts meet.
//!
//! Nothing is decided here. [`run`] is a pipeline's life; [`check`] finds all that would keep it from living;
//! [`sidecar`], [`audit`] and [`redrive`] are the operator's.

mod audit;
mod check;
mod ends;
mod error;
mod grade;
mod key;
mod plan;
mod plugins;
mod redrive;
mod reload;
mod rules;
mod run;
mod sidecar;
mod workshop;

pub use self::{
    audit::{AuditReport, LaneAudit, Recount, audit},
    check::{Findings, check},
    ends::stream_facts,
    error::RunError,
    key::key,
    redrive::redrive,
    reload::{Deployment, Operator, Phase, Report, Standing, Wish},
    run::{Options, RunUntil, run},
    sidecar::{Sidecar, sidecar},
};
