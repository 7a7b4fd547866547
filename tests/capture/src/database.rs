//! A sink's database as the comparison sees it: it makes the tables before the product runs, and reads their rows as
//! text afterwards. It never reads the product's own tables, and writes no rows.

use std::path::PathBuf;

use anyhow::{Context, Result};
use rusqlite::types::ValueRef;
use tokio_postgres::NoTls;

use crate::{Form, Row, Rows, Table};

/// A database of either kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file.
    Sqlite(PathBuf),
    /// A URL of a server on this machine.
    Postgres(String),
}

impl Database {
    /// What `url` of `[sink]` takes.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Database::Sqlite(file) => format!("sqlite://{}", file.display()),
            Database::Postgres(url) => url.clone(),
        }
    }

    /// Runs statements, such as a file of `CREATE TABLE`s.
    ///
    /// # Errors
    /// When the database cannot be opened or refuses one.
    pub async fn execute(&self, statements: &str) -> Result<()> {
        match self {
            Database::Sqlite(file) => {
                let connection = rusqlite::Connection::open(file);
                let connection = connection.with_context(|| format!("opening {}", file.display()))?;
                connection.execute_batch(statements).with_context(|| format!("writing to {}", file.display()))
            }
            Database::Postgres(url) => {
                let client = session(url).await?;
                client.batch_execute(statements).await.context("writing to PostgreSQL")
            }
        }
    }

    /// The rows of a table, whoever wrote them.
    ///
    /// # Errors
    /// When the table cannot be read or holds a row that [`Rows::add`] refuses.
    pub async fn rows(&self, table: &Table) -> Result<Rows> {
        let printed = match self {
            Database::Sqlite(file) => {
                let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
                let connection = rusqlite::Connection::open_with_flags(file, flags);
                let connection = connection.with_context(|| format!("opening {}", file.display()))?;
                of_sqlite(&connection, table)
            }
            Database::Postgres(url) => of_postgres(&session(url).await?, table).await,
        };
        let mut rows = Rows::none(*table);
        for row in printed.with_context(|| format!("reading table {}", table.name))? {
            let formed =
                row.into_iter().zip(table.columns).map(|(cell, (_, form))| cell.map(|text| form.of(text)));
            rows.add(formed.collect())?;
        }
        Ok(rows)
    }
}

fn of_sqlite(connection: &rusqlite::Connection, table: &Table) -> Result<Vec<Row>> {
    let names = table.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>();
    let mut query = connection.prepare(&format!("SELECT {} FROM \"{}\"", names.join(", "), table.name))?;
    let rows = query.query_map([], |row| {
        (0..table.columns.len())
            .map(|place| row.get_ref(place).map(printed))
            .collect::<rusqlite::Result<Row>>()
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn printed(value: ValueRef<'_>) -> Option<String> {
    match value {
        ValueRef::Null => None,
        ValueRef::Integer(number) => Some(number.to_string()),
        ValueRef::Real(number) => Some(format!("{number:?}")),
        ValueRef::Text(text) | ValueRef::Blob(text) => Some(String::from_utf8_lossy(text).into_owned()),
    }
}

async fn of_postgres(client: &tokio_postgres::Client, table: &Table) -> Result<Vec<Row>> {
    let columns = table.columns.iter().map(|(name, form)| match form {
        Form::Array => format!("to_jsonb(\"{name}\")::text"),
        _ => format!("\"{name}\"::text"),
    });
    let columns = columns.collect::<Vec<_>>().join(", ");
    let found = client.query(&format!("SELECT {columns} FROM \"{}\"", table.name), &[]).await?;
    let row = |row: &tokio_postgres::Row| (0..table.columns.len()).map(|place| row.try_get(place)).collect();
    Ok(found.iter().map(row).collect::<Result<_, _>>()?)
}

/// A session that prints as [`Form`] expects it.
async fn session(url: &str) -> Result<tokio_postgres::Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connecting to PostgreSQL")?;
    // It ends with the client; what goes wrong before, the client's own calls tell.
    drop(tokio::spawn(connection));
    client
        .batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'")
        .await
        .context("settling the session")?;
    Ok(client)
}

#[cfg(test)]
mod tests {
    use reconverge_servers::{Postgres, scratch};

    use super::*;

    const TABLE: Table = Table {
        name: "every",
        key: &["id"],
        columns: &[
            ("id", Form::Plain),
            ("at", Form::Timestamp),
            ("amount", Form::Plain),
            ("document", Form::Json),
            ("zones", Form::Array),
        ],
    };

    async fn read(database: &Database, statements: &str) {
        database.execute(statements).await.unwrap();
        let rows = database.rows(&TABLE).await.unwrap();
        assert_eq!(rows.len(), 2);
        let full = ["7", "-0043-03-15T10:00:00.500000Z", "1.250", r#"{"a":1.0,"b":null}"#, r#"["us",null]"#];
        let found = rows.get(&["7".to_owned()]).unwrap();
        assert_eq!(found, &full.map(|cell| Some(cell.to_owned())).to_vec());
        let empty = rows.get(&["8".to_owned()]).unwrap();
        assert_eq!(empty[1..], [None, None, None, None]);
    }

    #[tokio::test]
    async fn sqlite_and_postgres_read_alike() {
        let folder = scratch("capture").unwrap();
        let file = Database::Sqlite(folder.path().join("it.db"));
        read(
            &file,
            r#"CREATE TABLE every (id BIGINT PRIMARY KEY, at TIMESTAMPTZ, amount "TEXT_NUMERIC(5,3)", document JSONB,
                                   zones "TEXT[]");
               INSERT INTO every VALUES (7, '-0043-03-15T10:00:00.500000Z', '1.250', '{"a":1.0,"b":null}',
                                         '["us",null]'), (8, NULL, NULL, NULL, NULL)"#,
        )
        .await;
        let server = Postgres::temporary().unwrap();
        let database = Database::Postgres(server.create_database("every").unwrap());
        read(
            &database,
            r#"CREATE TABLE every (id bigint PRIMARY KEY, at timestamptz, amount numeric(5,3), document jsonb,
                                   zones text[]);
               INSERT INTO every VALUES (7, '0044-03-15 12:00:00.5+02 BC', 1.25, '{"b": null, "a": 1.0}',
                                         '{us,NULL}'), (8, NULL, NULL, NULL, NULL)"#,
        )
        .await;
    }
}
