//! Checks what rules that put rows together, and rules by logical clocks, ask of a table and its sources.

use super::Checker;
use crate::config::checked::Pipeline;
use crate::config::choices::{BeforeImages, Format, Stage};
use crate::config::located::At;
use crate::config::policy::Policy;
use crate::config::raw;

impl Checker<'_> {
    /// Which columns a change changed, and what it added to a sum, is told only by the whole row before it.
    pub(super) fn whole_before_images(&mut self, raw: &raw::Table, policy: &Policy) {
        let Some(words) = raw.policy.as_ref().filter(|_| policy.puts_together()) else { return };
        if raw.before_images == BeforeImages::Full {
            return;
        }
        let what = match policy {
            Policy::Counter { .. } => "what a change added to a sum is told by the row before it",
            _ => "which columns a change changed is told by the row before it",
        };
        self.refuse(words.span(), "this policy needs `before_images = \"full\"`").label(what).help(
            "run `ALTER TABLE ... REPLICA IDENTITY FULL` at the source, then set `before_images = \"full\"`",
        );
    }

    /// Values that outlive their row, and clocks that a source cannot carry.
    pub(super) fn merging(&mut self, plan: &Pipeline) {
        for (index, table) in plan.tables.iter().enumerate() {
            let residency = |plugin: &&crate::config::checked::Plugin| {
                plugin.stage == Stage::Residency && plugin.tables.contains(&index)
            };
            if table.policy.puts_together()
                && let Some(plugin) = plan.plugins.iter().find(residency)
            {
                let what = format!(
                    "table `{}` is under residency plugin `{}` and `{}`, which keeps columns of rows that are gone",
                    table.name, plugin.name, table.policy
                );
                self.refuse(table.span.clone(), what)
                    .label("cells of a suppressed row would be kept beside")
                    .help("order the table by `lww` or `max`, or let a merge plugin decide");
            }
            let Some(field) = table.policy.needs_clock() else { continue };
            if let Some(source) = plan.sources.iter().find(|source| source.format != Format::Native) {
                let what = format!(
                    "table `{}` goes by the envelope's `{field}`, and messages of Debezium carry none",
                    table.name
                );
                self.refuse(table.span.clone(), what)
                    .also(source.span.clone(), "this source's format has no logical clocks")
                    .help("publish with `format = \"native\"`, or order the table by a column or by commit time");
            }
        }
    }
}

/// The columns that a policy sums, as places in the file.
pub(super) fn counters<'p>(
    raw: &raw::Table,
    policy: &'p Policy,
) -> impl Iterator<Item = crate::config::checked::NamedColumn> + use<'p> {
    let span = raw.policy.as_ref().map_or(0..0, At::span);
    let named = policy.counters().iter();
    named.map(move |name| crate::config::checked::NamedColumn { name: name.clone(), span: span.clone() })
}
