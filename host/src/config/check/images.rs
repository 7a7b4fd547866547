//! Warns of tables whose columns may go missing: big columns that were not sent, where only a full before
//! image could fill them in.

use super::Checker;
use crate::config::checked::{Pipeline, Table};
use crate::config::choices::{BeforeImages, Leaves, Stage};

const REMEDY: &str =
    "run `ALTER TABLE ... REPLICA IDENTITY FULL` at the source, then set `before_images = \"full\"`";

impl Checker<'_> {
    /// An unsent column takes its value from the standing row. Where several sources write, or where a
    /// filter may have taken that row away, regions may hold different rows at that moment.
    pub(super) fn before_images(&mut self, plan: &Pipeline) {
        for (index, table) in plan.tables.iter().enumerate() {
            if table.before_images == BeforeImages::Full {
                continue;
            }
            if let Some(why) = needs_full(plan, index, table) {
                let message = format!("table `{}` {why}: it needs full before images", table.name);
                self.refuse(table.span.clone(), message)
                    .warn()
                    .label("a column that the source did not send may end differently in two regions")
                    .help(REMEDY);
            }
        }
    }
}

fn needs_full(plan: &Pipeline, index: usize, table: &Table) -> Option<&'static str> {
    let lets_go = |stage| matches!(stage, Stage::Residency | Stage::Filter);
    let mut chain = plan.plugins.iter().filter(|plugin| plugin.tables.contains(&index));
    if table.policy.is_ordering() && plan.has_several_sources() {
        Some("has several sources")
    } else if table.leaves == Leaves::Delete && chain.any(|plugin| lets_go(plugin.stage)) {
        Some("has a filter or residency plugin")
    } else {
        None
    }
}
