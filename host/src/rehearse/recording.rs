//! A recording of a stream: a file with a JSON object a line (`seq`, `subject`, `headers`, `data`), plain or gzip, in
//! stream order; `"encoding": "base64"` marks a payload that is no UTF-8. Or a dump of Debezium's own events, one a line, with
//! schemas or without, as its file sink or a console consumer writes them: then the line is the message.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use reconverge_streams::headers::Headers;
use reconverge_streams::source::Delivery;
use serde::Deserialize;

/// How a gzip file begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file cannot be read.
    #[error("{} cannot be read", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A line is no message.
    #[error("{}:{line} is no recorded message: {what}", .path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong, without the line's values.
        what: String,
    },
}

#[derive(Deserialize)]
struct Line {
    seq: u64,
    subject: String,
    #[serde(default)]
    headers: Option<BTreeMap<String, String>>,
    data: String,
    #[serde(default)]
    encoding: Option<String>,
}

/// What tells an event of Debezium: where it comes from. With schemas it lies in `payload`.
#[derive(Deserialize)]
struct Dumped {
    #[serde(default)]
    payload: Option<Origin>,
    #[serde(default)]
    source: Option<Place>,
}

#[derive(Deserialize)]
struct Origin {
    source: Place,
}

/// Debezium's `source`: its name, and the table; a database without schemas names itself in their place.
#[derive(Deserialize)]
struct Place {
    name: String,
    #[serde(default)]
    schema: Option<String>,
    #[serde(default)]
    db: Option<String>,
    table: String,
}

/// The subject that Debezium publishes an event under; `None` where the line is none of its events.
fn subject_of(line: &str) -> Option<String> {
    let dumped: Dumped = serde_json::from_str(line).ok()?;
    let Place { name, schema, db, table } = dumped.payload.map(|origin| origin.source).or(dumped.source)?;
    Some(format!("{name}.{}.{table}", schema.or(db)?))
}

/// Reads a recording up to sequence `through`. `at` stands for the stream's time of the messages, which a recording does
/// not have.
///
/// # Errors
/// See [`RecordingError`].
pub fn read(path: &Path, through: u64, at: i64) -> Result<Vec<Delivery>, RecordingError> {
    let file = |source| RecordingError::File { path: path.to_owned(), source };
    let mut opened = BufReader::new(File::open(path).map_err(file)?);
    let is_packed = opened.fill_buf().map_err(file)?.starts_with(&GZIP);
    let text: Box<dyn Read> =
        if is_packed { Box::new(MultiGzDecoder::new(opened)) } else { Box::new(opened) };
    let mut deliveries = Vec::new();
    for (line, text) in (1_u64..).zip(BufReader::new(text).lines()) {
        let text = text.map_err(file)?;
        if text.trim().is_empty() {
            continue;
        }
        if text.trim() == "null" {
            // The tombstone that follows a delete in a dump says nothing more.
            continue;
        }
        if let Some(subject) = subject_of(&text) {
            if line > through {
                break;
            }
            let (sequence, headers, payload) = (line, Headers::default(), Bytes::from(text));
            let subject = subject.into();
            deliveries.push(Delivery { sequence, subject, headers, payload, published_at: at });
            continue;
        }
        let line = usize::try_from(line).unwrap_or(usize::MAX);
        let wrong = |what: String| RecordingError::Line { path: path.to_owned(), line, what };
        let read: Line = serde_json::from_str(&text).map_err(|cause| {
            wrong(format!(
                "{:?} error at column {}; it has seq, subject, headers, data, or is an event of Debezium",
                cause.classify(),
                cause.column()
            ))
        })?;
        if read.seq > through {
            break;
        }
        let payload = match read.encoding.as_deref() {
            None => read.data.into_bytes(),
            Some("base64") => STANDARD.decode(&read.data).map_err(|_| wrong("`data` is no base64".into()))?,
            Some(_) => return Err(wrong("an unknown `encoding`; there is base64".into())),
        };
        deliveries.push(Delivery {
            sequence: read.seq,
            subject: read.subject.into(),
            headers: read.headers.unwrap_or_default().into_iter().collect(),
            payload: Bytes::from(payload),
            published_at: at,
        });
    }
    Ok(deliveries)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn plain_and_packed_lines_are_messages() {
        let lines = "{\"seq\":1,\"subject\":\"a.b.t\",\"data\":\"x\"}\n\n{\"seq\":2,\"subject\":\"a.b.t\",\"headers\":{\"h\":\"v\"},\"data\":\"AP8=\",\"encoding\":\"base64\"}\n";
        let plain = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(plain.path(), lines).unwrap();
        let packed = tempfile::NamedTempFile::new().unwrap();
        let mut gzip =
            flate2::write::GzEncoder::new(File::create(packed.path()).unwrap(), flate2::Compression::fast());
        gzip.write_all(lines.as_bytes()).unwrap();
        gzip.finish().unwrap();
        for file in [plain.path(), packed.path()] {
            let read = read(file, u64::MAX, 7).unwrap();
            assert_eq!(
                (read.len(), &read[1].payload[..], read[1].header("h")),
                (2, &[0, 255][..], Some("v"))
            );
        }
        assert_eq!(read(plain.path(), 1, 7).unwrap().len(), 1);
    }

    #[test]
    fn a_dump_of_debeziums_events_is_a_recording() {
        let lines = [
            r#"{"before":null,"after":{"id":1},"source":{"name":"us-east","db":"wfm","schema":"public","table":"t"},"op":"c"}"#,
            "null",
            r#"{"schema":{},"payload":{"after":{"id":1},"source":{"name":"us-west","db":"wfm","table":"t"},"op":"c"}}"#,
        ];
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), lines.join("\n")).unwrap();
        let found = read(file.path(), u64::MAX, 7).unwrap();
        let told: Vec<_> = found.iter().map(|d| (d.sequence, &*d.subject, &d.payload[..])).collect();
        let [first, _, third] = lines;
        assert_eq!(told, [(1, "us-east.public.t", first.as_bytes()), (3, "us-west.wfm.t", third.as_bytes())]);
        assert_eq!(read(file.path(), 2, 7).unwrap().len(), 1);
    }

    #[test]
    fn a_broken_line_is_told_by_its_place_and_not_by_its_values() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "{\"seq\":1,\"subject\":\"a\",\"data\":\"secret\",}\n").unwrap();
        let told = read(file.path(), 9, 0).unwrap_err().to_string();
        assert!(told.contains(":1 is no recorded message") && !told.contains("secret"), "{told}");
        assert!(read(Path::new("no/such.jsonl"), 9, 0).unwrap_err().to_string().contains("cannot be read"));
    }
}
