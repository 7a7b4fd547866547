//! `reconverge plugin bench`: what a plugin's decisions cost.

use std::time::Instant;

use serde::Serialize;

use crate::{
    cli::{
        arguments::Global,
        exit::Exit,
        failure::Failure,
        output::{self, grouped, or_dash},
    },
    contests::{
        ContestFile, Scene,
        bench::{Build, Measured},
    },
    plugin::{self, CompileCache, Limits, PluginEngine},
};

use super::{arguments::Bench, place::Place};

/// Rows of a call.
const SIZES: [usize; 4] = [1, 16, 256, 1000];

/// What is said of a build whose own half of the figures means little.
const TEST_BUILD: &str = "\nThis program is not a release build: what the host does for a row takes longer than in use, \
    and the native comparison is left out, since it would make the plugin look better than it is. `cargo build --release` makes one.\n";

/// What `--json` prints.
#[derive(Serialize)]
struct Benched {
    plugin: String,
    /// How the program that measures was built.
    build: Build,
    bytes: usize,
    /// Milliseconds to compile it, with nothing in the cache, and to ask what it is.
    compile_ms: f64,
    /// Microseconds to start an instance and open it.
    start_us: f64,
    /// Columns of the contract that are handed over.
    columns: usize,
    sizes: Vec<Measured>,
}

pub(super) fn bench(global: &Global, asked: &Bench) -> Result<Exit, Failure> {
    let place = Place::of(&asked.path)?;
    let golden = asked.golden.as_ref().or(place.contests.as_ref()).ok_or_else(|| {
        Failure::new(
            Exit::Configuration,
            format!("there is no folder contests/ beside {}", place.file.display()),
        )
        .hint("name a contests file with --golden: its rows are what is measured")
    })?;
    let cold = PluginEngine::start(Limits::default(), CompileCache::off())
        .map_err(|error| Failure::of(Exit::Environment, &error).hint(error.hint()))?;
    let survey = plugin::survey(&place.file, cold.limits().artifact_bytes)?;
    let began = Instant::now();
    plugin::inspect(&cold, &place.file)?;
    let compile_ms = began.elapsed().as_secs_f64() * 1e3;
    let engine = super::engine()?;
    for file in ContestFile::read_all(golden)? {
        let scene = Scene::open(&engine, &place.file, asked.stage.map(Into::into), &file.head)?;
        let Some(sizes) = scene.measure(&file, &SIZES)? else { continue };
        let began = Instant::now();
        let opened = 20;
        for _ in 0..opened {
            scene.plugins().chain(scene.plan())?;
        }
        let start_us = began.elapsed().as_secs_f64() * 1e6 / f64::from(opened);
        let columns = scene.plugins().contracts().map(|(_, contract)| contract.reads.len()).sum();
        let benched = Benched {
            plugin: place.file.display().to_string(),
            build: Build::this(),
            bytes: survey.bytes,
            compile_ms,
            start_us,
            columns,
            sizes,
        };
        output::show(global.json, &benched, words)?;
        return Ok(Exit::Done);
    }
    Err(Failure::new(
        Exit::Configuration,
        format!("{} holds no contest that the plugin decides", golden.display()),
    )
    .hint("add one beside which a row stands"))
}

fn words(benched: &Benched) -> String {
    let mut text = format!(
        "{}: {} bytes, {} columns in its contract\ncompile {:.0} ms (once, then kept in the cache), start {:.0} us\n\n",
        benched.plugin,
        grouped(benched.bytes as u64),
        benched.columns,
        benched.compile_ms,
        benched.start_us
    );
    let row = |of: &Measured| {
        vec![
            of.rows.to_string(),
            format!("{:.1}", of.plugin_ns),
            or_dash(of.native_ns.map(|ns| format!("{ns:.1}"))),
            or_dash(of.fuel.map(|fuel| grouped(fuel / of.rows as u64))),
            or_dash(of.memory_bytes.map(|bytes| format!("{:.1}", bytes as f64 / f64::from(1 << 20)))),
        ]
    };
    let head = ["rows#", "ns a row#", "native ns#", "fuel a row#", "memory MiB#"];
    text.push_str(&output::table(&head, benched.sizes.iter().map(row)));
    text.push_str("\nA row: its columns put into the block, decided, the answer checked. ");
    text.push_str(match benched.build {
        Build::Release => "Native: the host compares the same columns.\n",
        Build::Test => TEST_BUILD,
    });
    text
}
