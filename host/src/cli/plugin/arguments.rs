//! What can be typed behind `reconverge plugin`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::Stage;

use super::help;

/// `plugin`.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum PluginCommand {
    /// Show what a plugin is, asks for and imports
    #[command(long_about = help::INSPECT, after_long_help = help::INSPECT_MORE)]
    Inspect(Inspect),
    /// Try a plugin on contests whose decisions are written down
    #[command(long_about = help::TEST, after_long_help = help::TEST_MORE)]
    Test(Test),
    /// Find out whether a merge rule makes regions end with the same rows
    #[command(long_about = help::LAWS, after_long_help = help::LAWS_MORE)]
    Laws(Laws),
    #[command(flatten)]
    Deployments(super::deploy::DeployCommand),
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
