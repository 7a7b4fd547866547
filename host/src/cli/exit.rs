//! What the process tells its caller with one number. The only place where exit codes stand.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what was asked.
    Done = 0,
    /// It failed while it ran, or found what was asked for wanting (no such dead letter, a ledger that does not
    /// balance).
    Runtime = 1,
    /// `pipeline.toml` or the arguments are wrong.
    Configuration = 2,
    /// A server, a database, a file or a permission is not as the pipeline needs it.
    Environment = 3,
    /// A second signal came before the batch in hand was committed. As shells number Ctrl-C.
    Interrupted = 130,
}

impl Exit {
    /// The exit of a number that a deeper layer gave; a number that none has is a failure at runtime.
    #[must_use]
    pub fn of(code: u8) -> Exit {
        match code {
            0 => Exit::Done,
            2 => Exit::Configuration,
            3 => Exit::Environment,
            130 => Exit::Interrupted,
            _ => Exit::Runtime,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The part of every `--help` that says what the numbers mean.
macro_rules! exit_codes {
    () => {
        "Exit codes: 0 done, 1 failed at runtime, 2 pipeline.toml or the arguments are wrong, 3 a server, \
         file or permission is not as needed."
    };
}
pub(super) use exit_codes;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_is_its_number() {
        for exit in [Exit::Done, Exit::Runtime, Exit::Configuration, Exit::Environment, Exit::Interrupted] {
            assert_eq!(Exit::of(exit as u8), exit);
        }
        assert_eq!(Exit::of(77), Exit::Runtime);
    }
}
