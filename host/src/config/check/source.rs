//! Checks `[source]` and `[[source]]`.

use std::ops::Range;

use super::Checker;
use crate::config::checked::{Debezium, Source};
use crate::config::choices::Format;
use crate::config::located::At;
use crate::config::nats::{self, FromFile, NatsOptions};
use crate::config::raw;
use crate::config::subjects::SubjectPattern;

/// The name of the one source that has none.
const ONLY: &str = "main";

impl Checker<'_> {
    pub(super) fn sources(&mut self, sources: Option<At<raw::Sources>>, region: &str) -> Vec<Source> {
        let Some(sources) = self.section(sources, "source") else { return Vec::new() };
        match sources.value() {
            raw::Sources::One(source) => {
                let name = source.name.as_ref().map(|_| self.plain_name(source.name.as_ref(), "source"));
                let name = name.unwrap_or_else(|| ONLY.to_owned());
                self.source(source, name, sources.span(), region).into_iter().collect()
            }
            raw::Sources::Many(many) if many.is_empty() => {
                self.refuse(sources.span(), "there is no source")
                    .help("write [source] with `stream` and `subjects`");
                Vec::new()
            }
            raw::Sources::Many(many) => {
                let mut names = Vec::new();
                let mut checked = Vec::new();
                for source in many {
                    let name = self.needed(source.name.as_ref(), &source.span(), "[[source]]", "name");
                    if let Some(name) = name {
                        self.is_new(&names, name, "source");
                        names.push((name.value().clone(), name.span()));
                    }
                    let name = self.plain_name(name, "source");
                    checked.extend(self.source(source, name, source.span(), region));
                }
                checked
            }
        }
    }

    /// `None` where something that the plan cannot do without is missing or wrong; it has been reported.
    fn source(
        &mut self,
        source: &raw::Source,
        name: String,
        span: Range<usize>,
        region: &str,
    ) -> Option<Source> {
        let nats = self.nats(source, &span);
        let stream = self.needed(source.stream.as_ref(), &span, "[source]", "stream");
        let stream = stream.map(|stream| self.stream_name(stream));
        let subjects = self.needed(source.subjects.as_ref(), &span, "[source]", "subjects");
        let subjects = subjects.and_then(|subjects| self.subjects(source, subjects));
        let origin = source.origin.as_ref().map(|origin| self.origin(origin, region));
        self.distinct(&source.mirrors, "mirror");
        let mirrors = source.mirrors.iter().map(|mirror| self.stream_name(mirror)).collect();
        if let Some(debezium) = source.debezium.as_ref().filter(|_| source.format == Format::Native) {
            self.refuse(debezium.span(), "`debezium` says nothing of the format `native`")
                .help("set `format = \"debezium-json\"`, or leave it out");
        }
        let retention_alarm = *source.retention_alarm.value();
        if !(retention_alarm > 0.0 && retention_alarm <= 1.0) {
            self.refuse(source.retention_alarm.span(), "`retention_alarm` is not above 0 and at most 1")
                .help("it is a share of the stream's limits: 0.5 is half of them");
        }
        let default = raw::Debezium::default();
        let debezium = source.debezium.as_deref().unwrap_or(&default);
        Some(Source {
            name,
            nats: nats?,
            stream: stream?,
            subjects: subjects?,
            partitions: source.partitions.get(),
            format: source.format,
            origin,
            mirrors,
            on_hole: source.on_hole,
            retention_alarm,
            debezium: Debezium {
                unavailable_value: debezium.unavailable_value.clone(),
                binary: debezium.binary,
            },
            span,
        })
    }

    fn origin(&mut self, origin: &At<String>, region: &str) -> String {
        if origin.value() == region {
            self.refuse(
                origin.span(),
                format!("the source's origin is the pipeline's own region, `{region}`"),
            )
            .label("nothing of it would be written")
            .help(
                "a change never comes back to the region where it began; name the region that it comes from",
            );
        }
        self.plain_name(Some(origin), "region")
    }

    fn stream_name(&mut self, stream: &At<String>) -> String {
        let wrong = |c: char| c.is_whitespace() || c.is_control() || ".*>/\\".contains(c);
        if stream.is_empty() || stream.contains(wrong) {
            self.refuse(stream.span(), format!("`{}` cannot be the name of a stream", stream.value()))
                .help("no spaces, dots, `*`, `>` or slashes; `nats stream ls` lists the streams");
        }
        stream.value().clone()
    }

    fn subjects(&mut self, source: &raw::Source, subjects: &At<String>) -> Option<SubjectPattern> {
        match SubjectPattern::parse(subjects.value()) {
            Ok(pattern) => {
                if source.partitions.get() > 1 && !pattern.has_partition() {
                    self.refuse(subjects.span(), "the subjects do not say where the partition stands")
                        .label("no {partition} in it")
                        .also(source.partitions.span(), "several partitions")
                        .help("write `{partition}` for that token, or `partitions = 1`");
                }
                Some(pattern)
            }
            Err(wrong) => {
                // Behind the opening quote, unless the text has escapes or more quotes than one.
                let plain = subjects.span().len() == subjects.len() + 2;
                let place = |part: Range<usize>| {
                    let start = subjects.span().start + 1;
                    if plain && !part.is_empty() {
                        start + part.start..start + part.end
                    } else {
                        subjects.span()
                    }
                };
                for bad in wrong {
                    self.refuse(place(bad.part), bad.message).help(bad.help);
                }
                None
            }
        }
    }

    fn nats(&mut self, source: &raw::Source, span: &Range<usize>) -> Option<NatsOptions> {
        let url = match &source.url {
            Some(url) => Some((self.url(url)?, url.span())),
            None => None,
        };
        if let Some((url, span)) = &url {
            self.nats_scheme(url, span);
        }
        if let (Some(domain), Some(prefix)) = (&source.jetstream_domain, &source.jetstream_api_prefix) {
            self.refuse(domain.span(), "`jetstream_domain` and `jetstream_api_prefix` exclude each other")
                .also(prefix.span(), "and here")
                .help("a domain is a prefix: leave one of them out");
        }
        let text = |value: &Option<At<String>>| value.as_ref().map(|value| value.value().clone());
        let path = |value: &Option<At<String>>| value.as_ref().map(|value| self.path(value.value()));
        let file = FromFile {
            url: url.map(|(url, _)| url),
            context: text(&source.context),
            creds: path(&source.creds),
            ca: path(&source.ca),
            cert: path(&source.cert),
            key: path(&source.key),
            inbox_prefix: text(&source.inbox_prefix),
            jetstream_domain: text(&source.jetstream_domain),
            jetstream_api_prefix: text(&source.jetstream_api_prefix),
            tls_first: source.tls_first,
        };
        match nats::resolve(file, self.environment) {
            Ok(options) => Some(options),
            Err(error) => {
                let place = source.context.as_ref().map_or(span.clone(), At::span);
                self.refuse(place, error.to_string())
                    .help("`nats context ls` lists the contexts; or set `url` here, or NATS_URL");
                None
            }
        }
    }

    fn nats_scheme(&mut self, url: &str, span: &Range<usize>) {
        let known = ["nats", "tls", "ws", "wss"];
        let wrong = url
            .split(',')
            .filter_map(|one| one.trim().split_once("://"))
            .find(|(scheme, _)| !known.contains(scheme));
        if let Some((scheme, _)) = wrong {
            self.refuse(span.clone(), format!("`{scheme}://` is no address of a NATS server"))
                .help("write `nats://host:4222`, or `tls://`, `ws://`, `wss://`");
        }
    }
}
