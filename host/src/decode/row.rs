//! A JSON object of columns to one row of cells, and to a key.
//!
//! Every column of the batch gets exactly one cell, whatever the object holds, so that columns stay of one
//! length; on a fault the caller takes the half row back.

use std::borrow::Cow;

use reconverge_streams::{
    columns::{Columns, State},
    text::JsonReader,
};

use super::{
    cell::Cells,
    refusal::{Code, Fault},
    source_schema::SourceSchema,
    table::TableDecoder,
};

/// Which image of the row an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Image {
    /// After the change: nulls are checked, a column that is not there is not in the source's table.
    After,
    /// Before the change: a column that is not there is unknown.
    Before,
    /// Before the change, where only the key is believed: everything else is filler.
    BeforeKey,
}

/// An object and how to read it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) json: &'a str,
    pub(super) image: Image,
    /// Columns that the source did not send, by its names.
    pub(super) absent: &'a [Cow<'a, str>],
    /// The key's cells, which stand in where the object lacks them.
    pub(super) key: Option<&'a Columns>,
    pub(super) facts: Option<&'a SourceSchema>,
}

impl Cells<'_> {
    /// Appends one row to `into`.
    ///
    /// # Errors
    /// A cell does not decode, or a column stands twice; then a part of the row was appended.
    pub(super) fn row(
        &mut self,
        row: Row<'_>,
        table: &TableDecoder,
        into: &mut Columns,
    ) -> Result<(), Fault> {
        self.filled.clear();
        self.filled.resize(table.fields.len(), false);
        let mut next = 0;
        for name in row.absent {
            if let Some(at) = table.find(name, &mut next) {
                self.fill(at, name)?;
                into.columns[at].push_state(State::Unavailable);
            }
        }
        next = 0;
        let mut reader = open(row.json)?;
        let mut scratch = String::new();
        let mut first = true;
        while reader.more(b'}', first)? {
            first = false;
            let name = reader.text(&mut scratch)?;
            let at = table.find(name, &mut next);
            match at {
                Some(at) => self.fill(at, name)?,
                None => table.ignored(name),
            }
            reader.expect(b':')?;
            let Some(at) = at else {
                reader.skip()?;
                continue;
            };
            self.column(&mut reader, at, row, table, into)?;
        }
        self.fill_rest(row, table, into);
        into.end_row();
        Ok(())
    }

    fn fill(&mut self, at: usize, name: &str) -> Result<(), Fault> {
        if std::mem::replace(&mut self.filled[at], true) {
            return Err(Fault::new(Code::NotAnEnvelope, format!("column `{name}` stands twice in a row")));
        }
        Ok(())
    }

    fn column(
        &mut self,
        reader: &mut JsonReader<'_>,
        at: usize,
        row: Row<'_>,
        table: &TableDecoder,
        into: &mut Columns,
    ) -> Result<(), Fault> {
        let field = &table.fields[at];
        let cell = &mut into.columns[at];
        if row.image == Image::BeforeKey && !table.key.contains(&at) {
            reader.skip()?;
            cell.push_state(State::Unavailable);
            return Ok(());
        }
        let fact = row.facts.and_then(|facts| facts[at]);
        self.read(reader, field, fact, cell).map_err(|fault| fault.in_column(&field.source_name))?;
        if row.image == Image::After && field.shape.not_null {
            let pushed = cell.len() - 1;
            if cell.state(pushed) == State::Null {
                let fault = Fault::new(Code::NullInNotNull, "null, and the sink's column takes none");
                return Err(fault.in_column(&field.source_name));
            }
        }
        Ok(())
    }

    fn fill_rest(&mut self, row: Row<'_>, table: &TableDecoder, into: &mut Columns) {
        let state = if row.image == Image::After { State::Missing } else { State::Unavailable };
        for (at, cell) in into.columns.iter_mut().enumerate() {
            if self.filled[at] {
                continue;
            }
            let place = table.key.iter().position(|k| *k == at);
            match (row.key, place) {
                (Some(key), Some(place)) => cell.push_from(&key.columns[place], 0),
                _ => cell.push_state(state),
            }
        }
    }

    /// Replaces `key` by the one row of key cells that an object of columns holds.
    ///
    /// # Errors
    /// A key column is missing, null or does not decode; `key` is then empty.
    pub(super) fn key(
        &mut self,
        json: &str,
        facts: Option<&SourceSchema>,
        table: &TableDecoder,
        key: &mut Columns,
    ) -> Result<(), Fault> {
        key.truncate(0);
        let read = self.key_cells(json, facts, table, key);
        if read.is_err() {
            key.abandon_row();
        }
        read
    }

    fn key_cells(
        &mut self,
        json: &str,
        facts: Option<&SourceSchema>,
        table: &TableDecoder,
        key: &mut Columns,
    ) -> Result<(), Fault> {
        let mut reader = open(json)?;
        let mut scratch = String::new();
        let (mut next, mut first) = (0, true);
        while reader.more(b'}', first)? {
            first = false;
            let name = reader.text(&mut scratch)?;
            let at = table.find(name, &mut next);
            let place = at.and_then(|at| table.key.iter().position(|k| *k == at));
            let twice = place.is_some_and(|place| !key.columns[place].is_empty());
            if twice {
                return Err(Fault::new(
                    Code::NotAnEnvelope,
                    format!("column `{name}` stands twice in a row"),
                ));
            }
            reader.expect(b':')?;
            let (Some(at), Some(place)) = (at, place) else {
                reader.skip()?;
                continue;
            };
            let field = &table.fields[at];
            let fact = facts.and_then(|facts| facts[at]);
            self.read(&mut reader, field, fact, &mut key.columns[place])
                .map_err(|fault| fault.in_column(&field.source_name))?;
        }
        for (place, column) in key.columns.iter().enumerate() {
            let state = if column.is_empty() { State::Missing } else { column.state(0) };
            complete(state, &table.fields[table.key[place]].source_name)?;
        }
        key.end_row();
        Ok(())
    }
}

/// That a key cell is a value.
pub(super) fn complete(state: State, column: &str) -> Result<(), Fault> {
    match state {
        State::Value => Ok(()),
        State::Null => Err(Fault::new(Code::NullKey, format!("key column `{column}` is null"))),
        State::Unavailable | State::NoRow | State::Missing => Err(Fault::new(
            Code::MissingKey,
            format!("key column `{column}` is missing; hint: check the table's `key` and `key_from`"),
        )),
    }
}

fn open(json: &str) -> Result<JsonReader<'_>, Fault> {
    let mut reader = JsonReader::new(json);
    if reader.peek() != Some(b'{') {
        return Err(Fault::new(Code::NotAnEnvelope, "a row that is no JSON object"));
    }
    reader.expect(b'{')?;
    Ok(reader)
}
