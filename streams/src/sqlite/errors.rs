//! What SQLite's errors mean: one match from result code to what to do. Of a message only what names tables,
//! columns and constraints is kept; a trigger's own words may hold a row's values and are left out.

use rusqlite::{Error, ErrorCode, ffi};

use crate::sink::{Cause, SinkError};

/// What to do about an error while a batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The same again, after a pause.
    Again,
    /// The row breaks a unique constraint: another order of the batch's rows may be possible.
    Unique,
    /// The row cannot be written at all.
    Row,
    /// The table is not as planned.
    Table,
    /// Going on would be wrong or useless.
    Halt,
}

/// The fate of an error, by its extended result code.
pub(super) fn fate(error: &Error) -> Fate {
    let Some(sqlite) = error.sqlite_error() else {
        // rusqlite's own errors: a column that is not there any more, a value of another type in the sidecar.
        return Fate::Halt;
    };
    match (sqlite.code, sqlite.extended_code) {
        (
            ErrorCode::ConstraintViolation,
            ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY | ffi::SQLITE_CONSTRAINT_ROWID,
        ) => Fate::Unique,
        (ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig, _) => Fate::Row,
        (
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::OperationInterrupted
            | ErrorCode::OperationAborted
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::SchemaChanged
            | ErrorCode::OutOfMemory,
            _,
        ) => Fate::Again,
        // SQLITE_ERROR while a statement over the user's table is prepared: no such table or column.
        (ErrorCode::Unknown, ffi::SQLITE_ERROR) => Fate::Table,
        (
            ErrorCode::DiskFull
            | ErrorCode::DatabaseCorrupt
            | ErrorCode::NotADatabase
            | ErrorCode::ReadOnly
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::PermissionDenied
            | ErrorCode::AuthorizationForStatementDenied
            | ErrorCode::NoLargeFileSupport
            | ErrorCode::InternalMalfunction
            | ErrorCode::ApiMisuse
            | ErrorCode::ParameterOutOfRange
            | ErrorCode::NotFound
            | ErrorCode::Unknown,
            _,
        ) => Fate::Halt,
        // The enum is open; a code that nobody knows yet is no reason to go on.
        _ => Fate::Halt,
    }
}

/// The error as it may be told.
pub(super) fn cause(error: &Error) -> Cause {
    let Some(sqlite) = error.sqlite_error() else {
        return Cause {
            code: "driver".into(),
            text: "the sidecar holds a value of another type than it should".into(),
        };
    };
    let code = sqlite.extended_code;
    let text = match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE
        | ffi::SQLITE_CONSTRAINT_PRIMARYKEY
        | ffi::SQLITE_CONSTRAINT_ROWID
        | ffi::SQLITE_CONSTRAINT_NOTNULL
        | ffi::SQLITE_CONSTRAINT_CHECK
        | ffi::SQLITE_CONSTRAINT_DATATYPE
        | ffi::SQLITE_ERROR => message(error),
        ffi::SQLITE_CONSTRAINT_TRIGGER => "a trigger refused the row".into(),
        _ => ffi::code_to_str(code).into(),
    };
    Cause { code: name(code), text }
}

/// An error outside a batch's writes.
pub(super) fn sink_error(what: &str, error: &Error) -> SinkError {
    let cause = cause(error);
    match fate(error) {
        Fate::Again => SinkError::Unreachable(format!("{what}: {cause}")),
        Fate::Unique | Fate::Row | Fate::Table | Fate::Halt => SinkError::Setup {
            what: format!("{what}: {cause}"),
            hint: match error.sqlite_error_code() {
                Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                    "give this process the right to write the file and its folder".into()
                }
                Some(ErrorCode::DiskFull) => "make room on the disk".into(),
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                    "check the file with `PRAGMA integrity_check`, and restore it where that fails".into()
                }
                _ => "run `reconverge check` for all that is wrong".into(),
            },
        },
    }
}

fn message(error: &Error) -> String {
    match error {
        Error::SqliteFailure(_, Some(message)) => message.clone(),
        Error::SqlInputError { msg, .. } => msg.clone(),
        _ => "SQLite gave no message".into(),
    }
}

/// The name of an extended result code that a batch can meet; others as a number.
fn name(code: i32) -> String {
    let known = match code {
        ffi::SQLITE_CONSTRAINT_UNIQUE => "SQLITE_CONSTRAINT_UNIQUE",
        ffi::SQLITE_CONSTRAINT_PRIMARYKEY => "SQLITE_CONSTRAINT_PRIMARYKEY",
        ffi::SQLITE_CONSTRAINT_ROWID => "SQLITE_CONSTRAINT_ROWID",
        ffi::SQLITE_CONSTRAINT_NOTNULL => "SQLITE_CONSTRAINT_NOTNULL",
        ffi::SQLITE_CONSTRAINT_CHECK => "SQLITE_CONSTRAINT_CHECK",
        ffi::SQLITE_CONSTRAINT_DATATYPE => "SQLITE_CONSTRAINT_DATATYPE",
        ffi::SQLITE_CONSTRAINT_TRIGGER => "SQLITE_CONSTRAINT_TRIGGER",
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => "SQLITE_CONSTRAINT_FOREIGNKEY",
        ffi::SQLITE_MISMATCH => "SQLITE_MISMATCH",
        ffi::SQLITE_TOOBIG => "SQLITE_TOOBIG",
        ffi::SQLITE_ERROR => "SQLITE_ERROR",
        ffi::SQLITE_BUSY => "SQLITE_BUSY",
        ffi::SQLITE_FULL => "SQLITE_FULL",
        ffi::SQLITE_CORRUPT => "SQLITE_CORRUPT",
        ffi::SQLITE_READONLY => "SQLITE_READONLY",
        ffi::SQLITE_NOTADB => "SQLITE_NOTADB",
        _ => return format!("SQLite {code}"),
    };
    known.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_fate() {
        for (code, expected) in [
            (ffi::SQLITE_CONSTRAINT_UNIQUE, Fate::Unique),
            (ffi::SQLITE_CONSTRAINT_PRIMARYKEY, Fate::Unique),
            (ffi::SQLITE_CONSTRAINT_NOTNULL, Fate::Row),
            (ffi::SQLITE_CONSTRAINT_CHECK, Fate::Row),
            (ffi::SQLITE_CONSTRAINT_DATATYPE, Fate::Row),
            (ffi::SQLITE_CONSTRAINT_TRIGGER, Fate::Row),
            (ffi::SQLITE_CONSTRAINT_FOREIGNKEY, Fate::Row),
            (ffi::SQLITE_MISMATCH, Fate::Row),
            (ffi::SQLITE_TOOBIG, Fate::Row),
            (ffi::SQLITE_BUSY, Fate::Again),
            (ffi::SQLITE_LOCKED, Fate::Again),
            (ffi::SQLITE_INTERRUPT, Fate::Again),
            (ffi::SQLITE_PROTOCOL, Fate::Again),
            (ffi::SQLITE_SCHEMA, Fate::Again),
            (ffi::SQLITE_NOMEM, Fate::Again),
            (ffi::SQLITE_ERROR, Fate::Table),
            (ffi::SQLITE_FULL, Fate::Halt),
            (ffi::SQLITE_CORRUPT, Fate::Halt),
            (ffi::SQLITE_NOTADB, Fate::Halt),
            (ffi::SQLITE_READONLY, Fate::Halt),
            (ffi::SQLITE_IOERR, Fate::Halt),
            (ffi::SQLITE_CANTOPEN, Fate::Halt),
            (ffi::SQLITE_PERM, Fate::Halt),
            (ffi::SQLITE_AUTH, Fate::Halt),
            (ffi::SQLITE_MISUSE, Fate::Halt),
            (99, Fate::Halt),
        ] {
            assert_eq!(fate(&Error::SqliteFailure(ffi::Error::new(code), None)), expected, "{code}");
        }
        assert_eq!(fate(&Error::QueryReturnedNoRows), Fate::Halt);
    }

    #[test]
    fn a_trigger_does_not_speak() {
        let raised = ffi::Error::new(ffi::SQLITE_CONSTRAINT_TRIGGER);
        let cause = cause(&Error::SqliteFailure(raised, Some("ann@example.org is banned".into())));
        assert_eq!(
            (cause.code.as_str(), cause.text.as_str()),
            ("SQLITE_CONSTRAINT_TRIGGER", "a trigger refused the row")
        );
    }
}
