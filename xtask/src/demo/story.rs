//! The story that the demo ends with: at most 60 lines of at most 100 characters, on stdout. Pure words from what
//! the runs told; asks nobody, and never reads the list of what must come out.

use std::collections::BTreeMap;

use comfy_table::{CellAlignment, Table, presets};
use reconverge_capture::Row;
use reconverge_capture::split_brain::SCHEDULES;

use super::harm::{FILE, Harm, Harmed, Moment};
use super::pipeline::{ConflictCount, Ran, Rehearsed};
use super::setting::{Setting, typed};

/// The widest line, in characters.
const WIDTH: usize = 100;
/// How many rows of each harm are shown, in the order of [`Harm::ALL`].
const SHOWN: [usize; 3] = [1, 1, 1];
/// Dispositions in the order of their numbers; others stand behind them.
const DISPOSITIONS: [&str; 16] = [
    "applied",
    "kept-current",
    "merged",
    "deleted",
    "no-op",
    "duplicate",
    "regressed",
    "filtered",
    "suppressed",
    "parked",
    "dead-lettered",
    "control",
    "echo",
    "unlisted",
    "orphaned",
    "too-old",
];
/// How many kinds of conflicts have a line of their own.
const KINDS_SHOWN: usize = 1;
/// What a shown schedule tells.
const TOLD: [&str; 5] = ["modification_epoch", "region_source", "agent_id", "shift_start", "notes"];

/// Everything that is told.
pub(super) struct Story<'a> {
    pub(super) setting: &'a Setting,
    /// Both runs of the user's rule together.
    pub(super) ran: Ran,
    pub(super) conflicts: Vec<ConflictCount>,
    /// Whether the ledger agrees with the stream.
    pub(super) balanced: bool,
    /// The recovery, then the end.
    pub(super) moments: &'a [Moment],
    /// A key, and what `explain` said of it at the recovery.
    pub(super) decision: Option<(String, String)>,
    /// The recording up to the recovery, in other orders.
    pub(super) rehearsed: Rehearsed,
    /// Whether every row is as it must be.
    pub(super) right: bool,
}

impl Story<'_> {
    /// All of it.
    pub(super) fn text(&self) -> String {
        let parts = [
            PROLOGUE.to_owned(),
            dispositions(&self.ran),
            format!("Conflicts, by kind, and how they ended:\n{}", conflicts(&self.conflicts)),
            harm(self.moments, &typed(&self.setting.folder.join(FILE))),
            self.decision.as_ref().map_or_else(String::new, |(key, told)| decision(key, told)),
            self.verdict(),
            self.further(),
            rehearsal(&self.rehearsed, &typed(&self.setting.folder.join("rehearsal.html"))),
        ];
        let told = parts.iter().filter(|part| !part.is_empty()).map(|part| part.trim_end());
        let text = told.collect::<Vec<_>>().join("\n\n");
        text.lines().map(|line| shortened(line) + "\n").collect()
    }

    fn verdict(&self) -> String {
        let rows =
            if self.right { "All rows of all tables are as they must be" } else { "SOME ROWS ARE WRONG" };
        let ledger = if self.balanced { "the ledger balances" } else { "THE LEDGER DOES NOT BALANCE" };
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let seconds = self.ran.took.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people; the count is far below 2^53")]
        let rate = self.ran.changes as f64 / seconds.max(0.001);
        wrapped(&format!(
            "{rows}; {ledger}. {} changes into {} in {seconds:.1} s, {rate:.0} changes/s with two starts, \
             on {cores} cores.",
            grouped(self.ran.changes),
            self.setting.sink_name(),
        ))
    }

    fn further(&self) -> String {
        let key = self.decision.as_ref().map_or("1008", |(key, _)| key);
        let without_keep = match self.setting.outlives_servers() {
            true => "in the project's folder; with --keep also nats-server stays up",
            false => "in the project's folder, while --keep leaves the servers up",
        };
        format!(
            "Look further ({without_keep}):\n  \
             export RECONVERGE_PIPELINE=examples/split-brain/pipeline.toml NATS_URL={}\n  \
             export RECONVERGE_SINK_URL={}\n  \
             target/debug/reconverge explain {} {key}\n  \
             target/debug/reconverge conflicts list --table {}\n  \
             target/debug/reconverge dlq list          # the source's TRUNCATEs, which are refused\n  \
             {}",
            self.setting.nats_url(),
            self.setting.typed_url(),
            SCHEDULES.name,
            SCHEDULES.name,
            self.setting.shell(),
        )
    }
}

const PROLOGUE: &str = "\
Two regions, us-east and us-west, hold the same contact-centre rows. They are cut apart, both write
the same keys, and the recovered region pushes old rows from its backup. Debezium captured every
change from real PostgreSQL servers into one stream; examples/split-brain/DATA.md tells it in full.";

/// A line for each disposition that occurred, a column for each table.
fn dispositions(ran: &Ran) -> String {
    let occurs = |word: &str| ran.tables.values().any(|counts| counts.contains_key(word));
    let mut words = DISPOSITIONS.into_iter().filter(|word| occurs(word)).collect::<Vec<_>>();
    let all = ran.tables.values().flat_map(|counts| counts.keys());
    all.for_each(|word| {
        if !words.contains(&word.as_str()) {
            words.push(word);
        }
    });
    let mut head = vec!["What became\nof each change".to_owned()];
    head.extend(ran.tables.keys().map(|name| in_two_lines(name)));
    head.push("all".to_owned());
    let line = |name: &str, of: &dyn Fn(&str) -> u64| {
        let counts = ran.tables.keys().map(|table| of(table)).collect::<Vec<_>>();
        let shown = |count: &u64| if *count == 0 { "-".to_owned() } else { grouped(*count) };
        let sum = counts.iter().sum::<u64>();
        std::iter::once(name.to_owned()).chain(counts.iter().chain([&sum]).map(shown)).collect::<Vec<_>>()
    };
    let mut lines = Vec::new();
    for word in words {
        lines.push(line(word, &|table| ran.tables[table].get(word).copied().unwrap_or_default()));
    }
    lines.push(line("all", &|table| ran.tables[table].values().sum()));
    laid_out(head, lines, 1)
}

/// `agent_schedules` as `agent_` above `schedules`.
fn in_two_lines(name: &str) -> String {
    match name.rsplit_once('_') {
        Some((before, last)) => format!("{before}_\n{last}"),
        None => name.to_owned(),
    }
}

/// The conflicts of one kind, in all tables.
struct Kind<'a> {
    name: &'a str,
    sum: u64,
    outcomes: BTreeMap<&'a str, u64>,
}

/// A line for each of the most frequent kinds with what they came to, and one for the others.
fn conflicts(counts: &[ConflictCount]) -> String {
    let mut kinds: Vec<Kind<'_>> = Vec::new();
    for counted in counts {
        let place = kinds.iter().position(|kind| kind.name == counted.kind).unwrap_or_else(|| {
            kinds.push(Kind { name: &counted.kind, sum: 0, outcomes: BTreeMap::new() });
            kinds.len() - 1
        });
        kinds[place].sum += counted.count;
        *kinds[place].outcomes.entry(&counted.outcome).or_default() += counted.count;
    }
    kinds.sort_by_key(|kind| (std::cmp::Reverse(kind.sum), kind.name));
    let others = kinds.split_off(kinds.len().min(KINDS_SHOWN));
    let line = |name: &str, sum: u64, told: &str| format!("  {name:<24} {:>6}  {told}\n", grouped(sum));
    let mut text = String::new();
    for Kind { name, sum, outcomes } in kinds {
        let told = outcomes.iter().map(|(outcome, count)| format!("{outcome} {}", grouped(*count)));
        text.push_str(&line(name, sum, &told.collect::<Vec<_>>().join(", ")));
    }
    if !others.is_empty() {
        let told = format!("{} kinds, see `reconverge status`", others.len());
        text.push_str(&line("others", others.iter().map(|kind| kind.sum).sum(), &told));
    }
    text
}

/// The heart of it: what the plugin saved.
fn harm(moments: &[Moment], list: &str) -> String {
    let [recovery, end] = moments else { return String::new() };
    let mut text = wrapped(&format!(
        "The rule of {} is a WASM plugin: the greater modification_epoch wins. Last-writer-wins, run just now on the \
         same stream, leaves {} rows otherwise at the recovery: {}; {} after both regions repaired them. All: {list}. \
         Some:",
        SCHEDULES.name,
        recovery.harmed.len(),
        recovery.summary(),
        end.harmed.len(),
    ));
    let mut lines = Vec::new();
    for (harm, count) in Harm::ALL.into_iter().zip(SHOWN) {
        for row in shown(&recovery.harmed, harm, count) {
            lines.push(line(&row.key, "your plugin", row.rule.as_ref()));
            lines.push(line("", "last-writer-wins", row.rival.as_ref()));
        }
    }
    let head = ["schedule", "by", "modification_epoch", "region", "agent", "shift_start", "notes"];
    text.push_str(&laid_out(head.map(str::to_owned).to_vec(), lines, 2));
    text
}

/// What the next failback would be like, before it comes.
fn rehearsal(told: &Rehearsed, page: &str) -> String {
    let of_schedules = told.diverging.iter().filter(|key| key.table == SCHEDULES.name).count();
    wrapped(&format!(
        "`reconverge rehearse` played the recording up to the recovery in {} orders, in memory: last-writer-wins would have \
         destroyed {} rows, {of_schedules} schedules depend on the order, {} rows wait for their parents. For a manager: {page}",
        told.orders,
        told.saved.len(),
        told.parked.len(),
    ))
}

/// The first rows of a harm that any terminal shows as they are; where there are too few, others.
fn shown(harmed: &[Harmed], harm: Harm, count: usize) -> Vec<&Harmed> {
    let mut rows = harmed.iter().filter(|row| row.harm == harm).collect::<Vec<_>>();
    rows.sort_by_key(|row| !(is_ascii(row.rule.as_ref()) && is_ascii(row.rival.as_ref())));
    rows.truncate(count);
    rows
}

/// Also when there is no row; a row without notes shows less than one with them.
fn is_ascii(row: Option<&Row>) -> bool {
    let Some(row) = row else { return true };
    let notes = cell(row, "notes");
    notes.is_some_and(|notes| {
        !notes.is_empty() && notes.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic())
    })
}

fn line(key: &str, by: &str, row: Option<&Row>) -> Vec<String> {
    let mut line = vec![key.to_owned(), by.to_owned()];
    let Some(row) = row else {
        line.push("(no row)".to_owned());
        line.extend(TOLD[1..].iter().map(|_| String::new()));
        return line;
    };
    line.extend(TOLD.map(|column| {
        let text = cell(row, column).unwrap_or("-");
        match column {
            // To the minute.
            "shift_start" => text.get(..16).unwrap_or(text).replace('T', " "),
            "notes" => text.chars().take(16).filter(|c| !c.is_control()).collect(),
            _ => text.to_owned(),
        }
    }));
    line
}

fn cell<'a>(row: &'a Row, column: &str) -> Option<&'a str> {
    SCHEDULES.place(column).ok().and_then(|place| row.get(place)?.as_deref())
}

/// The newest decision out of what `explain` says: its sentences, and the columns that the story speaks of.
fn decision(key: &str, told: &str) -> String {
    let after = told.split_once("\n1. ").map_or(told, |(_, decision)| decision);
    let block = after.split("\n\n").next().unwrap_or(after);
    let mut text =
        format!("Why schedule {key} stands as it does at the recovery, from `reconverge explain`:\n");
    let mut in_table = false;
    for line in block.lines() {
        let line = line.strip_prefix("   ").unwrap_or(line);
        let first = line.split(' ').next().unwrap_or_default();
        in_table |= first == "column";
        // What a generation is made of is long, and `explain` has it.
        let told = if in_table { first == "column" || TOLD.contains(&first) } else { first != "under" };
        if told {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

/// Columns of words, indented; the first stands on the left, and so do all where `gap` is wide.
fn laid_out(head: Vec<String>, lines: Vec<Vec<String>>, gap: u16) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head).add_rows(lines);
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, gap));
        if gap == 1 && place > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}

/// Words in lines of at most [`WIDTH`].
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(last) if line == 0 => last.push_str(word),
            Some(last) if line + 1 + word.chars().count() <= WIDTH => last.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// `1 234`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let parts = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy);
    parts.collect::<Vec<_>>().join(" ")
}

fn shortened(line: &str) -> String {
    if line.chars().count() <= WIDTH {
        return line.to_owned();
    }
    line.chars().take(WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::demo::harm::tests::schedule;

    #[test]
    fn dispositions_stand_by_table_and_add_up() {
        let mut ran = Ran { tables: [].into(), changes: 1205, took: Duration::from_secs(1) };
        let applied = ("applied".to_owned(), 1200);
        ran.tables.insert("agent_schedules".to_owned(), [applied, ("kept-current".to_owned(), 3)].into());
        ran.tables.insert("tmp_state".to_owned(), [("new-word".to_owned(), 2)].into());
        let expected = "
  What became       agent_  tmp_   all
  of each change schedules state
  applied            1 200     - 1 200
  kept-current           3     -     3
  new-word               -     2     2
  all                1 203     2 1 205
";
        assert_eq!(format!("\n{}", dispositions(&ran)), expected);
    }

    #[test]
    fn conflicts_stand_by_kind_over_all_tables() {
        let count = |kind: &str, outcome: &str, count| ConflictCount {
            kind: kind.to_owned(),
            outcome: outcome.to_owned(),
            count,
        };
        let counts = [
            count("delete_missing", "kept-current", 1),
            count("delete_origin_differs", "deleted", 2),
            count("insert_exists", "applied", 2),
            count("update_deleted", "kept-current", 1),
            count("update_origin_differs", "kept-current", 1000),
            count("update_origin_differs", "applied", 20),
            count("update_origin_differs", "kept-current", 30),
        ];
        let expected = "  update_origin_differs     1 050  applied 20, kept-current 1 030
  others                        6  4 kinds, see `reconverge status`
";
        assert_eq!(conflicts(&counts), expected);
    }

    fn harmed(key: &str, harm: Harm, notes: Option<&str>) -> Harmed {
        let mut row = schedule(key, "1772440998519");
        row[SCHEDULES.place("notes").unwrap()] = notes.map(str::to_owned);
        let is_there = |there: bool| there.then(|| row.clone());
        Harmed {
            key: key.to_owned(),
            harm,
            rule: is_there(harm != Harm::Resurrected),
            rival: is_there(harm != Harm::Lost),
        }
    }

    #[test]
    fn rows_that_a_terminal_shows_come_first() {
        let rows = [
            harmed("1", Harm::Overwritten, Some("日本語")),
            harmed("2", Harm::Lost, Some("hold")),
            harmed("3", Harm::Overwritten, None),
            harmed("4", Harm::Overwritten, Some("please hold")),
        ];
        let keys =
            |harm, count| shown(&rows, harm, count).iter().map(|row| row.key.clone()).collect::<Vec<_>>();
        assert_eq!(keys(Harm::Overwritten, 2), ["4", "1"]);
        assert_eq!(keys(Harm::Lost, 2), ["2"]);
        assert!(keys(Harm::Resurrected, 1).is_empty());
    }

    #[test]
    fn both_versions_of_a_row_stand_beside_each_other() {
        let rows = vec![harmed("1008", Harm::Lost, Some("please hold the line for a while"))];
        let moments = [Moment::new("recovery", 3987, rows), Moment::new("end", 4167, Vec::new())];
        let text = harm(&moments, "target/demo/list.csv");
        let told = text.lines().rev().take(3).collect::<Vec<_>>();
        assert_eq!(
            told,
            [
                "            last-writer-wins  (no row)",
                "  1008      your plugin       1772440998519       us-west  360    2026-02-18 01:48  please hold the",
                "  schedule  by                modification_epoch  region   agent  shift_start       notes",
            ]
        );
        let prose = text.replace('\n', " ");
        assert!(prose.contains("leaves 1 rows otherwise at the recovery: 1 lost; 0 after"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn the_decision_is_taken_out_of_the_explanation() {
        let told = "t {}\nrule: x\n\nDecisions, the newest first:\n\n1. kept-current: kind\n   A change\n   \
                    under generation 1 (a 12)\n   column    incoming  current\n   agent_id  1         2\n   \
                    other     1         2\n   (1 column is equal)\n\nThere are older ones: `--limit` shows more.\n";
        let expected = "Why schedule 7 stands as it does at the recovery, from `reconverge explain`:\n  \
                        kept-current: kind\n  A change\n  column    incoming  current\n  agent_id  1         2\n";
        assert_eq!(decision("7", told), expected);
    }

    #[test]
    fn the_rehearsal_is_told_in_lines_that_fit() {
        let depends = |table: &str| crate::demo::pipeline::Depends { table: table.to_owned() };
        let told = Rehearsed {
            saved: vec![serde_json::Value::Null; 53],
            orders: 6,
            diverging: vec![depends("agent_schedules"), depends("other")],
            parked: Vec::new(),
        };
        let text = rehearsal(&told, "target/demo/rehearsal.html");
        let prose = text.replace('\n', " ");
        assert!(prose.contains("in 6 orders") && prose.contains("destroyed 53 rows, 1 schedules"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
    }

    #[test]
    fn prose_is_wrapped_between_words() {
        let word = "x".repeat(60);
        assert_eq!(wrapped(&format!("{word} a {word} b")), format!("{word} a\n{word} b\n"));
        assert_eq!(wrapped(&"x".repeat(WIDTH + 1)), "x".repeat(WIDTH + 1) + "\n");
    }

    #[test]
    fn numbers_are_grouped_and_long_lines_cut() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1 000", "1 234 567"]);
        assert_eq!(shortened(&"ü".repeat(WIDTH)), "ü".repeat(WIDTH));
        let cut = shortened(&"ü".repeat(WIDTH + 1));
        assert_eq!((cut.chars().count(), cut.ends_with("ü…")), (WIDTH, true));
    }
}
