//! From the catalog to a table's shape, and all that keeps a table from being used.

use crate::{
    logical::{Element, Logical},
    sink::{Problem, TableName},
    table::{ColumnShape, TableShape},
};

use super::catalog::{CatalogColumn, CatalogTable, ident};

/// Characters of a `name`.
const NAME_LENGTH: u32 = 63;

/// The shape of a table, or every reason why it cannot be used.
pub(super) fn shape(
    asked: &TableName,
    found: Option<&CatalogTable>,
    schema: &str,
) -> Result<TableShape, Vec<Problem>> {
    let problem = |what: String, hint: String| Problem { table: Some(asked.name.clone()), what, hint };
    let Some(table) = found else {
        let what = format!("there is no table {} in schema {schema}", asked.name);
        return Err(vec![problem(what, "create it, or name it as schema.table".into())]);
    };
    let mut problems = Vec::new();
    if !matches!(table.kind.as_str(), "r" | "p") {
        problems.push(problem(
            "it is no table but a view or a foreign table".into(),
            "name the table behind it".into(),
        ));
    }
    if !table.lacks.is_empty() {
        let grant = format!(
            "GRANT {} ON {} TO the sink's role (and USAGE on its schema)",
            table.lacks.join(", "),
            table.ident()
        );
        problems.push(problem(format!("the sink's role lacks {}", table.lacks.join(", ")), grant));
    }
    if table.hides_rows {
        let hint = "give the sink's role BYPASSRLS, or make it the table's owner".into();
        problems.push(problem("row-level security hides rows from the sink's role".into(), hint));
    }
    for key in &asked.key {
        match table.columns.iter().find(|c| c.name == *key) {
            None => problems.push(problem(
                format!("there is no key column {key}"),
                "correct `key`, or rename it with `key_from`".into(),
            )),
            Some(c) if c.generated => problems.push(problem(
                format!("key column {key} is computed by the database"),
                "choose a key of columns that can be written".into(),
            )),
            Some(_) => {}
        }
    }
    if !table.indexes.iter().any(|i| CatalogTable::is_on(i, &asked.key)) {
        let columns = asked.key.iter().map(|k| ident(k)).collect::<Vec<_>>().join(", ");
        let hint = format!("run: CREATE UNIQUE INDEX ON {} ({columns})", table.ident());
        problems
            .push(problem(format!("no unique index is on exactly the key ({})", asked.key.join(", ")), hint));
    }
    for column in table.columns.iter().filter(|c| c.dimensions > 1) {
        problems.push(problem(
            format!(
                "column {} is an array of {} dimensions, which changes cannot carry",
                column.name, column.dimensions
            ),
            "make it an array of one dimension, or jsonb".into(),
        ));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let columns: Vec<ColumnShape> = table.columns.iter().map(column_shape).collect();
    let place =
        |key: &String| columns.iter().position(|c| c.name == *key).expect("missing key columns were refused");
    Ok(TableShape {
        name: asked.name.clone(),
        key: asked.key.iter().map(place).collect(),
        has_other_unique: table.indexes.iter().any(|i| !CatalogTable::is_on(i, &asked.key)),
        columns,
    })
}

fn column_shape(column: &CatalogColumn) -> ColumnShape {
    let logical = column.travel().logical;
    let type_name = column.of.element.as_deref().unwrap_or(&column.of.own_name);
    let mut shape = ColumnShape::new(&column.name, logical);
    shape.sql_type = column.sql_type.clone();
    shape.labels.clone_from(&column.labels);
    shape.not_null = column.not_null;
    shape.has_default = column.has_default;
    shape.generated = column.generated;
    shape.int_range = match type_name {
        "int2" => (i64::from(i16::MIN), i64::from(i16::MAX)),
        "int4" => (i64::from(i32::MIN), i64::from(i32::MAX)),
        _ => (i64::MIN, i64::MAX),
    };
    match (logical, type_name) {
        (Logical::Decimal | Logical::Array(Element::Decimal), _) => shape.scale = scale(column.typmod),
        (_, "timestamp" | "timestamptz" | "time" | "timetz") => {
            shape.precision = u8::try_from(column.typmod).ok()
        }
        (_, "varchar" | "bpchar") => shape.length = u32::try_from(column.typmod - 4).ok(),
        (_, "bit" | "varbit") => shape.length = u32::try_from(column.typmod).ok(),
        (_, "name") => shape.length = Some(NAME_LENGTH),
        _ => {}
    }
    shape
}

/// Digits after the point: the lower 11 bits of a numeric's modifier, signed, behind an offset of 4.
fn scale(typmod: i32) -> Option<u8> {
    let packed = u32::try_from(typmod.checked_sub(4)?).ok()?;
    let digits = i32::try_from(packed & 0x7ff).ok()?;
    let signed = if digits > 0x3ff { digits - 0x800 } else { digits };
    Some(u8::try_from(signed.max(0)).unwrap_or(u8::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_of_a_numeric() {
        for (precision, digits, expected) in
            [(5, 3, Some(3)), (38, 0, Some(0)), (38, 18, Some(18)), (5, -2, Some(0))]
        {
            let typmod = ((precision << 16) | (digits & 0x7ff)) + 4;
            assert_eq!(scale(typmod), expected, "numeric({precision},{digits})");
        }
        assert_eq!(scale(-1), None);
    }

    #[test]
    fn everything_wrong_is_told_at_once() {
        let asked = TableName { name: "t".into(), key: vec!["id".into()] };
        let missing = shape(&asked, None, "public").unwrap_err();
        assert_eq!(missing[0].what, "there is no table t in schema public");
        let table = CatalogTable {
            schema: "public".into(),
            name: "t".into(),
            kind: "v".into(),
            columns: Vec::new(),
            indexes: Vec::new(),
            lacks: vec!["UPDATE".into()],
            hides_rows: true,
            may_replace: true,
        };
        let problems = shape(&asked, Some(&table), "public").unwrap_err();
        assert_eq!(problems.len(), 5, "{problems:?}");
        assert_eq!(problems[4].hint, "run: CREATE UNIQUE INDEX ON \"public\".\"t\" (\"id\")");
    }
}
