//! JSON in one form: keys sorted by code point, no spaces, numbers with the digits they came with.
//!
//! Two rows whose documents differ only in spelling must compare as equal, so every document is brought to
//! this form once, at decode. A tree would lose digits and allocate per node; this writes while it reads, and
//! sorts a level's members in place.

use std::ops::Range;

use super::{Unreadable, json_reader::JsonReader};

/// Levels of objects and arrays that are read; more is refused, since reading recurses.
pub(super) const DEPTH_MAX: usize = 128;

/// The canonical form of a JSON text. Of a key that stands twice the last one counts, as in jsonb.
///
/// # Errors
/// The text is not one JSON value, or nests deeper than 128 levels.
pub fn canonical_json(json: &str) -> Result<String, Unreadable> {
    let mut out = String::with_capacity(json.len());
    write_canonical_json(json, &mut out)?;
    Ok(out)
}

/// As [`canonical_json`], appended to `out`.
///
/// # Errors
/// As [`canonical_json`]; `out` then ends in a part of the document.
pub fn write_canonical_json(json: &str, out: &mut String) -> Result<(), Unreadable> {
    let mut reader = JsonReader::new(json);
    let mut sorter = Sorter { out, keys: String::new(), members: Vec::new(), spare: String::new() };
    sorter.value(&mut reader, DEPTH_MAX)?;
    reader.end()
}

/// Writes a text as a JSON string with as few escapes as JSON allows.
pub fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    let mut clean = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(&text[clean..at]);
        clean = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            _ => {
                out.push_str("\\u00");
                out.push(char::from(b'0' + (byte >> 4)));
                out.push(char::from_digit(u32::from(byte & 15), 16).expect("four bits are a hex digit"));
            }
        }
    }
    out.push_str(&text[clean..]);
    out.push('"');
}

/// Writes values in canonical form while a [`JsonReader`] reads them.
struct Sorter<'o> {
    out: &'o mut String,
    /// Decoded keys of the objects that are open, end to end.
    keys: String,
    /// Members of the objects that are open, innermost last.
    members: Vec<Member>,
    spare: String,
}

struct Member {
    /// Range of [`Sorter::keys`].
    key: Range<usize>,
    /// Range of [`Sorter::out`], key and value.
    text: Range<usize>,
}

impl Sorter<'_> {
    fn value(&mut self, reader: &mut JsonReader<'_>, depth: usize) -> Result<(), Unreadable> {
        match reader.peek() {
            Some(b'{') => self.object(reader, depth.checked_sub(1).ok_or(Unreadable::TooDeep)?),
            Some(b'[') => self.array(reader, depth.checked_sub(1).ok_or(Unreadable::TooDeep)?),
            Some(b'"') => {
                self.spare.clear();
                reader.string(&mut self.spare)?;
                write_json_text(&self.spare, self.out);
                Ok(())
            }
            _ => {
                self.out.push_str(reader.word()?);
                Ok(())
            }
        }
    }

    fn array(&mut self, reader: &mut JsonReader<'_>, depth: usize) -> Result<(), Unreadable> {
        reader.expect(b'[')?;
        self.out.push('[');
        let mut first = true;
        while reader.more(b']', first)? {
            if !first {
                self.out.push(',');
            }
            first = false;
            self.value(reader, depth)?;
        }
        self.out.push(']');
        Ok(())
    }

    fn object(&mut self, reader: &mut JsonReader<'_>, depth: usize) -> Result<(), Unreadable> {
        reader.expect(b'{')?;
        self.out.push('{');
        let (outer_members, outer_keys, begin) = (self.members.len(), self.keys.len(), self.out.len());
        let mut first = true;
        while reader.more(b'}', first)? {
            if !first {
                self.out.push(',');
            }
            first = false;
            let (key, text) = (self.keys.len(), self.out.len());
            reader.string(&mut self.keys)?;
            let key = key..self.keys.len();
            write_json_text(&self.keys[key.clone()], self.out);
            reader.expect(b':')?;
            self.out.push(':');
            self.value(reader, depth)?;
            self.members.push(Member { key, text: text..self.out.len() });
        }
        self.sort(outer_members, begin);
        self.members.truncate(outer_members);
        self.keys.truncate(outer_keys);
        self.out.push('}');
        Ok(())
    }

    /// Brings the members from `from` on, whose text begins at `begin`, into the order of their keys.
    fn sort(&mut self, from: usize, begin: usize) {
        let keys = &self.keys;
        let members = &mut self.members[from..];
        if members.windows(2).all(|pair| keys[pair[0].key.clone()] < keys[pair[1].key.clone()]) {
            return;
        }
        // Stable, so that of equal keys the last one written comes last.
        members.sort_by(|a, b| keys[a.key.clone()].cmp(&keys[b.key.clone()]));
        self.spare.clear();
        for (i, member) in members.iter().enumerate() {
            let again =
                members.get(i + 1).is_some_and(|next| keys[next.key.clone()] == keys[member.key.clone()]);
            if again {
                continue;
            }
            if !self.spare.is_empty() {
                self.spare.push(',');
            }
            self.spare.push_str(&self.out[member.text.clone()]);
        }
        self.out.truncate(begin);
        self.out.push_str(&self.spare);
    }
}
