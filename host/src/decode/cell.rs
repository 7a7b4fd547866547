//! One JSON value to one cell, by the column's type.
//!
//! Values go straight into the column: the buffers here are reused from cell to cell. What the column cannot
//! hold is a [`Fault`] that names kinds, never the value.

use std::mem;

use reconverge_streams::{
    columns::{Column, State},
    text::{self, JsonReader},
};

use super::{
    decimal,
    field::{Field, Kind, Spelling},
    instant,
    number::{push_float, push_int},
    options::{Options, Placeholder},
    refusal::{Code, Fault},
    source_schema::Fact,
    spelling,
};

/// Whose habits the values follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// Reconverge's own text forms.
    Native,
    /// Debezium's.
    Debezium,
}

/// Reads cells; one per batch.
#[derive(Debug)]
pub(super) struct Cells<'d> {
    pub(super) options: &'d Options,
    pub(super) placeholder: &'d Placeholder,
    /// Greatest size of a value in bytes.
    pub(super) value_bytes: usize,
    /// Whose values these are.
    pub(super) wire: Wire,
    /// A string with escapes, undone.
    unescaped: String,
    /// A value in the form that the column keeps.
    pub(super) plain: String,
    /// Bytes that a text spells.
    pub(super) bytes: Vec<u8>,
    /// An array in the form that the column keeps.
    pub(super) array: String,
    /// Which columns of the row have been read.
    pub(super) filled: Vec<bool>,
}

impl<'d> Cells<'d> {
    pub(super) fn new(options: &'d Options, placeholder: &'d Placeholder, value_bytes: usize) -> Self {
        Cells {
            options,
            placeholder,
            value_bytes,
            wire: Wire::Native,
            unescaped: String::new(),
            plain: String::new(),
            bytes: Vec::new(),
            array: String::new(),
            filled: Vec::new(),
        }
    }

    /// Appends the next value of `reader` to `into`. On an error nothing or half a row was appended; the caller
    /// takes the row back.
    pub(super) fn read(
        &mut self,
        reader: &mut JsonReader<'_>,
        field: &Field,
        fact: Option<Fact>,
        into: &mut Column,
    ) -> Result<(), Fault> {
        match reader.peek() {
            Some(b'"') => {
                let mut unescaped = mem::take(&mut self.unescaped);
                let read = match reader.text(&mut unescaped) {
                    Ok(text) => self.text(text, field, fact.unwrap_or_default(), into),
                    Err(broken) => Err(broken.into()),
                };
                self.unescaped = unescaped;
                read
            }
            Some(b'{') => self.object(reader, field, into),
            Some(b'[') => self.list(reader, field, fact, into),
            _ => match reader.word()? {
                "null" => {
                    into.push_state(State::Null);
                    Ok(())
                }
                word @ ("true" | "false") => self.boolean(word, field, into),
                number => self.number(number, field, fact.unwrap_or_default(), into),
            },
        }
    }

    pub(super) fn is_debezium(&self) -> bool {
        self.wire == Wire::Debezium
    }

    fn text(&mut self, text: &str, field: &Field, fact: Fact, into: &mut Column) -> Result<(), Fault> {
        if self.is_debezium() && self.placeholder.is(text) {
            into.push_state(State::Unavailable);
            return Ok(());
        }
        if text.len() > self.value_bytes {
            return Err(too_large(self.value_bytes));
        }
        match &field.kind {
            Kind::Text(Spelling::Plain | Spelling::Label) => spelling::push(text, field, into),
            Kind::Text(spelling) if self.is_debezium() => {
                spelling::from_text(*spelling, text, self, field, into)
            }
            Kind::Text(_) => spelling::push(text, field, into),
            Kind::Int => push_int(text::parse_int(text)?, field, into),
            Kind::Float { single } => push_float(text::parse_float(text)?, *single, into),
            Kind::Decimal { whole_max } => {
                self.decimal_text(text, field, fact)?;
                self.push_decimal(field, *whole_max, into)
            }
            Kind::Timestamp => {
                let micros = text::read_timestamp(text)?;
                let micros = if self.is_debezium() { instant::debezium_timestamp(micros)? } else { micros };
                into.push_int(instant::rounded(micros, field.shape.precision));
                Ok(())
            }
            Kind::Date => {
                let days = text::parse_date(text).ok_or_else(|| wrong(field, "other text"))?;
                into.push_int(if self.is_debezium() { instant::debezium_date(days)? } else { days });
                Ok(())
            }
            Kind::Bytes => self.bytes_cell(text, field, into),
            Kind::Json => {
                self.plain.clear();
                text::write_canonical_json(text, &mut self.plain)?;
                push_json(&self.plain, into)
            }
            Kind::Array(_) => Err(wrong(field, "text")),
            Kind::Time => {
                let micros = text::parse_time(text).ok_or_else(|| wrong(field, "other text"))?;
                into.push_int(instant::rounded_time(micros, field.shape.precision));
                Ok(())
            }
            Kind::Bool | Kind::Uuid => Ok(text::parse(&field.shape, text, into)?),
        }
    }

    fn bytes_cell(&mut self, text: &str, field: &Field, into: &mut Column) -> Result<(), Fault> {
        let bytes = if self.is_debezium() {
            spelling::debezium_bytes(self.options.binary, text, &mut self.bytes)
        } else {
            self.bytes = text::parse_bytes(text).unwrap_or_default();
            !self.bytes.is_empty() || text.is_empty()
        };
        if !bytes {
            return Err(wrong(field, "other text"));
        }
        into.push_bytes(&self.bytes);
        Ok(())
    }

    fn boolean(&mut self, word: &str, field: &Field, into: &mut Column) -> Result<(), Fault> {
        match field.kind {
            Kind::Bool => into.push_bit(word == "true"),
            Kind::Json => into.push_bytes(word.as_bytes()),
            // A bit(1) of PostgreSQL.
            Kind::Text(Spelling::Bits { .. }) if self.is_debezium() => {
                into.push_bytes(if word == "true" { b"1" } else { b"0" });
            }
            _ => return Err(wrong(field, "a boolean")),
        }
        Ok(())
    }

    pub(super) fn object(
        &mut self,
        reader: &mut JsonReader<'_>,
        field: &Field,
        into: &mut Column,
    ) -> Result<(), Fault> {
        let raw = reader.skip()?;
        if raw.len() > self.value_bytes {
            return Err(too_large(self.value_bytes));
        }
        match &field.kind {
            Kind::Json => {
                self.plain.clear();
                text::write_canonical_json(raw, &mut self.plain)?;
                push_json(&self.plain, into)
            }
            Kind::Decimal { whole_max } if self.is_debezium() => {
                decimal::from_struct(raw, &mut self.bytes, &mut self.plain)?;
                self.push_decimal(field, *whole_max, into)
            }
            Kind::Text(Spelling::Point) if self.is_debezium() => spelling::point(raw, self, field, into),
            _ => Err(wrong(field, "an object")),
        }
    }
}

pub(super) fn wrong(field: &Field, found: &str) -> Fault {
    Fault::wrong_type(text::expected(field.shape.logical), found)
}

pub(super) fn too_large(limit: usize) -> Fault {
    Fault::new(Code::TooLarge, format!("a value of more than {limit} bytes (limits.value_bytes)"))
}

fn push_json(canonical: &str, into: &mut Column) -> Result<(), Fault> {
    if spelling::holds_nul(canonical) {
        return Err(Fault::new(Code::NulInText, "the character NUL in a JSON text"));
    }
    into.push_bytes(canonical.as_bytes());
    Ok(())
}
