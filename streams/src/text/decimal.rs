//! Decimals in plain digits: `-12.50`, `NaN`, `Infinity`, `-Infinity`.
//!
//! Digits are never turned into a number, so none is lost. Digits after the point are kept as they came,
//! since a column's scale prints them; whoever compares leaves trailing zeros out.

/// Most digits of a decimal, PostgreSQL's own bounds: 131,072 before the point and 16,383 after it.
const DIGITS_MAX: usize = 131_072 + 16_383;

/// A decimal in plain digits: no exponent, no plus sign, no leading zeros, no negative zero. `None` where the
/// text is no decimal, or would need more digits than a database takes.
#[must_use]
pub fn canonical_decimal(text: &str) -> Option<String> {
    let mut out = String::new();
    write_decimal(text, &mut out).then_some(out)
}

/// As [`canonical_decimal`], appended to `out`; false, and nothing appended, where it is none.
#[must_use]
pub fn write_decimal(text: &str, out: &mut String) -> bool {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if ["infinity", "inf"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        out.push_str(if negative { "-Infinity" } else { "Infinity" });
        return true;
    }
    if text.eq_ignore_ascii_case("nan") {
        out.push_str("NaN");
        return true;
    }
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => match unsigned[at + 1..].parse::<i32>() {
            Ok(exponent) => (&unsigned[..at], exponent),
            Err(_) => return false,
        },
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if !all_digits || whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > DIGITS_MAX {
        return false;
    }
    let zero = whole.bytes().chain(fraction.bytes()).all(|b| b == b'0');
    let begin = out.len();
    if negative && !zero {
        out.push('-');
    }
    if exponent == 0 {
        put(whole, fraction, out);
        return true;
    }
    let shifted = shift(whole, fraction, exponent, out);
    if !shifted {
        out.truncate(begin);
    }
    shifted
}

fn put(whole: &str, fraction: &str, out: &mut String) {
    let whole = whole.trim_start_matches('0');
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        out.push('.');
        out.push_str(fraction);
    }
}

/// Moves the point `exponent` places to the right.
fn shift(whole: &str, fraction: &str, exponent: i32, out: &mut String) -> bool {
    let all: String = [whole, fraction].concat();
    let point = i64::try_from(whole.len()).unwrap_or(i64::MAX).saturating_add(i64::from(exponent));
    let zeros_max = i64::try_from(DIGITS_MAX - all.len()).unwrap_or(0);
    let end = i64::try_from(all.len()).unwrap_or(i64::MAX);
    if point.saturating_neg() > zeros_max || point.saturating_sub(end) > zeros_max {
        return false;
    }
    let zeros = |n: i64| "0".repeat(usize::try_from(n).unwrap_or(0));
    if point <= 0 {
        put("0", &[zeros(-point), all].concat(), out);
    } else if point >= end {
        put(&[all, zeros(point - end)].concat(), "", out);
    } else {
        let (whole, fraction) = all.split_at(usize::try_from(point).unwrap_or(0));
        put(whole, fraction, out);
    }
    true
}

/// Appends zeros after the point up to the scale of a column. Longer fractions and words stay as they are.
pub fn pad_to_scale(plain: &mut String, scale: Option<u8>) {
    let Some(scale) = scale.map(usize::from).filter(|&s| s > 0) else { return };
    if !plain.ends_with(|c: char| c.is_ascii_digit()) {
        return;
    }
    let have = plain.find('.').map(|at| plain.len() - at - 1);
    if have.is_none() {
        plain.push('.');
    }
    plain.extend(std::iter::repeat_n('0', scale.saturating_sub(have.unwrap_or(0))));
}

/// A decimal taken apart so that equal numbers are equal and the order of the parts is the order of numbers
/// of the same sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DecimalParts<'a> {
    /// `-Infinity`
    MinusInfinity,
    /// A number.
    Number {
        /// Below zero.
        negative: bool,
        /// Digits before the point without leading zeros.
        whole: &'a str,
        /// Digits after the point without trailing zeros.
        fraction: &'a str,
    },
    /// `Infinity`
    Infinity,
    /// `NaN`, which PostgreSQL takes for the greatest.
    NaN,
}

/// Takes a decimal in plain digits apart.
pub(crate) fn decimal_parts(plain: &str) -> DecimalParts<'_> {
    match plain {
        "NaN" => return DecimalParts::NaN,
        "Infinity" => return DecimalParts::Infinity,
        "-Infinity" => return DecimalParts::MinusInfinity,
        _ => {}
    }
    let (minus, unsigned) = plain.strip_prefix('-').map_or((false, plain), |u| (true, u));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    DecimalParts::Number { negative: minus && !(whole.is_empty() && fraction.is_empty()), whole, fraction }
}
