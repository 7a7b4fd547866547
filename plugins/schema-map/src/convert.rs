//! Cells of the mapping: their conversions from one type to another, and defaults from the configuration.

use std::collections::BTreeMap;

use reconverge_sdk::{AnyCell, Kind, config};

/// From which type to which.
#[config]
#[derive(Clone, Copy, Debug, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum Conversion {
    /// Digits to the integer that they write.
    TextToInt,
    /// An integer to its digits.
    IntToText,
    /// 0 to false, 1 to true.
    IntToBool,
    /// Seconds since 1970 to a timestamp.
    SecondsToTimestamp,
    /// Milliseconds since 1970 to a timestamp.
    MillisecondsToTimestamp,
}

impl Conversion {
    /// The logical types that it takes and gives.
    pub fn types(self) -> (&'static str, &'static str) {
        match self {
            Conversion::TextToInt => ("text", "int"),
            Conversion::IntToText => ("int", "text"),
            Conversion::IntToBool => ("int", "bool"),
            Conversion::SecondsToTimestamp | Conversion::MillisecondsToTimestamp => ("int", "timestamp"),
        }
    }
}

/// A cell that was made.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
}

impl Cell {
    pub fn as_any(&self) -> AnyCell<'_> {
        match self {
            Cell::Bool(value) => AnyCell::Bool(*value),
            Cell::Int(value) => AnyCell::Int(*value),
            Cell::Float(value) => AnyCell::Float(*value),
            Cell::Text(value) => AnyCell::Text(value),
            Cell::Bytes(value) => AnyCell::Bytes(value),
        }
    }
}

/// A default of the configuration as a cell of a logical type.
pub fn default(json: &serde_json::Value, logical: &str) -> Result<Cell, String> {
    let cell = match Kind::of(logical) {
        Some(Kind::Bits) => json.as_bool().map(Cell::Bool),
        Some(Kind::Int64) => json.as_i64().map(Cell::Int),
        Some(Kind::Float64) => json.as_f64().map(Cell::Float),
        Some(Kind::Packed) if logical == "json" || logical.ends_with("[]") => {
            Some(Cell::Text(json.to_string()))
        }
        Some(Kind::Packed) if Kind::is_text(logical) => json.as_str().map(|text| Cell::Text(text.into())),
        Some(Kind::Packed) | None => None,
    };
    cell.ok_or_else(|| format!("the default {json} is not of type {logical}"))
}

/// Converts a value, then looks it up. The error names no value: it is shown to people.
pub fn convert(
    value: AnyCell<'_>,
    conversion: Option<Conversion>,
    values: Option<&BTreeMap<String, String>>,
) -> Result<Cell, &'static str> {
    let cell = match (conversion, value) {
        (Some(Conversion::TextToInt), AnyCell::Text(text)) => {
            Cell::Int(text.trim().parse().map_err(|_| "text is not an integer")?)
        }
        (Some(Conversion::IntToText), AnyCell::Int(int)) => Cell::Text(int.to_string()),
        (Some(Conversion::IntToBool), AnyCell::Int(bit @ (0 | 1))) => Cell::Bool(bit == 1),
        (Some(Conversion::IntToBool), AnyCell::Int(_)) => return Err("integer is neither 0 nor 1"),
        (Some(Conversion::SecondsToTimestamp), AnyCell::Int(seconds)) => micros(seconds, 1_000_000)?,
        (Some(Conversion::MillisecondsToTimestamp), AnyCell::Int(millis)) => micros(millis, 1000)?,
        (None, AnyCell::Bool(value)) => Cell::Bool(value),
        (None, AnyCell::Int(value)) => Cell::Int(value),
        (None, AnyCell::Float(value)) => Cell::Float(value),
        (None, AnyCell::Text(value)) => Cell::Text(value.into()),
        (None, AnyCell::Bytes(value)) => Cell::Bytes(value.into()),
        _ => return Err("value is not of the type that its rule takes"),
    };
    match (cell, values) {
        (Cell::Text(text), Some(values)) => values
            .get(&text)
            .map(|other| Cell::Text(other.clone()))
            .ok_or("text is not in the table of values"),
        (cell, _) => Ok(cell),
    }
}

fn micros(since_1970: i64, unit: i64) -> Result<Cell, &'static str> {
    since_1970.checked_mul(unit).map(Cell::Int).ok_or("time is out of range")
}
