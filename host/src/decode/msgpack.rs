//! MessagePack as JSON text, so that there is one decoder to get right.
//!
//! The first step for messages of that type; nothing is interpreted. Bytes become base64 text, as they stand
//! in JSON; floats that JSON cannot write become `"NaN"` and `"Infinity"`. The input is hostile: lengths are
//! never believed before the bytes are there, and nesting is bounded.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reconverge_streams::text::write_json_text;

/// Levels of maps and arrays.
const DEPTH_MAX: usize = 128;

/// The bytes are no MessagePack that JSON can say: cut short, trailing bytes, keys that are no text, text that
/// is no UTF-8, extension types, nested too deep.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotMsgpack(pub(super) &'static str);

/// Writes one value as JSON. `out` is cleared first.
pub(super) fn write_json(bytes: &[u8], out: &mut String) -> Result<(), NotMsgpack> {
    out.clear();
    let mut rest = Rest { bytes };
    rest.value(out, DEPTH_MAX)?;
    if rest.bytes.is_empty() { Ok(()) } else { Err(NotMsgpack("bytes after the end of the value")) }
}

struct Rest<'a> {
    bytes: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], NotMsgpack> {
        let (taken, rest) = self.bytes.split_at_checked(n).ok_or(NotMsgpack("it ends inside of a value"))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], NotMsgpack> {
        Ok(self.take(N)?.try_into().expect("as many bytes as were asked for"))
    }

    /// A big-endian length of `n` bytes.
    fn length(&mut self, n: usize) -> Result<usize, NotMsgpack> {
        let bytes = self.take(n)?;
        Ok(bytes.iter().fold(0, |sum, b| sum << 8 | usize::from(*b)))
    }

    fn value(&mut self, out: &mut String, depth: usize) -> Result<(), NotMsgpack> {
        let [marker] = self.fixed()?;
        match marker {
            0x00..=0x7f => integer(i64::from(marker), out),
            0xe0..=0xff => integer(i64::from(marker.cast_signed()), out),
            0xc0 => out.push_str("null"),
            0xc2 => out.push_str("false"),
            0xc3 => out.push_str("true"),
            0xc4..=0xc6 => self.binary(1 << (marker - 0xc4), out)?,
            0xca => float(f64::from(f32::from_be_bytes(self.fixed()?)), out),
            0xcb => float(f64::from_be_bytes(self.fixed()?), out),
            0xcc => integer(i64::from(u8::from_be_bytes(self.fixed()?)), out),
            0xcd => integer(i64::from(u16::from_be_bytes(self.fixed()?)), out),
            0xce => integer(i64::from(u32::from_be_bytes(self.fixed()?)), out),
            0xcf => {
                let value = u64::from_be_bytes(self.fixed()?);
                write!(out, "{value}").expect("writing to a string does not fail");
            }
            0xd0 => integer(i64::from(i8::from_be_bytes(self.fixed()?)), out),
            0xd1 => integer(i64::from(i16::from_be_bytes(self.fixed()?)), out),
            0xd2 => integer(i64::from(i32::from_be_bytes(self.fixed()?)), out),
            0xd3 => integer(i64::from_be_bytes(self.fixed()?), out),
            0xa0..=0xbf | 0xd9..=0xdb => write_json_text(self.text(marker)?, out),
            0x90..=0x9f => self.array(usize::from(marker & 15), out, depth)?,
            0xdc | 0xdd => {
                let length = self.length(2 << (marker - 0xdc))?;
                self.array(length, out, depth)?;
            }
            0x80..=0x8f => self.map(usize::from(marker & 15), out, depth)?,
            0xde | 0xdf => {
                let length = self.length(2 << (marker - 0xde))?;
                self.map(length, out, depth)?;
            }
            0xc1 | 0xc7..=0xc9 | 0xd4..=0xd8 => return Err(NotMsgpack("an extension type")),
        }
        Ok(())
    }

    fn text(&mut self, marker: u8) -> Result<&'a str, NotMsgpack> {
        let length = match marker {
            0xa0..=0xbf => usize::from(marker & 31),
            0xd9..=0xdb => self.length(1 << (marker - 0xd9))?,
            _ => return Err(NotMsgpack("a map key that is no text")),
        };
        std::str::from_utf8(self.take(length)?).map_err(|_| NotMsgpack("text that is no UTF-8"))
    }

    fn binary(&mut self, length_bytes: usize, out: &mut String) -> Result<(), NotMsgpack> {
        let length = self.length(length_bytes)?;
        let bytes = self.take(length)?;
        out.push('"');
        STANDARD.encode_string(bytes, out);
        out.push('"');
        Ok(())
    }

    fn array(&mut self, length: usize, out: &mut String, depth: usize) -> Result<(), NotMsgpack> {
        let depth = depth.checked_sub(1).ok_or(NotMsgpack("nested too deep"))?;
        out.push('[');
        for i in 0..length {
            if i > 0 {
                out.push(',');
            }
            self.value(out, depth)?;
        }
        out.push(']');
        Ok(())
    }

    fn map(&mut self, length: usize, out: &mut String, depth: usize) -> Result<(), NotMsgpack> {
        let depth = depth.checked_sub(1).ok_or(NotMsgpack("nested too deep"))?;
        out.push('{');
        for i in 0..length {
            if i > 0 {
                out.push(',');
            }
            let [marker] = self.fixed()?;
            write_json_text(self.text(marker)?, out);
            out.push(':');
            self.value(out, depth)?;
        }
        out.push('}');
        Ok(())
    }
}

fn integer(value: i64, out: &mut String) {
    write!(out, "{value}").expect("writing to a string does not fail");
}

fn float(value: f64, out: &mut String) {
    if value.is_nan() {
        out.push_str("\"NaN\"");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" });
    } else {
        write!(out, "{value:?}").expect("writing to a string does not fail");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &[u8]) -> Result<String, NotMsgpack> {
        let mut out = String::from("left over");
        write_json(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn every_kind_has_its_json() {
        for (bytes, text) in [
            (&b"\x07"[..], "7"),
            (b"\xff", "-1"),
            (b"\xcc\xff", "255"),
            (b"\xcd\x01\x00", "256"),
            (b"\xce\xff\xff\xff\xff", "4294967295"),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
            (b"\xd0\x80", "-128"),
            (b"\xd1\x80\x00", "-32768"),
            (b"\xd2\x80\x00\x00\x00", "-2147483648"),
            (b"\xd3\x80\x00\x00\x00\x00\x00\x00\x00", "-9223372036854775808"),
            (b"\xca\x3f\xc0\x00\x00", "1.5"),
            (b"\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\"Infinity\""),
            (b"\xca\x7f\xc0\x00\x00", "\"NaN\""),
            (b"\xc0", "null"),
            (b"\xc2", "false"),
            (b"\xc3", "true"),
            (b"\xc4\x03\x00\x01\xff", "\"AAH/\""),
            (b"\xc5\x00\x00", "\"\""),
            (b"\xa2q\"", "\"q\\\"\""),
            (b"\xd9\x01x", "\"x\""),
            (b"\xda\x00\x01x", "\"x\""),
            (b"\xdb\x00\x00\x00\x01x", "\"x\""),
            (b"\x92\x01\xc0", "[1,null]"),
            (b"\xdc\x00\x01\x01", "[1]"),
            (b"\xdd\x00\x00\x00\x00", "[]"),
            (b"\x82\xa1a\x01\xa1b\x80", "{\"a\":1,\"b\":{}}"),
            (b"\xde\x00\x01\xa1a\x01", "{\"a\":1}"),
            (b"\xdf\x00\x00\x00\x01\xa1a\x01", "{\"a\":1}"),
        ] {
            assert_eq!(json(bytes).as_deref(), Ok(text), "{bytes:x?}");
        }
    }

    #[test]
    fn what_json_cannot_say_is_refused() {
        let deep = [0x91; 200];
        for bytes in [
            &b""[..],
            b"\xc1",
            b"\xd4\x01\x00",
            b"\xc7\x00\x01",
            b"\xa2x",
            b"\xa1\xff",
            b"\x81\x01\x01",
            b"\x81\xa1a",
            b"\xdd\xff\xff\xff\xff\x01",
            b"\xc6\xff\xff\xff\xffx",
            b"\x01\x01",
            &deep,
        ] {
            assert!(json(bytes).is_err(), "{bytes:x?}");
        }
    }
}
