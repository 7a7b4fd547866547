//! Looks into a row before its cells are read: the table's payload schema, and the column that tells an echo.

use std::borrow::Cow;

use reconverge_streams::text::JsonReader;

use super::refusal::{Code, Fault};

/// Checks a row as the source sent it.
///
/// # Errors
/// With the path and the keyword of the first violation; the value stays out of it.
pub(super) fn check(validator: &jsonschema::Validator, row: &str) -> Result<(), Fault> {
    let row: serde_json::Value =
        serde_json::from_str(row).map_err(|_| Fault::new(Code::NotJson, "`after` is no JSON"))?;
    validator.validate(&row).map_err(|error| {
        let path = error.instance_path().to_string();
        let place = if path.is_empty() { "the row".into() } else { format!("`{path}`") };
        let schema = error.schema_path().to_string();
        Fault::new(Code::SchemaViolation, format!("{place} breaks the payload schema at `{schema}`"))
    })
}

/// The text that an object of columns has under a name.
pub(super) fn text_of<'a>(row: &'a str, column: &str) -> Option<Cow<'a, str>> {
    let mut reader = JsonReader::new(row);
    let mut scratch = String::new();
    reader.expect(b'{').ok()?;
    let mut first = true;
    while reader.more(b'}', first).ok()? {
        first = false;
        let found = reader.text(&mut scratch).ok()? == column;
        reader.expect(b':').ok()?;
        let value = reader.skip().ok()?;
        if found {
            return serde_json::from_str::<String>(value).ok().map(Cow::Owned);
        }
    }
    None
}
