//! `reconverge plugin laws`: whether a merge rule keeps the laws by which regions end with the same rows, and where it
//! does not, the smallest histories that show it.

use std::{path::Path, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use reconverge_streams::{logical::Logical, text};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    assemble::{self, Case},
    batch::Op,
    cli::{
        arguments::Global,
        connect,
        exit::Exit,
        failure::Failure,
        logging::{Bar, Loudness},
        output,
    },
    config::Deletes,
    contests::ContestFile,
    laws::{
        self, Broken, Effort, Finding, Law, captured,
        history::{Cell, SOURCES, Step},
    },
    scratch::ScratchError,
};

use super::{
    arguments::{DeletesWord, Laws},
    place::Place,
    shape,
};

/// What an author waits for at most, over all tables.
const AT_MOST: Duration = Duration::from_secs(24);

/// What `--json` prints.
#[derive(Serialize)]
struct Checked {
    plugin: String,
    seed: u64,
    cases: u64,
    /// Whether the laws hold for every table as it is configured; of a table that no pipeline configures, for one way
    /// to delete at least.
    held: bool,
    tables: Vec<Table>,
}

#[derive(Serialize)]
struct Table {
    table: String,
    deletes: &'static str,
    held: bool,
    assumed: Vec<String>,
    laws: Vec<Looked>,
}

impl Table {
    /// Whether a law is broken by which regions could end with different rows.
    fn can_diverge(&self) -> bool {
        self.laws.iter().any(|looked| looked.finding == "broken" && looked.told.is_of_convergence())
    }
}

#[derive(Serialize)]
struct Looked {
    law: &'static str,
    /// `held`, `broken` or `untried`.
    finding: &'static str,
    /// Histories in which it held.
    #[serde(skip_serializing_if = "Option::is_none")]
    histories: Option<u64>,
    /// Why it was not looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    counterexample: Option<Counterexample>,
    #[serde(skip)]
    told: Law,
}

#[derive(Serialize)]
struct Counterexample {
    what: String,
    /// The changes; arrivals name them by their numbers.
    changes: Vec<Value>,
    arrivals: Vec<Arrived>,
}

#[derive(Serialize)]
struct Arrived {
    /// Batches of numbers of changes.
    batches: Vec<Vec<usize>>,
    /// The row that stood in the end, where two arrivals are compared; null for none.
    row: Option<Value>,
}

pub(super) async fn laws(global: &Global, asked: &Laws) -> Result<Exit, Failure> {
    let effort = effort(asked)?;
    let captured = match &asked.captured {
        Some(path) => ContestFile::read_all(path)?,
        None => Vec::new(),
    };
    let (label, cases, is_configured) = cases(global, asked).await?;
    let (bar, seed, tries) = (bar(cases.len(), &effort), effort.seed, effort.cases);
    // Work for a processor, not for a runtime that serves others.
    let looked = tokio::task::spawn_blocking(move || look(cases, &effort, &captured, &bar)).await;
    let tables = looked.map_err(|cause| Failure::of(Exit::Runtime, &cause))??;
    let held = if is_configured { tables.iter().all(|t| t.held) } else { tables.iter().any(|t| t.held) };
    let checked = Checked { plugin: label, seed, cases: tries, held, tables };
    output::show(global.json, &checked, |checked| words(checked, asked))?;
    Ok(if checked.held { Exit::Done } else { Exit::Runtime })
}

fn effort(asked: &Laws) -> Result<Effort, Failure> {
    let without = asked.without.iter().map(|name| {
        Law::named(name).ok_or_else(|| {
            let known = Law::ALL.map(Law::name).join(", ");
            Failure::new(Exit::Configuration, format!("there is no law `{name}`"))
                .hint(format!("the laws are {known}"))
        })
    });
    let without = without.collect::<Result<_, _>>()?;
    Ok(Effort { cases: asked.cases, seed: asked.seed, at_most: AT_MOST, without })
}

/// The plugin on its tables, and whether a pipeline says how they delete.
async fn cases(global: &Global, asked: &Laws) -> Result<(String, Vec<Case>, bool), Failure> {
    let deletes = match asked.deletes {
        None => vec![Deletes::Win, Deletes::Ordered],
        Some(DeletesWord::Win) => vec![Deletes::Win],
        Some(DeletesWord::Ordered) => vec![Deletes::Ordered],
    };
    let config = match &asked.config {
        None => json!({}),
        Some(text) => serde_json::from_str(text).map_err(|cause| {
            Failure::new(Exit::Configuration, "--config is no JSON")
                .because(&cause)
                .hint("write an object: --config '{\"fault\": \"cyclic\"}'")
        })?,
    };
    if global.named && asked.table.is_none() {
        let pipeline = connect::pipeline(global, Loudness::Warn, &Bar::default())?;
        // A name of the pipeline, or a file that takes the place of the one that it names.
        let file = (!pipeline.plugins.iter().any(|p| Path::new(&p.name) == asked.path))
            .then(|| Place::of(&asked.path))
            .transpose()?;
        let name = match &file {
            None => asked.path.display().to_string(),
            Some(place) => assemble::merge_plugin_of(&pipeline, &place.file)
                .ok_or_else(|| {
                    let what = format!("{} is none of the pipeline's merge plugins", place.file.display());
                    Failure::new(Exit::Configuration, what)
                        .hint("give the plugin's name in the pipeline in place of its file")
                })?
                .to_owned(),
        };
        let file = file.as_ref().map(|place| place.file.as_path());
        return Ok((name.clone(), assemble::law_cases_of(&pipeline, &name, file).await?, true));
    }
    let place = Place::of(&asked.path)?;
    let described = asked.table.as_deref().map(shape::read).transpose()?;
    let cases = assemble::law_cases(&place.file, &config, described.as_ref(), &deletes)?;
    Ok((place.file.display().to_string(), cases, false))
}

fn bar(tables: usize, effort: &Effort) -> ProgressBar {
    let all = effort.cases * Law::ALL.len() as u64 * tables as u64;
    let bar = if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
        ProgressBar::new(all)
    } else {
        ProgressBar::hidden()
    };
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}") {
        bar.set_style(style);
    }
    bar
}

fn look(
    cases: Vec<Case>,
    effort: &Effort,
    files: &[ContestFile],
    bar: &ProgressBar,
) -> Result<Vec<Table>, Failure> {
    let share = u32::try_from(cases.len()).unwrap_or(u32::MAX).max(1);
    let mut tables = Vec::new();
    for (nth, mut case) in (0..).zip(cases) {
        let planned = case.subject.plan.table(case.subject.table);
        let histories = captured::histories(files, planned, &case.table);
        let effort = Effort { at_most: effort.at_most / share, ..effort.clone() };
        let all_before = effort.cases * Law::ALL.len() as u64 * nth;
        let findings = laws::check(&mut case.subject, &effort, &histories, |law, done| {
            let place = Law::ALL.iter().position(|l| *l == law).unwrap_or_default() as u64;
            bar.set_position(all_before + place * effort.cases + done);
            bar.set_message(format!("{law}: it {}", law.promise()));
        })?;
        tables.push(table(&case, findings));
    }
    bar.finish_and_clear();
    Ok(tables)
}

fn table(case: &Case, findings: Vec<(Law, Finding)>) -> Table {
    let looked = |(law, finding): (Law, Finding)| {
        let empty = Looked {
            law: law.name(),
            finding: "untried",
            histories: None,
            why: None,
            counterexample: None,
            told: law,
        };
        match finding {
            Finding::Held(n) => Looked { finding: "held", histories: Some(n), ..empty },
            Finding::Untried(why) => Looked { why: Some(why), ..empty },
            Finding::Broken(broken) => {
                Looked { finding: "broken", counterexample: Some(counterexample(case, &broken)), ..empty }
            }
        }
    };
    let laws: Vec<Looked> = findings.into_iter().map(looked).collect();
    Table {
        table: case.table.clone(),
        deletes: if case.deletes == Deletes::Win { "win" } else { "ordered" },
        held: laws.iter().all(|looked| looked.finding != "broken"),
        assumed: case.assumed.clone(),
        laws,
    }
}

fn counterexample(case: &Case, broken: &Broken) -> Counterexample {
    let numbered = |batch: &Vec<usize>| batch.iter().map(|step| step + 1).collect();
    let row = |place: usize| {
        let json = broken.ends.get(place).and_then(Option::as_ref)?;
        serde_json::from_str(json).ok()
    };
    let arrived = |(place, arrival): (usize, &Vec<Vec<usize>>)| Arrived {
        batches: arrival.iter().map(numbered).collect(),
        row: row(place),
    };
    Counterexample {
        what: broken.what.clone(),
        changes: broken.history.steps.iter().map(|step| change(case, step)).collect(),
        arrivals: broken.arrivals.iter().enumerate().map(arrived).collect(),
    }
}

fn change(case: &Case, step: &Step) -> Value {
    let table = case.subject.plan.table(case.subject.table);
    let row = |cells: &[Cell]| {
        let named = table.columns.iter().zip(cells).enumerate();
        let shown = named.filter_map(|(c, (column, cell))| {
            let in_key = table.shape.key.iter().position(|k| *k == c);
            let value = match (in_key, cell) {
                (Some(k), _) => case.subject.ground.keys[step.key][k].clone(),
                (None, Cell::Is(value)) => value.clone(),
                (None, Cell::Unsent) => json!("(not sent)"),
                (None, Cell::Missing) => return None,
            };
            Some((column.name.clone(), plain(value, column.logical)))
        });
        Value::Object(shown.collect())
    };
    let word = match step.op {
        Op::Create => "create",
        Op::Update => "update",
        Op::Delete => "delete",
        Op::Snapshot => "snapshot row",
    };
    json!({
        "source": SOURCES[step.source],
        "does": word,
        "row": row(&step.row),
        "before": step.before.as_deref().map(row),
        "committed_at": text::format_timestamp(step.at),
        "position": step.commit,
        "let_go": step.let_go,
    })
}

/// Integers travel as text, since JSON's numbers end at 2^53 in many places; people read numbers.
fn plain(value: Value, logical: Logical) -> Value {
    let number = value.as_str().filter(|_| logical == Logical::Int).and_then(|text| text.parse::<i64>().ok());
    number.map_or(value, Value::from)
}

fn words(checked: &Checked, asked: &Laws) -> String {
    let mut text = format!("{}, seed {}\n", checked.plugin, checked.seed);
    for table in &checked.tables {
        text.push_str(&format!("\ntable {}, deletes = \"{}\"\n", table.table, table.deletes));
        table.assumed.iter().for_each(|assumed| text.push_str(&format!("  assumed: {assumed}\n")));
        let rows = table.laws.iter().map(|looked| {
            let found = match (looked.finding, looked.histories, looked.why) {
                ("held", Some(n), _) => format!("held in {n} histories"),
                ("broken", ..) => "BROKEN, see below".to_owned(),
                (_, _, why) => format!("not looked at: {}", why.unwrap_or_default()),
            };
            vec![format!("  {}", looked.law), found]
        });
        text.push_str(&output::table(&["  law", "finding"], rows));
        for looked in table.laws.iter().filter(|looked| looked.finding == "broken") {
            text.push_str(&told(looked));
        }
    }
    text.push('\n');
    text.push_str(&verdict(checked, asked));
    text
}

fn told(looked: &Looked) -> String {
    let Some(found) = &looked.counterexample else { return String::new() };
    let mut text =
        format!("\n{} is broken: the rule should be one that {}\n", looked.law, looked.told.promise());
    for (number, change) in (1..).zip(&found.changes) {
        let word = |field: &str| change[field].as_str().unwrap_or_default().to_owned();
        let let_go = if change["let_go"] == json!(true) { ", let go by a filter" } else { "" };
        text.push_str(&format!(
            "  {number}. {} of {} at {}{let_go}\n     {}\n",
            word("does"),
            word("source"),
            word("committed_at"),
            change["row"]
        ));
    }
    text.push_str(&format!("  {}\n", found.what));
    let batch = |batch: &Vec<usize>| batch.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if found.arrivals.len() > 1 {
        for arrival in &found.arrivals {
            let order = arrival.batches.iter().map(batch).collect::<Vec<_>>().join(" | ");
            let row = arrival.row.as_ref().map_or_else(|| "no row".to_owned(), ToString::to_string);
            text.push_str(&format!("  {order}  ends in  {row}\n"));
        }
    }
    text.push_str(&format!("  hint: {}\n", looked.told.hint()));
    text
}

fn verdict(checked: &Checked, asked: &Laws) -> String {
    let again = format!(
        "again: reconverge plugin laws {} --seed {} --cases {}",
        asked.path.display(),
        checked.seed,
        checked.cases
    );
    let (held, broken): (Vec<&Table>, Vec<&Table>) = checked.tables.iter().partition(|table| table.held);
    match (&held[..], &broken[..]) {
        (_, []) => {
            "No law was seen broken. That is no proof: see what the laws cannot find in docs/merging.md.\n"
                .to_owned()
        }
        ([held, ..], [broken, ..]) if checked.held => format!(
            "The rule fits deletes = \"{}\", and does not fit deletes = \"{}\": write the former into its [[table]].\n",
            held.deletes, broken.deletes
        ),
        (_, broken) if broken.iter().all(|table| !table.can_diverge()) => format!(
            "Regions that run this rule agree, and may agree on something else than is meant.\n{again}\n"
        ),
        _ => format!("Two regions that run this rule can end with different rows.\n{again}\n"),
    }
}

impl From<ScratchError> for Failure {
    fn from(error: ScratchError) -> Failure {
        Failure::of(Exit::Runtime, &error).hint("this is a fault of Reconverge: please report it")
    }
}
