//! `reconverge rehearse`: what a failback would have done, before it does it. Tables on a terminal, JSON, or a page for a
//! manager; nothing here decides, and nothing is written but the page.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::{
    assemble::{self, Recorded},
    rehearse::{
        page,
        report::{Differing, Report},
    },
};

use super::{
    arguments::Global,
    connect,
    exit::{Exit, exit_codes},
    failure::Failure,
    help::more,
    logging::{Bar, Loudness},
    output::{self, grouped},
};

/// Rows of each kind that a terminal is shown.
const SHOWN: usize = 10;

pub(super) const REHEARSE: &str = "\
Merges the recorded changes of an outage by the pipeline's own rules, in a scratch database in memory, in many orders \
that keep each source's own. Tells which rows last-writer-wins would have destroyed and the plugin saved, the conflicts \
by kind, the keys that depend on the order with their smallest orders, the rows that wait for ever, and how long it \
takes to catch up.

`--a` and `--b` are recordings (JSON lines of seq, subject, headers, data; plain or gzip) or streams; one that holds \
both regions is enough. `--conflicts` takes both sides from the history of the pipeline's sink. The real sink is only \
asked for its tables. Ends with 1 where a key of a table with a merge rule depends on the order.";
pub(super) const REHEARSE_MORE: &str = more!(
    reads: "pipeline.toml, the plugins, the sink's catalog, the recordings or streams; writes the file of --html.",
    "reconverge rehearse --a us-east.jsonl.gz --b us-west.jsonl.gz --html rehearsal.html",
    "reconverge rehearse --a CDC_EAST --b CDC_WEST --orders 100",
    "reconverge rehearse --conflicts --against new_rule.wasm --json | jq '.against.rows | length'",
);

/// `rehearse`.
#[derive(Debug, Args)]
pub(super) struct Rehearse {
    /// A recording, or the stream of this name
    #[arg(long, value_name = "FILE|STREAM", required_unless_present_any = ["b", "conflicts"])]
    pub a: Option<PathBuf>,
    /// Another one
    #[arg(long, value_name = "FILE|STREAM")]
    pub b: Option<PathBuf>,
    /// The history of conflicts of the pipeline's sink, where rows were archived
    #[arg(long)]
    pub conflicts: bool,
    /// Only up to this sequence of each
    #[arg(long, value_name = "N", default_value_t = u64::MAX, hide_default_value = true)]
    pub through: u64,
    /// Orders by chance to try besides the recorded one
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub orders: u64,
    /// What the orders are made from; the same seed tries the same ones
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Another merge plugin, to see what it would have decided otherwise
    #[arg(long, value_name = "FILE")]
    pub against: Option<PathBuf>,
    /// Write a page that needs nothing else to be read
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

pub(super) async fn rehearse(global: &Global, asked: &Rehearse) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Error, &Bar::default())?;
    let mut recorded: Vec<Recorded> =
        [&asked.a, &asked.b].into_iter().flatten().cloned().map(Recorded::Named).collect();
    recorded.extend(asked.conflicts.then_some(Recorded::Conflicts));
    let mut rehearsal =
        assemble::rehearsal(&pipeline, &recorded, asked.through, asked.against.as_deref()).await?;
    let (orders, seed) = (asked.orders, asked.seed);
    let bar = bar(orders);
    let played = tokio::task::spawn_blocking(move || {
        let report = rehearsal.run(orders, seed, |done| bar.set_position(done));
        bar.finish_and_clear();
        report
    });
    let report = played.await.map_err(|cause| Failure::of(Exit::Runtime, &cause))??;
    if let Some(file) = &asked.html {
        std::fs::write(file, page::html(&report)).map_err(|cause| {
            Failure::new(Exit::Environment, format!("{} cannot be written", file.display()))
                .because(&cause)
                .hint("name a file in a folder that is there")
        })?;
    }
    output::show(global.json, &report, words)?;
    let by_rule = report.diverging.iter().any(|key| !by_nature(&key.policy));
    Ok(if by_rule { Exit::Runtime } else { Exit::Done })
}

/// Policies whose end depends on the order, and which say so.
fn by_nature(policy: &str) -> bool {
    matches!(policy, "none" | "take-incoming" | "keep-current")
}

fn bar(orders: u64) -> ProgressBar {
    if !std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(orders);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} orders  {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn words(report: &Report) -> String {
    let mut text = format!(
        "{}: {} changes of {}, merged in {} orders (seed {})\n\n",
        report.pipeline,
        grouped(report.changes as u64),
        report.sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(" and "),
        report.orders,
        report.seed
    );
    saved(report, &mut text);
    let rows = report
        .conflicts
        .iter()
        .map(|c| vec![c.table.clone(), c.kind.clone(), c.outcome.clone(), grouped(c.count)]);
    text.push_str("\nConflicts\n");
    text.push_str(&output::table(&["table", "kind", "outcome", "count#"], rows));
    text.push_str(&format!("\nKeys that depend on the order: {}\n", report.diverging.len()));
    for key in report.diverging.iter().take(SHOWN) {
        text.push_str(&format!("  {} {} (rule {})\n", key.table, key.key, key.policy));
        for order in &key.orders {
            let row = order.row.as_ref().map_or_else(|| "no row".to_owned(), Value::to_string);
            text.push_str(&format!("    {}  ends in  {row}\n", order.changes.join(", ")));
        }
    }
    more_than(report.diverging.len(), &mut text);
    text.push_str(&format!("Rows that wait for ever: {}\n", report.parked.len()));
    for row in report.parked.iter().take(SHOWN) {
        text.push_str(&format!("  {} {} waits for {} ({})\n", row.table, row.key, row.waits_for, row.why));
    }
    more_than(report.parked.len(), &mut text);
    for dead in &report.dead {
        text.push_str(&format!(
            "Dead letters: {} of {} by {} ({})\n",
            grouped(dead.count),
            dead.table,
            dead.stage,
            dead.code
        ));
    }
    if let Some(against) = &report.against {
        let rows = &against.rows;
        text.push_str(&format!("\n{} would have decided {} rows otherwise", against.plugin, rows.len()));
        text.push_str(&if rows.is_empty() {
            ".\n".to_owned()
        } else {
            format!(": {}\n", Report::summary(rows))
        });
        text.push_str(&beside(rows, &against.plugin));
    }
    text.push_str(&format!(
        "\nTo catch up took {:.1} s here, {:.0} changes/s, with no broker and no database.\n",
        report.catch_up_seconds, report.changes_per_second
    ));
    text
}

fn saved(report: &Report, text: &mut String) {
    if report.saved.is_empty() {
        return text.push_str("Last-writer-wins would have left the same rows.\n");
    }
    text.push_str(&format!(
        "Last-writer-wins would have destroyed {} of {} rows that your plugin saved: {}\n",
        report.saved.len(),
        grouped(report.rows as u64),
        Report::summary(&report.saved)
    ));
    text.push_str(&beside(&report.saved, "last-writer-wins"));
}

/// Rows as two rules leave them, with the columns in which they differ.
fn beside(rows: &[Differing], other: &str) -> String {
    let mut lines = Vec::new();
    for row in rows.iter().take(SHOWN) {
        let differs = |mine: Option<&Value>, theirs: Option<&Value>| match mine.and_then(Value::as_object) {
            None => "(no row)".to_owned(),
            Some(object) => {
                let shown =
                    object.iter().filter(|(name, value)| theirs.is_none_or(|t| t.get(*name) != Some(*value)));
                shown.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
            }
        };
        let [plugin, theirs] = [row.plugin.as_ref(), row.other.as_ref()];
        lines.push(vec![
            format!("{} {}", row.table, row.key),
            "your plugin".to_owned(),
            differs(plugin, theirs),
        ]);
        lines.push(vec![format!("  {}", row.harm.word()), other.to_owned(), differs(theirs, plugin)]);
    }
    let mut text =
        if lines.is_empty() { String::new() } else { output::table(&["row", "by", "what differs"], lines) };
    more_than(rows.len(), &mut text);
    text
}

fn more_than(count: usize, text: &mut String) {
    if count > SHOWN {
        text.push_str(&format!("  and {} more; --json has all\n", count - SHOWN));
    }
}
