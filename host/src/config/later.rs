//! What the file may say already and the engine does not do yet.
//!
//! Such a file parses and is checked; `run` refuses it with these problems rather than do half of it. A
//! line goes out of the list when the engine has learned what it names, and nothing else changes.

use std::ops::Range;

use super::checked::{Pipeline, SinkTarget};
use super::problem::Problem;

/// Where a plan asks for something.
type Places = fn(&Pipeline) -> Vec<Range<usize>>;

/// What is not done yet, and where a plan asks for it.
const NOT_YET: &[(&str, Places)] = &[
    ("`depends_on` of a table with `policy = \"none\"`, which keeps no versions to wait by", |plan| {
        let unversioned = plan.tables.iter().filter(|table| !table.policy.keeps_versions());
        unversioned.flat_map(|table| &table.depends_on).map(|parent| parent.span.clone()).collect()
    }),
    ("a sink of kind `relay`", |plan| match plan.sink.target {
        SinkTarget::Relay { .. } => vec![plan.sink.span.clone()],
        SinkTarget::Postgres { .. } | SinkTarget::Sqlite { .. } => Vec::new(),
    }),
];

impl Pipeline {
    /// What this version cannot run, each with its place. Empty: it runs all that the file asks for.
    pub fn unsupported(&self) -> Vec<Problem> {
        let asked =
            NOT_YET.iter().flat_map(|(what, places)| places(self).into_iter().map(move |span| (what, span)));
        asked
            .map(|(what, span)| {
                let mut problem = self.problem(span, format!("{what}: not supported by this version"));
                problem.label("asked for here").help("leave it out, or use a version that supports it");
                problem
            })
            .collect()
    }
}
