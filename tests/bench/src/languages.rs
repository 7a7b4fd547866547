//! Question 12: what does a decision cost in another language? The same rule as in Rust, from `plugins/`, built by
//! `reconverge plugin build` with each language's own tools, and called with the same contests.

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use anyhow::{Context, Result, bail, ensure};
use reconverge::{plugin::PluginChain, stages::Stages};
use reconverge_servers::{project_root, scratch, tools};
use serde::Deserialize;
use tokio::runtime::Runtime;

use crate::{
    answer::{Answer, Bar, Line, Unit},
    desk,
    merge::{self, Ring},
    pipeline,
    scale::Scale,
    trial::{Contestant, interleaved},
};

/// Rows of a call.
const ROWS: usize = 256;
/// The languages besides Rust, each with what issue 6 wants, in nanoseconds per row.
const LANGUAGES: [(&str, Option<f64>); 5] = [
    ("c", None),
    ("assemblyscript", None),
    ("go", None),
    ("javascript", Some(400.0)),
    ("python", Some(800.0)),
];
/// Folders that a build makes, which are not copied.
const MADE: [&str; 5] = ["build", "target", "node_modules", ".venv", "__pycache__"];

/// A plugin of a language.
struct Speaker {
    name: &'static str,
    bar: Option<f64>,
    chain: PluginChain,
    ring: Ring,
    plan: std::sync::Arc<reconverge::plan::Plan>,
}

/// Answers the question.
///
/// # Errors
/// The tools of a language cannot be had, a plugin does not build or open, or one decides otherwise than Rust's.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale) -> Result<Answer> {
    let folder = scratch("bench-languages")?;
    let tools = tools::language_tools()?;
    let mut files = vec![("rust", None, desk::wasm("schedule-merge"))];
    for (name, bar) in LANGUAGES {
        eprintln!("   building the plugin in {name}");
        files.push((name, bar, built(name, folder.path(), &tools)?));
    }
    let mut speakers = Vec::new();
    for (name, bar, file) in files {
        let (plan, chain) = merge::opened(runtime, &file)?;
        let ring = Ring::new(&plan, ROWS);
        speakers.push(Speaker { name, bar, chain, ring, plan });
    }
    let mut wanted = None;
    for speaker in &mut speakers {
        let told = speaker.chain.merge(&speaker.ring.contests(&speaker.plan)).rulings;
        let verdicts: Vec<_> = told.into_iter().map(|ruling| ruling.verdict).collect();
        let wanted = wanted.get_or_insert_with(|| verdicts.clone());
        ensure!(verdicts == *wanted, "the plugin in {} decides otherwise", speaker.name);
    }
    let names: Vec<_> = speakers.iter().map(|speaker| (speaker.name, speaker.bar)).collect();
    let calls = (scale.merge_rows / 10 / ROWS).max(1);
    let mut contestants: Vec<Contestant<'_>> = speakers
        .iter_mut()
        .map(|Speaker { name, chain, ring, plan, .. }| {
            Contestant::new(*name, move || {
                let contests = ring.contests(plan);
                let start = Instant::now();
                for _ in 0..calls {
                    black_box(chain.merge(black_box(&contests)));
                }
                Ok(desk::nanos_each(start.elapsed(), calls * ROWS))
            })
        })
        .collect();
    let measures = interleaved(scale.micro_rounds, &mut contestants)?;
    drop(contestants);
    let rust = measures.first().cloned().unwrap_or_default();
    let lines = names.into_iter().zip(measures).map(|((name, bar), measures)| {
        let line = Line::new(format!("{name}, {ROWS} rows a call"), Unit::NanosPerEvent, measures);
        let line = if name == "rust" { line } else { line.against("rust", &rust) };
        match bar {
            Some(bar) => line.bar(Bar::Below(bar)),
            None => line,
        }
    });
    let asks =
        "languages: the merge plugin in six languages, a decision on one integer and one text on both sides";
    Ok(Answer { question: "languages", asks: asks.to_owned(), lines: lines.collect() })
}

/// What `reconverge plugin build --json` tells.
#[derive(Deserialize)]
struct Built {
    file: PathBuf,
}

/// The plugin of a language as a component.
fn built(language: &str, folder: &Path, tools: &tools::LanguageTools) -> Result<PathBuf> {
    let folder = folder.join(language);
    copy(&project_root().join("plugins").join(language), &folder)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(tools.path.iter().cloned().chain(std::env::split_paths(&path)))?;
    let mut build = Command::new(pipeline::program()?);
    build.args(["plugin", "build", "--json"]).arg(&folder).env("PATH", path).env("PYTHONPATH", &tools.python);
    let output = build.output().context("starting reconverge")?;
    if !output.status.success() {
        bail!("the plugin in {language} does not build\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let Built { file } = serde_json::from_slice(&output.stdout).context("reading what was built")?;
    Ok(file)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() && !MADE.iter().any(|made| name == *made) {
            copy(&path, &to.join(name))?;
        } else if path.is_file() {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}
