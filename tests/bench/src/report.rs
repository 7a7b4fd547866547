//! The run as a whole: what machine and settings the answers were given under, and the answers. Written as JSON where
//! it is asked for, so that runs can be compared by a program.

use std::{collections::BTreeMap, path::Path, thread};

use anyhow::{Context, Result};
use serde::Serialize;
use tokio_postgres::NoTls;

use crate::{answer::Answer, peers::Outcome};

/// What PostgreSQL is asked about itself.
const SETTINGS: [&str; 5] =
    ["server_version", "fsync", "synchronous_commit", "full_page_writes", "shared_buffers"];

/// See the module.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    quick: bool,
    cores: usize,
    version: &'static str,
    settings: BTreeMap<&'static str, String>,
    pub(crate) answers: Vec<Answer>,
    /// What became of programs that were broken.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) broken: Vec<Outcome>,
}

impl Report {
    /// A run that begins.
    pub(crate) fn begin(quick: bool) -> Report {
        Report {
            quick,
            cores: thread::available_parallelism().map_or(0, usize::from),
            version: env!("CARGO_PKG_VERSION"),
            settings: BTreeMap::new(),
            answers: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// Notes how SQLite is set.
    pub(crate) fn sqlite(&mut self) {
        self.setting("SQLite", format!("{}, WAL, synchronous FULL", rusqlite::version()));
    }

    /// Notes a setting that numbers depend on, and tells it.
    pub(crate) fn setting(&mut self, of: &'static str, what: String) {
        eprintln!("{of}: {what}");
        self.settings.insert(of, what);
    }

    /// What is known before the first question.
    pub(crate) fn head(&self) -> String {
        let sizes = if self.quick { "quick: small sizes, good for a look" } else { "full sizes" };
        format!(
            "reconverge {}, {} cores, {sizes}; one process beside its servers\n",
            self.version, self.cores
        )
    }

    /// Writes everything.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, file: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).context("a report is JSON")?;
        std::fs::write(file, text + "\n").with_context(|| format!("writing {}", file.display()))
    }
}

/// The settings of a server that a commit's cost depends on.
///
/// # Errors
/// The server does not answer.
pub(crate) async fn settings(url: &str) -> Result<String> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // It ends with the client; what goes wrong before, the client's own call tells.
    drop(tokio::spawn(connection));
    let mut told = Vec::new();
    for name in SETTINGS {
        let row = client.query_one(&format!("SHOW {name}"), &[]).await?;
        told.push(format!("{name} {}", row.get::<_, String>(0)));
    }
    Ok(told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_what_the_answers_were_given_under() {
        let mut report = Report::begin(true);
        report.setting("SQLite", "3.50, WAL".to_owned());
        let folder = reconverge_servers::scratch("bench-report").unwrap();
        let file = folder.path().join("it.json");
        report.write(&file).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
        assert_eq!((&json["quick"], &json["settings"]["SQLite"]), (&true.into(), &"3.50, WAL".into()));
        assert!(json["cores"].as_u64() > Some(0));
    }
}
