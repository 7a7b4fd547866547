//! What stands in a contests file: a head, then one contest a line. Reading checks all that can be told without a
//! plugin; writing keeps what the reader does not know, so that an update touches nothing but the expectation.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use reconverge_streams::{
    logical::Logical,
    table::{ColumnShape, TableId, TableShape},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    config::{Deletes, Stage},
    plugin::BoundTable,
};

/// The version of the format that is written and read.
pub const VERSION: u32 = 1;

/// A contests file.
#[derive(Clone, Debug)]
pub struct ContestFile {
    /// Where it was read from.
    pub path: PathBuf,
    /// Its first line.
    pub head: Head,
    /// The others.
    pub contests: Vec<Entry>,
}

/// The first line.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`VERSION`].
    pub contests: u32,
    /// The stage that is asked; without it the plugin's only one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<Stage>,
    /// The tables that the contests are of.
    pub tables: Vec<TableHead>,
    /// The plugin's configuration, as `config` of a `[[plugin]]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// Where they were taken, for people: pipeline, stream, time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub captured: Option<Value>,
}

/// A table of the contests.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableHead {
    /// Its name, by which plugins know it.
    pub name: String,
    /// Its key columns.
    pub key: Vec<String>,
    /// Every column's logical type, in the sink's order.
    pub columns: Map<String, Value>,
    /// What a delete does, as in `pipeline.toml`.
    #[serde(default)]
    pub deletes: Deletes,
    /// Its tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Tags of columns, by name.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub column_tags: Map<String, Value>,
}

/// One contest.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The change: an envelope. Left out: `v`, `table` where the head has one, `op` (`u`), `origin`, `at`, `pos`, and
    /// the key where `after` or `before` has it.
    pub incoming: Map<String, Value>,
    /// What stands for its key; nothing where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
    /// What is to come of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Value>,
    /// The line that it stands in, from 1.
    #[serde(skip)]
    pub line: usize,
}

/// What stands for a key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Current {
    /// The row; of a deleted one the columns that the tombstone keeps. A column of a row that is left out is null.
    pub row: Map<String, Value>,
    /// False: a tombstone.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub live: bool,
    /// The region that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// When, in microseconds since 1970; unknown where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<i64>,
}

fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
fn is_yes(live: &bool) -> bool {
    *live
}

/// Why contests cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContestsError {
    /// A file cannot be read or written.
    #[error("{} cannot be read or written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is not as the format says.
    #[error("{}:{line}: {what}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// The plugin cannot run on the tables of the head.
    #[error(transparent)]
    Plugin(#[from] crate::plugin::PluginError),
    /// The plugin has several stages, and nobody says which is meant.
    #[error("the plugin has the stages {0}, and the contests do not say which one is asked")]
    Stage(String),
}

impl ContestsError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            ContestsError::File { .. } => "name a contests file, or a folder of them (*.jsonl)".into(),
            ContestsError::Line { .. } => "the format is described in docs/plugins/contests.md".into(),
            ContestsError::Plugin(error) => error.hint(),
            ContestsError::Stage(_) => "write `\"stage\": \"merge\"` into the file's first line".into(),
        }
    }
}

impl ContestFile {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, or a line of it is not as the format says.
    pub fn read(path: &Path) -> Result<Self, ContestsError> {
        let text =
            fs::read_to_string(path).map_err(|source| ContestsError::File { path: path.into(), source })?;
        ContestFile::parse(path, &text)
    }

    /// All contests files of a folder, by name; or the one that `path` is.
    ///
    /// # Errors
    /// As [`Self::read`]; and a folder without one.
    pub fn read_all(path: &Path) -> Result<Vec<Self>, ContestsError> {
        if !path.is_dir() {
            return Ok(vec![ContestFile::read(path)?]);
        }
        let file = |source| ContestsError::File { path: path.into(), source };
        let mut paths = Vec::new();
        for entry in fs::read_dir(path).map_err(file)? {
            let path = entry.map_err(file)?.path();
            if path.extension().is_some_and(|extension| extension == "jsonl") {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            return Err(file(std::io::Error::new(std::io::ErrorKind::NotFound, "no *.jsonl in it")));
        }
        paths.iter().map(|path| ContestFile::read(path)).collect()
    }

    /// Reads the text of a file. `path` names it in errors.
    ///
    /// # Errors
    /// A line is not as the format says.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ContestsError> {
        let broken = |line, what| ContestsError::Line { path: path.into(), line, what };
        let mut lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
        let (at, first) = lines.next().ok_or_else(|| broken(1, "an empty file".into()))?;
        let head: Head = serde_json::from_str(first).map_err(|cause| broken(at, cause.to_string()))?;
        if head.contests != VERSION {
            return Err(broken(at, format!("format {}; this program reads {VERSION}", head.contests)));
        }
        head.bound().map_err(|what| broken(at, what))?;
        let mut contests = Vec::new();
        for (line, text) in lines {
            let entry: Entry = serde_json::from_str(text).map_err(|cause| broken(line, cause.to_string()))?;
            contests.push(Entry { line, ..entry });
        }
        Ok(ContestFile { path: path.into(), head, contests })
    }

    /// The text of the file.
    #[must_use]
    pub fn text(&self) -> String {
        let line = |value: serde_json::Result<String>| value.expect("what was JSON is JSON again") + "\n";
        let head = line(serde_json::to_string(&self.head));
        self.contests.iter().fold(head, |text, entry| text + &line(serde_json::to_string(entry)))
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self) -> Result<(), ContestsError> {
        let unfinished = self.path.with_extension("jsonl.unfinished");
        let written = fs::write(&unfinished, self.text()).and_then(|()| fs::rename(&unfinished, &self.path));
        written.map_err(|source| ContestsError::File { path: self.path.clone(), source })
    }
}

impl Head {
    /// The tables as a plugin is bound to them; what is wrong with them, in words.
    pub(super) fn bound(&self) -> Result<Vec<BoundTable>, String> {
        if self.tables.is_empty() {
            return Err("`tables` is empty".into());
        }
        (0..).zip(&self.tables).map(|(id, table)| table.bound(TableId(id))).collect()
    }
}

impl TableHead {
    fn bound(&self, id: TableId) -> Result<BoundTable, String> {
        let of = |what: String| format!("table `{}`: {what}", self.name);
        let mut columns = Vec::new();
        for (name, logical) in &self.columns {
            let word = logical.as_str().ok_or_else(|| of(format!("the type of `{name}` is no text")))?;
            let logical: Logical = word.parse().map_err(|cause| of(format!("column `{name}`: {cause}")))?;
            columns.push(ColumnShape::new(name, logical));
        }
        let place = |name: &String| {
            let found = columns.iter().position(|column| column.name == *name);
            found.ok_or_else(|| of(format!("key column `{name}` is not among its columns")))
        };
        let key = self.key.iter().map(place).collect::<Result<Vec<_>, _>>()?;
        if key.is_empty() {
            return Err(of("it has no key".into()));
        }
        let words = |tags: &Value| {
            let words = tags.as_array().into_iter().flatten();
            words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
        };
        let column_tags = self.column_tags.iter().map(|(name, tags)| (name.clone(), words(tags))).collect();
        let shape = TableShape { name: self.name.clone(), columns, key, has_other_unique: false };
        Ok(BoundTable {
            id,
            name: self.name.clone(),
            shape: Arc::new(shape),
            tags: self.tags.clone(),
            column_tags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"contests":1,"tables":[{"name":"t","key":["id"],"columns":{"id":"int","note":"text"},"deletes":"win"}]}"#;

    fn parse(text: &str) -> Result<ContestFile, ContestsError> {
        ContestFile::parse(Path::new("golden.jsonl"), text)
    }

    #[test]
    fn what_was_read_is_written_again() {
        let contest = r#"{"name":"a","incoming":{"op":"u","after":{"id":"9007199254740993","note":null}},"current":{"row":{"note":"x"},"live":false,"at":7},"expect":{"verdict":"keep"}}"#;
        let text = format!("{HEAD}\n{contest}\n");
        let file = parse(&text.replace('\n', "\n\n")).unwrap();
        assert_eq!(file.text(), text);
        assert_eq!(file.contests[0].line, 3);
    }

    #[test]
    fn a_broken_line_is_told_by_its_place() {
        let with = |line: &str| format!("{HEAD}\n{line}");
        for (text, told) in [
            (String::new(), "golden.jsonl:1: an empty file"),
            ("{}".into(), "golden.jsonl:1: missing field `contests`"),
            (
                HEAD.replace("\"contests\":1", "\"contests\":2"),
                "golden.jsonl:1: format 2; this program reads 1",
            ),
            (HEAD.replace("[\"id\"]", "[\"no\"]"), "key column `no` is not among its columns"),
            (HEAD.replace("\"text\"", "\"colour\""), "`colour` is no logical type"),
            (with("{\"incoming\":{}"), "golden.jsonl:2: EOF"),
            (with(r#"{"incoming":{},"expects":{}}"#), "golden.jsonl:2: unknown field `expects`"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
            assert!(!error.hint().is_empty());
        }
    }
}
