//! What can be typed behind `reconverge plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::{config::Stage, workbench::Language};

use super::help;

/// `plugin`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PluginCommand {
    /// Make a folder with a plugin that builds as it is
    #[command(long_about = help::NEW, after_long_help = help::NEW_MORE)]
    New(New),
    /// Make the component of a plugin's folder
    #[command(long_about = help::BUILD, after_long_help = help::BUILD_MORE)]
    Build(Build),
    /// Show what a plugin is, asks for and imports
    #[command(long_about = help::INSPECT, after_long_help = help::INSPECT_MORE)]
    Inspect(Inspect),
    /// Try a plugin on contests whose decisions are written down
    #[command(long_about = help::TEST, after_long_help = help::TEST_MORE)]
    Test(Test),
    /// Measure what a plugin's decisions cost
    #[command(long_about = help::BENCH, after_long_help = help::BENCH_MORE)]
    Bench(Bench),
    /// Find out whether a merge rule makes regions end with the same rows
    #[command(long_about = help::LAWS, after_long_help = help::LAWS_MORE)]
    Laws(Laws),
    #[command(flatten)]
    Deployments(super::deploy::DeployCommand),
}

/// `capture`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Capture {
    /// At most so many contests
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub events: usize,
    /// Only of this table, as the source or the sink calls it
    #[arg(long)]
    pub table: Option<String>,
    /// Contests of the history of decisions, both rows as they stood then, in place of changes of the stream
    #[arg(long)]
    pub decided: bool,
    /// Where to write them
    #[arg(long, value_name = "FILE", default_value = "captured.jsonl")]
    pub out: PathBuf,
}

/// `plugin new`.
#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// The plugin's name, which is also that of the folder
    pub name: String,
    /// The language
    #[arg(long, value_name = "LANGUAGE")]
    pub lang: LanguageWord,
    /// The stage
    #[arg(long, value_name = "STAGE", default_value = "merge")]
    pub stage: StageWord,
    /// Where to make the folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub into: PathBuf,
}

/// `plugin build`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Build {
    /// The plugin's folder
    #[arg(value_name = "DIR", default_value = ".")]
    pub folder: PathBuf,
}

/// A language as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub(in crate::cli) enum LanguageWord {
    /// With cargo
    Rust,
    /// With clang or zig
    C,
    /// With go
    Go,
    /// With jco, from npm
    #[value(alias = "javascript")]
    Js,
    /// With componentize-py, from PyPI
    Python,
    /// With asc, from npm
    AssemblyScript,
}

impl From<LanguageWord> for Language {
    fn from(word: LanguageWord) -> Language {
        match word {
            LanguageWord::Rust => Language::Rust,
            LanguageWord::C => Language::C,
            LanguageWord::Go => Language::Go,
            LanguageWord::Js => Language::JavaScript,
            LanguageWord::Python => Language::Python,
            LanguageWord::AssemblyScript => Language::AssemblyScript,
        }
    }
}

/// `plugin laws`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Laws {
    /// The plugin's file or its folder; with `--pipeline` also its name there
    pub path: PathBuf,
    /// A file that describes the table; without it and without `--pipeline` the contract is the table
    #[arg(long, value_name = "FILE")]
    pub table: Option<PathBuf>,
    /// Histories to try for each law
    #[arg(long, value_name = "N", default_value_t = 200)]
    pub cases: u64,
    /// What the histories are made from; the same seed tries the same ones
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Contests to try first: a file, or a folder of them
    #[arg(long, value_name = "PATH")]
    pub captured: Option<PathBuf>,
    /// How deletes take part; without it both ways. A pipeline says it for its tables
    #[arg(long, value_name = "WAY")]
    pub deletes: Option<DeletesWord>,
    /// A law that is not looked at; may be given again
    #[arg(long, value_name = "LAW")]
    pub without: Vec<String>,
    /// Its configuration, a JSON object; a pipeline says it for its plugins
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
}

/// `deletes` of a table, as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum DeletesWord {
    /// By the columns of the row that was deleted
    Ordered,
    /// A delete beats everything concurrent
    Win,
}

/// `plugin inspect`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Inspect {
    /// The plugin's file, or its folder
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// Show its contract for this table: 'schedules(id int key, epoch int, region text)'
    #[arg(long, value_name = "SHAPE")]
    pub table: Vec<String>,
    /// Show its contract for the tables of a contests file; without it those of `contests/`
    #[arg(long, value_name = "FILE")]
    pub golden: Option<PathBuf>,
    /// Its configuration, a JSON object
    #[arg(long, value_name = "JSON")]
    pub config: Option<String>,
}

/// `plugin test`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// The plugin's file, or its folder
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// A contests file, or a folder of them; without it `contests/` of the plugin's folder
    #[arg(long, value_name = "PATH")]
    pub golden: Option<PathBuf>,
    /// Write what the plugin says now as what is expected
    #[arg(long)]
    pub update: bool,
    /// The stage to ask, where the plugin has several
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<StageWord>,
}

/// `plugin bench`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Bench {
    /// The plugin's file, or its folder
    #[arg(default_value = ".")]
    pub path: PathBuf,
    /// A contests file, or a folder of them; without it `contests/` of the plugin's folder
    #[arg(long, value_name = "PATH")]
    pub golden: Option<PathBuf>,
    /// The stage to ask, where the plugin has several
    #[arg(long, value_name = "STAGE")]
    pub stage: Option<StageWord>,
}

/// A stage as it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum StageWord {
    /// Which of two rows stands?
    Merge,
    /// Is this row wanted?
    Filter,
    /// May this row be here?
    Residency,
    /// How does this row look here?
    Mapping,
}

impl From<StageWord> for Stage {
    fn from(word: StageWord) -> Stage {
        match word {
            StageWord::Merge => Stage::Merge,
            StageWord::Filter => Stage::Filter,
            StageWord::Residency => Stage::Residency,
            StageWord::Mapping => Stage::Mapping,
        }
    }
}
