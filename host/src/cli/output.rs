//! Data on stdout: a table or text for people, or one JSON value for programs. Talk goes elsewhere.

use std::io::{self, Write};

use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use super::{exit::Exit, failure::Failure};

/// Spaces between two columns of a table.
const GAP: u16 = 2;

/// Writes what a command found. `value` gives the JSON value, `text` the words for people; only one is made.
pub(super) fn show<T: Serialize>(
    json: bool,
    value: &T,
    text: impl FnOnce(&T) -> String,
) -> Result<(), Failure> {
    if json {
        let mut line = serde_json::to_string_pretty(value)
            .map_err(|error| Failure::new(Exit::Runtime, "the answer is no JSON").because(&error))?;
        line.push('\n');
        write(line.as_bytes())
    } else {
        write(text(value).as_bytes())
    }
}

/// Writes bytes to stdout. A reader that went away (`| head`) is no failure.
pub(super) fn write(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Exit::Environment, "stdout cannot be written").because(&error))
        }
        _ => Ok(()),
    }
}

/// A table of words. Columns whose head ends in `#` hold numbers and stand on the right; the sign is not shown.
/// As wide as it must be, or as the terminal is; never coloured.
pub(super) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(head.iter().map(|word| word.trim_end_matches('#')))
        .add_rows(rows);
    for (column, word) in table.column_iter_mut().zip(head) {
        column.set_padding((0, GAP));
        // A head is broken between its words at most.
        let longest = word.trim_end_matches('#').split(' ').map(str::len).max().unwrap_or_default();
        let least = u16::try_from(longest).unwrap_or(u16::MAX).saturating_add(GAP);
        column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        if word.ends_with('#') {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// A value that may be absent, for a cell.
pub(super) fn or_dash<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// A number with its thousands parted: `1 234 567`.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_plain_words_in_columns() {
        let rows = [vec!["orders".to_owned(), "12".to_owned()], vec!["x".to_owned(), "1 000".to_owned()]];
        assert_eq!(table(&["table", "rows#"], rows), "table    rows\norders     12\nx       1 000\n");
    }

    #[test]
    fn thousands_are_parted() {
        let cases = [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")];
        for (number, text) in cases {
            assert_eq!(grouped(number), text);
        }
    }
}
