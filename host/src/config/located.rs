//! A value of the file together with where it stands there.
//!
//! Everything that a later check may complain about is read as an `At`, so that the complaint can point
//! at it. The place is a range of bytes in the file's text; it never leaves the configuration but through
//! a `Problem`.

use std::borrow::Cow;
use std::ops::{Deref, Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;

/// A value and its byte range in the text of the pipeline file.
///
/// Equal and ordered by its value alone, so that it may be the key of a map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(transparent)]
pub struct At<T>(Spanned<T>);

impl<T> At<T> {
    /// A value that stands nowhere, for defaults.
    pub fn nowhere(value: T) -> Self {
        Self(Spanned::new(0..0, value))
    }

    /// The value.
    pub fn value(&self) -> &T {
        self.0.get_ref()
    }

    /// Where it stands, in bytes from the start of the file.
    pub fn span(&self) -> Range<usize> {
        self.0.span()
    }
}

impl<T> Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value()
    }
}

/// The schema of the file says nothing of places: it is the schema of the value.
impl<T: JsonSchema> JsonSchema for At<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}
