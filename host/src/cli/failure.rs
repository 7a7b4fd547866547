//! What a person is told when a command fails: `error: what failed`, `caused by:` lines, `hint: what to do`.
//!
//! Problems of a pipeline file are drawn with the lines of the file that they are about. Nothing here decides
//! what to do about an error; it only puts it into words, on stderr.

use std::{
    error::Error,
    io::{self, IsTerminal, Write},
};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, SourceCode};
use reconverge_streams::sink::SinkError;

use crate::config::{ConfigError, Problem};

use super::exit::Exit;

/// A command that failed, in words.
#[derive(Debug)]
pub(super) struct Failure {
    exit: Exit,
    what: String,
    causes: Vec<String>,
    hint: Option<String>,
    problems: Vec<Problem>,
}

impl Failure {
    /// A failure without a deeper cause.
    pub(super) fn new(exit: Exit, what: impl Into<String>) -> Failure {
        Failure { exit, what: what.into(), causes: Vec::new(), hint: None, problems: Vec::new() }
    }

    /// An error of a deeper layer with its causes.
    pub(super) fn of(exit: Exit, error: &dyn Error) -> Failure {
        Failure { causes: causes(error), ..Failure::new(exit, error.to_string()) }
    }

    /// With what to do about it.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// With its cause.
    pub(super) fn because(mut self, cause: &dyn Error) -> Failure {
        self.causes.push(cause.to_string());
        self.causes.extend(causes(cause));
        self
    }

    /// With its causes, a line each.
    pub(super) fn causes(mut self, causes: Vec<String>) -> Failure {
        self.causes.extend(causes);
        self
    }

    /// With the places of the pipeline file that are to blame.
    pub(super) fn at(mut self, problems: Vec<Problem>) -> Failure {
        self.problems = problems;
        self
    }

    /// The places of the pipeline file that are to blame; empty where it is not to blame.
    pub(super) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// What the process ends with.
    pub(super) fn exit(&self) -> Exit {
        self.exit
    }

    /// What failed, its cause included, in one line: for JSON.
    pub(super) fn line(&self) -> String {
        std::iter::once(&self.what).chain(&self.causes).map(String::as_str).collect::<Vec<_>>().join(": ")
    }

    /// Tells it on stderr.
    pub(super) fn tell(&self) {
        let mut stderr = io::stderr().lock();
        // Where stderr is closed there is nobody to tell.
        let _ = stderr.write_all(self.words(Drawing::of_stderr()).as_bytes());
    }

    fn words(&self, drawing: Drawing) -> String {
        let mut words = drawing.problems(&self.problems);
        words.push_str(&format!("error: {}\n", self.what));
        for cause in &self.causes {
            words.push_str(&format!("caused by: {cause}\n"));
        }
        if let Some(hint) = &self.hint {
            words.push_str(&format!("hint: {hint}\n"));
        }
        words
    }
}

/// The chain of sources; one whose words stand in the line before it says nothing new.
fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = Vec::new();
    let (mut said, mut next) = (error.to_string(), error.source());
    while let Some(cause) = next {
        let words = cause.to_string();
        if !said.contains(&words) {
            causes.push(words.clone());
            said = words;
        }
        next = cause.source();
    }
    causes
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        let failure = Failure::of(Exit::Configuration, &error);
        match error {
            ConfigError::Unreadable { .. } => {
                failure.hint("name the file with `--pipeline`; without it ./pipeline.toml is read")
            }
            ConfigError::Invalid { problems, .. } => failure.at(problems),
        }
    }
}

impl From<SinkError> for Failure {
    fn from(error: SinkError) -> Failure {
        let exit = match &error {
            SinkError::Setup { .. } | SinkError::Unreachable(_) | SinkError::Table(..) => Exit::Environment,
            SinkError::OtherPlan { .. } => Exit::Configuration,
            SinkError::Held { .. } | SinkError::Fenced(_) => Exit::Runtime,
        };
        let failure = Failure::of(exit, &error);
        match error {
            SinkError::Setup { hint, .. } => failure.hint(hint),
            _ => failure,
        }
    }
}

/// How problems are drawn: with the letters and colours that the place shows.
#[derive(Clone, Copy)]
pub(super) enum Drawing {
    /// A terminal that shows colours.
    Coloured,
    /// A terminal that was told not to.
    Lines,
    /// A file or a pipe.
    Plain,
}

impl Drawing {
    /// What stderr shows.
    pub(super) fn of_stderr() -> Drawing {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match (io::stderr().is_terminal(), forbidden) {
            (false, _) => Drawing::Plain,
            (true, true) => Drawing::Lines,
            (true, false) => Drawing::Coloured,
        }
    }

    /// Each problem with the lines that it is about, an empty line after each.
    pub(super) fn problems(self, problems: &[Problem]) -> String {
        let mut theme = match self {
            Drawing::Coloured => GraphicalTheme::unicode(),
            Drawing::Lines => GraphicalTheme::unicode_nocolor(),
            Drawing::Plain => GraphicalTheme::none(),
        };
        "error:".clone_into(&mut theme.characters.error);
        "warning:".clone_into(&mut theme.characters.warning);
        let handler = GraphicalReportHandler::new_themed(theme).with_width(100).with_links(false);
        let mut drawn = String::new();
        for problem in problems {
            let start = drawn.len();
            if handler.render_report(&mut drawn, &Place(problem)).is_err() {
                drawn.truncate(start);
                drawn.push_str(&format!("{problem}\n"));
            }
            if let Some(hint) = problem.hint() {
                drawn.push_str(&format!("  hint: {hint}\n"));
            }
            drawn.push('\n');
        }
        drawn
    }
}

/// A problem without its hint, which is written in the house's own word.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Place<'a>(&'a Problem);

impl Diagnostic for Place<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        self.0.severity()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.0.source_code()
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.0.labels()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the lane stopped")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("sink: {0}")]
    struct Middle(#[from] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("disk full")]
    struct Inner;

    #[test]
    fn a_cause_is_told_once() {
        let failure = Failure::of(Exit::Runtime, &Outer(Middle(Inner))).hint("free some");
        assert_eq!(
            failure.words(Drawing::Plain),
            "error: the lane stopped\ncaused by: sink: disk full\nhint: free some\n"
        );
        assert_eq!(failure.line(), "the lane stopped: sink: disk full");
    }
}
