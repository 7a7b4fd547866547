//! What differs between the rows that must stand and those that do. Pure; says everything, judges nothing.

use std::fmt;

use crate::{Row, Rows};

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The table.
    pub table: &'static str,
    /// The key's values, with commas between.
    pub key: String,
    /// How it differs.
    pub how: How,
}

/// How a key differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum How {
    /// The row should stand and does not.
    Missing,
    /// The row stands and should not.
    Unexpected,
    /// Both stand; these columns differ: name, what must stand, what does.
    Cells(Vec<(&'static str, Option<String>, Option<String>)>),
}

/// All keys whose rows differ, in the order of their text: first those that must stand, then the unexpected.
#[must_use]
pub fn differences(expected: &Rows, found: &Rows) -> Vec<Difference> {
    let of = |key: &Vec<String>, how| Difference { table: expected.table.name, key: key.join(","), how };
    let mut differing = Vec::new();
    for (key, row) in expected.iter() {
        match found.get(key) {
            None => differing.push(of(key, How::Missing)),
            Some(stands) if stands != row => {
                differing.push(of(key, How::Cells(cells(expected, row, stands))))
            }
            Some(_) => {}
        }
    }
    let unexpected = found.iter().filter(|(key, _)| expected.get(key).is_none());
    differing.extend(unexpected.map(|(key, _)| of(key, How::Unexpected)));
    differing
}

fn cells(expected: &Rows, row: &Row, stands: &Row) -> Vec<(&'static str, Option<String>, Option<String>)> {
    let pairs = expected.table.columns.iter().zip(row.iter().zip(stands));
    let differ = pairs.filter(|(_, (must, does))| must != does);
    differ.map(|((name, _), (must, does))| (*name, must.clone(), does.clone())).collect()
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.table, self.key)?;
        match &self.how {
            How::Missing => write!(f, "the row is missing"),
            How::Unexpected => write!(f, "no row should stand"),
            How::Cells(cells) => {
                for (place, (name, must, does)) in cells.iter().enumerate() {
                    let comma = if place == 0 { "" } else { "; " };
                    write!(f, "{comma}{name} must be {}, is {}", shown(must), shown(does))?;
                }
                Ok(())
            }
        }
    }
}

fn shown(cell: &Option<String>) -> String {
    cell.as_ref().map_or_else(|| "null".to_owned(), |text| format!("{text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::tests::{PAIRS, row};

    fn rows(list: &[[Option<&str>; 3]]) -> Rows {
        let mut rows = Rows::none(PAIRS);
        list.iter().for_each(|cells| rows.add(row(*cells)).unwrap());
        rows
    }

    #[test]
    fn equal_rows_differ_nowhere() {
        let one = rows(&[[Some("1"), Some("x"), None], [Some("2"), Some("x"), Some("")]]);
        let other = rows(&[[Some("2"), Some("x"), Some("")], [Some("1"), Some("x"), None]]);
        assert_eq!(differences(&one, &other), []);
        assert_eq!(differences(&rows(&[]), &rows(&[])), []);
    }

    #[test]
    fn every_planted_difference_is_found_and_told() {
        let expected = rows(&[
            [Some("1"), Some("x"), None],
            [Some("2"), Some("x"), Some("v")],
            [Some("3"), Some("x"), Some("v")],
        ]);
        let found = rows(&[
            [Some("1"), Some("x"), Some("")],
            [Some("3"), Some("x"), Some("v")],
            [Some("4"), Some("x"), Some("v")],
        ]);
        let told = differences(&expected, &found).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            told,
            [
                "pairs x,1: v must be null, is \"\"",
                "pairs x,2: the row is missing",
                "pairs x,4: no row should stand"
            ]
        );
    }
}
