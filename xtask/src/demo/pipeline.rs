//! The product as a user runs it: its own program, a pipeline file and three variables. The demo links none of it,
//! so what it shows is what a shell would.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use reconverge_capture::split_brain::{self, SCHEDULES};
use reconverge_servers::target_dir;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::process::Command;

use super::Database;
use super::setting::Setting;

/// More decisions than the recording can cause.
const DECISIONS_MAX: &str = "5000";
/// Orders by chance in which the recording is rehearsed: enough to see, few enough to wait for.
const REHEARSALS: &str = "5";
/// A rehearsal in which a key depends on the order ends so, and has told all the same.
const FOUND: i32 = 1;
/// Variables of these kinds would change what the commands do.
const OF_THE_USER: [&str; 2] = ["NATS_", "RECONVERGE_"];

/// A pipeline file and the ends that it is run with.
pub(super) struct Pipeline {
    file: PathBuf,
    nats: String,
    sink: String,
}

/// What runs came to.
pub(super) struct Ran {
    /// Changes by table, then by disposition.
    pub(super) tables: BTreeMap<String, BTreeMap<String, u64>>,
    /// Changes delivered.
    pub(super) changes: u64,
    /// From the start of the program to its end.
    pub(super) took: Duration,
}

/// The part of `run --json` that the story needs.
#[derive(Deserialize)]
struct Report {
    changes: u64,
    tables: BTreeMap<String, BTreeMap<String, u64>>,
}

/// The part of `status --json`.
#[derive(Deserialize)]
pub(super) struct Status {
    pub(super) conflicts: Vec<ConflictCount>,
}

/// How many conflicts of a kind ended in what way.
#[derive(Clone, Deserialize)]
pub(super) struct ConflictCount {
    pub(super) kind: String,
    pub(super) outcome: String,
    pub(super) count: u64,
}

/// The part of `rehearse --json`.
#[derive(Deserialize)]
pub(super) struct Rehearsed {
    pub(super) saved: Vec<Value>,
    pub(super) orders: u64,
    pub(super) diverging: Vec<Depends>,
    pub(super) parked: Vec<Value>,
}

/// A key that depends on the order.
#[derive(Deserialize)]
pub(super) struct Depends {
    pub(super) table: String,
}

/// The part of `audit --json`.
#[derive(Deserialize)]
pub(super) struct Audit {
    pub(super) balanced: bool,
}

/// The part of a decision of `conflicts list --json`, newest first.
#[derive(Deserialize)]
struct Decision {
    key: String,
    kind: String,
    outcome: String,
    decided_by: String,
    /// Text of one form, so that it sorts as time does.
    incoming_at: Option<String>,
    current_at: Option<String>,
    incoming: Option<Value>,
    current: Option<Value>,
}

impl Pipeline {
    /// `file` is in the example's folder.
    pub(super) fn new(setting: &Setting, file: &str, database: &Database) -> Pipeline {
        Pipeline { file: split_brain::folder().join(file), nats: setting.nats_url(), sink: database.url() }
    }

    /// Sees that everything is as it needs it; the plugins are compiled then, and that is kept for the runs.
    pub(super) async fn check(&self) -> Result<()> {
        self.ask(["check".to_owned()].iter(), Stdio::piped()).await.map(drop)
    }

    /// Runs it until what `until` says; its progress bar goes where this process's stderr goes.
    pub(super) async fn run(&self, until: &[String]) -> Result<Ran> {
        let start = Instant::now();
        let words = ["run", "--json", "--quiet"].map(str::to_owned);
        let told = self.ask(words.iter().chain(until), Stdio::inherit()).await?;
        let took = start.elapsed();
        let report: Report = serde_json::from_str(&told).context("reading what `reconverge run` told")?;
        Ok(Ran { tables: report.tables, changes: report.changes, took })
    }

    /// How far it is, and the conflicts so far.
    pub(super) async fn status(&self) -> Result<Status> {
        self.ask_json(&["status"]).await
    }

    /// Whether its ledger agrees with the stream.
    pub(super) async fn audit(&self) -> Result<Audit> {
        self.ask_json(&["audit"]).await
    }

    /// What a rehearsal says of the recording up to the recovery; its page goes to `page`.
    pub(super) async fn rehearsed(&self, page: &Path) -> Result<Rehearsed> {
        let recording = split_brain::folder().join("split_brain.jsonl.gz");
        let through = split_brain::RECOVERY.to_string();
        let [recording, page] = [recording.as_path(), page].map(|path| path.to_string_lossy().into_owned());
        let words =
            ["rehearse", "--a", &recording, "--through", &through, "--orders", REHEARSALS, "--html", &page];
        self.ask_json(&words).await
    }

    /// What `explain` says of a key, with its newest decision alone.
    pub(super) async fn explained(&self, table: &str, key: &str) -> Result<String> {
        let words = ["explain", table, key, "--limit", "1"].map(str::to_owned);
        self.ask(words.iter(), Stdio::piped()).await
    }

    /// The first schedule whose newest decision tells the story: a change of the other region, committed later, was an older
    /// edit, so the plugin kept what stood and last-writer-wins would not have. Where there is none, one where the
    /// plugin kept what stood. Both rows can be shown in any terminal.
    pub(super) async fn telling_decision(&self) -> Result<Option<String>> {
        let words = ["conflicts", "list", "--table", SCHEDULES.name, "--limit", DECISIONS_MAX];
        let decisions: Vec<Decision> = self.ask_json(&words).await?;
        let mut newest = BTreeMap::new();
        for decision in &decisions {
            newest.entry(&decision.key).or_insert(decision);
        }
        let tell = newest.into_values().filter(|decision| decision.tells()).collect::<Vec<_>>();
        let best = tell.iter().find(|decision| decision.was_later()).or(tell.first());
        Ok(best.and_then(|decision| key_of(&decision.key)))
    }

    async fn ask_json<T: DeserializeOwned>(&self, words: &[&str]) -> Result<T> {
        let owned = words.iter().map(|word| (*word).to_owned()).chain(["--json".to_owned()]);
        let told = self.ask(owned.collect::<Vec<_>>().iter(), Stdio::piped()).await?;
        serde_json::from_str(&told).with_context(|| format!("reading what `reconverge {}` told", words[0]))
    }

    /// Runs the product's program to its end and returns its stdout.
    async fn ask(&self, words: impl Iterator<Item = &String> + Clone, stderr: Stdio) -> Result<String> {
        let mut command = Command::new(target_dir().join("debug/reconverge"));
        for (name, _) in std::env::vars_os() {
            if OF_THE_USER.iter().any(|lead| name.to_string_lossy().starts_with(lead)) {
                command.env_remove(name);
            }
        }
        command.env("RECONVERGE_PIPELINE", &self.file).env("RECONVERGE_SINK_URL", &self.sink);
        command.env("NATS_URL", &self.nats).args(words.clone());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let child = command.spawn().context("starting reconverge")?;
        let ended = child.wait_with_output().await.context("waiting for reconverge")?;
        let has_told =
            words.clone().next().is_some_and(|word| word == "rehearse") && ended.status.code() == Some(FOUND);
        if !ended.status.success() && (!has_told || ended.stdout.is_empty()) {
            let line = words.map(String::as_str).collect::<Vec<_>>().join(" ");
            let said = String::from_utf8_lossy(&ended.stderr);
            bail!("`reconverge {line}` failed ({})\n{}", ended.status, said.trim_end());
        }
        String::from_utf8(ended.stdout).context("reconverge's answer is no text")
    }
}

impl AddAssign for Ran {
    fn add_assign(&mut self, other: Ran) {
        self.changes += other.changes;
        self.took += other.took;
        for (table, counts) in other.tables {
            let row = self.tables.entry(table).or_default();
            counts.into_iter().for_each(|(word, count)| *row.entry(word).or_default() += count);
        }
    }
}

impl Decision {
    /// Whether the change that lost came from the other region and had the later commit time.
    fn was_later(&self) -> bool {
        self.kind == "update_origin_differs" && self.incoming_at > self.current_at
    }

    fn tells(&self) -> bool {
        let shows =
            |row: &Option<Value>| row.as_ref().is_some_and(|row| row["notes"].as_str().is_some_and(is_plain));
        self.outcome == "kept-current"
            && self.decided_by.starts_with("plugin")
            && shows(&self.incoming)
            && shows(&self.current)
    }
}

/// Whether a text is words that every terminal shows as they are, and few enough for a table.
fn is_plain(text: &str) -> bool {
    (1..=28).contains(&text.len()) && text.bytes().all(|byte| byte == b' ' || byte.is_ascii_alphanumeric())
}

/// The value of a key of one column: `{"schedule_id":"1008"}`.
fn key_of(key: &str) -> Option<String> {
    let key: Value = serde_json::from_str(key).ok()?;
    match key.as_object()?.values().next()? {
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(table: &str, word: &str, count: u64) -> Ran {
        let tables = [(table.to_owned(), [(word.to_owned(), count)].into())].into();
        Ran { tables, changes: count, took: Duration::from_secs(1) }
    }

    #[test]
    fn runs_add_up_by_table_and_disposition() {
        let mut sum = ran("a", "applied", 2);
        sum += ran("a", "applied", 3);
        sum += ran("a", "duplicate", 1);
        sum += ran("b", "applied", 1);
        assert_eq!((sum.changes, sum.took), (7, Duration::from_secs(4)));
        assert_eq!(sum.tables["a"], [("applied".to_owned(), 5), ("duplicate".to_owned(), 1)].into());
        assert_eq!(sum.tables["b"]["applied"], 1);
    }

    fn decision(outcome: &str, decided_by: &str, notes: Value) -> Decision {
        Decision {
            key: "{}".to_owned(),
            kind: "update_origin_differs".to_owned(),
            outcome: outcome.to_owned(),
            decided_by: decided_by.to_owned(),
            incoming_at: Some("2026-03-02T07:00:00.000000Z".to_owned()),
            current_at: Some("2026-03-02T06:59:59.999999Z".to_owned()),
            incoming: Some(serde_json::json!({ "notes": notes })),
            current: Some(serde_json::json!({ "notes": "hold" })),
        }
    }

    #[test]
    fn a_decision_tells_when_the_plugin_kept_a_row_that_can_be_shown() {
        let please = || Value::from("please hold");
        assert!(decision("kept-current", "plugin:schedule-merge", please()).tells());
        assert!(!decision("applied", "plugin:schedule-merge", please()).tells());
        assert!(!decision("kept-current", "tie", please()).tells());
        for notes in [
            Value::Null,
            "".into(),
            "日本".into(),
            "a\nb".into(),
            "more than a cell of the table shows".into(),
        ] {
            let decision = decision("kept-current", "plugin:schedule-merge", notes);
            assert!(!decision.tells(), "{:?}", decision.incoming);
        }
    }

    #[test]
    fn it_tells_most_when_the_later_commit_of_the_other_region_lost() {
        let mut later = decision("kept-current", "plugin:schedule-merge", Value::Null);
        assert!(later.was_later());
        later.current_at = Some("2026-03-02T07:00:00.000001Z".to_owned());
        assert!(!later.was_later());
        later.kind = "update_superseded".to_owned();
        later.current_at = None;
        assert!(!later.was_later());
    }

    #[test]
    fn a_key_is_told_as_text_or_number() {
        assert_eq!(key_of(r#"{"schedule_id":"1008"}"#).as_deref(), Some("1008"));
        assert_eq!(key_of(r#"{"schedule_id":1008}"#).as_deref(), Some("1008"));
        assert_eq!(key_of("1008"), None);
    }
}
