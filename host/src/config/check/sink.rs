//! Checks `[sink]`.

use std::ops::Range;

use super::Checker;
use crate::config::checked::{Sink, SinkTarget};
use crate::config::choices::SinkKind;
use crate::config::located::At;
use crate::config::raw;
use crate::config::secret::ConnectionUrl;

impl Checker<'_> {
    /// `None` where there is no sink to speak of; it has been reported.
    pub(super) fn sink(&mut self, sink: Option<At<raw::Sink>>) -> Option<Sink> {
        let sink = self.section(sink, "sink")?;
        let written = self.needed(sink.url.as_ref(), &sink.span(), "[sink]", "url")?;
        let url = self.url(written)?;
        let kind = self.kind(&sink, &url, &written.span())?;
        if let Some(schema) = sink.schema.as_ref().filter(|_| kind != SinkKind::Postgres) {
            self.refuse(schema.span(), format!("`schema` says nothing of the sink kind `{kind}`"))
                .warn()
                .help("leave it out");
        }
        let target = match kind {
            SinkKind::Postgres => {
                let schema =
                    sink.schema.as_ref().map_or_else(|| "public".to_owned(), |name| name.value().clone());
                SinkTarget::Postgres { url: ConnectionUrl::new(url), schema }
            }
            SinkKind::Sqlite => self.sqlite(&url, &written.span())?,
            SinkKind::Relay => SinkTarget::Relay { url: ConnectionUrl::new(url) },
        };
        Some(Sink { target, local_writes: sink.local_writes, span: written.span() })
    }

    /// The kind as written, which the url's scheme must fit; else as the scheme tells.
    fn kind(&mut self, sink: &raw::Sink, url: &str, span: &Range<usize>) -> Option<SinkKind> {
        let told = match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => Some(SinkKind::Postgres),
            Some("sqlite") => Some(SinkKind::Sqlite),
            Some("nats" | "tls" | "ws" | "wss") => Some(SinkKind::Relay),
            _ => None,
        };
        match (&sink.kind, told) {
            (Some(written), Some(told)) if *written.value() != told => {
                self.refuse(span.clone(), format!("this is the url of a sink of kind `{told}`"))
                    .also(written.span(), format!("but the kind is `{}`", written.value()))
                    .help("change one of them; without `kind` the url tells");
                None
            }
            (Some(written), _) => Some(*written.value()),
            (None, Some(told)) => Some(told),
            (None, None) => {
                self.refuse(span.clone(), "the url does not tell the kind of the sink")
                    .help("begin it with `postgres://` or `sqlite://`, or set `kind`");
                None
            }
        }
    }

    fn sqlite(&mut self, url: &str, span: &Range<usize>) -> Option<SinkTarget> {
        let path = url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")).unwrap_or(url);
        if path.is_empty() || path == ":memory:" || path.starts_with("file:") {
            self.refuse(span.clone(), format!("`{path}` is no path of an SQLite file"))
                .help("the sink must outlive the process: write `sqlite://path/to/file.db`");
            return None;
        }
        Some(SinkTarget::Sqlite { path: self.path(path) })
    }
}
