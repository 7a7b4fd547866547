//! Debezium's times: integers whose unit follows the column's precision, and infinities that look like dates.
//!
//! The numbers are those of the captures in `examples/split-brain`: PostgreSQL's infinities reach Debezium as
//! the PostgreSQL driver's far-away milliseconds, and dates then overflow 32 bits, by another way in a snapshot
//! than in the stream.

use super::{
    refusal::{Code, Fault},
    source_schema::Unit,
};

/// The driver's `infinity` and `-infinity`, in Debezium's count.
const INFINITY: i64 = 9_223_372_036_825_200_000;
const MINUS_INFINITY: i64 = -9_223_372_036_832_400_000;
/// `infinity` of a date: in snapshots, in the stream, and as ISO text of a snapshot.
const DATE_INFINITIES: [i64; 3] = [-622_191_234, -2_147_472_692, 106_751_991_166];
/// `-infinity` of a date: in the stream, and as ISO text of a snapshot. As a number of a snapshot it looks like a
/// day of the year 1705471 and cannot be told.
const DATE_MINUS_INFINITIES: [i64; 2] = [-2_147_472_691, -106_751_991_168];
/// PostgreSQL's first day, 24 November 4714 BC, and its last, 31 December 5874897.
const DAYS: (i64, i64) = (-2_440_588, 2_145_042_905);
const MICROS_PER_DAY: i64 = 86_400_000_000;
/// 2000-01-01, from where PostgreSQL counts and rounds.
const MICROS_2000: i64 = 946_684_800_000_000;

/// Microseconds since 1970 of an integer. Without a schema the unit follows the column's precision, as in
/// `time.precision.mode=adaptive`: up to three digits are milliseconds.
///
/// # Errors
/// No database has that time: it overflowed on its way.
pub(super) fn timestamp_of(count: i64, unit: Option<Unit>, precision: Option<u8>) -> Result<i64, Fault> {
    if count == INFINITY || count == INFINITY / 1000 {
        return Ok(i64::MAX);
    }
    if count == MINUS_INFINITY || count == MINUS_INFINITY / 1000 {
        return Ok(i64::MIN);
    }
    let micros = micros(count, unit, precision).ok_or_else(beyond)?;
    debezium_timestamp(micros)
}

/// Tells the infinities among timestamps, and refuses what overflowed.
///
/// # Errors
/// No database has that time.
pub(super) fn debezium_timestamp(micros: i64) -> Result<i64, Fault> {
    match micros {
        i64::MAX | INFINITY => Ok(i64::MAX),
        i64::MIN | MINUS_INFINITY => Ok(i64::MIN),
        _ if micros < DAYS.0 * MICROS_PER_DAY => Err(beyond()),
        _ => Ok(micros),
    }
}

/// Tells the infinities among days since 1970.
///
/// # Errors
/// No database has that day.
pub(super) fn debezium_date(days: i64) -> Result<i64, Fault> {
    match days {
        i64::MAX | i64::MIN => Ok(days),
        _ if DATE_INFINITIES.contains(&days) => Ok(i64::MAX),
        _ if DATE_MINUS_INFINITIES.contains(&days) => Ok(i64::MIN),
        _ if days < DAYS.0 || days > DAYS.1 => {
            Err(Fault::new(Code::OutOfRange, "a date that no database has"))
        }
        _ => Ok(days),
    }
}

/// Microseconds since midnight of an integer.
///
/// # Errors
/// It is no time of a day.
pub(super) fn time_of(count: i64, unit: Option<Unit>, precision: Option<u8>) -> Result<i64, Fault> {
    micros(count, unit, precision)
        .filter(|m| (0..=MICROS_PER_DAY).contains(m))
        .ok_or_else(|| Fault::new(Code::OutOfRange, "beyond the hours of a day"))
}

/// The nearest time that a column of this precision keeps, as PostgreSQL rounds.
pub(super) fn rounded(micros: i64, precision: Option<u8>) -> i64 {
    let Some(digits) = precision.filter(|p| *p < 6) else { return micros };
    if micros == i64::MAX || micros == i64::MIN {
        return micros;
    }
    let unit = 10_i64.pow(6 - u32::from(digits));
    let Some(since) = micros.checked_sub(MICROS_2000) else { return micros };
    let nearest = if since >= 0 { (since + unit / 2) / unit } else { (since - unit / 2) / unit };
    (nearest * unit).saturating_add(MICROS_2000)
}

/// The nearest time of day that a column of this precision keeps.
pub(super) fn rounded_time(micros: i64, precision: Option<u8>) -> i64 {
    let Some(digits) = precision.filter(|p| *p < 6) else { return micros };
    let unit = 10_i64.pow(6 - u32::from(digits));
    (micros + unit / 2) / unit * unit
}

fn micros(count: i64, unit: Option<Unit>, precision: Option<u8>) -> Option<i64> {
    let by_precision = if precision.is_some_and(|p| p <= 3) { Unit::Millis } else { Unit::Micros };
    match unit.unwrap_or(by_precision) {
        Unit::Millis => count.checked_mul(1000),
        Unit::Micros => Some(count),
        Unit::Nanos => Some(count.div_euclid(1000)),
    }
}

fn beyond() -> Fault {
    Fault::new(Code::OutOfRange, "a timestamp that overflowed at the source, or lies beyond the year 294247")
}

#[cfg(test)]
mod tests {
    use reconverge_streams::text::{format_date, format_timestamp, parse_date};

    use super::*;

    #[test]
    fn timestamps_by_unit() {
        for (count, unit, precision, expected) in [
            (1_772_440_200_123_456, None, None, "2026-03-02T08:30:00.123456Z"),
            (1_772_440_200_123, None, Some(3), "2026-03-02T08:30:00.123000Z"),
            (1_772_440_200_123, Some(Unit::Millis), None, "2026-03-02T08:30:00.123000Z"),
            (1_772_440_200_123_456_789, Some(Unit::Nanos), None, "2026-03-02T08:30:00.123456Z"),
            (-210_863_520_000_000_000, None, None, "-4712-01-01T00:00:00.000000Z"),
            (9_223_372_036_825_200_000, None, None, "infinity"),
            (9_223_372_036_825_200_000, None, Some(3), "infinity"),
            (-9_223_372_036_832_400_000, None, None, "-infinity"),
        ] {
            let micros = timestamp_of(count, unit, precision).unwrap();
            assert_eq!(format_timestamp(micros), expected, "{count}");
        }
        assert!(timestamp_of(-9_223_372_036_853_775_810, None, None).is_err());
        assert!(timestamp_of(i64::MAX - 1, Some(Unit::Millis), None).is_err());
    }

    #[test]
    fn dates_and_their_infinities() {
        for (days, expected) in [
            (20_514, "2026-03-02"),
            (2_145_042_905, "+5874897-12-31"),
            (-2_440_550, "-4712-01-01"),
            (-622_191_234, "infinity"),
            (-2_147_472_692, "infinity"),
            (-2_147_472_691, "-infinity"),
        ] {
            assert_eq!(format_date(debezium_date(days).unwrap()), expected);
        }
        assert!(debezium_date(-2_440_589).is_err() && debezium_date(2_145_042_906).is_err());
        for text in ["+292278994-08-16Z", "-5877611-06-21Z"] {
            assert_eq!(debezium_date(parse_date(text).unwrap()), Ok(i64::MAX), "{text}");
        }
    }

    #[test]
    fn times_and_rounding() {
        assert_eq!(time_of(30_600_123, None, Some(3)), Ok(30_600_123_000));
        assert_eq!(time_of(86_400_000_000, None, None), Ok(86_400_000_000));
        assert_eq!(rounded_time(30_600_123_500, Some(3)), 30_600_124_000);
        assert_eq!(rounded_time(30_600_123_456, None), 30_600_123_456);
        assert!(time_of(-1, None, None).is_err() && time_of(86_400_001, None, Some(3)).is_err());
        for (micros, precision, expected) in [
            (1_499_999, Some(0), 1_000_000),
            // Before 2000, half a unit goes back.
            (1_500_000, Some(0), 1_000_000),
            (1_500_001, Some(0), 2_000_000),
            (123_456, Some(3), 123_000),
            (123_456, None, 123_456),
            (i64::MAX, Some(0), i64::MAX),
            (MICROS_2000 + 1_500_000, Some(0), MICROS_2000 + 2_000_000),
            (MICROS_2000 - 1_500_000, Some(0), MICROS_2000 - 2_000_000),
        ] {
            assert_eq!(rounded(micros, precision), expected, "{micros} {precision:?}");
        }
    }
}
