//! Answers as tables for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

use crate::{
    answer::{Answer, Line},
    trial::{median, spread},
};

const HEAD: [&str; 8] = ["", "unit", "median", "least .. greatest", "ratio", "to", "bar", ""];

/// An answer as text, with its question above.
pub(crate) fn text(answer: &Answer) -> String {
    let mut table = Table::new();
    // Markdown, so that what is printed can be put into a page as it is.
    table.load_style(presets::ASCII_MARKDOWN).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(HEAD);
    for line in &answer.lines {
        table.add_row(row(line));
    }
    for column in [2, 4] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let notes = answer.lines.iter().filter(|line| !line.note.is_empty());
    let notes: String = notes.map(|line| format!("  {}: {}\n", line.what, line.note)).collect();
    format!("{}\n{table}\n{notes}", answer.asks)
}

fn row(line: &Line) -> [String; 8] {
    let (least, greatest) = spread(&line.measures);
    [
        line.what.clone(),
        line.unit.word().to_owned(),
        short(median(&line.measures)),
        format!("{} .. {}", short(least), short(greatest)),
        line.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
        line.against.as_ref().map(|(name, _)| name.clone()).unwrap_or_default(),
        line.bar.map(|bar| bar.to_string()).unwrap_or_default(),
        line.is_met().map(|met| if met { "met" } else { "not met" }.to_owned()).unwrap_or_default(),
    ]
}

/// A number as people read it: three digits that count, thousands apart.
pub(crate) fn short(number: f64) -> String {
    if number < 10.0 {
        return format!("{number:.2}");
    }
    if number < 100.0 {
        return format!("{number:.1}");
    }
    let digits = format!("{number:.0}");
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Bar, Unit};

    #[test]
    fn numbers_keep_what_counts() {
        for (number, text) in
            [(0.0, "0.00"), (9.994, "9.99"), (12.34, "12.3"), (999.4, "999"), (1000.0, "1 000")]
        {
            assert_eq!(short(number), text);
        }
        assert_eq!(short(1_234_567.8), "1 234 568");
    }

    #[test]
    fn a_table_shows_ratio_bar_and_notes() {
        let line = Line::new("ours", Unit::EventsPerSecond, vec![30_000.0]).against("plain", &[60_000.0]);
        let line = line.bar(Bar::RatioAtLeast(0.7)).note("2 allocations");
        let text = text(&Answer { question: "it", asks: "How fast?".to_owned(), lines: vec![line] });
        for part in ["How fast?", "30 000", "0.50", "plain", ">= 0.70 x", "not met", "ours: 2 allocations"] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
