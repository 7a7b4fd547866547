//! How a call can fail, and what may be told of it. A fault concerns the rows of its call; who is guilty among
//! them is found by [`super::contain`].
//!
//! A fault's words never hold what a plugin's memory held: of a trap only its kind is told.

use std::fmt;

use wasmtime::Trap;

use super::block::BadAnswer;

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It trapped; the kind, in wasmtime's words.
    Trap(String),
    /// Its fuel ran out.
    Fuel,
    /// It needed more memory than it may have.
    Memory,
    /// It was not done in time.
    Deadline,
    /// Its answer breaks the interface.
    BadAnswer(BadAnswer),
    /// It returned an error. The text is the plugin's own and may hold row values.
    Plugin(String),
    /// A fresh instance asked for another contract than the first one.
    OtherContract,
    /// wasmtime could not make an instance.
    NoInstance(String),
}

impl Fault {
    /// What an error of wasmtime means. `memory_refused`: the call was refused memory, whatever it did then.
    pub(super) fn of(error: &wasmtime::Error, memory_refused: bool) -> Fault {
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => Fault::Fuel,
            Some(Trap::Interrupt) => Fault::Deadline,
            _ if memory_refused => Fault::Memory,
            Some(trap) => {
                let words = trap.to_string();
                Fault::Trap(words.strip_prefix("wasm trap: ").unwrap_or(&words).into())
            }
            // What is left are answers that wasmtime could not read out of the plugin's memory.
            None => Fault::BadAnswer(BadAnswer::Unreadable),
        }
    }

    /// The fixed word for dead letters and metrics.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Fault::Trap(_) => "trap",
            Fault::Fuel => "fuel",
            Fault::Memory => "memory",
            Fault::Deadline => "deadline",
            Fault::BadAnswer(_) => "bad-answer",
            Fault::Plugin(_) | Fault::OtherContract | Fault::NoInstance(_) => "plugin-error",
        }
    }

    /// The fault of a start, of `describe` or of `open` in words: there is no row then.
    pub(super) fn at_start(&self) -> String {
        match self {
            Fault::Fuel => "used up its fuel before it was done".into(),
            told => told.to_string(),
        }
    }

    /// The fault in words, without those of the plugin where its own text may hold rows that residency has not
    /// passed.
    pub(super) fn told(&self, keep_plugin_text: bool) -> String {
        match self {
            Fault::Plugin(_) if !keep_plugin_text => {
                "returned an error (its text is not kept before residency)".into()
            }
            told => told.to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Trap(kind) => write!(f, "trapped: {kind}"),
            Fault::Fuel => f.write_str("used up its fuel on this row alone"),
            Fault::Memory => f.write_str("needed more memory than it may have"),
            Fault::Deadline => f.write_str("did not answer in time"),
            Fault::BadAnswer(why) => write!(f, "gave an answer that breaks the interface: {why}"),
            Fault::Plugin(text) => write!(f, "returned an error: {text}"),
            Fault::OtherContract => f.write_str("asks for another contract each time it is opened"),
            Fault::NoInstance(why) => write!(f, "could not be started: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_wasmtime_has_its_code() {
        for (error, memory_refused, code) in [
            (wasmtime::Error::from(Trap::OutOfFuel), true, "fuel"),
            (Trap::Interrupt.into(), false, "deadline"),
            (Trap::UnreachableCodeReached.into(), true, "memory"),
            (Trap::UnreachableCodeReached.into(), false, "trap"),
            (wasmtime::Error::msg("string is no utf-8"), false, "bad-answer"),
        ] {
            assert_eq!(Fault::of(&error, memory_refused).code(), code, "{error:?}");
        }
    }

    #[test]
    fn a_plugins_text_is_told_only_where_its_rows_may_be() {
        let fault = Fault::Plugin("anna@example.com".into());
        assert!(fault.told(true).contains("anna"));
        assert!(!fault.told(false).contains("anna"));
        assert_eq!(
            Fault::of(&Trap::StackOverflow.into(), false).told(false),
            "trapped: call stack exhausted"
        );
    }
}
