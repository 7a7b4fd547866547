//! What of a plan the checkpoints depend on, in a form that the sink keeps: sources, partitions, lanes, tables and keys.
//! Its digest tells that a plan has changed; the form tells how.

use serde::{Deserialize, Serialize};

use super::checked::Pipeline;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanForm {
    /// The streams, in the order of the file.
    pub sources: Vec<SourceForm>,
    /// Names of the lanes.
    pub lanes: Vec<String>,
    /// The tables, by name.
    pub tables: Vec<TableForm>,
}

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceForm {
    /// The source's name.
    pub name: String,
    /// The stream's name.
    pub stream: String,
    /// The pattern of its subjects.
    pub subjects: String,
    /// How many partitions it has.
    pub partitions: u32,
}

/// A table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableForm {
    /// Its name at the source.
    pub name: String,
    /// Its name in the sink.
    pub target: String,
    /// The key's columns.
    pub key: Vec<String>,
    /// Its lane.
    pub lane: String,
}

impl Pipeline {
    /// What of this plan the checkpoints depend on.
    #[must_use]
    pub fn form(&self) -> PlanForm {
        let mut tables: Vec<TableForm> = self
            .tables
            .iter()
            .map(|table| TableForm {
                name: table.name.clone(),
                target: table.target.clone(),
                key: table.key.clone(),
                lane: self.lanes[table.lane].name.clone(),
            })
            .collect();
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        let source = |source: &super::checked::Source| SourceForm {
            name: source.name.clone(),
            stream: source.stream.clone(),
            subjects: source.subjects.to_string(),
            partitions: source.partitions,
        };
        PlanForm {
            sources: self.sources.iter().map(source).collect(),
            lanes: self.lanes.iter().map(|lane| lane.name.clone()).collect(),
            tables,
        }
    }
}

impl PlanForm {
    /// The names of all lanes, as checkpoints have them: pipeline, source, lane, partition.
    pub fn lane_names<'a>(&'a self, pipeline: &'a str) -> impl Iterator<Item = String> + 'a {
        self.sources.iter().flat_map(move |source| {
            self.lanes.iter().flat_map(move |lane| {
                (0..source.partitions).map(move |p| format!("{pipeline}/{}/{lane}/{p}", source.name))
            })
        })
    }

    /// A source by its name.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&SourceForm> {
        self.sources.iter().find(|source| source.name == name)
    }

    /// A table by its name at the source.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&TableForm> {
        self.tables.iter().find(|table| table.name == name)
    }
}
