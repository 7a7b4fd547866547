//! The product as a user runs it: a pipeline file, its own program, from the start of the process to its end. The
//! plugins of the chain stand here, so that the parts are measured with the same ones.

use std::{
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use reconverge_servers::target_dir;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::{desk, workload::table_name};

/// How often the memory of a running pipeline is looked at.
const LOOK: Duration = Duration::from_millis(20);
/// Longer than any run takes.
const PATIENCE: Duration = Duration::from_secs(1800);
/// Variables of these kinds would change what the program does.
const OF_THE_USER: [&str; 3] = ["NATS_", "RECONVERGE_", "PG"];

/// Who stands, and so what the sink keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// One writer: no versions. Residency, filter and mapping.
    None,
    /// The same chain with versions, under a rule that the host decides by: what versions cost, local writes seen.
    Versions,
    /// Versions, and a merge plugin in the transaction. Filter, mapping and merge.
    Merge,
}

/// A plugin of the chain.
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) stage: &'static str,
    pub(crate) config: Value,
}

/// The three plugins of a variant. The filter weighs every column of every row, the mapping fills two columns.
pub(crate) fn plugins(variant: Variant) -> Vec<Bound> {
    let every = "schedules_*";
    let sparse = json!({ "tables": [every], "empty_share_max": 0.9 });
    let filter = Bound { name: "drop-temporary", stage: "filter", config: json!({ "sparse": sparse }) };
    let columns = json!({ "notes": { "from": "remark" }, "overtime": { "from": "overtime", "default": 0 } });
    let versions = json!({ "3": { "columns": columns } });
    let rules = json!({ "tables": [{ "table": every, "versions": versions }] });
    let mapping = Bound { name: "schema-map", stage: "mapping", config: rules };
    match variant {
        Variant::None | Variant::Versions => {
            let config = json!({ "zone": "eu", "otherwise": "keep" });
            vec![Bound { name: "residency", stage: "residency", config }, filter, mapping]
        }
        Variant::Merge => {
            vec![filter, mapping, Bound { name: "schedule-merge", stage: "merge", config: json!({}) }]
        }
    }
}

/// One run of the program.
pub(crate) struct Ran {
    /// Start of the process to its end.
    pub(crate) took: Duration,
    /// CPU time of the process.
    pub(crate) cpu: Duration,
    /// Greatest resident memory, in MB.
    pub(crate) memory_mb: f64,
}

/// What the program tells at the end.
#[derive(Deserialize)]
struct Report {
    changes: u64,
}

/// Applies everything that the stream holds.
///
/// # Errors
/// The program fails, or applies another number of changes.
pub(crate) async fn run(folder: &Path, file: &str, changes: u64) -> Result<Ran> {
    let mut command = command(folder, file)?;
    command.args(["run", "--until-caught-up", "--json", "--quiet"]);
    let (cpu, start) = (cpu_of_children(), Instant::now());
    let child = command.spawn().context("starting reconverge")?;
    let (output, memory_mb, took) = ended(child, start).await?;
    succeeded(&output)?;
    let report: Report = serde_json::from_slice(&output.stdout).context("reading what reconverge told")?;
    ensure!(report.changes == changes, "{} changes in place of {changes}", report.changes);
    Ok(Ran { took, cpu: cpu_of_children().saturating_sub(cpu), memory_mb })
}

/// Starts a pipeline that goes on until it is dropped.
///
/// # Errors
/// The program does not start.
pub(crate) fn start(folder: &Path, file: &str) -> Result<Child> {
    let mut command = command(folder, file)?;
    // Nobody reads what it says, and a full pipe would stop it.
    command.args(["run", "--quiet"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("starting reconverge")
}

/// CPU time that a running process has used.
pub(crate) fn cpu_of(process: &Child) -> Duration {
    let stat = process.id().and_then(|id| std::fs::read_to_string(format!("/proc/{id}/stat")).ok());
    Duration::from_millis(stat.and_then(|stat| ticks(&stat, 11)).unwrap_or_default() * 10)
}

/// Sees that everything is as the pipeline needs it; the plugins are compiled then, and that is kept for the runs.
///
/// # Errors
/// Something is not.
pub(crate) async fn check(folder: &Path, file: &str) -> Result<()> {
    to_its_end(folder, file, &["check", "--quiet"]).await
}

/// Starts the pipeline once and lets it apply nothing: it makes its own tables then, which no later start does.
///
/// # Errors
/// The program fails.
pub(crate) async fn first_start(folder: &Path, file: &str) -> Result<()> {
    to_its_end(folder, file, &["run", "--until-sequence", "0", "--quiet"]).await
}

async fn to_its_end(folder: &Path, file: &str, words: &[&str]) -> Result<()> {
    let mut command = command(folder, file)?;
    let child = command.args(words).spawn().context("starting reconverge")?;
    succeeded(&child.wait_with_output().await.context("waiting for reconverge")?)
}

/// The program in a folder with a pipeline file, with nothing of the tester's environment.
pub(crate) fn command(folder: &Path, file: &str) -> Result<Command> {
    let path = folder.join("pipeline.toml");
    std::fs::write(&path, file).with_context(|| format!("writing {}", path.display()))?;
    let mut command = Command::new(program()?);
    let of_the_user = |name: &str| OF_THE_USER.iter().any(|lead| name.starts_with(lead));
    for (name, _) in std::env::vars_os().filter(|(name, _)| of_the_user(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env("XDG_CACHE_HOME", target_dir().join("bench-cache")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    Ok(command)
}

pub(crate) fn succeeded(output: &Output) -> Result<()> {
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("reconverge failed ({})\n{}", output.status, said.trim_end());
    }
    Ok(())
}

/// Waits for the end, and looks at the memory meanwhile: the high-water mark only rises.
async fn ended(child: Child, start: Instant) -> Result<(Output, f64, Duration)> {
    let status = child.id().map(|id| PathBuf::from(format!("/proc/{id}/status")));
    let waited = child.wait_with_output();
    tokio::pin!(waited);
    let mut memory_mb = 0.0_f64;
    loop {
        tokio::select! {
            output = &mut waited => {
                return Ok((output.context("waiting for reconverge")?, memory_mb, start.elapsed()));
            }
            () = tokio::time::sleep(LOOK) => {
                ensure!(start.elapsed() < PATIENCE, "the pipeline does not end");
                let told = status.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
                memory_mb = memory_mb.max(told.and_then(|told| high_water_mb(&told)).unwrap_or_default());
            }
        }
    }
}

fn high_water_mb(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<f64>().ok()? / 1024.0)
}

/// CPU time of all child processes that have ended; nothing where the system does not tell.
fn cpu_of_children() -> Duration {
    cpu_of_children_of("self")
}

/// The same of another process, by its number.
pub(crate) fn cpu_of_children_of(process: &str) -> Duration {
    let told = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let ticks = ticks(&told, 13).unwrap_or_default();
    // A tick of /proc is a hundredth of a second on every Linux that the project runs on.
    Duration::from_millis(ticks * 10)
}

/// A pair of times of proc(5), by its place behind the name, which may hold spaces: `utime` and `stime` from 11 on,
/// `cutime` and `cstime` from 13 on.
fn ticks(stat: &str, place: usize) -> Option<u64> {
    let (_, behind_name) = stat.rsplit_once(')')?;
    let mut fields = behind_name.split_whitespace().skip(place);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The program in its release build, which `cargo xtask bench` makes.
pub(crate) fn program() -> Result<PathBuf> {
    let program = target_dir().join("release/reconverge");
    ensure!(program.exists(), "{} is missing\nhint: cargo build --release -p reconverge", program.display());
    Ok(program)
}

/// What a pipeline joins, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wiring<'a> {
    pub(crate) name: &'a str,
    pub(crate) variant: Variant,
    pub(crate) nats: &'a str,
    pub(crate) stream: &'a str,
    pub(crate) sink: &'a str,
    pub(crate) tables: u64,
    pub(crate) partitions: u64,
    /// Rows of a batch; the program's default where nothing is asked for.
    pub(crate) batch: Option<usize>,
}

/// The pipeline file of a wiring.
pub(crate) fn file(wiring: &Wiring<'_>) -> String {
    let Wiring { name, variant, nats, stream, sink, tables, partitions, batch } = *wiring;
    let policy = match variant {
        Variant::None => "\"none\"",
        Variant::Versions => "\"lww:modification_epoch\"",
        Variant::Merge => "{ plugin = \"schedule-merge\" }",
    };
    let mut text = format!(
        "[pipeline]\nname = {name:?}\nregion = {:?}\n\n[source]\nurl = {nats:?}\nstream = {stream:?}\n\
         subjects = \"cdc.{{source}}.{{partition}}.>\"\npartitions = {partitions}\nformat = \"native\"\n\n\
         [sink]\nurl = {sink:?}\n",
        desk::REGION
    );
    if let Some(rows) = batch {
        text.push_str(&format!("\n[limits]\nbatch = {{ rows = {rows}, bytes = \"64MiB\" }}\n"));
    }
    let names: Vec<String> = (0..tables).map(table_name).collect();
    for table in &names {
        text.push_str(&format!(
            "\n[[table]]\nname = {table:?}\nkey = [\"schedule_id\"]\npolicy = {policy}\nleaves = \"keep\"\n"
        ));
    }
    for plugin in plugins(variant) {
        let path = desk::wasm(plugin.name);
        text.push_str(&format!(
            "\n[[plugin]]\nname = {:?}\npath = {path:?}\nstage = {:?}\ntables = {names:?}\nconfig = {}\n",
            plugin.name,
            plugin.stage,
            inline(&plugin.config)
        ));
    }
    text
}

/// A JSON value as TOML on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| format!("{name:?} = {}", inline(value)));
            format!("{{ {} }}", members.collect::<Vec<_>>().join(", "))
        }
        Value::Array(elements) => {
            format!("[{}]", elements.iter().map(inline).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use reconverge_servers::project_root;

    use super::*;

    #[test]
    fn the_pipeline_file_is_one_that_the_product_takes() {
        for variant in [Variant::None, Variant::Versions, Variant::Merge] {
            let text = file(&Wiring {
                name: "bench",
                variant,
                nats: "nats://127.0.0.1:1",
                stream: "BENCH",
                sink: "sqlite:///it.db",
                tables: 3,
                partitions: 2,
                batch: Some(250),
            });
            let path = project_root().join("pipeline.toml");
            // The plugins' files may not have been built where this test runs; everything else must be right.
            match reconverge::config::parse(&text, &path, &reconverge::config::ProcessEnvironment) {
                Ok(pipeline) => assert_eq!(pipeline.plugins.len(), 3),
                Err(error) => {
                    let told = error.to_string();
                    assert!(!desk::wasm("schema-map").exists(), "{told}\n{text}");
                }
            }
        }
    }

    #[test]
    fn what_proc_tells_is_read() {
        assert_eq!(high_water_mb("Name:\tit\nVmHWM:\t   20480 kB\nVmRSS:\t 1 kB\n"), Some(20.0));
        assert_eq!(high_water_mb("Name:\tit\n"), None);
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194304 100 0 0 0 11 12 30 4 20 0 1 0 5 6 7";
        assert_eq!((ticks(stat, 11), ticks(stat, 13)), (Some(23), Some(34)));
        assert_eq!(ticks("7", 13), None);
    }
}
