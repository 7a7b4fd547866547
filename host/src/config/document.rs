//! Text to raw form, with every problem of the reading and not the first alone.
//!
//! serde stops at the first key that it does not know or value that it cannot take. So what it stopped at
//! is taken out of the document and the document is read again, until nothing is wrong any more; what was
//! taken out is remembered, so that the checks do not call it missing.

use std::ops::Range;

use serde::Deserialize;
use toml::de::{DeArray, DeTable, DeValue, Deserializer, Error};

use super::problem::{Problem, Text};
use super::raw;
use super::spelling;

/// How many wrong keys and values are reported before the reader gives up.
const PROBLEMS_MAX: usize = 50;

/// What could be read of a file.
pub(super) struct Document {
    /// `None` where the text is no TOML, or so wrong that checking the rest would mislead.
    pub file: Option<raw::File>,
    pub problems: Vec<Problem>,
    /// Keys that were taken out, or that a misspelt key was meant to be: not to be called missing.
    pub excused: Vec<String>,
}

/// Reads the text of a pipeline file.
pub(super) fn read(text: &str, shown: &Text) -> Document {
    let (mut root, errors) = DeTable::parse_recoverable(text);
    let mut problems: Vec<_> = errors.iter().map(|error| syntax(error, shown)).collect();
    let mut excused = Vec::new();
    if !problems.is_empty() {
        return Document { file: None, problems, excused };
    }
    while problems.len() < PROBLEMS_MAX {
        match raw::File::deserialize(Deserializer::from(root.clone())) {
            Ok(file) => return Document { file: Some(file), problems, excused },
            Err(error) => {
                if !is_missing_one_of(&error, &excused) {
                    let (problem, meant) = explain(&error, shown);
                    problems.push(problem);
                    excused.extend(meant);
                }
                let removed = error.span().and_then(|span| remove_from_table(root.get_mut(), &span));
                let Some(key) = removed else { break };
                excused.push(key);
            }
        }
    }
    Document { file: None, problems, excused }
}

fn syntax(error: &Error, shown: &Text) -> Problem {
    let mut problem = shown.problem(error.span().unwrap_or(0..0), format!("not TOML: {}", error.message()));
    problem.help("see https://toml.io; text stands in \"quotes\", a table's name in [brackets]");
    problem
}

/// Whether a key is missing only because it was taken out or was misspelt.
fn is_missing_one_of(error: &Error, excused: &[String]) -> bool {
    let missing = error.message().strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`'));
    missing.is_some_and(|key| excused.iter().any(|excused| excused == key))
}

/// Turns serde's words into ours. Also the key that was meant, where a key is misspelt.
fn explain(error: &Error, shown: &Text) -> (Problem, Option<String>) {
    let message = error.message();
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let span = error.span().unwrap_or(0..0);
    let (kind, known) = match words.split_first() {
        Some((word, known)) if message.starts_with("unknown field") => (Some(("key", *word)), known),
        Some((word, known)) if message.starts_with("unknown variant") => (Some(("value", *word)), known),
        _ => (None, &[] as &[&str]),
    };
    let Some((kind, word)) = kind else {
        return (shown.problem(span, message.to_owned()), None);
    };
    let mut problem = shown.problem(span, format!("unknown {kind} `{word}`"));
    problem.label("not known here").help(spelling::hint(word, known));
    let meant = (kind == "key").then(|| spelling::nearest(word, known.iter().copied())).flatten();
    (problem, meant.map(str::to_owned))
}

/// Takes out the innermost entry whose key or value stands at `span`; returns its key.
fn remove_from_table(table: &mut DeTable<'_>, span: &Range<usize>) -> Option<String> {
    for (key, value) in table.iter_mut() {
        let inner = remove_from_value(value.get_mut(), span);
        if let Some(name) = inner {
            return Some(if name.is_empty() { key.get_ref().to_string() } else { name });
        }
    }
    let (key, _) = table.iter().find(|(key, value)| key.span() == *span || value.span() == *span)?;
    let key = key.clone();
    table.remove(&key);
    Some(key.into_inner().into_owned())
}

fn remove_from_value(value: &mut DeValue<'_>, span: &Range<usize>) -> Option<String> {
    match value {
        DeValue::Table(table) => remove_from_table(table, span),
        DeValue::Array(array) => remove_from_array(array, span),
        _ => None,
    }
}

/// An element has no key of its own: the empty text stands for "the key of the array".
fn remove_from_array(array: &mut DeArray<'_>, span: &Range<usize>) -> Option<String> {
    for element in array.iter_mut() {
        if let Some(name) = remove_from_value(element.get_mut(), span) {
            return Some(name);
        }
    }
    let index = array.iter().position(|element| element.span() == *span)?;
    let kept = array.iter().enumerate().filter(|(n, _)| *n != index).map(|(_, element)| element.clone());
    *array = kept.collect();
    Some(String::new())
}
