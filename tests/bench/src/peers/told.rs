//! What became of a program that was broken: its rows beside those that must stand, its exits, its words.

use std::{collections::HashMap, time::Duration};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

/// The words of a program that fit into a table.
const WORDS_MAX: usize = 160;

/// Keys and the modification epochs of their rows.
pub(crate) type Rows = HashMap<i64, i64>;

/// One program, broken in one way.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    pub(crate) broken: &'static str,
    pub(crate) program: String,
    /// Rows that are older than they must be.
    pub(crate) regressed: usize,
    pub(crate) missing: usize,
    pub(crate) extra: usize,
    /// How it ended, start by start.
    pub(crate) exits: Vec<String>,
    pub(crate) seconds: f64,
    /// What its user read.
    pub(crate) words: String,
}

impl Outcome {
    pub(crate) fn of(broken: &'static str, program: &str, wanted: &Rows, found: &Rows) -> Outcome {
        let older = |(key, epoch): &(&i64, &i64)| found.get(key).is_some_and(|found| found != *epoch);
        Outcome {
            broken,
            program: program.to_owned(),
            regressed: wanted.iter().filter(older).count(),
            missing: wanted.keys().filter(|key| !found.contains_key(key)).count(),
            extra: found.keys().filter(|key| !wanted.contains_key(key)).count(),
            exits: Vec::new(),
            seconds: 0.0,
            words: String::new(),
        }
    }

    pub(crate) fn after(self, exits: Vec<String>, took: Duration, words: String) -> Outcome {
        Outcome { exits, seconds: took.as_secs_f64(), words, ..self }
    }
}

/// The first error in what a program said, or else its last warning, or else its last words.
pub(crate) fn words(said: &str) -> String {
    let said = plain(said);
    let has = |line: &str, words: &[&str]| words.iter().any(|word| line.to_lowercase().contains(word));
    let error = said.lines().find(|line| has(line, &["error", "fail"]));
    let warning = said.lines().rfind(|line| has(line, &["warn"]));
    let line = error.or(warning).or_else(|| said.lines().last()).unwrap_or("nothing");
    let mut short: String = line.trim().chars().take(WORDS_MAX).collect();
    if short.len() < line.trim().len() {
        short.push_str(" ..");
    }
    short.replace('|', "/")
}

/// Without the colours of a terminal.
fn plain(said: &str) -> String {
    let mut parts = said.split('\u{1b}');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(part.split_once('m').map_or(part, |(_, rest)| rest));
    }
    text
}

/// The outcomes for people, as Markdown.
pub(crate) fn table(outcomes: &[Outcome]) -> String {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["broken by", "program", "old", "missing", "extra", "exits", "s", "what its user read"]);
    for outcome in outcomes {
        table.add_row([
            outcome.broken.to_owned(),
            outcome.program.clone(),
            outcome.regressed.to_string(),
            outcome.missing.to_string(),
            outcome.extra.to_string(),
            outcome.exits.join(", "),
            format!("{:.1}", outcome.seconds),
            outcome.words.clone(),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_told_apart() {
        let wanted = Rows::from([(1, 10), (2, 20), (3, 30)]);
        let outcome = Outcome::of("it", "a program", &wanted, &Rows::from([(1, 10), (2, 18), (4, 40)]));
        assert_eq!((outcome.regressed, outcome.missing, outcome.extra), (1, 1, 1));
        let text = table(&[outcome.after(vec!["1".into(), "0".into()], Duration::from_secs(2), "a".into())]);
        assert!(text.contains("| 1, 0") && text.contains("2.0"), "{text}");
    }

    #[test]
    fn trouble_is_told_before_the_end() {
        assert_eq!(words("begin\nWARN a\nWARN it broke | twice\nend\n"), "WARN it broke / twice");
        assert_eq!(words("WARN a\n\u{1b}[31mERROR\u{1b}[0m b\nerror: c\n"), "ERROR b");
        assert_eq!((words("begin\nend\n"), words("")), ("end".to_owned(), "nothing".to_owned()));
        assert!(words(&"error ".repeat(100)).ends_with(" .."));
    }
}
