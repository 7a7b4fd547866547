//! JSON arrays to array cells: each element as a cell of its type, then one canonical text.

use std::mem;

use reconverge_streams::{
    columns::{Column, State},
    text::{self, JsonReader},
};

use super::{
    cell::{Cells, too_large, wrong},
    field::{Field, Kind},
    refusal::{Code, Fault},
    source_schema::Fact,
};

impl Cells<'_> {
    /// Appends a JSON array.
    pub(super) fn list(
        &mut self,
        reader: &mut JsonReader<'_>,
        field: &Field,
        fact: Option<Fact>,
        into: &mut Column,
    ) -> Result<(), Fault> {
        match &field.kind {
            Kind::Json => self.object(reader, field, into),
            Kind::Array(element) => {
                let mut array = mem::take(&mut self.array);
                let read = self.elements(reader, element, fact, &mut array);
                let pushed = read.and_then(|only_a_placeholder| {
                    if only_a_placeholder || (self.is_debezium() && array == self.placeholder.integers) {
                        into.push_state(State::Unavailable);
                    } else if array.len() > self.value_bytes {
                        return Err(too_large(self.value_bytes));
                    } else {
                        into.push_bytes(array.as_bytes());
                    }
                    Ok(())
                });
                self.array = array;
                pushed
            }
            _ => Err(wrong(field, "an array")),
        }
    }

    /// Writes an array's canonical form; returns whether its one element is the placeholder for an array that
    /// was not sent.
    fn elements(
        &mut self,
        reader: &mut JsonReader<'_>,
        element: &Field,
        fact: Option<Fact>,
        array: &mut String,
    ) -> Result<bool, Fault> {
        array.clear();
        array.push('[');
        reader.expect(b'[')?;
        let mut cell = Column::new(element.shape.logical);
        let (mut count, mut unavailable) = (0_usize, false);
        while reader.more(b']', count == 0)? {
            if reader.peek() == Some(b'[') && !matches!(element.kind, Kind::Json) {
                return Err(wrong(element, "an array inside of an array"));
            }
            cell.truncate(0);
            self.read(reader, element, fact, &mut cell).map_err(in_element)?;
            unavailable |= cell.state(0) == State::Unavailable;
            if count > 0 {
                array.push(',');
            }
            text::write_json_cell(&cell, 0, array);
            count += 1;
        }
        array.push(']');
        if unavailable && count > 1 {
            return Err(Fault::new(Code::WrongType, "an element stands for a value that was not sent"));
        }
        Ok(unavailable)
    }
}

fn in_element(fault: Fault) -> Fault {
    Fault { code: fault.code, what: format!("in an element: {}", fault.what).into() }
}
