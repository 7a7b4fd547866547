//! Written columns of answers, one row per row that was asked about, each cell checked against the column that it
//! goes into. A cell that the column cannot take fails its change alone; the words for it never hold the cell.

use reconverge_streams::{
    columns::{Column, Columns, State},
    logical::Logical,
    table::ColumnShape,
    text,
};

use super::{
    block::{Answered, WrittenColumn},
    projection::Write,
};

/// Microseconds of a day; PostgreSQL takes 24:00 as well.
const DAY_MICROS: i64 = 86_400_000_000;

/// Rows of written columns. A cell that is [`State::Unavailable`] is left as it is.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) columns: Columns,
}

/// A written cell that its column cannot take.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrote column `{column}`: {why}")]
pub(super) struct Unwritable {
    column: String,
    why: String,
}

impl Written {
    /// No row yet.
    pub(super) fn new(writes: &[Write]) -> Self {
        Written { columns: Columns::new(writes.iter().map(|write| write.shape.logical)) }
    }

    /// A row that writes nothing.
    pub(super) fn leave(&mut self) {
        self.columns.push_row_of(State::Unavailable);
    }

    /// The written cells of a row of an answer that writes.
    ///
    /// # Errors
    /// A column cannot take its cell; the row writes nothing then.
    pub(super) fn take(
        &mut self,
        answered: &Answered<'_>,
        row: usize,
        writes: &[Write],
        value_bytes: usize,
    ) -> Result<(), Unwritable> {
        for ((from, write), to) in answered.columns.iter().zip(writes).zip(&mut self.columns.columns) {
            if let Err(why) = take_cell(from, row, &write.shape, value_bytes, to) {
                self.columns.abandon_row();
                self.leave();
                return Err(Unwritable { column: write.shape.name.clone(), why });
            }
        }
        self.columns.end_row();
        Ok(())
    }
}

/// Appends a cell, or says what is wrong with it and appends nothing.
fn take_cell(
    from: &WrittenColumn<'_>,
    row: usize,
    shape: &ColumnShape,
    value_bytes: usize,
    to: &mut Column,
) -> Result<(), String> {
    match from.state(row) {
        State::Value => {}
        State::Null if shape.not_null => return Err("null, which the column does not take".into()),
        state => {
            to.push_state(state);
            return Ok(());
        }
    }
    let number = i64::from_le_bytes(from.eight(row));
    let bytes = from.bytes(row);
    if bytes.len() > value_bytes {
        return Err(format!("{} bytes, more than the {value_bytes} of a value", bytes.len()));
    }
    match shape.logical {
        Logical::Bool => to.push_bit(from.bit(row)),
        Logical::Float => to.push_float(f64::from_le_bytes(from.eight(row))),
        Logical::Int if number < shape.int_range.0 || number > shape.int_range.1 => {
            return Err("an integer beyond the column's range".into());
        }
        Logical::Time if !(0..=DAY_MICROS).contains(&number) => return Err("a time beyond a day".into()),
        Logical::Int | Logical::Timestamp | Logical::Date | Logical::Time => to.push_int(number),
        Logical::Uuid if bytes.len() != 16 => return Err("a uuid that has not 16 bytes".into()),
        Logical::Uuid | Logical::Bytes => to.push_bytes(bytes),
        Logical::Text | Logical::Decimal | Logical::Json | Logical::Array(_) => {
            let words = std::str::from_utf8(bytes).map_err(|_| "text that is not UTF-8")?;
            take_text(words, shape, to)?;
        }
    }
    Ok(())
}

fn take_text(words: &str, shape: &ColumnShape, to: &mut Column) -> Result<(), String> {
    if words.contains('\0') {
        return Err("text with NUL in it".into());
    }
    if shape.logical == Logical::Text {
        if !shape.labels.is_empty() && !shape.labels.iter().any(|label| label == words) {
            return Err("text that is none of the column's labels".into());
        }
        if let Some(length) = shape.length
            && words.chars().nth(length as usize).is_some()
        {
            return Err(format!("text of more than {length} characters"));
        }
    }
    text::parse(shape, words, to).map_err(|cause| cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::{super::block::tests::answer_of, *};

    fn shape(logical: Logical, change: impl FnOnce(&mut ColumnShape)) -> ColumnShape {
        let mut shape = ColumnShape::new("c", logical);
        change(&mut shape);
        shape
    }

    /// Writes one cell into a column; gives what then stands there, or why not.
    fn put(shape: ColumnShape, cell: impl FnOnce(&mut Column)) -> Result<String, String> {
        let mut from = Column::new(shape.logical);
        cell(&mut from);
        let writes = [Write { column: 0, shape }];
        let answer = answer_of(&from);
        let answered = answer.checked(&from);
        let mut written = Written::new(&writes);
        written.take(&answered, 0, &writes, 20).map_err(|error| error.to_string())?;
        let column = &written.columns.columns[0];
        let mut told = String::new();
        if column.state(0) == State::Value {
            text::write(column, 0, &mut told);
        } else {
            told = format!("{:?}", column.state(0));
        }
        Ok(told)
    }

    #[test]
    fn cells_are_taken_in_their_canonical_form() {
        let text = |words: &'static str| move |column: &mut Column| column.push_bytes(words.as_bytes());
        for (shape, cell, told) in [
            (shape(Logical::Json, |_| ()), text(r#"{"b": 1, "a":2}"#), r#"{"a":2,"b":1}"#),
            (shape(Logical::Decimal, |s| s.scale = Some(2)), text("12.5"), "12.50"),
            (shape(Logical::Text, |s| s.length = Some(3)), text("äöü"), "äöü"),
            (shape(Logical::Text, |s| s.labels = vec!["sad".into()]), text("sad"), "sad"),
        ] {
            assert_eq!(put(shape, cell).unwrap(), told);
        }
        assert_eq!(put(shape(Logical::Int, |_| ()), |c| c.push_int(-7)).unwrap(), "-7");
        assert_eq!(
            put(shape(Logical::Int, |_| ()), |c| c.push_state(State::Unavailable)).unwrap(),
            "Unavailable"
        );
        assert_eq!(put(shape(Logical::Int, |_| ()), |c| c.push_state(State::Null)).unwrap(), "Null");
        assert_eq!(put(shape(Logical::Bool, |_| ()), |c| c.push_bit(true)).unwrap(), "true");
        assert_eq!(put(shape(Logical::Float, |_| ()), |c| c.push_float(0.5)).unwrap(), "0.5");
    }

    #[test]
    fn a_cell_that_the_column_cannot_take_is_refused_without_being_told() {
        let text = |words: &'static str| move |column: &mut Column| column.push_bytes(words.as_bytes());
        for (shape, cell, told) in [
            (shape(Logical::Json, |_| ()), text("{secret"), "expected"),
            (shape(Logical::Decimal, |_| ()), text("secret"), "expected"),
            (shape(Logical::Uuid, |_| ()), text("secret"), "16 bytes"),
            (shape(Logical::Text, |_| ()), text("secret\0"), "NUL"),
            (shape(Logical::Text, |s| s.length = Some(5)), text("secret"), "more than 5 characters"),
            (shape(Logical::Text, |s| s.labels = vec!["sad".into()]), text("secret"), "labels"),
            (shape(Logical::Text, |_| ()), text("secret, and longer than a value"), "more than the 20"),
        ] {
            let error = put(shape, cell).unwrap_err();
            assert!(error.contains(told) && error.contains("`c`") && !error.contains("secret"), "{error}");
        }
        assert!(put(shape(Logical::Int, |s| s.int_range = (0, 9)), |c| c.push_int(10)).is_err());
        assert!(put(shape(Logical::Time, |_| ()), |c| c.push_int(-1)).is_err());
        assert!(put(shape(Logical::Int, |s| s.not_null = true), |c| c.push_state(State::Null)).is_err());
    }
}
