//! Numbers to cells: JSON's, and those that texts spell, within what the column holds.
//!
//! A number is never taken through a float on its way to an integer or a decimal.

use reconverge_streams::{columns::Column, text};

use super::{
    cell::{Cells, Wire, wrong},
    decimal,
    field::{Field, Kind, Spelling},
    instant,
    refusal::{Code, Fault},
    source_schema::Fact,
    spelling,
};

impl Cells<'_> {
    /// Appends a JSON number, whose digits are still those of the message.
    pub(super) fn number(
        &mut self,
        word: &str,
        field: &Field,
        fact: Fact,
        into: &mut Column,
    ) -> Result<(), Fault> {
        match &field.kind {
            Kind::Int => match text::parse_int(word) {
                Ok(value) => push_int(value, field, into),
                Err(text::Unreadable::Range(what)) => Err(text::Unreadable::Range(what).into()),
                Err(_) => Err(wrong(field, "a number with a fraction or an exponent")),
            },
            Kind::Float { single } => push_float(text::parse_float(word)?, *single, into),
            Kind::Decimal { whole_max } => {
                self.plain.clear();
                if !text::write_decimal(word, &mut self.plain) {
                    return Err(Fault::new(
                        Code::OutOfRange,
                        "a decimal with more digits than a database takes",
                    ));
                }
                self.push_decimal(field, *whole_max, into)
            }
            Kind::Json => {
                into.push_bytes(word.as_bytes());
                Ok(())
            }
            Kind::Bool if self.is_debezium() && matches!(word, "0" | "1") => {
                into.push_bit(word == "1");
                Ok(())
            }
            Kind::Timestamp => {
                let count = whole(word, field)?;
                let micros = match self.wire {
                    Wire::Native => count,
                    Wire::Debezium => instant::timestamp_of(count, fact.unit, field.shape.precision)?,
                };
                into.push_int(instant::rounded(micros, field.shape.precision));
                Ok(())
            }
            Kind::Date if self.is_debezium() => {
                into.push_int(instant::debezium_date(whole(word, field)?)?);
                Ok(())
            }
            Kind::Time if self.is_debezium() => {
                let micros = instant::time_of(whole(word, field)?, fact.unit, field.shape.precision)?;
                into.push_int(instant::rounded_time(micros, field.shape.precision));
                Ok(())
            }
            Kind::Text(Spelling::Interval) if self.is_debezium() => {
                spelling::interval(whole(word, field)?, fact.unit, self, into)
            }
            _ => Err(wrong(field, "a number")),
        }
    }

    /// Puts the number that a text of Debezium's or ours spells into `plain`.
    pub(super) fn decimal_text(&mut self, text: &str, field: &Field, fact: Fact) -> Result<(), Fault> {
        self.plain.clear();
        let scale = fact.scale.or(field.shape.scale.map(i32::from));
        if let (Wire::Debezium, Some(scale)) = (self.wire, scale) {
            let plain = fact.text || (fact.scale.is_none() && self.options.decimals_as_text);
            if !plain && decimal::from_base64(text, scale, &mut self.bytes, &mut self.plain)? {
                return Ok(());
            }
        }
        let text = if self.is_debezium() { decimal::debezium_word(text) } else { text };
        if text::write_decimal(text, &mut self.plain) {
            return Ok(());
        }
        let found = if scale.is_none() && self.is_debezium() {
            "other text (a decimal as bytes needs a scale: of the sink's column, or from a schema)"
        } else {
            "other text"
        };
        Err(wrong(field, found))
    }

    /// Appends the number in `plain` at the column's scale.
    pub(super) fn push_decimal(
        &mut self,
        field: &Field,
        whole_max: Option<usize>,
        into: &mut Column,
    ) -> Result<(), Fault> {
        decimal::fit(&mut self.plain, field.shape.scale, whole_max)?;
        into.push_bytes(self.plain.as_bytes());
        Ok(())
    }
}

fn whole(word: &str, field: &Field) -> Result<i64, Fault> {
    text::parse_int(word).map_err(|unreadable| match unreadable {
        text::Unreadable::Range(_) => unreadable.into(),
        _ => wrong(field, "a number with a fraction or an exponent"),
    })
}

/// Appends an integer that the column holds.
pub(super) fn push_int(value: i64, field: &Field, into: &mut Column) -> Result<(), Fault> {
    let (least, greatest) = field.shape.int_range;
    if value < least || value > greatest {
        return Err(Fault::new(
            Code::OutOfRange,
            format!("an integer beyond the column's range ({least} to {greatest})"),
        ));
    }
    into.push_int(value);
    Ok(())
}

/// Appends a float, rounded to what the column keeps.
pub(super) fn push_float(value: f64, single: bool, into: &mut Column) -> Result<(), Fault> {
    if !single {
        into.push_float(value);
        return Ok(());
    }
    #[expect(clippy::cast_possible_truncation, reason = "the column keeps 32 bits")]
    let narrow = value as f32;
    if narrow.is_infinite() && value.is_finite() {
        return Err(Fault::new(Code::OutOfRange, "a float beyond the range of 32 bits"));
    }
    into.push_float(f64::from(narrow));
    Ok(())
}
