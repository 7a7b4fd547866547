//! Timestamps, dates and times as text: the proleptic Gregorian calendar for any year.
//!
//! Own arithmetic (Howard Hinnant's days-from-civil), because PostgreSQL's years go from -4712 to 294276 and
//! libraries end at 9999. Years are astronomical, as Debezium writes them: `-0043` is 44 BC.

use crate::logical::Logical;

use super::{Unreadable, expected};

const MICROS_PER_SECOND: i64 = 1_000_000;
const MICROS_PER_DAY: i64 = 86_400 * MICROS_PER_SECOND;
/// Days beyond this are written as this one: no database has such dates, and arithmetic stays in 64 bits.
const DAYS_MAX: i64 = 1 << 50;

/// Microseconds since 1970 UTC of `2026-03-02T06:30:00.123456Z`, also with a space for `T`, an offset (`+02`,
/// `+02:00`, `+0200`; none means UTC), fewer parts after the minutes, no time of day, or ` BC` at the end.
/// `infinity` and `-infinity` are `i64::MAX` and `i64::MIN`. Digits beyond the sixth are rounded. 64 bits end on
/// 10 January 294247; PostgreSQL's last 29 years, which are counted from 2000, cannot be held.
#[must_use]
pub fn parse_timestamp(text: &str) -> Option<i64> {
    read_timestamp(text).ok()
}

/// As [`parse_timestamp`], with the reason.
///
/// # Errors
/// The text is no timestamp, or one that 64 bits cannot hold.
pub fn read_timestamp(text: &str) -> Result<i64, Unreadable> {
    if let Some(infinity) = infinity(text) {
        return Ok(infinity);
    }
    let (days, clock) = days_and_clock(text).ok_or_else(|| Unreadable::text(expected(Logical::Timestamp)))?;
    let micros = days.checked_mul(MICROS_PER_DAY).and_then(|midnight| midnight.checked_add(clock));
    micros
        .filter(|m| *m != i64::MAX && *m != i64::MIN)
        .ok_or(Unreadable::Range("a timestamp of 64 bits, which end in the year 294247"))
}

/// Days since 1970, and the microseconds of that day in UTC, which an offset may move out of the day.
fn days_and_clock(text: &str) -> Option<(i64, i64)> {
    let (text, before_christ) = era(text);
    let mut rest = Reader(text.as_bytes());
    let days = rest.date(before_christ)?;
    let mut clock = 0;
    if rest.take(b'T') || rest.take(b' ') {
        clock = rest.clock()?;
    }
    let offset = rest.offset()?;
    rest.end()?;
    Some((days, clock - offset))
}

/// Days since 1970 of `2026-03-02`, also with a `Z` or ` BC` at the end. `infinity` and `-infinity` are
/// `i64::MAX` and `i64::MIN`.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    if let Some(infinity) = infinity(text) {
        return Some(infinity);
    }
    let (text, before_christ) = era(text);
    let mut rest = Reader(text.as_bytes());
    let days = rest.date(before_christ)?;
    let _ = rest.take(b'Z');
    rest.end()?;
    Some(days)
}

/// Microseconds since midnight of `06:30:00.123456`, up to `24:00:00`; seconds may be missing, and a `Z` or an
/// offset of zero may stand at the end.
#[must_use]
pub fn parse_time(text: &str) -> Option<i64> {
    let mut rest = Reader(text.as_bytes());
    let clock = rest.clock()?;
    let offset = rest.offset()?;
    rest.end()?;
    (offset == 0).then_some(clock)
}

/// See [`write_timestamp`].
#[must_use]
pub fn format_timestamp(micros: i64) -> String {
    let mut out = String::with_capacity(32);
    write_timestamp(micros, &mut out);
    out
}

/// See [`write_date`].
#[must_use]
pub fn format_date(days: i64) -> String {
    let mut out = String::with_capacity(16);
    write_date(days, &mut out);
    out
}

/// See [`write_time`].
#[must_use]
pub fn format_time(micros: i64) -> String {
    let mut out = String::with_capacity(16);
    write_time(micros, &mut out);
    out
}

/// Writes microseconds since 1970 as `2026-03-02T06:30:00.123456Z`, always with six digits.
pub fn write_timestamp(micros: i64, out: &mut String) {
    match micros {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        _ => {
            write_date(micros.div_euclid(MICROS_PER_DAY), out);
            out.push('T');
            write_time(micros.rem_euclid(MICROS_PER_DAY), out);
            out.push('Z');
        }
    }
}

/// Writes days since 1970 as `2026-03-02`; years outside of 0 to 9999 with a sign.
pub fn write_date(days: i64, out: &mut String) {
    match days {
        i64::MAX => out.push_str("infinity"),
        i64::MIN => out.push_str("-infinity"),
        _ => {
            let (year, month, day) = civil_from_days(days.clamp(-DAYS_MAX, DAYS_MAX));
            if year < 0 {
                out.push('-');
            } else if year > 9999 {
                out.push('+');
            }
            digits(year.unsigned_abs(), 4, out);
            out.push('-');
            digits(month, 2, out);
            out.push('-');
            digits(day, 2, out);
        }
    }
}

/// Writes microseconds since midnight as `06:30:00.123456`.
pub fn write_time(micros: i64, out: &mut String) {
    if micros < 0 {
        out.push('-');
    }
    let micros = micros.unsigned_abs();
    let seconds = micros / 1_000_000;
    digits(seconds / 3600, 2, out);
    out.push(':');
    digits(seconds / 60 % 60, 2, out);
    out.push(':');
    digits(seconds % 60, 2, out);
    out.push('.');
    digits(micros % 1_000_000, 6, out);
}

fn digits(mut value: u64, least: usize, out: &mut String) {
    let mut buffer = [b'0'; 20];
    let mut at = buffer.len();
    while value > 0 || buffer.len() - at < least {
        at -= 1;
        buffer[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.push_str(std::str::from_utf8(&buffer[at..]).expect("digits are ASCII"));
}

fn infinity(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("infinity") {
        Some(i64::MAX)
    } else if text.eq_ignore_ascii_case("-infinity") {
        Some(i64::MIN)
    } else {
        None
    }
}

fn era(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC").map_or((text, false), |t| (t, true))
}

/// What is left of a text to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let there = self.0.first() == Some(&byte);
        if there {
            self.0 = &self.0[1..];
        }
        there
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    /// A number of `least` to `most` digits.
    fn number(&mut self, least: usize, most: usize) -> Option<i64> {
        let n = self.0.iter().take(most).take_while(|b| b.is_ascii_digit()).count();
        if n < least {
            return None;
        }
        let value = self.0[..n].iter().fold(0, |sum, b| sum * 10 + i64::from(b - b'0'));
        self.0 = &self.0[n..];
        Some(value)
    }

    fn date(&mut self, before_christ: bool) -> Option<i64> {
        let negative = self.take(b'-');
        if !negative {
            let _ = self.take(b'+');
        }
        let mut year = self.number(4, 9)?;
        if negative {
            year = -year;
        }
        if before_christ {
            year = 1 - year;
        }
        self.take(b'-').then_some(())?;
        let month = self.number(2, 2)?;
        self.take(b'-').then_some(())?;
        let day = self.number(2, 2)?;
        let there = (1..=12).contains(&month) && (1..=days_of_month(year, month)).contains(&day);
        there.then(|| days_from_civil(year, month, day))
    }

    fn clock(&mut self) -> Option<i64> {
        let hours = self.number(2, 2)?;
        self.take(b':').then_some(())?;
        let minutes = self.number(2, 2)?;
        let (mut seconds, mut micros) = (0, 0);
        if self.take(b':') {
            seconds = self.number(2, 2)?;
            if self.take(b'.') {
                micros = self.fraction()?;
            }
        }
        // A leap second counts as the next minute's first, as in PostgreSQL.
        let clock = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND + micros;
        (hours <= 24 && minutes <= 59 && seconds <= 60 && clock <= MICROS_PER_DAY).then_some(clock)
    }

    fn fraction(&mut self) -> Option<i64> {
        let n = self.0.iter().take_while(|b| b.is_ascii_digit()).count();
        if n == 0 {
            return None;
        }
        let digit = |i: usize| self.0[..n].get(i).map_or(0, |b| i64::from(b - b'0'));
        let micros = (0..6).fold(0, |sum, i| sum * 10 + digit(i)) + i64::from(digit(6) >= 5);
        self.0 = &self.0[n..];
        Some(micros)
    }

    /// Microseconds east of UTC; nothing means UTC.
    fn offset(&mut self) -> Option<i64> {
        if self.take(b'Z') || self.0.is_empty() {
            return Some(0);
        }
        let west = self.take(b'-');
        if !west && !self.take(b'+') {
            return None;
        }
        let hours = self.number(2, 2)?;
        let mut minutes = 0;
        let mut seconds = 0;
        if self.take(b':') || !self.0.is_empty() {
            minutes = self.number(2, 2)?;
            if self.take(b':') {
                seconds = self.number(2, 2)?;
            }
        }
        let micros = ((hours * 60 + minutes) * 60 + seconds) * MICROS_PER_SECOND;
        (minutes <= 59 && seconds <= 59 && hours <= 18).then_some(if west { -micros } else { micros })
    }
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, u64, u64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month.unsigned_abs(), day.unsigned_abs())
}
