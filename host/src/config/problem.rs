//! What is wrong with a pipeline file, where, and what to write instead.
//!
//! A `Problem` points into the file; `ConfigError` carries all problems of a file at once. Both are
//! `miette` diagnostics, so that the command line can draw them. The text that they carry has its literal
//! passwords masked: a complaint about a secret does not spread it.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, Severity, SourceCode};
use thiserror::Error;

use super::secret;

/// The pipeline file's name and text, shared by every problem that points into it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    source: Arc<NamedSource<String>>,
}

impl Text {
    pub(super) fn new(name: &str, text: &str) -> Self {
        Self { source: Arc::new(NamedSource::new(name, secret::mask(text)).with_language("TOML")) }
    }

    pub(super) fn problem(&self, span: Range<usize>, message: impl Into<String>) -> Problem {
        Problem {
            message: message.into(),
            label: "here".to_owned(),
            span,
            also: None,
            help: None,
            severity: Severity::Error,
            text: self.clone(),
        }
    }
}

/// One thing that is wrong, or doubtful, in the file.
#[derive(Clone, Debug, Error)]
#[error("{message}")]
pub struct Problem {
    message: String,
    label: String,
    span: Range<usize>,
    also: Option<(Range<usize>, String)>,
    help: Option<String>,
    severity: Severity,
    text: Text,
}

impl Problem {
    /// What is wrong, in one sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, if that can be said.
    pub fn hint(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// True where the pipeline runs all the same.
    pub fn is_warning(&self) -> bool {
        self.severity == Severity::Warning
    }

    /// Name of the file, as it was given.
    pub fn file(&self) -> &str {
        self.text.source.name()
    }

    /// Line and column in the file, both from 1; the column counts characters.
    pub fn position(&self) -> (usize, usize) {
        let text = self.text.source.inner();
        let before = text.get(..self.span.start).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or(before);
        (before.matches('\n').count() + 1, line.chars().count() + 1)
    }

    /// Says what stands at the place.
    pub fn label(&mut self, label: impl Into<String>) -> &mut Self {
        self.label = label.into();
        self
    }

    /// Says what to do.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(help.into());
        self
    }

    /// Points at a second place that has to do with it.
    pub fn also(&mut self, span: Range<usize>, label: impl Into<String>) -> &mut Self {
        self.also = Some((span, label.into()));
        self
    }

    /// Makes it a warning: the pipeline runs all the same.
    pub fn warn(&mut self) -> &mut Self {
        self.severity = Severity::Warning;
        self
    }
}

impl Diagnostic for Problem {
    fn severity(&self) -> Option<Severity> {
        Some(self.severity)
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.text.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        // A header's range may take in its whole table; the first line of it says where.
        let text = self.text.source.inner();
        let line = |span: &Range<usize>| {
            let part = text.get(span.clone()).unwrap_or("");
            span.start..span.start + part.find('\n').unwrap_or(part.len())
        };
        let primary = LabeledSpan::new_primary_with_span(Some(self.label.clone()), line(&self.span));
        let also = self
            .also
            .iter()
            .map(move |(span, label)| LabeledSpan::new_with_span(Some(label.clone()), line(span)));
        Some(Box::new(std::iter::once(primary).chain(also)))
    }
}

/// Why there is no pipeline.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file, as it was given.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        cause: io::Error,
    },
    /// The file was read and is wrong.
    #[error("{file} cannot be used: {}", counted(problems))]
    Invalid {
        /// The file, as it was given.
        file: String,
        /// Everything that is wrong with it, warnings included, in the order of the file.
        problems: Vec<Problem>,
    },
}

fn counted(problems: &[Problem]) -> String {
    match problems.iter().filter(|problem| !problem.is_warning()).count() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    }
}

impl ConfigError {
    /// Everything that is wrong with the file; empty where it could not be read.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Unreadable { .. } => &[],
            Self::Invalid { problems, .. } => problems,
        }
    }
}

impl Diagnostic for ConfigError {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match self {
            Self::Unreadable { .. } => {
                Some(Box::new("give the path of a pipeline file, such as pipeline.toml"))
            }
            Self::Invalid { .. } => None,
        }
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        Some(Box::new(self.problems().iter().map(|problem| problem as &dyn Diagnostic)))
    }
}
