//! Golden contests as a gate: what a plugin says beside what is written down, for `plugin test` and for the admission of
//! a generation; and the form in which they travel with a deployed plugin. A difference is told by place, verdict and
//! columns, never with a row's values, since contests may have been captured.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{
    decision::Decision,
    file::{ContestFile, ContestsError, Entry},
    scene::{Outcome, Scene},
};
use crate::{config::Stage, plugin::PluginEngine};

/// Differences that are told one by one; all are counted.
const TOLD_MAX: usize = 3;
/// Bytes of contests that travel with a plugin.
pub const BUNDLE_BYTES: usize = 8 << 20;

/// What became of a contest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was decided as it is written down, in a batch as alone.
    Same,
    /// It was not.
    Differs,
    /// Nothing is written down.
    Unexpected,
}

/// Holds an outcome against what its contest expects, which is returned too.
///
/// # Errors
/// What the contest expects is no decision.
pub fn judged(
    file: &Path,
    entry: &Entry,
    outcome: &Outcome,
) -> Result<(Verdict, Option<Decision>), ContestsError> {
    let expected: Option<Decision> =
        entry.expect.as_ref().map(|expect| serde_json::from_value(expect.clone())).transpose().map_err(
            |cause| {
                let what = format!("`expect` is no decision: {cause}");
                ContestsError::Line { path: file.into(), line: entry.line, what }
            },
        )?;
    let verdict = match &expected {
        _ if outcome.alone.is_some() => Verdict::Differs,
        None => Verdict::Unexpected,
        Some(expected) if outcome.decision.is_as(expected) => Verdict::Same,
        Some(_) => Verdict::Differs,
    };
    Ok((verdict, expected))
}

/// What a plugin decides otherwise than the contests of these files say, in one line; `None` where nothing. Files of
/// another stage are left out.
///
/// # Errors
/// The plugin cannot run on the tables of a file, or a contest of it cannot be read.
pub fn difference(
    engine: &PluginEngine,
    plugin: &Path,
    stage: Stage,
    files: &[ContestFile],
) -> Result<Option<String>, ContestsError> {
    let (mut all, mut told, mut wrong) = (0, Vec::new(), 0);
    for file in files.iter().filter(|file| file.head.stage.is_none_or(|asked| asked == stage)) {
        let scene = Scene::open(engine, plugin, Some(stage), &file.head)?;
        for outcome in scene.ask(file)? {
            let entry = &file.contests[outcome.contest];
            let (verdict, expected) = judged(&file.path, entry, &outcome)?;
            all += 1;
            if verdict == Verdict::Same {
                continue;
            }
            wrong += 1;
            if told.len() < TOLD_MAX {
                told.push(sentence(file, entry, &outcome, expected.as_ref()));
            }
        }
    }
    let more = if wrong > told.len() { "; .." } else { "" };
    let words =
        || format!("{wrong} of {all} golden contests are decided otherwise: {}{more}", told.join("; "));
    Ok((wrong > 0).then(words))
}

fn sentence(file: &ContestFile, entry: &Entry, outcome: &Outcome, expected: Option<&Decision>) -> String {
    let name = file.path.file_name().unwrap_or_default().to_string_lossy();
    let title = entry.name.as_ref().map_or_else(String::new, |title| format!(" `{title}`"));
    let found = outcome.decision.outline();
    let what = match (&outcome.alone, expected) {
        (Some(alone), _) => format!("among others it says {found}, alone {}", alone.outline()),
        (None, None) => format!("it says {found}, and nothing is written down"),
        (None, Some(expected)) if expected.outline() == found => {
            format!("it says {found} with other values or another reason")
        }
        (None, Some(expected)) => format!("it says {found} where {} is written down", expected.outline()),
    };
    format!("{name}:{}{title}: {what}", entry.line)
}

/// Contest files in one piece, as the store keeps them beside a plugin.
#[derive(Debug, Serialize, Deserialize)]
struct Bundle {
    files: Vec<Bundled>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Bundled {
    name: String,
    text: String,
}

/// Files in one piece. The same files give the same bytes.
#[must_use]
pub fn bundled(files: &[ContestFile]) -> Vec<u8> {
    let file = |file: &ContestFile| Bundled {
        name: file.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        text: file.text(),
    };
    let bundle = Bundle { files: files.iter().map(file).collect() };
    serde_json::to_vec(&bundle).expect("names and texts are JSON")
}

/// The files of a piece.
///
/// # Errors
/// It is none, or a contest in it cannot be read; in words.
pub fn unbundled(bytes: &[u8]) -> Result<Vec<ContestFile>, String> {
    let bundle: Bundle = serde_json::from_slice(bytes).map_err(|cause| cause.to_string())?;
    let read = |file: &Bundled| {
        ContestFile::parse(Path::new(&file.name), &file.text).map_err(|cause| cause.to_string())
    };
    bundle.files.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{"contests":1,"tables":[{"name":"t","key":["id"],"columns":{"id":"int"}}]}"#;

    fn file(contest: &str) -> ContestFile {
        ContestFile::parse(Path::new("folder/golden.jsonl"), &format!("{HEAD}\n{contest}\n")).unwrap()
    }

    fn decision(text: &str) -> Decision {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_bundled_is_unbundled_and_keeps_its_name() {
        let one = file(r#"{"incoming":{"after":{"id":1}},"expect":{"verdict":"take"}}"#);
        let bytes = bundled(std::slice::from_ref(&one));
        let back = unbundled(&bytes).unwrap();
        assert_eq!((back.len(), back[0].text()), (1, one.text()));
        assert_eq!(back[0].path, Path::new("golden.jsonl"));
        assert_eq!(bundled(&back), bytes);
        assert!(unbundled(b"x").is_err());
        let broken = String::from_utf8(bytes).unwrap().replace("\\\"contests\\\":1", "\\\"contests\\\":2");
        assert!(unbundled(broken.as_bytes()).unwrap_err().contains("golden.jsonl:1: format 2"));
    }

    #[test]
    fn a_difference_is_told_without_a_value() {
        let written = r#"{"verdict":"write","written":{"name":"anna"}}"#;
        let file = file(&format!(r#"{{"name":"a","incoming":{{}},"expect":{written}}}"#));
        let entry = &file.contests[0];
        let said = |decision: Decision, alone: Option<Decision>| {
            let outcome = Outcome { contest: 0, table: "t".into(), decision, alone };
            let (verdict, expected) = judged(&file.path, entry, &outcome).unwrap();
            (verdict, sentence(&file, entry, &outcome, expected.as_ref()))
        };
        assert_eq!(said(decision(written), None).0, Verdict::Same);
        for (found, alone, told) in [
            (r#"{"verdict":"take"}"#, None, "it says take where write (name) is written down"),
            (
                r#"{"verdict":"write","written":{"name":"bob"}}"#,
                None,
                "it says write (name) with other values",
            ),
            (written, Some(r#"{"verdict":"keep"}"#), "among others it says write (name), alone keep"),
        ] {
            let (verdict, words) = said(decision(found), alone.map(decision));
            assert_eq!(verdict, Verdict::Differs, "{words}");
            assert!(words.starts_with("golden.jsonl:2 `a`: ") && words.contains(told), "{words}");
            assert!(!words.contains("anna") && !words.contains("bob"), "{words}");
        }
    }
}
