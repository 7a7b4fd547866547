//! The plan of the pure core: configuration, shapes and contracts by index.

use std::{collections::HashMap, path::Path, sync::Arc};

use reconverge_streams::{
    logical::Logical,
    names::Names,
    table::{ColumnShape, TableId, TableShape},
};

use crate::{
    config::{Archive, BeforeImages, Deletes, Dependency, Leaves, Orphans, Pipeline, Problem, Stage, Table},
    plan::{self, Plan, TablePlan},
};

use super::{RunError, rules};

/// What the plugins of a table ask for, by name.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    /// Columns that only the source has.
    pub(super) source_columns: Vec<(String, Logical)>,
    /// Order columns of the merge plugin's contract.
    pub(super) order_columns: Vec<String>,
}

/// Makes the plan. `asked` has one entry per table, in the order of `pipeline.tables` and `shapes`; `names` are
/// those of the process, the same for all plans that a claim may meet.
///
/// # Errors
/// [`RunError::Configuration`] for a payload schema that is none.
pub(super) fn plan(
    pipeline: &Pipeline,
    shapes: &[Arc<TableShape>],
    asked: &[Asked],
    names: Arc<Names>,
) -> Result<Plan, RunError> {
    let intern = |name: &str| names.intern(name).expect("a configuration has fewer than 65,535 names");
    let region = intern(&pipeline.region);
    let mut problems = Vec::new();
    let mut tables = Vec::new();
    for (i, ((table, shape), asked)) in pipeline.tables.iter().zip(shapes).zip(asked).enumerate() {
        let id = TableId(u16::try_from(i).expect("a configuration has fewer than 65,535 tables"));
        let mut planned = table_plan(pipeline, i, id, table, shape, asked, &names);
        match payload_schema(pipeline, table) {
            Ok(schema) => planned.payload_schema = schema,
            Err(problem) => problems.push(*problem),
        }
        problems.extend(unlike_parents(pipeline, table, shape, shapes));
        problems.extend(bound_to_parents(pipeline, table, &planned));
        problems.extend(rules::unlike_sums(pipeline, table, shape));
        tables.push(planned);
    }
    if !problems.is_empty() {
        return Err(RunError::Configuration(problems));
    }
    let by_source_name = pipeline.tables.iter().zip(&tables).map(|(t, p)| (t.name.clone(), p.id)).collect();
    Ok(Plan {
        tables,
        by_source_name,
        region,
        names,
        clock_skew_us: i64::try_from(pipeline.limits.clock_skew.as_micros()).unwrap_or(i64::MAX),
        value_bytes: usize::try_from(pipeline.limits.value_bytes).unwrap_or(usize::MAX),
        leaving_max: pipeline.limits.leaving,
    })
}

/// The plan of a pipeline whose plugins ask for nothing: what a model of the pipeline works by.
///
/// # Errors
/// As for a pipeline that runs.
pub fn plan_without_plugins(
    pipeline: &Pipeline,
    shapes: &[Arc<TableShape>],
    names: Arc<Names>,
) -> Result<Plan, RunError> {
    plan(pipeline, shapes, &vec![Asked::default(); shapes.len()], names)
}

fn table_plan(
    pipeline: &Pipeline,
    place: usize,
    id: TableId,
    table: &Table,
    shape: &Arc<TableShape>,
    asked: &Asked,
    names: &Names,
) -> TablePlan {
    let mut columns = shape.columns.clone();
    for (name, logical) in &asked.source_columns {
        if !columns.iter().any(|c| c.name == *name) {
            columns.push(ColumnShape::new(name.clone(), *logical));
        }
    }
    let index = |name: &String| columns.iter().position(|c| c.name == *name);
    let key_from = table.key_from.iter().zip(&table.key).filter(|(from, to)| from != to);
    let key_from = key_from.filter_map(|(from, to)| Some((from.clone(), index(to)?))).collect();
    let column_tags: HashMap<usize, Vec<String>> =
        table.column_tags.iter().filter_map(|(name, tags)| Some((index(name)?, tags.clone()))).collect();
    TablePlan {
        id,
        source_name: table.name.rsplit('.').next().unwrap_or(&table.name).to_owned(),
        key_from,
        priority: i32::try_from(table.priority).unwrap_or(i32::MAX),
        depends_on: table.depends_on.iter().map(|d| parent(d, &index)).collect(),
        orphans: match table.orphans {
            Orphans::Keep => plan::Orphans::Keep,
            Orphans::DeadLetter => plan::Orphans::DeadLetter,
            Orphans::WithoutReference => plan::Orphans::WithoutReference,
        },
        rule: rules::rule(&table.policy, asked, shape, &index, names),
        rule_name: table.policy.to_string().into(),
        deletes: match table.deletes {
            // Where changes are put in no order, a delete has no place in one.
            Deletes::Ordered if table.policy.is_ordering() => plan::Deletes::Ordered,
            Deletes::Ordered | Deletes::Win => plan::Deletes::Win,
        },
        full_before_images: table.before_images == BeforeImages::Full,
        archive_losers: table.archive == Archive::Loser,
        leaves_delete: table.leaves == Leaves::Delete,
        origin_column: table.origin_column.as_ref().and_then(index),
        accept: table.schema.accept.iter().map(|v| v.get()).collect(),
        tags: table.tags.clone(),
        column_tags,
        residency: pipeline.plugins.iter().any(|p| p.stage == Stage::Residency && p.tables.contains(&place)),
        payload_schema: None,
        shape: Arc::clone(shape),
        columns,
    }
}

/// Columns that name a parent and are of another type than its key: no row would ever find its parent.
fn unlike_parents(
    pipeline: &Pipeline,
    table: &Table,
    shape: &TableShape,
    shapes: &[Arc<TableShape>],
) -> Vec<Problem> {
    let mut problems = Vec::new();
    for dependency in &table.depends_on {
        let parent = &shapes[dependency.parent];
        for (column, key) in dependency.columns.iter().zip(&parent.key) {
            let (Some(at), key) = (shape.column(column), &parent.columns[*key]) else { continue };
            let logical = shape.columns[at].logical;
            if logical != key.logical {
                let what = format!(
                    "`{}.{column}` is {logical}, the key `{}.{}` that it names is {}",
                    shape.name, parent.name, key.name, key.logical
                );
                let mut problem = pipeline.problem(dependency.span.clone(), what);
                problem.help("give both columns the same type in the sink");
                problems.push(problem);
            }
        }
    }
    problems
}

/// Columns that cannot do without their reference: of the key, without null, or what rows are compared by.
fn bound_to_parents(pipeline: &Pipeline, table: &Table, plan: &TablePlan) -> Vec<Problem> {
    let mut problems = Vec::new();
    if plan.orphans != plan::Orphans::WithoutReference {
        return problems;
    }
    for (dependency, parent) in table.depends_on.iter().zip(&plan.depends_on) {
        for &column in &parent.columns {
            let shape = &plan.columns[column];
            let why = if plan.shape.key.contains(&column) {
                "is part of the key"
            } else if plan.rule.order_columns().contains(&column) {
                "is what rows are compared by"
            } else if shape.not_null {
                "may not be null in the sink"
            } else {
                continue;
            };
            let what = format!(
                "`orphans = \"without-reference\"` cannot be kept: `{}.{}` {why}",
                plan.shape.name, shape.name
            );
            let mut problem = pipeline.problem(dependency.span.clone(), what);
            problem.label("names a parent").help("let the sink's column be null, or write another `orphans`");
            problems.push(problem);
        }
    }
    problems
}

fn parent(dependency: &Dependency, index: &impl Fn(&String) -> Option<usize>) -> plan::Parent {
    plan::Parent {
        table: TableId(
            u16::try_from(dependency.parent).expect("a configuration has fewer than 65,535 tables"),
        ),
        columns: dependency.columns.iter().filter_map(index).collect(),
    }
}

fn payload_schema(
    pipeline: &Pipeline,
    table: &Table,
) -> Result<Option<Arc<jsonschema::Validator>>, Box<Problem>> {
    let Some(path) = &table.schema.json_schema else { return Ok(None) };
    read_schema(path).map(|schema| Some(Arc::new(schema))).map_err(|why| {
        let mut problem = pipeline
            .problem(table.schema.span.clone(), format!("{} is no JSON Schema: {why}", path.display()));
        problem.help("write a schema of the row (`after`), draft 2020-12");
        Box::new(problem)
    })
}

fn read_schema(path: &Path) -> Result<jsonschema::Validator, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let schema: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    jsonschema::validator_for(&schema).map_err(|e| e.to_string())
}
