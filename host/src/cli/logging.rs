//! The log: lines on stderr, or one JSON object a line. What is logged is the engine's; this says how and how
//! much of it, and keeps a progress bar below it.

use std::io::{self, IsTerminal, Write};

use indicatif::ProgressBar;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer,
    filter::{FilterExt, filter_fn},
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

use crate::config::LogFormat;

use super::{exit::Exit, failure::Failure};

/// The variable that sets levels by hand, such as `warn,reconverge=debug`.
const LEVELS: &str = "RECONVERGE_LOG";

/// Libraries that print what goes over the wire, rows that is, where they are asked for more than `info`.
const KEPT_QUIET: [&str; 2] = ["async_nats", "tokio_postgres"];

/// How much is logged of our own modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Loudness {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Loudness {
    const ALL: [Loudness; 5] =
        [Loudness::Error, Loudness::Warn, Loudness::Info, Loudness::Debug, Loudness::Trace];

    /// One step louder for each `-v`, one quieter for each `-q`.
    pub(super) fn changed_by(self, verbose: u8, quiet: u8) -> Loudness {
        let step = (self as usize).saturating_add(verbose.into()).saturating_sub(quiet.into());
        Loudness::ALL[step.min(Loudness::ALL.len() - 1)]
    }

    /// Levels by module. Libraries are heard from `debug` on, where it is they that are looked into.
    fn directives(self) -> &'static str {
        match self {
            Loudness::Error => "error",
            Loudness::Warn => "warn",
            Loudness::Info => "warn,reconverge=info,reconverge_streams=info",
            Loudness::Debug => "info,reconverge=debug,reconverge_streams=debug",
            Loudness::Trace => "debug,reconverge=trace,reconverge_streams=trace",
        }
    }
}

/// Starts the log of this process. A log that runs already goes on as it is.
pub(super) fn start(loudness: Loudness, format: LogFormat, bar: &Bar) -> Result<(), Failure> {
    let filter = match std::env::var(LEVELS) {
        Ok(levels) if !levels.is_empty() => EnvFilter::try_new(&levels).map_err(|error| {
            Failure::new(Exit::Configuration, format!("{LEVELS}={levels} names no log levels"))
                .because(&error)
                .hint("write it like warn,reconverge=debug")
        })?,
        _ => EnvFilter::new(loudness.directives()),
    };
    let filter = filter.and(filter_fn(may_be_heard));
    let lines = fmt::layer().with_writer(bar.clone());
    let log = match format {
        LogFormat::Line => {
            let coloured = io::stderr().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
            lines.with_ansi(coloured).with_target(false).with_filter(filter).boxed()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    let started = tracing_subscriber::registry().with(log).try_init();
    // Only a test in the same process can have started one before.
    drop(started);
    Ok(())
}

/// Whether no row can stand in it, whatever levels are asked for.
fn may_be_heard(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !KEPT_QUIET.contains(&library)
}

/// The place for talk: stderr, with a progress bar kept below what is written, where there is one.
#[derive(Clone, Debug, Default)]
pub(super) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Talk goes above this bar.
    pub(super) fn above(bar: ProgressBar) -> Bar {
        Bar(Some(bar))
    }

    /// Writes text for a person.
    pub(super) fn talk(&self, text: &str) {
        // Where stderr is closed there is nobody to talk to.
        let _ = self.clone().write_all(text.as_bytes());
    }

    /// The bar itself.
    pub(super) fn drawn(&self) -> Option<&ProgressBar> {
        self.0.as_ref()
    }
}

impl Write for Bar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.0 {
            Some(bar) => bar.suspend(|| io::stderr().write(bytes)),
            None => io::stderr().write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'a> MakeWriter<'a> for Bar {
    type Writer = Bar;

    fn make_writer(&'a self) -> Bar {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v_and_q_go_up_and_down_and_stop_at_the_ends() {
        let cases = [
            (Loudness::Info, 0, 0, Loudness::Info),
            (Loudness::Info, 1, 0, Loudness::Debug),
            (Loudness::Warn, 9, 0, Loudness::Trace),
            (Loudness::Warn, 0, 5, Loudness::Error),
            (Loudness::Warn, 2, 1, Loudness::Info),
        ];
        for (base, verbose, quiet, expected) in cases {
            assert_eq!(base.changed_by(verbose, quiet), expected);
        }
    }

    #[test]
    fn every_loudness_is_a_filter() {
        for loudness in Loudness::ALL {
            assert!(EnvFilter::try_new(loudness.directives()).is_ok());
        }
    }
}
