//! The headers of a message. Most messages of a stream bear some, and often the same ones, so they lie in one buffer
//! that messages can share.

use std::{fmt, sync::Arc};

use smallvec::SmallVec;

/// Names and values, sorted by name (clients do not keep the order on the wire).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// `None` where there are none.
    packed: Option<Arc<Packed>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Packed {
    /// Name, value, name, value, ..
    text: String,
    /// Where each of them ends.
    ends: SmallVec<[usize; 8]>,
}

impl Packed {
    fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

impl Headers {
    /// The first value of a header, by its exact name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(n, _)| *n == name).map(|(_, value)| value)
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let (text, ends) = match &self.packed {
            Some(packed) => (packed.text.as_str(), packed.ends.as_slice()),
            None => ("", [].as_slice()),
        };
        let mut begin = 0;
        ends.chunks_exact(2).map(move |ends| {
            let (name, value) = (&text[begin..ends[0]], &text[ends[0]..ends[1]]);
            begin = ends[1];
            (name, value)
        })
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packed.is_none()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.packed.as_ref().map_or(0, |packed| packed.text.len())
    }

    /// With one more.
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Headers {
        self.iter().chain([(name, value)]).collect()
    }

    /// As a JSON object, of texts.
    #[must_use]
    pub fn to_json(&self) -> String {
        let map: serde_json::Map<_, _> = self.iter().map(|(n, v)| (n.to_owned(), v.into())).collect();
        serde_json::Value::Object(map).to_string()
    }
}

impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut writer = HeaderWriter::default();
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        pairs.sort_unstable_by(|a, b| (a.0.as_ref(), a.1.as_ref()).cmp(&(b.0.as_ref(), b.1.as_ref())));
        for (name, value) in &pairs {
            writer.header(name.as_ref(), [value.as_ref()]);
        }
        writer.finish()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Writes the headers of one message after another; those that are as the last ones share their buffer.
#[derive(Debug, Default)]
pub(crate) struct HeaderWriter {
    packed: Packed,
    last: Headers,
}

impl HeaderWriter {
    /// The next name of a message, in order, and its values, which are joined with a comma.
    pub(crate) fn header<'a>(&mut self, name: &str, values: impl IntoIterator<Item = &'a str>) {
        self.packed.text.push_str(name);
        self.packed.end();
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.packed.text.push(',');
            }
            self.packed.text.push_str(value);
        }
        self.packed.end();
    }

    /// All that was written since the last ones.
    pub(crate) fn finish(&mut self) -> Headers {
        if self.packed.ends.is_empty() {
            return Headers::default();
        }
        if self.last.packed.as_deref() != Some(&self.packed) {
            self.last = Headers { packed: Some(Arc::new(self.packed.clone())) };
        }
        self.packed.clear();
        self.last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_sorted_and_values_may_be_empty() {
        let headers: Headers = [("b", "2"), ("a", ""), ("a", "1")].into_iter().collect();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", ""), ("a", "1"), ("b", "2")]);
        assert_eq!((headers.get("b"), headers.get("a"), headers.get("c")), (Some("2"), Some(""), None));
        assert_eq!((headers.bytes(), headers.is_empty(), Headers::default().is_empty()), (5, false, true));
        assert_eq!(headers.with("aa", "x").to_json(), r#"{"a":"1","aa":"x","b":"2"}"#);
    }

    #[test]
    fn messages_with_the_same_headers_share_them() {
        let mut writer = HeaderWriter::default();
        let mut write = |name: &str, value: &str| {
            writer.header(name, [value, "z"]);
            writer.finish()
        };
        let (first, second, third) = (write("a", "1"), write("a", "1"), write("a1", ""));
        let buffer = |headers: &Headers| Arc::as_ptr(headers.packed.as_ref().unwrap());
        assert_eq!(buffer(&first), buffer(&second));
        assert_eq!((first.get("a"), third.get("a"), third.get("a1")), (Some("1,z"), None, Some(",z")));
        assert!(writer.finish().is_empty());
    }
}
