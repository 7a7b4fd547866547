//! Debezium's decimals: big-endian two's complement in base64, whose scale stands elsewhere.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reconverge_streams::text::{JsonReader, pad_to_scale};

use super::refusal::{Code, Fault};

/// Most bytes of an unscaled integer: more digits than PostgreSQL's numeric has need no more.
const UNSCALED_BYTES_MAX: usize = 1 << 16;
/// PostgreSQL's greatest scale.
const SCALE_MAX: i32 = 16_383;

/// Appends the number to `plain`; false where the text is no base64 and so spells the number in digits. A text
/// with a point or a sign is never taken for base64.
///
/// # Errors
/// The number has more digits than a database takes.
pub(super) fn from_base64(
    text: &str,
    scale: i32,
    bytes: &mut Vec<u8>,
    plain: &mut String,
) -> Result<bool, Fault> {
    bytes.clear();
    // Without padding "42" would be base64 too: Debezium always pads.
    if text.is_empty() || !text.len().is_multiple_of(4) || STANDARD.decode_vec(text, bytes).is_err() {
        return Ok(false);
    }
    put_scaled(bytes, scale, plain)?;
    Ok(true)
}

/// Reads `{"scale": 2, "value": "BNI="}`, the form of a numeric without a scale.
///
/// # Errors
/// The object is another one, or the number has more digits than a database takes.
pub(super) fn from_struct(raw: &str, bytes: &mut Vec<u8>, plain: &mut String) -> Result<(), Fault> {
    let other = || Fault::wrong_type("a decimal number", "an object without `scale` and `value`");
    let mut reader = JsonReader::new(raw);
    let (mut scale, mut value) = (None, false);
    let mut scratch = String::new();
    reader.expect(b'{')?;
    let mut first = true;
    while reader.more(b'}', first)? {
        first = false;
        let name = reader.text(&mut scratch)?;
        let (is_scale, is_value) = (name == "scale", name == "value");
        reader.expect(b':')?;
        match reader.peek() {
            Some(b'"') if is_value => {
                bytes.clear();
                let text = reader.text(&mut scratch)?;
                value = !text.is_empty() && STANDARD.decode_vec(text, bytes).is_ok();
            }
            Some(b'-' | b'0'..=b'9') if is_scale => scale = reader.word()?.parse().ok(),
            _ => {
                reader.skip()?;
            }
        }
    }
    plain.clear();
    match scale {
        Some(scale) if value => put_scaled(bytes, scale, plain),
        _ => Err(other()),
    }
}

/// The words of `decimal.handling.mode=string` that PostgreSQL spells otherwise.
pub(super) fn debezium_word(text: &str) -> &str {
    match text {
        "POSITIVE_INFINITY" => "Infinity",
        "NEGATIVE_INFINITY" => "-Infinity",
        other => other,
    }
}

/// Brings a number in plain digits to the column's scale.
///
/// # Errors
/// It has more digits than the column keeps, on either side of the point: a database would round it.
pub(super) fn fit(plain: &mut String, scale: Option<u8>, whole_max: Option<usize>) -> Result<(), Fault> {
    let beyond = |what| Fault::new(Code::OutOfRange, what);
    if !plain.ends_with(|c: char| c.is_ascii_digit()) {
        let infinite = plain.ends_with("Infinity");
        return match whole_max {
            Some(_) if infinite => Err(beyond("an infinity in a decimal with a precision")),
            _ => Ok(()),
        };
    }
    let unsigned = plain.strip_prefix('-').unwrap_or(plain);
    let whole = unsigned.split('.').next().unwrap_or_default().trim_start_matches('0');
    if whole_max.is_some_and(|most| whole.len() > most) {
        return Err(beyond("more digits before the point than the column keeps"));
    }
    let Some(scale) = scale else { return Ok(()) };
    if let Some(point) = plain.find('.') {
        let end = point + 1 + usize::from(scale);
        if plain.len() > end {
            if plain.as_bytes()[end..].iter().any(|b| *b != b'0') {
                return Err(beyond("more digits after the point than the column keeps"));
            }
            plain.truncate(if scale == 0 { point } else { end });
            if plain == "-0" {
                plain.remove(0);
            }
        }
    }
    pad_to_scale(plain, Some(scale));
    Ok(())
}

/// Appends the integer in `unscaled`, big-endian two's complement, divided by ten to the power of `scale`.
fn put_scaled(unscaled: &[u8], scale: i32, plain: &mut String) -> Result<(), Fault> {
    if unscaled.len() > UNSCALED_BYTES_MAX || scale.abs() > SCALE_MAX {
        return Err(Fault::new(Code::OutOfRange, "a decimal with more digits than a database takes"));
    }
    let digits = digits_of(unscaled);
    let (negative, digits) = digits.strip_prefix('-').map_or((false, digits.as_str()), |d| (true, d));
    if negative {
        plain.push('-');
    }
    let places = usize::try_from(scale).unwrap_or(0);
    if digits.len() > places {
        let (whole, fraction) = digits.split_at(digits.len() - places);
        plain.push_str(whole);
        if places > 0 {
            plain.push('.');
            plain.push_str(fraction);
        }
    } else {
        plain.push_str("0.");
        plain.extend(std::iter::repeat_n('0', places - digits.len()));
        plain.push_str(digits);
    }
    if scale < 0 && digits != "0" {
        plain.extend(std::iter::repeat_n('0', usize::try_from(-scale).unwrap_or(0)));
    }
    Ok(())
}

/// A big-endian two's complement integer in decimal digits.
fn digits_of(bytes: &[u8]) -> String {
    let negative = bytes.first().is_some_and(|b| b & 0x80 != 0);
    if bytes.len() <= 16 {
        let fill = if negative { 0xff } else { 0 };
        let mut wide = [fill; 16];
        wide[16 - bytes.len()..].copy_from_slice(bytes);
        return i128::from_be_bytes(wide).to_string();
    }
    let mut limbs = magnitude(bytes, negative);
    // Schoolbook division: the digits come out last first, nine at a time.
    let mut groups = Vec::new();
    while !limbs.is_empty() {
        let mut remainder = 0_u64;
        for limb in &mut limbs {
            let value = remainder << 32 | u64::from(*limb);
            *limb = u32::try_from(value / 1_000_000_000).expect("a remainder is below its divisor");
            remainder = value % 1_000_000_000;
        }
        groups.push(remainder);
        let zeros = limbs.iter().take_while(|l| **l == 0).count();
        limbs.drain(..zeros);
    }
    let mut digits = String::with_capacity(groups.len() * 9 + 1);
    if negative {
        digits.push('-');
    }
    let first = groups.pop().unwrap_or(0);
    digits.push_str(&first.to_string());
    for group in groups.into_iter().rev() {
        use std::fmt::Write as _;
        write!(digits, "{group:09}").expect("writing to a string does not fail");
    }
    digits
}

/// The absolute value as 32-bit limbs, most significant first.
fn magnitude(bytes: &[u8], negative: bool) -> Vec<u32> {
    let fill = if negative { 0xff } else { 0 };
    let padding = std::iter::repeat_n(fill, (4 - bytes.len() % 4) % 4);
    let padded: Vec<u8> = padding.chain(bytes.iter().copied()).collect();
    let word = |chunk: &[u8]| u32::from_be_bytes(chunk.try_into().expect("chunks of four bytes"));
    let mut limbs: Vec<u32> = padded.chunks_exact(4).map(word).collect();
    if negative {
        let mut carry = true;
        for limb in limbs.iter_mut().rev() {
            let (value, overflow) = (!*limb).overflowing_add(u32::from(carry));
            (*limb, carry) = (value, overflow);
        }
        if carry {
            limbs.insert(0, 1);
        }
    }
    limbs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn base64(text: &str, scale: i32) -> Option<String> {
        let mut plain = String::new();
        from_base64(text, scale, &mut Vec::new(), &mut plain).unwrap().then_some(plain)
    }

    #[test]
    fn unscaled_integers_get_their_point() {
        for (text, scale, plain) in [
            ("BOI=", 3, "1.250"),
            ("BOI=", 2, "12.50"),
            ("BOI=", 0, "1250"),
            ("AA==", 3, "0.000"),
            ("/w==", 18, "-0.000000000000000001"),
            ("/nlh", 3, "-99.999"),
            ("f/////////8=", 2, "92233720368547758.07"),
            ("gAAAAAAAAAA=", 2, "-92233720368547758.08"),
            ("SztMqFqGxHoJiiI//////w==", 0, "99999999999999999999999999999999999999"),
            ("HWMp8cNcpL+rufVhAAAAAAA=", 0, "10000000000000000000000000000000000000000"),
            ("BOI=", -2, "125000"),
            ("AA==", -2, "0"),
        ] {
            assert_eq!(base64(text, scale).as_deref(), Some(plain), "{text} {scale}");
        }
        for digits in ["12.34", "-1", "42", "NAN", "POSITIVE_INFINITY", ""] {
            assert_eq!(base64(digits, 2), None, "{digits}");
        }
        assert!(from_base64("AAAA", 20_000, &mut Vec::new(), &mut String::new()).is_err());
        let long = STANDARD.encode(vec![1; UNSCALED_BYTES_MAX + 2]);
        assert!(from_base64(&long, 0, &mut Vec::new(), &mut String::new()).is_err());
    }

    #[test]
    fn wide_integers_are_divided_right() {
        for power in [128_u32, 135, 160, 200, 1000] {
            // Two to the power, in bytes and by doubling digits.
            let mut bytes = vec![0; power as usize / 8 + 1];
            bytes[0] = 1 << (power % 8);
            if bytes[0] & 0x80 != 0 {
                bytes.insert(0, 0);
            }
            let mut doubled = vec![1_u8];
            for _ in 0..power {
                let mut carry = 0;
                for digit in doubled.iter_mut().rev() {
                    let value = *digit * 2 + carry;
                    (*digit, carry) = (value % 10, value / 10);
                }
                if carry > 0 {
                    doubled.insert(0, carry);
                }
            }
            let expected: String = doubled.iter().map(|d| char::from(b'0' + d)).collect();
            assert_eq!(digits_of(&bytes), expected, "2^{power}");
            let mut negative = vec![0xff; power as usize / 8 + 2];
            let zeros = power as usize / 8;
            let at = negative.len() - zeros;
            negative[at..].fill(0);
            negative[at - 1] = 0xff << (power % 8);
            assert_eq!(digits_of(&negative), format!("-{expected}"), "-2^{power}");
        }
    }

    #[test]
    fn structs_carry_their_scale() {
        let read = |raw: &str| {
            let mut plain = String::new();
            from_struct(raw, &mut Vec::new(), &mut plain).map(|()| plain)
        };
        assert_eq!(read(r#"{"scale":2,"value":"BNI="}"#).as_deref(), Ok("12.34"));
        assert_eq!(
            read(r#"{"value":"/w==","other":[1],"scale":23}"#).as_deref(),
            Ok("-0.00000000000000000000001")
        );
        for bad in [
            r#"{"scale":2}"#,
            r#"{"value":"BNI="}"#,
            r#"{"scale":"2","value":"BNI="}"#,
            "{}",
            r#"{"scale":1,"value":"?"}"#,
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_fit_their_column_or_are_refused() {
        for (text, scale, whole, fitted) in [
            ("1.5", Some(3), Some(2), Some("1.500")),
            ("1.5000", Some(3), Some(2), Some("1.500")),
            ("1.5001", Some(3), Some(2), None),
            ("99.999", Some(3), Some(2), Some("99.999")),
            ("100", Some(3), Some(2), None),
            ("-0.0", Some(0), Some(5), Some("0")),
            ("0.5", Some(3), Some(0), Some("0.500")),
            ("NaN", Some(3), Some(2), Some("NaN")),
            ("-Infinity", Some(3), Some(2), None),
            ("-Infinity", None, None, Some("-Infinity")),
            ("123456.789", None, None, Some("123456.789")),
        ] {
            let mut plain = text.to_owned();
            let fits = fit(&mut plain, scale, whole).is_ok();
            assert_eq!(fits.then_some(plain.as_str()), fitted, "{text}");
        }
    }
}
