//! What can be typed to change the plugins of a pipeline that runs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::help;

/// The commands behind `plugin` that need a pipeline and its server.
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum DeployCommand {
    /// Give a running pipeline another artifact of a plugin
    #[command(long_about = help::DEPLOY, after_long_help = help::DEPLOY_MORE)]
    Deploy(Deploy),
    /// Show what is deployed, and how far each process is with it
    #[command(long_about = help::STATUS, after_long_help = help::STATUS_MORE)]
    Status {
        /// One plugin; without it all of the pipeline
        plugin: Option<String>,
    },
    /// Let what is in shadow, or on some lanes or tables, go live everywhere
    #[command(long_about = help::PROMOTE, after_long_help = help::PROMOTE_MORE)]
    Promote(Named),
    /// Go back to the artifact before, at once and everywhere
    #[command(long_about = help::ROLLBACK, after_long_help = help::ROLLBACK_MORE)]
    Rollback(Named),
    /// Keep what is deployed from being replaced
    #[command(long_about = help::PIN, after_long_help = help::PIN_MORE)]
    Pin(Named),
    /// Let it be replaced again
    Unpin(Named),
}

/// `plugin deploy`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Deploy {
    /// The plugin's file, or the folder that `plugin build` builds
    pub file: PathBuf,
    /// Golden contests that go with it, a file or a folder of them; without it `contests/` of the plugin's folder
    #[arg(long, value_name = "PATH")]
    pub golden: Option<PathBuf>,
    /// Its name in the pipeline; without it the name that the plugin gives itself
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<String>,
    /// Stay in shadow for so many changes first: decided beside the live one, nothing written
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub shadow_changes: u64,
    /// Stay in shadow for so long first, such as 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub shadow_for: Option<std::time::Duration>,
    /// Refuse it when it decides more changes than this otherwise than the live one
    #[arg(long, value_name = "N")]
    pub max_diff: Option<u64>,
    /// Refuse it when more of its calls fail
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub max_faults: u64,
    /// Stay in shadow until `reconverge plugin promote`
    #[arg(long)]
    pub by_hand: bool,
    /// At first on this lane alone; may be given again
    #[arg(long, value_name = "LANE")]
    pub lane: Vec<String>,
    /// At first for this table alone; may be given again
    #[arg(long, value_name = "TABLE")]
    pub table: Vec<String>,
    /// Deploy although another artifact is pinned
    #[arg(long)]
    pub force: bool,
    /// Do not wait for what the processes say
    #[arg(long)]
    pub no_wait: bool,
    #[command(flatten)]
    pub by: By,
}

/// A command about one plugin.
#[derive(Debug, Args)]
pub(in crate::cli) struct Named {
    /// The plugin's name in the pipeline
    pub plugin: String,
    #[command(flatten)]
    pub by: By,
}

/// Who asks.
#[derive(Debug, Args)]
pub(in crate::cli) struct By {
    /// Who asks, for the record
    #[arg(long, value_name = "WHO", env = "USER", hide_env_values = true, default_value = "unknown")]
    pub by: String,
}
