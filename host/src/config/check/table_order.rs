//! Checks `depends_on` and puts the tables in the order in which they take effect: by priority, parents
//! before children, else as in the file.

use super::Checker;
use crate::config::checked::{Dependency, Table};
use crate::config::located::At;
use crate::config::raw;

impl Checker<'_> {
    pub(super) fn in_effect_order(&mut self, mut tables: Vec<(&raw::Table, Table)>) -> Vec<Table> {
        let known: Vec<(String, usize, u32)> =
            tables.iter().map(|(_, table)| (table.name.clone(), table.key.len(), table.priority)).collect();
        for (raw, table) in &tables {
            for parent in &raw.depends_on {
                self.parent(parent, raw, table, &known);
            }
        }
        tables.sort_by_key(|(_, table)| table.priority);
        let placed = self.parents_first(tables);
        let names: Vec<String> = placed.iter().map(|(_, table)| table.name.clone()).collect();
        placed
            .into_iter()
            .map(|(raw, table)| Table { depends_on: dependencies(raw, &names), ..table })
            .collect()
    }

    fn parent(
        &mut self,
        parent: &At<raw::DependsOn>,
        raw: &raw::Table,
        table: &Table,
        known: &[(String, usize, u32)],
    ) {
        self.distinct(&parent.columns, "column");
        let Some((name, key, priority)) = known.iter().find(|(name, ..)| name == parent.table.value()) else {
            let names: Vec<&str> = known.iter().map(|(name, ..)| name.as_str()).collect();
            self.unknown(&parent.table, "table", &names);
            return;
        };
        if *key != parent.columns.len() && *key > 0 {
            self.refuse(parent.columns.span(), format!("table `{name}` has a key of {key} columns"))
                .label(format!("{} named here", parent.columns.len()))
                .help("name the child's columns that hold the parent's key, in the order of its `key`");
        }
        if *priority > table.priority {
            self.refuse(raw.priority.span(), format!("table `{}` goes before its parent", table.name))
                .label(format!("priority {}, but its parent has {priority}", table.priority))
                .also(parent.table.span(), "its parent")
                .help(format!("set `priority = {priority}` or more, or lower the parent's"));
        }
    }

    /// Takes, again and again, the first table whose parents are taken. A table may be its own parent; a
    /// circle of several is refused.
    fn parents_first<'r>(
        &mut self,
        mut waiting: Vec<(&'r raw::Table, Table)>,
    ) -> Vec<(&'r raw::Table, Table)> {
        let mut placed: Vec<(&raw::Table, Table)> = Vec::new();
        while !waiting.is_empty() {
            let waits_for = |parent: &At<raw::DependsOn>, child: &Table| {
                let other = parent.table.value() != &child.name;
                other && waiting.iter().any(|(_, table)| table.name == *parent.table.value())
            };
            let ready = waiting
                .iter()
                .position(|(raw, table)| !raw.depends_on.iter().any(|parent| waits_for(parent, table)));
            let next = waiting.remove(ready.unwrap_or(0));
            if ready.is_none() {
                self.refuse(next.1.span.clone(), format!("table `{}` depends on itself", next.1.name))
                    .label("in a circle of `depends_on`")
                    .help("take one `depends_on` out of the circle");
            }
            placed.push(next);
        }
        placed
    }
}

fn dependencies(raw: &raw::Table, names: &[String]) -> Vec<Dependency> {
    let dependency = |parent: &At<raw::DependsOn>| {
        Some(Dependency {
            parent: names.iter().position(|name| name == parent.table.value())?,
            columns: parent.columns.iter().map(|column| column.value().clone()).collect(),
            span: parent.span(),
        })
    };
    raw.depends_on.iter().filter_map(dependency).collect()
}
