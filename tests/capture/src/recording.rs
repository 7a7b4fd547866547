//! A recording of a stream: a gzip file with a JSON object a line, in stream order. Comes before everything else;
//! nothing of it is changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

/// A message as the stream held it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Its sequence in the stream, from 1.
    #[serde(rename = "seq")]
    pub sequence: u64,
    /// The subject that it was published to.
    pub subject: String,
    /// Its headers; each name has one value.
    #[serde(default)]
    pub headers: Option<BTreeMap<String, String>>,
    /// Its payload, which is UTF-8 in every recording.
    pub data: String,
}

/// Reads a recording.
///
/// # Errors
/// When the file cannot be read or a line is no message; with the line's number.
pub fn recorded(file: &Path) -> Result<Vec<Message>> {
    let opened = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let lines = BufReader::new(MultiGzDecoder::new(opened)).lines();
    let message = |(number, line): (usize, std::io::Result<String>)| {
        serde_json::from_str(&line?).with_context(|| format!("line {} is no message", number + 1))
    };
    let messages = lines.enumerate().map(message).collect::<Result<Vec<_>>>();
    messages.with_context(|| format!("reading {}", file.display()))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn read(lines: &str) -> Result<Vec<Message>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut packed = GzEncoder::new(File::create(file.path()).unwrap(), Compression::fast());
        packed.write_all(lines.as_bytes()).unwrap();
        packed.finish().unwrap();
        recorded(file.path())
    }

    #[test]
    fn lines_are_messages_in_their_order() {
        let messages = read(concat!(
            r#"{"seq":1,"subject":"a.b","headers":{"x":"1"},"data":"{}"}"#,
            "\n",
            r#"{"seq":2,"subject":"a.transaction","data":"ü"}"#,
            "\n"
        ))
        .unwrap();
        assert_eq!(messages.iter().map(|message| message.sequence).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(messages[0].headers.as_ref().unwrap()["x"], "1");
        assert_eq!((messages[1].headers.as_ref(), messages[1].data.as_str()), (None, "ü"));
    }

    #[test]
    fn what_is_no_message_is_named_by_its_line() {
        let good = r#"{"seq":1,"subject":"a","data":""}"#;
        let packed_otherwise = r#"{"seq":2,"subject":"a","data":"AA==","encoding":"base64"}"#;
        for bad in ["{", "[]", packed_otherwise] {
            let words = format!("{:#}", read(&format!("{good}\n{bad}\n")).unwrap_err());
            assert!(words.contains("line 2 is no message"), "{words}");
        }
        assert!(recorded(Path::new("/nowhere/it.gz")).is_err());
    }
}
