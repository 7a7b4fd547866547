//! The headers of a message. Most messages of a stream bear some, and often the same ones, so they are one text
//! that messages can share.

use std::{fmt, sync::Arc};

/// What ends a name or a value: no header has a line break in it.
const END: char = '\n';

/// Names and values, sorted by name (clients do not keep the order on the wire).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    /// Each name and each value on a line of its own.
    lines: Arc<str>,
}

impl Headers {
    /// The first value of a header, by its exact name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        // By bytes: asked several times a message, mostly for what is not there.
        let mut lines = self.lines.as_bytes().split(|byte| *byte == END as u8);
        while let (Some(n), Some(value)) = (lines.next(), lines.next()) {
            if n == name.as_bytes() {
                return std::str::from_utf8(value).ok();
            }
        }
        None
    }

    /// Names and values, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut lines = self.lines.split_terminator(END);
        std::iter::from_fn(move || Some((lines.next()?, lines.next()?)))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes of all names and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.bytes().filter(|byte| *byte != END as u8).count()
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

/// A line break, which no server would have carried, becomes a space.
impl<N: AsRef<str>, V: AsRef<str>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut writer = HeaderWriter::default();
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        pairs.sort_unstable_by(|a, b| (a.0.as_ref(), a.1.as_ref()).cmp(&(b.0.as_ref(), b.1.as_ref())));
        for (name, value) in &pairs {
            writer.name(name.as_ref());
            writer.value([value.as_ref()]);
        }
        writer.finish()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// Writes the headers of one message after another; those that are as the last ones share their text.
#[derive(Debug, Default)]
pub(crate) struct HeaderWriter {
    lines: String,
    last: Headers,
}

impl HeaderWriter {
    /// The next name; those of a message come in order.
    pub(crate) fn name(&mut self, name: &str) {
        self.line(name);
        self.lines.push(END);
    }

    /// The values of the name before it, joined with a comma.
    pub(crate) fn value<'a>(&mut self, values: impl IntoIterator<Item = &'a str>) {
        for (at, value) in values.into_iter().enumerate() {
            if at > 0 {
                self.lines.push(',');
            }
            self.line(value);
        }
        self.lines.push(END);
    }

    fn line(&mut self, text: &str) {
        if text.contains(END) {
            self.lines.push_str(&text.replace(END, " "));
        } else {
            self.lines.push_str(text);
        }
    }

    /// All that was written since the last ones.
    pub(crate) fn finish(&mut self) -> Headers {
        if *self.last.lines != *self.lines {
            self.last = Headers { lines: self.lines.as_str().into() };
        }
        self.lines.clear();
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
    fn a_line_break_moves_no_value_to_another_name() {
        let headers: Headers = [("a\nb", "1\n2"), ("c", "3")].into_iter().collect();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a b", "1 2"), ("c", "3")]);
    }

    #[test]
    fn messages_with_the_same_headers_share_them() {
        let mut writer = HeaderWriter::default();
        let mut write = |value: &str| {
            writer.name("a");
            writer.value([value, "z"]);
            writer.finish()
        };
        let (first, second, third) = (write("1"), write("1"), write("2"));
        assert!(Arc::ptr_eq(&first.lines, &second.lines) && !Arc::ptr_eq(&second.lines, &third.lines));
        assert_eq!((first.get("a"), third.get("a")), (Some("1,z"), Some("2,z")));
        assert!(writer.finish().is_empty());
    }
}
