//! What decode must be told, because the messages do not say it.

use base64::{Engine as _, engine::general_purpose::STANDARD, engine::general_purpose::URL_SAFE};

use crate::config::{self, BinaryText, Format};

/// How one source writes its changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The envelope of messages without a `Reconverge-Version` header.
    pub format: Format,
    /// Source and origin of changes whose envelope names none.
    pub origin: Option<String>,
    /// Debezium's `unavailable.value.placeholder`.
    pub unavailable_value: String,
    /// Debezium's `binary.handling.mode`.
    pub binary: BinaryText,
    /// Debezium's `decimal.handling.mode` is `string`. Matters only for whole decimals without schemas: `"1234"`
    /// is a number and valid base64. Everything else is told apart by its form.
    pub decimals_as_text: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            format: Format::Native,
            origin: None,
            unavailable_value: "__debezium_unavailable_value".into(),
            binary: BinaryText::Base64,
            decimals_as_text: false,
        }
    }
}

impl From<&config::Source> for Options {
    fn from(source: &config::Source) -> Self {
        Options {
            format: source.format,
            origin: source.origin.clone(),
            unavailable_value: source.debezium.unavailable_value.clone(),
            binary: source.debezium.binary,
            decimals_as_text: false,
        }
    }
}

/// The forms that Debezium's placeholder for an unchanged big value takes in columns of different types.
#[derive(Debug)]
pub(super) struct Placeholder {
    text: String,
    base64: String,
    url_safe: String,
    hex: String,
    /// Its bytes as a JSON array of integers: the form in arrays of integers.
    pub(super) integers: String,
}

impl Placeholder {
    pub(super) fn new(text: &str) -> Self {
        let integers: Vec<String> = text.bytes().map(|b| b.to_string()).collect();
        Placeholder {
            text: text.into(),
            base64: STANDARD.encode(text),
            url_safe: URL_SAFE.encode(text),
            hex: text.bytes().map(|b| format!("{b:02x}")).collect(),
            integers: format!("[{}]", integers.join(",")),
        }
    }

    pub(super) fn is(&self, text: &str) -> bool {
        !self.text.is_empty()
            && (text == self.text || text == self.base64 || text == self.url_safe || text == self.hex)
    }
}
