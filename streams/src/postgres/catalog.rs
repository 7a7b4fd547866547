//! A table as PostgreSQL's catalog describes it: found by name, with its columns and unique indexes.

use tokio_postgres::{Client, Error, Row};

use super::travel::{CatalogType, Travel, travel};

/// A table of the sink.
#[derive(Clone, Debug)]
pub(super) struct CatalogTable {
    pub schema: String,
    pub name: String,
    pub kind: String,
    pub columns: Vec<CatalogColumn>,
    pub indexes: Vec<UniqueIndex>,
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE`: those that our role lacks.
    pub lacks: Vec<String>,
    /// Whether row-level security hides rows from our role.
    pub hides_rows: bool,
    /// Whether a row may be deleted and put back within a statement without anyone noticing: no trigger of the
    /// user's, and no foreign key that acts on deletes.
    pub may_replace: bool,
}

/// A column.
#[derive(Clone, Debug)]
pub(super) struct CatalogColumn {
    pub name: String,
    pub sql_type: String,
    pub typmod: i32,
    pub of: CatalogType,
    pub dimensions: i32,
    pub labels: Vec<String>,
    pub not_null: bool,
    pub has_default: bool,
    pub generated: bool,
    /// `GENERATED ALWAYS AS IDENTITY`: written only on insert, and only by overriding.
    pub identity_always: bool,
}

/// A unique index or exclusion constraint.
#[derive(Clone, Debug)]
pub(super) struct UniqueIndex {
    pub name: String,
    /// Column names, without expressions.
    pub columns: Vec<String>,
    /// Whether it can carry a key: valid, immediate, over whole columns, not partial.
    pub carries_key: bool,
}

impl CatalogTable {
    /// The name in SQL.
    pub(super) fn ident(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(&self.name))
    }

    /// Schema and name, as the sidecar names it: the same table whatever schema a pipeline looks in first.
    pub(super) fn full_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether an index is on exactly these columns, in any order.
    pub(super) fn is_on(index: &UniqueIndex, key: &[String]) -> bool {
        index.carries_key && index.columns.len() == key.len() && key.iter().all(|k| index.columns.contains(k))
    }
}

impl CatalogColumn {
    /// How its cells travel.
    pub(super) fn travel(&self) -> Travel {
        travel(&self.of)
    }
}

/// A name in double quotes.
pub(super) fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Finds a table: by its whole name in the default schema, else as `schema.table`.
pub(super) async fn find(client: &Client, schema: &str, name: &str) -> Result<Option<CatalogTable>, Error> {
    let mut row = client.query_opt(TABLE, &[&schema, &name]).await?;
    if let (None, Some((schema, name))) = (&row, name.split_once('.')) {
        row = client.query_opt(TABLE, &[&schema, &name]).await?;
    }
    let Some(row) = row else { return Ok(None) };
    let oid: u32 = row.get(0);
    let columns = client.query(COLUMNS, &[&oid]).await?;
    let indexes = client.query(INDEXES, &[&oid]).await?;
    Ok(Some(CatalogTable {
        schema: row.get(1),
        name: row.get(2),
        kind: row.get(3),
        lacks: row.get(4),
        hides_rows: row.get(5),
        may_replace: row.get(6),
        columns: columns.iter().map(column).collect(),
        indexes: indexes
            .iter()
            .map(|i| UniqueIndex { name: i.get(0), columns: i.get(1), carries_key: i.get(2) })
            .collect(),
    }))
}

fn column(row: &Row) -> CatalogColumn {
    CatalogColumn {
        name: row.get(0),
        sql_type: row.get(1),
        typmod: row.get(2),
        of: CatalogType { own_name: row.get(3), element: row.get(4), sql: row.get(5) },
        dimensions: row.get(6),
        labels: row.get(7),
        not_null: row.get(8),
        has_default: row.get(9),
        generated: row.get(10),
        identity_always: row.get(11),
    }
}

const TABLE: &str = "
SELECT c.oid, n.nspname::text, c.relname::text, c.relkind::text,
  ARRAY(SELECT p FROM unnest('{SELECT,INSERT,UPDATE,DELETE}'::text[]) p
        WHERE NOT has_schema_privilege(n.oid, 'USAGE') OR NOT has_table_privilege(c.oid, p)),
  row_security_active(c.oid),
  NOT EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
    AND NOT EXISTS (SELECT FROM pg_constraint f WHERE f.contype = 'f' AND f.confrelid = c.oid AND f.confdeltype <> 'a')
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";

/// Domains are followed down to what they stand on; a domain that refuses null or has a default lends it to the
/// column. An array's elements are named one domain deep.
const COLUMNS: &str = "
WITH RECURSIVE base AS (
  SELECT a.attnum, a.atttypid AS type, a.atttypmod AS typmod, false AS not_null, false AS has_default
  FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
  UNION ALL
  SELECT b.attnum, t.typbasetype, CASE WHEN b.typmod >= 0 THEN b.typmod ELSE t.typtypmod END,
    b.not_null OR t.typnotnull, b.has_default OR t.typdefault IS NOT NULL
  FROM base b JOIN pg_type t ON t.oid = b.type WHERE t.typtype = 'd')
SELECT a.attname::text, format_type(b.type, b.typmod), b.typmod,
  CASE WHEN t.typnamespace = 'pg_catalog'::regnamespace THEN t.typname::text ELSE '' END,
  CASE WHEN t.typcategory <> 'A' OR t.typelem = 0 THEN NULL
       WHEN eb.typnamespace = 'pg_catalog'::regnamespace THEN eb.typname::text ELSE '' END,
  format_type(b.type, -1), a.attndims::int,
  ARRAY(SELECT l.enumlabel::text FROM pg_enum l WHERE l.enumtypid = coalesce(eb.oid, t.oid) ORDER BY l.enumsortorder),
  a.attnotnull OR b.not_null,
  a.atthasdef AND a.attgenerated = '' OR a.attidentity <> '' OR b.has_default,
  a.attgenerated <> '', a.attidentity = 'a'
FROM base b
JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = b.attnum
JOIN pg_type t ON t.oid = b.type AND t.typtype <> 'd'
LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
LEFT JOIN pg_type eb ON eb.oid = CASE WHEN e.typtype = 'd' THEN e.typbasetype ELSE e.oid END
ORDER BY a.attnum";

const INDEXES: &str = "
SELECT c.relname::text,
  ARRAY(SELECT a.attname::text FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(num, ord)
        JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num ORDER BY k.ord),
  i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE i.indrelid = $1 AND (i.indisunique OR i.indisexclusion)
ORDER BY i.indisprimary DESC, c.relname";
