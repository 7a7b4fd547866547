//! What to do about an error of the server: one exhaustive match from SQLSTATE to a fate, and the words that
//! may be said about it.
//!
//! Never keeps the server's message or detail: they print the row's values.

use tokio_postgres::Error;

use crate::sink::{Cause, SinkError};

/// What becomes of a batch that met an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The connection is gone, or will be: whether a commit took effect is unknown.
    Lost,
    /// Nothing is wrong with the batch: the same again, after a pause.
    Again,
    /// A statement was planned against a table that has changed: prepare it anew, then again.
    Stale,
    /// A unique or exclusion constraint: the order of writing may be to blame.
    Unique,
    /// A row is to blame.
    Data,
    /// The table is not as it was.
    Table,
    /// Going on would be wrong or useless.
    Halt,
}

/// The fate behind an SQLSTATE (PostgreSQL's Appendix A).
pub(super) fn of_code(code: &str) -> Fate {
    match code {
        "57P01" | "57P02" | "57P03" | "57P05" | "25P03" | "25P04" => Fate::Lost,
        "40001" | "40P01" | "55P03" | "57014" | "55006" | "53200" | "53300" | "72000" => Fate::Again,
        // "cached plan must not change result type" is the only one that a write of ours can meet.
        "0A000" | "26000" => Fate::Stale,
        "23505" | "23P01" => Fate::Unique,
        "54001" | "57P04" | "25006" => Fate::Halt,
        // Two keys that differ for us and are one for the column's type, in one statement.
        "21000" => Fate::Data,
        _ => match code.get(..2).unwrap_or_default() {
            "08" => Fate::Lost,
            // 44 and 54: a view's check, a row too big for an index; P0, 38 and 39: a trigger of the user's.
            "22" | "23" | "44" | "54" | "P0" | "38" | "39" => Fate::Data,
            "3F" | "42" | "55" => Fate::Table,
            "40" | "25" => Fate::Again,
            // 53 resources, 58 system, XX corruption, 28 credentials, 21 and 0A and the like: ours or the server's.
            _ => Fate::Halt,
        },
    }
}

/// The fate of an error of the driver. One without an SQLSTATE is a lost connection, except where we gave a
/// parameter that does not fit, which is a fault of ours.
pub(super) fn of(error: &Error) -> Fate {
    match error.code() {
        Some(code) => of_code(code.code()),
        None if error.to_string().starts_with("error serializing parameter") => Fate::Halt,
        None => Fate::Lost,
    }
}

/// The cause as it may be told: SQLSTATE and its meaning, and table, column and constraint where the server
/// names them; else the table that the statement was about.
pub(super) fn cause(error: &Error, table: Option<&str>) -> Cause {
    let Some(db) = error.as_db_error() else {
        // The driver's own texts hold no row values: they name the step that failed.
        return Cause { code: "connection".into(), text: format!("connection to PostgreSQL: {error}") };
    };
    let code = db.code().code();
    let mut text = format!("SQLSTATE {code} ({})", words(code));
    for (what, name) in [
        ("table", db.table().or(table)),
        ("column", db.column()),
        ("constraint", db.constraint()),
        ("type", db.datatype()),
    ] {
        if let Some(name) = name {
            text.push_str(&format!(", {what} {name}"));
        }
    }
    Cause { code: code.into(), text }
}

/// An error outside of a batch's writing, for the host.
pub(super) fn sink_error(error: &Error, doing: &str) -> SinkError {
    let cause = cause(error, None);
    match of(error) {
        Fate::Lost | Fate::Again | Fate::Stale => SinkError::Unreachable(format!("{doing}: {}", cause.text)),
        Fate::Unique | Fate::Data | Fate::Table | Fate::Halt => {
            SinkError::Setup { what: format!("{doing}: {}", cause.text), hint: hint(&cause.code).into() }
        }
    }
}

fn hint(code: &str) -> &'static str {
    match code {
        "42501" => "grant the role of the sink's URL what the message names",
        "28P01" | "28000" => "check user and password of the sink's URL, and pg_hba.conf",
        "3D000" => "create the database, or name another in the sink's URL",
        "25006" => "the server is read-only (a standby?): point the sink's URL at the primary",
        "53100" => "free space on the server's disk",
        _ => "see PostgreSQL's log for the statement; `reconverge check` lists what the sink needs",
    }
}

/// What a code means, for the codes that a sink meets; PostgreSQL's own names.
fn words(code: &str) -> &'static str {
    match code {
        "0A000" => "feature not supported",
        "22001" => "value too long",
        "22003" => "number out of range",
        "22007" | "22008" => "bad or out-of-range date or time",
        "22021" => "character not in the encoding",
        "22026" => "length of a bit string",
        "22P02" => "bad text for the type",
        "22P03" => "bad binary form for the type",
        "23502" => "null in a NOT NULL column",
        "23503" => "foreign key violation",
        "23505" => "unique violation",
        "23514" => "check violation",
        "23P01" => "exclusion violation",
        "25006" => "read-only transaction",
        "28000" | "28P01" => "login refused",
        "3D000" => "no such database",
        "40001" => "serialization failure",
        "40P01" => "deadlock",
        "42501" => "no permission",
        "42703" => "no such column",
        "42804" => "type mismatch",
        "42P01" => "no such table",
        "428C9" => "column is always generated",
        "53100" => "disk full",
        "53300" => "too many connections",
        "54000" => "limit of the server exceeded",
        "55P03" => "lock not available in time",
        "57014" => "cancelled",
        "57P01" | "57P02" => "server shuts down",
        "57P03" => "server not ready",
        "P0001" => "raised by a trigger",
        _ => "see PostgreSQL's Appendix A",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every class of PostgreSQL's Appendix A, by a code of it that has no fate of its own.
    #[test]
    fn each_class_has_its_fate() {
        for (codes, fate) in [
            (&["08000", "08P01"][..], Fate::Lost),
            (&["40000", "40002", "25000", "25P02"], Fate::Again),
            (
                &["22000", "23000", "23001", "44000", "54011", "P0000", "P0004", "38000", "39000", "39P01"],
                Fate::Data,
            ),
            (&["3F000", "42000", "42601", "42P18", "42883", "55000", "55P04"], Fate::Table),
            (
                &[
                    "00000", "01000", "02000", "03000", "09000", "0B000", "0F000", "0L000", "0P000", "0Z000",
                    "10608", "20000", "24000", "27000", "28000", "2B000", "2D000", "2F000", "34000", "3B000",
                    "3D000", "53000", "53100", "53400", "57000", "58000", "58030", "F0000", "HV000", "XX000",
                    "XX002",
                ],
                Fate::Halt,
            ),
        ] {
            for code in codes {
                assert_eq!(of_code(code), fate, "{code}");
            }
        }
    }

    #[test]
    fn each_code_has_its_fate() {
        for (code, fate) in [
            ("08006", Fate::Lost),
            ("57P01", Fate::Lost),
            ("57P03", Fate::Lost),
            ("40001", Fate::Again),
            ("40P01", Fate::Again),
            ("55P03", Fate::Again),
            ("57014", Fate::Again),
            ("53300", Fate::Again),
            ("0A000", Fate::Stale),
            ("23505", Fate::Unique),
            ("23P01", Fate::Unique),
            ("22001", Fate::Data),
            ("22003", Fate::Data),
            ("22P02", Fate::Data),
            ("23502", Fate::Data),
            ("23503", Fate::Data),
            ("23514", Fate::Data),
            ("54000", Fate::Data),
            ("P0001", Fate::Data),
            ("42P01", Fate::Table),
            ("42703", Fate::Table),
            ("42501", Fate::Table),
            ("42804", Fate::Table),
            ("428C9", Fate::Table),
            ("3F000", Fate::Table),
            ("25006", Fate::Halt),
            ("53100", Fate::Halt),
            ("XX001", Fate::Halt),
            ("28P01", Fate::Halt),
            ("", Fate::Halt),
        ] {
            assert_eq!(of_code(code), fate, "{code}");
        }
    }
}
