//! One table as decode sees it: columns by the names that the source uses.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use reconverge_streams::table::TableId;

use crate::plan::TablePlan;

use super::{
    field::Field,
    source_schema::{Schemas, SourceSchema},
};

/// Names of columns that are remembered as told: more come only from a source that makes them up.
const UNKNOWN_MAX: usize = 1000;

/// The reading side of a [`TablePlan`].
#[derive(Debug)]
pub(super) struct TableDecoder {
    pub(super) id: TableId,
    /// Name at the source, for messages.
    pub(super) name: String,
    /// By column of the batch.
    pub(super) fields: Vec<Field>,
    /// Column indexes of the key, in the declared order.
    pub(super) key: Vec<usize>,
    by_name: HashMap<String, usize>,
    unknown: Mutex<HashSet<String>>,
    schemas: Schemas,
}

impl TableDecoder {
    pub(super) fn new(plan: &TablePlan) -> Self {
        let source_name = |at: usize| {
            let renamed = plan.key_from.iter().find(|(_, column)| *column == at);
            renamed.map_or(plan.columns[at].name.as_str(), |(name, _)| name.as_str())
        };
        let fields: Vec<Field> =
            plan.columns.iter().enumerate().map(|(at, shape)| Field::new(shape, source_name(at))).collect();
        TableDecoder {
            id: plan.id,
            name: plan.source_name.clone(),
            by_name: fields.iter().enumerate().map(|(at, f)| (f.source_name.clone(), at)).collect(),
            key: plan.shape.key.clone(),
            fields,
            unknown: Mutex::default(),
            schemas: Schemas::default(),
        }
    }

    /// The column that the source calls `name`. `next` is the place to look first: columns come in the same
    /// order message after message.
    pub(super) fn find(&self, name: &str, next: &mut usize) -> Option<usize> {
        let at = match self.fields.get(*next) {
            Some(field) if field.source_name == name => *next,
            _ => *self.by_name.get(name)?,
        };
        *next = at + 1;
        Some(at)
    }

    /// Tells once of each column that the source has and the table lacks.
    pub(super) fn ignored(&self, name: &str) {
        // A panic elsewhere leaves nothing half done here: a name is in the set or not.
        let mut unknown = self.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        if unknown.len() < UNKNOWN_MAX && !unknown.contains(name) {
            unknown.insert(name.into());
            tracing::warn!(table = self.name, column = name, "column ignored: the sink's table lacks it");
        }
    }

    /// What the `schema` of a message says of the columns.
    pub(super) fn facts(&self, schema: &str) -> Option<Arc<SourceSchema>> {
        self.schemas.facts(schema, self.fields.len(), |name| self.by_name.get(name).copied())
    }

    /// How many columns were ignored so far, by name.
    #[cfg(test)]
    pub(super) fn ignored_names(&self) -> usize {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}
