//! Reading JSON token by token, without a tree and without losing a digit.
//!
//! Decode walks rows with it, and the canonical form is written behind it. It never recurses; whoever follows
//! the nesting bounds it.

use super::Unreadable;

/// Reads JSON token by token, for whoever turns a document into cells without a tree between.
#[derive(Debug)]
pub struct JsonReader<'a> {
    text: &'a str,
    at: usize,
}

fn not_json() -> Unreadable {
    Unreadable::text("JSON")
}

impl<'a> JsonReader<'a> {
    /// At the beginning of a text.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        JsonReader { text, at: 0 }
    }

    /// The first byte of what comes next, after spaces.
    pub fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Takes one byte of punctuation.
    ///
    /// # Errors
    /// Something else stands there.
    pub fn expect(&mut self, byte: u8) -> Result<(), Unreadable> {
        if self.peek() != Some(byte) {
            return Err(not_json());
        }
        self.at += 1;
        Ok(())
    }

    /// Whether another member or element stands before `close`; takes the comma before it, or `close`.
    ///
    /// # Errors
    /// Neither does.
    pub fn more(&mut self, close: u8, first: bool) -> Result<bool, Unreadable> {
        match self.peek() {
            Some(b) if b == close => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if !first => {
                self.at += 1;
                // No comma before the end.
                if self.peek() == Some(close) { Err(not_json()) } else { Ok(true) }
            }
            Some(_) if first => Ok(true),
            _ => Err(not_json()),
        }
    }

    /// That nothing but spaces follows.
    ///
    /// # Errors
    /// Something does.
    pub fn end(&mut self) -> Result<(), Unreadable> {
        if self.peek().is_none() { Ok(()) } else { Err(not_json()) }
    }

    /// `null`, `true`, `false` or a number, as written.
    ///
    /// # Errors
    /// Something else stands there.
    pub fn word(&mut self) -> Result<&'a str, Unreadable> {
        self.peek();
        let rest = &self.text[self.at..];
        let length =
            rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.')).count();
        let word = &rest[..length];
        if !matches!(word, "null" | "true" | "false") && !is_number(word) {
            return Err(not_json());
        }
        self.at += length;
        Ok(word)
    }

    /// The text of a string: from the document where nothing is escaped, else put together in `scratch`.
    ///
    /// # Errors
    /// No string stands there, or a broken one.
    pub fn text<'b>(&mut self, scratch: &'b mut String) -> Result<&'b str, Unreadable>
    where
        'a: 'b,
    {
        self.expect(b'"')?;
        let rest = &self.text[self.at..];
        let clean = rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\').ok_or_else(not_json)?;
        if rest.as_bytes()[clean] == b'"' {
            self.at += clean + 1;
            return Ok(&rest[..clean]);
        }
        self.at -= 1;
        scratch.clear();
        self.string(scratch)?;
        Ok(scratch)
    }

    /// Skips one value and returns its text. Brackets are only counted: the document has been checked before.
    ///
    /// # Errors
    /// The text ends inside of the value.
    pub fn skip(&mut self) -> Result<&'a str, Unreadable> {
        let mut depth = 0_usize;
        self.peek();
        let begin = self.at;
        loop {
            match self.peek().ok_or_else(not_json)? {
                b'"' => self.skip_string()?,
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1).ok_or_else(not_json)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                _ => {
                    self.word()?;
                }
            }
            if depth == 0 {
                return Ok(&self.text[begin..self.at]);
            }
        }
    }

    fn skip_string(&mut self) -> Result<(), Unreadable> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        loop {
            match bytes.get(at).ok_or_else(not_json)? {
                b'"' => break,
                b'\\' => at += 2,
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Ok(())
    }

    /// Appends the text of a string.
    ///
    /// # Errors
    /// No string stands there, or a broken one.
    pub fn string(&mut self, out: &mut String) -> Result<(), Unreadable> {
        self.expect(b'"')?;
        loop {
            let rest = &self.text[self.at..];
            let clean =
                rest.bytes().position(|b| b < 0x20 || b == b'"' || b == b'\\').ok_or_else(not_json)?;
            out.push_str(&rest[..clean]);
            self.at += clean + 1;
            match rest.as_bytes()[clean] {
                b'"' => return Ok(()),
                b'\\' => out.push(self.escape()?),
                _ => return Err(not_json()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Unreadable> {
        let byte = *self.text.as_bytes().get(self.at).ok_or_else(not_json)?;
        self.at += 1;
        Ok(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let unit = self.unit()?;
                if !(0xd800..0xdc00).contains(&unit) {
                    return char::from_u32(unit).ok_or_else(not_json);
                }
                if !self.text[self.at..].starts_with("\\u") {
                    return Err(not_json());
                }
                self.at += 2;
                let low = self.unit()?;
                if !(0xdc00..0xe000).contains(&low) {
                    return Err(not_json());
                }
                char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or_else(not_json)?
            }
            _ => return Err(not_json()),
        })
    }

    /// Four hexadecimal digits.
    fn unit(&mut self) -> Result<u32, Unreadable> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).ok_or_else(not_json)?;
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16).ok_or_else(not_json)?;
        }
        self.at += 4;
        Ok(unit)
    }
}

/// JSON's grammar of numbers: `-0.5e+10`.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let mut rest = word.strip_prefix('-').unwrap_or(word);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.starts_with('0')) {
        return false;
    }
    rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let n = digits(fraction);
        if n == 0 {
            return false;
        }
        rest = &fraction[n..];
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        let n = digits(exponent);
        return n > 0 && n == exponent.len();
    }
    rest.is_empty()
}
