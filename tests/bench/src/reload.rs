//! Question 6: what a swap to another plugin generation costs a lane that is busy. The program runs as a user runs it in
//! development, with a plugin file that changes under it; it tells each pause itself, and a batch is the measure beside.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::{
    runtime::Runtime,
    time::{Instant, sleep},
};

use crate::{
    answer::{Answer, Bar, Line, Unit},
    desk, pipeline,
    place::Kind,
    scale::Scale,
    stream::Broker,
    trial::{median, spread},
    workload::Workload,
};

/// A file is left alone for 200 ms before it counts as written; more often would be no swap at all.
const SWAP_EVERY: Duration = Duration::from_millis(300);
/// What a swap may keep a batch waiting, in microseconds.
const BAR_US: f64 = 5000.0;
const STREAM: &str = "CALM";
const SUBJECTS: &str = "cdc.>";
/// The file that changes.
const RULE: &str = "rule.wasm";

/// One run: the pause of each swap, and how long a batch took on average, all in microseconds.
struct Ran {
    pauses: Vec<f64>,
    batch: f64,
}

/// Answers the question for both kinds of sink.
///
/// # Errors
/// There is no server, a run fails or loses a change, or no swap happened in it.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, kinds: &[Kind]) -> Result<Answer> {
    let workload = Workload { rows: scale.sink_rows, keys: scale.sink_keys, ..Workload::default() };
    let broker = runtime.block_on(Broker::start())?;
    runtime.block_on(broker.fill_with(STREAM, &[SUBJECTS], &workload.events()))?;
    let mut lines = Vec::new();
    for kind in kinds {
        let (mut middles, mut longest, mut batches, mut swaps) = (vec![], vec![], vec![], 0);
        for round in 1..=scale.macro_rounds {
            let place = runtime.block_on(kind.fresh(1))?;
            let name = format!("bench-reload-{round}");
            let file = file(&name, &broker.server.url(), &place.url());
            let ran = runtime.block_on(run(&place.folder(), &file, scale.sink_rows))?;
            ensure!(!ran.pauses.is_empty(), "the run ended before a swap");
            middles.push(median(&ran.pauses));
            longest.push(spread(&ran.pauses).1);
            batches.push(ran.batch);
            swaps += ran.pauses.len();
        }
        let (name, beside) = (kind.name(), format!("{} batch", kind.name()));
        lines.push(
            Line::new(format!("{name}: a swap"), Unit::Micros, middles)
                .against(&beside, &batches)
                .note(format!("{swaps} swaps")),
        );
        lines.push(
            Line::new(format!("{name}: the longest swap"), Unit::Micros, longest)
                .against(&beside, &batches)
                .bar(Bar::Below(BAR_US)),
        );
        lines.push(Line::new(format!("{name}: from one batch to the next"), Unit::Micros, batches));
    }
    let asks = format!(
        "Hot reload: how long a swap keeps a busy lane from its next batch of {} changes",
        desk::BATCH
    );
    Ok(Answer { question: "reload", asks, lines })
}

fn file(name: &str, nats: &str, sink: &str) -> String {
    let variant = pipeline::Variant::Merge;
    let wiring =
        pipeline::Wiring { name, variant, nats, stream: STREAM, sink, tables: 1, partitions: 1, batch: None };
    let text = pipeline::file(&wiring);
    let own = desk::wasm("schedule-merge");
    format!("{}\n[reload]\nwatch = true\n", text.replace(&format!("{own:?}"), &format!("{RULE:?}")))
}

/// Runs the pipeline over the stream, with another plugin file again and again.
async fn run(folder: &Path, file: &str, changes: u64) -> Result<Ran> {
    let wasm = fs::read(desk::wasm("schedule-merge")).context("reading the plugin")?;
    put(folder, &wasm)?;
    let mut command = pipeline::command(folder, file)?;
    command.args(["run", "--until-caught-up", "--json", "--log", "json"]);
    let begun = Instant::now();
    let child = command.spawn().context("starting reconverge")?;
    let swapping = async {
        for number in (0..=u8::MAX).cycle() {
            sleep(SWAP_EVERY).await;
            // A custom section that nothing reads gives the file another digest.
            put(folder, &[&wasm[..], &[0, 3, 1, b'v', number]].concat())?;
        }
        anyhow::Ok(())
    };
    let output = tokio::select! {
        output = child.wait_with_output() => output.context("waiting for reconverge")?,
        failed = swapping => return Err(failed.err().context("the swaps ended")?),
    };
    let took = begun.elapsed();
    pipeline::succeeded(&output)?;
    let report: Value = serde_json::from_slice(&output.stdout).context("reading what reconverge told")?;
    ensure!(report["changes"] == changes, "{} changes in place of {changes}", report["changes"]);
    let batches = report["batches"].as_f64().unwrap_or(1.0).max(1.0);
    let told = String::from_utf8_lossy(&output.stderr);
    Ok(Ran { pauses: told.lines().filter_map(pause).collect(), batch: took.as_secs_f64() * 1e6 / batches })
}

/// Whole or not at all.
fn put(folder: &Path, bytes: &[u8]) -> Result<()> {
    let new = folder.join("rule.new");
    fs::write(&new, bytes).and_then(|()| fs::rename(&new, folder.join(RULE))).context("writing the plugin")
}

/// The pause that a line of the log tells, in microseconds.
fn pause(line: &str) -> Option<f64> {
    let told: Value = serde_json::from_str(line).ok()?;
    told["pause_us"].as_f64().filter(|_| told["message"] == "generation.swapped")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_read_from_the_log_and_nothing_else_is() {
        let line = r#"{"level":"INFO","message":"generation.swapped","lane":"p/main/main/0","pause_us":812}"#;
        assert_eq!(pause(line), Some(812.0));
        assert_eq!(pause(&line.replace("swapped", "taken")), None);
        assert_eq!(pause("no JSON"), None);
    }

    #[test]
    fn the_pipeline_watches_a_file_of_its_own() {
        let text = file("bench", "nats://127.0.0.1:1", "sqlite:///it.db");
        assert!(text.contains("path = \"rule.wasm\"") && text.ends_with("watch = true\n"), "{text}");
    }
}
