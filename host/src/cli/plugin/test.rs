//! `reconverge plugin test`: contests through a plugin, and what came of them beside what is written down.

use serde::Serialize;

use crate::{
    cli::{arguments::Global, exit::Exit, failure::Failure, output},
    contests::{ContestFile, ContestsError, Decision, Outcome, Scene, golden},
};

use super::{arguments::Test, place::Place};

/// Contests that are shown although nothing is wrong with them.
const SHOWN_MAX: usize = 40;

/// What `--json` prints.
#[derive(Debug, Default, Serialize)]
struct Tested {
    plugin: String,
    passed: usize,
    /// Decisions that are other than written down, or that depend on the batch.
    differ: usize,
    /// Contests without an expectation.
    unexpected: usize,
    /// Expectations written by `--update`.
    updated: usize,
    contests: Vec<Case>,
}

#[derive(Debug, Serialize)]
struct Case {
    file: String,
    line: usize,
    name: Option<String>,
    table: String,
    /// `same`, `differs`, `unexpected` or `updated`.
    verdict: &'static str,
    found: Decision,
    expected: Option<Decision>,
    /// What the plugin says of the contest alone, where that is another thing.
    alone: Option<Decision>,
}

pub(super) fn test(global: &Global, asked: &Test) -> Result<Exit, Failure> {
    let place = Place::of(&asked.path)?;
    let golden = asked.golden.as_ref().or(place.contests.as_ref()).ok_or_else(|| {
        Failure::new(Exit::Configuration, format!("there is no folder contests/ beside {}", place.file.display()))
            .hint("write some (docs/plugins/contests.md), take some with `reconverge capture`, or name them with --golden")
    })?;
    let engine = super::engine()?;
    let mut tested = Tested { plugin: place.file.display().to_string(), ..Tested::default() };
    for mut file in ContestFile::read_all(golden)? {
        let scene = Scene::open(&engine, &place.file, asked.stage.map(Into::into), &file.head)?;
        let outcomes = scene.ask(&file)?;
        let updated = tested.updated;
        for outcome in outcomes {
            tested.take(&mut file, outcome, asked.update)?;
        }
        if tested.updated > updated {
            file.write()?;
        }
    }
    output::show(global.json, &tested, |tested| words(tested, global.verbose > 0))?;
    Ok(if tested.differ + tested.unexpected == 0 { Exit::Done } else { Exit::Runtime })
}

impl Tested {
    fn take(&mut self, file: &mut ContestFile, outcome: Outcome, update: bool) -> Result<(), Failure> {
        let path = file.path.clone();
        let entry = &mut file.contests[outcome.contest];
        let (judged, expected) = golden::judged(&path, entry, &outcome)?;
        let found = outcome.decision;
        let verdict = match judged {
            golden::Verdict::Same => "same",
            _ if update && outcome.alone.is_none() => {
                entry.expect = serde_json::to_value(&found).ok();
                "updated"
            }
            golden::Verdict::Differs => "differs",
            golden::Verdict::Unexpected => "unexpected",
        };
        match verdict {
            "same" => self.passed += 1,
            "updated" => self.updated += 1,
            "unexpected" => self.unexpected += 1,
            _ => self.differ += 1,
        }
        self.contests.push(Case {
            file: path.display().to_string(),
            line: entry.line,
            name: entry.name.clone(),
            table: outcome.table,
            verdict,
            found,
            expected,
            alone: outcome.alone,
        });
        Ok(())
    }
}

fn words(tested: &Tested, all: bool) -> String {
    let all = all || tested.contests.len() <= SHOWN_MAX;
    let shown = tested.contests.iter().filter(|case| all || case.verdict != "same");
    let mut rows = Vec::new();
    for case in shown {
        let place = format!("{}:{}", case.file.rsplit('/').next().unwrap_or(&case.file), case.line);
        let mark = if case.verdict == "same" { "ok" } else { case.verdict };
        let name = case.name.clone().unwrap_or_default();
        rows.push(vec![place, name, mark.to_owned(), case.found.words()]);
        let mut below = |word: &str, decision: &Decision| {
            rows.push(vec![String::new(), String::new(), word.to_owned(), decision.words()]);
        };
        if let (Some(expected), "differs") = (&case.expected, case.verdict) {
            below("expected", expected);
        }
        if let Some(alone) = &case.alone {
            below("alone", alone);
        }
    }
    let mut text =
        if rows.is_empty() { String::new() } else { output::table(&["contest", "", "", "decision"], rows) };
    if tested.updated > 0 {
        text.push_str(&format!("\n{} expectations written\n", tested.updated));
    }
    if tested.unexpected > 0 {
        text.push_str(&format!(
            "\n{} contests have no expectation; `--update` writes what the plugin says\n",
            tested.unexpected
        ));
    }
    if tested.contests.iter().any(|case| case.alone.is_some()) {
        text.push_str("\nThe plugin decides otherwise alone than in a batch: regions cut batches differently, and would diverge.\n");
    }
    let failed = tested.differ + tested.unexpected;
    text.push_str(&format!("\n{} passed, {failed} failed\n", tested.passed + tested.updated));
    text
}

impl From<ContestsError> for Failure {
    fn from(error: ContestsError) -> Failure {
        let exit = match error {
            ContestsError::File { .. } => Exit::Environment,
            _ => Exit::Configuration,
        };
        Failure::of(exit, &error).hint(error.hint())
    }
}
