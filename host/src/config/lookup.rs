//! Questions that the engine asks of a checked plan.

use std::ops::Range;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::checked::{Artifact, Pipeline, Plugin, Table};
use super::choices::Stage;
use super::environment::Environment;
use super::problem::Problem;
use super::spelling;

impl Pipeline {
    /// The index of the table that a change names by schema and table: `schema.table` in the file goes
    /// before the bare name, which stands for that table in any schema.
    pub fn table_of(&self, schema: Option<&str>, table: &str) -> Option<usize> {
        let qualified = |found: &Table| match (schema, found.name.split_once('.')) {
            (Some(schema), Some((of, name))) => of == schema && name == table,
            _ => false,
        };
        self.tables
            .iter()
            .position(qualified)
            .or_else(|| self.tables.iter().position(|found| found.name == table))
    }

    /// The plugins that a table's changes pass, in the order of the chain: residency, filter, mapping, then
    /// the merge plugin that its policy names.
    pub fn chain(&self, table: usize) -> Vec<&Plugin> {
        let mut chain: Vec<_> = self.plugins.iter().filter(|plugin| plugin.tables.contains(&table)).collect();
        chain.sort_by_key(|plugin| plugin.stage);
        chain
    }

    /// The plugin of this name.
    pub fn plugin(&self, name: &str) -> Option<&Plugin> {
        self.plugins.iter().find(|plugin| plugin.name == name)
    }

    /// Whether a table's changes come from more than one origin, as far as the file tells.
    pub fn has_several_sources(&self) -> bool {
        self.sources.len() > 1 || self.sources.iter().any(|source| source.subjects.has_source())
    }

    /// A problem that is found later (by a server or by a plugin) at a place that the plan remembers.
    pub fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        self.text.problem(span, message)
    }

    /// The columns that the file names for a table and that the sink's table does not have.
    pub fn column_problems(&self, table: &Table, columns: &[&str]) -> Vec<Problem> {
        let unknown = table.named_columns.iter().filter(|named| !columns.contains(&named.name.as_str()));
        unknown
            .map(|named| {
                let message = format!("table `{}` of the sink has no column `{}`", table.target, named.name);
                let mut problem = self.problem(named.span.clone(), message);
                problem.label("not a column there").help(spelling::hint(&named.name, columns));
                problem
            })
            .collect()
    }

    /// Files that the file names and that cannot be read: plugins and JSON Schemas.
    pub fn missing_files(&self, environment: &dyn Environment) -> Vec<Problem> {
        let plugins = self.plugins.iter().filter_map(|plugin| match &plugin.artifact {
            Artifact::File(path) => {
                Some((path, &plugin.path_span, "plugin", "build it with `reconverge plugin build`"))
            }
            Artifact::Digest { .. } => None,
        });
        let schemas = self.tables.iter().filter_map(|table| {
            let path = table.schema.json_schema.as_ref()?;
            Some((
                path,
                &table.schema.span,
                "JSON Schema",
                "the path is relative to the pipeline file's folder",
            ))
        });
        plugins
            .chain(schemas)
            .filter_map(|(path, span, what, help)| {
                let cause = environment.readable(path).err()?;
                let message = format!("the {what} {} cannot be read: {cause}", path.display());
                let mut problem = self.problem(span.clone(), message);
                problem.help(help);
                Some(problem)
            })
            .collect()
    }

    /// What the checkpoint remembers of the plan: sources, partitions, tables, keys and lanes. A start with
    /// another digest would skip or repeat changes. Policies and plugins are not in it: they may change.
    pub fn digest(&self) -> [u8; 32] {
        let mut lines = vec!["reconverge plan 1".to_owned()];
        for source in &self.sources {
            lines.push(format!(
                "source {} {} {} {}",
                source.name, source.stream, source.subjects, source.partitions
            ));
        }
        for lane in &self.lanes {
            lines.push(format!("lane {}", lane.name));
        }
        let mut tables: Vec<_> = self.tables.iter().collect();
        tables.sort_by_key(|table| &table.name);
        for table in tables {
            let lane = &self.lanes[table.lane].name;
            lines.push(format!("table {:?} {:?} {:?} {lane}", table.name, table.target, table.key));
        }
        Sha256::digest(lines.join("\n")).into()
    }
}

impl Plugin {
    /// Whether it decides which row stands.
    pub fn is_merge(&self) -> bool {
        self.stage == Stage::Merge
    }

    /// The file of its bytes, unless it is taken from the store.
    pub fn file(&self) -> Option<&PathBuf> {
        match &self.artifact {
            Artifact::File(path) => Some(path),
            Artifact::Digest { .. } => None,
        }
    }
}
