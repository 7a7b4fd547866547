//! The plan that the pure core works by: tables, their columns and their rules, resolved to indexes. Made once
//! from the checked configuration and the sink's shapes; immutable while a lane runs.

use std::{collections::HashMap, sync::Arc};

use reconverge_streams::{
    names::{NameId, Names},
    position::Micros,
    table::{ColumnShape, TableId, TableShape},
};

/// Everything that deciding needs to know besides the events.
#[derive(Debug)]
pub struct Plan {
    /// By [`TableId`].
    pub tables: Vec<TablePlan>,
    /// From `schema.table` or `table` as the source names it.
    pub by_source_name: HashMap<String, TableId>,
    /// The region of this process and its sink: origin of local writes.
    pub region: NameId,
    /// Sources and origins by name.
    pub names: Arc<Names>,
    /// How far a commit time may lie before the stream's own time for the message.
    pub clock_skew_us: Micros,
    /// Greatest size of one value in bytes.
    pub value_bytes: usize,
    /// Rows that may leave the sink with their parents in one transaction.
    pub leaving_max: u32,
}

impl Plan {
    /// The tables that name this one as a parent, each with the columns that do.
    pub fn children(&self, parent: TableId) -> impl Iterator<Item = (TableId, &[usize])> {
        self.tables.iter().flat_map(move |child| {
            let named = child.depends_on.iter().filter(move |p| p.table == parent);
            named.map(|p| (child.id, p.columns.as_slice()))
        })
    }

    /// The table's plan.
    #[must_use]
    pub fn table(&self, id: TableId) -> &TablePlan {
        &self.tables[id.index()]
    }
}

/// One table of the plan.
#[derive(Debug)]
pub struct TablePlan {
    /// Its number.
    pub id: TableId,
    /// Its name at the source, without schema.
    pub source_name: String,
    /// Its shape in the sink.
    pub shape: Arc<TableShape>,
    /// The shape's columns, then columns that only the source has and a contract names. The order of the columns
    /// of a batch.
    pub columns: Vec<ColumnShape>,
    /// Names that key columns have at the source, where they differ: (source name, table column index).
    pub key_from: Vec<(String, usize)>,
    /// Order inside a batch's transaction, 0 first.
    pub priority: i32,
    /// Who stands.
    pub rule: Rule,
    /// Its parents: a row is in the sink only while all that it names are.
    pub depends_on: Vec<Parent>,
    /// What becomes of a row whose parent is known not to come.
    pub orphans: Orphans,
    /// Name of the rule, for decisions: `lww:updated_at`, `plugin:wfm-schedules`.
    pub rule_name: Arc<str>,
    /// What a delete does.
    pub deletes: Deletes,
    /// Whether before images are whole rows. Otherwise only their key is believed.
    pub full_before_images: bool,
    /// Whether losers are kept in the history.
    pub archive_losers: bool,
    /// Whether a row that filter or residency lets go leaves the sink (`delete`) or is just dropped (`keep`).
    pub leaves_delete: bool,
    /// The column that tells our own writes, where the database cannot leave them out of its changes.
    pub origin_column: Option<usize>,
    /// Schema versions that are accepted; empty accepts all.
    pub accept: Vec<u32>,
    /// Tags of the table.
    pub tags: Vec<String>,
    /// Tags by column index.
    pub column_tags: HashMap<usize, Vec<String>>,
    /// Whether a residency plugin is bound to the table: bytes that it has not passed are kept nowhere.
    pub residency: bool,
    /// Checks `after` against the table's payload schema.
    pub payload_schema: Option<Arc<jsonschema::Validator>>,
}

/// A parent of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its table: the child's own, or one with a lower number, since parents take effect first.
    pub table: TableId,
    /// The child's columns that name it, in the order of the parent's key.
    pub columns: Vec<usize>,
}

/// What becomes of a row whose parent is known not to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Orphans {
    /// It is kept beside.
    Keep,
    /// It is a dead letter, and its key keeps the order value as that of a row that does not belong here.
    DeadLetter,
    /// It is in the sink, with null where it names the parent.
    WithoutReference,
}

/// What a delete does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    /// It takes part in the table's order with the columns of its before image.
    Ordered,
    /// It beats everything of other sources.
    Win,
}

/// How it is decided who stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// One writer: the newest change is written, no versions are kept.
    None,
    /// The first row of a key stays.
    KeepCurrent,
    /// The newest delivered change stands.
    TakeIncoming,
    /// The later commit time stands.
    CommitTime,
    /// The later hybrid logical clock stands.
    Hlc,
    /// The greater value of these columns stands, compared in this order.
    Greatest(Vec<usize>),
    /// The origin that is named earlier stands; one that is not named comes last.
    OriginPriority(Vec<NameId>),
    /// What has seen the other stands; of two that have not seen each other, the greater by this rule, or else the one
    /// that has seen more.
    Vector(Option<Box<Rule>>),
    /// Each column stands by itself: of all changes to it the greatest by this rule.
    ColumnMerge {
        /// The order of changes.
        by: Box<Rule>,
        /// All columns but the key: what a tombstone keeps.
        kept: Vec<usize>,
    },
    /// Some columns are sums of what every change added; the rest of the row is the greatest by this rule.
    Counter {
        /// The summed columns.
        counters: Vec<usize>,
        /// The order of changes.
        by: Box<Rule>,
        /// The order columns and the sums: what a tombstone keeps.
        kept: Vec<usize>,
    },
    /// A merge plugin decides; the columns of its contract, `after` or `current`, are the order value.
    Plugin(Vec<usize>),
}

impl Rule {
    /// A rule by which each column stands by itself, of a table of so many columns with this key.
    #[must_use]
    pub fn column_merge(by: Rule, columns: usize, key: &[usize]) -> Self {
        Rule::ColumnMerge { by: Box::new(by), kept: (0..columns).filter(|c| !key.contains(c)).collect() }
    }

    /// A rule by which some columns are sums.
    #[must_use]
    pub fn counter(counters: Vec<usize>, by: Rule) -> Self {
        let order = by.order_columns().iter().filter(|c| !counters.contains(c));
        let kept = order.chain(&counters).copied().collect();
        Rule::Counter { counters, by: Box::new(by), kept }
    }

    /// The rule that says which of two changes is the greater one.
    #[must_use]
    pub fn order(&self) -> &Rule {
        match self {
            Rule::ColumnMerge { by, .. } | Rule::Counter { by, .. } => by,
            _ => self,
        }
    }

    /// The columns that a tombstone or an absence keeps: those of the order value, and what must outlive the row.
    #[must_use]
    pub fn order_columns(&self) -> &[usize] {
        match self {
            Rule::Greatest(columns) | Rule::Plugin(columns) => columns,
            Rule::Vector(Some(by)) => by.order_columns(),
            Rule::ColumnMerge { kept, .. } | Rule::Counter { kept, .. } => kept,
            _ => &[],
        }
    }

    /// The columns by which two rows are compared.
    #[must_use]
    pub fn compared_columns(&self) -> &[usize] {
        match self.order() {
            Rule::Greatest(columns) => columns,
            Rule::Vector(Some(by)) => by.compared_columns(),
            _ => &[],
        }
    }

    /// Whether the sink keeps a version row per key.
    #[must_use]
    pub fn keeps_versions(&self) -> bool {
        *self != Rule::None
    }
}

impl TablePlan {
    /// A table that is named alike at the source and in the sink, under this rule, with nothing else asked for.
    #[must_use]
    pub fn new(id: TableId, shape: Arc<TableShape>, rule: Rule, rule_name: &str) -> Self {
        TablePlan {
            id,
            source_name: shape.name.clone(),
            columns: shape.columns.clone(),
            shape,
            key_from: Vec::new(),
            priority: 0,
            rule_name: rule_name.into(),
            rule,
            depends_on: Vec::new(),
            orphans: Orphans::Keep,
            deletes: Deletes::Win,
            full_before_images: true,
            archive_losers: false,
            leaves_delete: true,
            origin_column: None,
            accept: Vec::new(),
            tags: Vec::new(),
            column_tags: HashMap::new(),
            residency: false,
            payload_schema: None,
        }
    }

    /// Whether its rows name rows of the same table.
    #[must_use]
    pub fn names_itself(&self) -> bool {
        self.depends_on.iter().any(|parent| parent.table == self.id)
    }

    /// The index of a column of [`Self::columns`] by its name in the sink.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }
}
