//! What can be typed: commands, options, and the help that teaches them. What they do stands elsewhere.

use std::{ffi::OsString, path::PathBuf};

use clap::{
    ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, parser::ValueSource,
};
use clap_complete::Shell;

use crate::config::LogFormat;

use super::{adopt, exit::exit_codes, help, holes::Holes, plugin, rehearse, source};

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "reconverge",
    version,
    about = "Runs your merge rule as a WASM plugin in the very transaction that writes the row",
    long_about = help::PROGRAM,
    after_long_help = exit_codes!(),
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub(super) struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Reads a command line.
    pub fn read(words: impl IntoIterator<Item = OsString>) -> Result<Arguments, clap::Error> {
        let matches = Arguments::command().try_get_matches_from(words)?;
        let mut arguments = Arguments::from_arg_matches(&matches)?;
        let source = matches.value_source("pipeline");
        arguments.global.named = source.is_some_and(|source| source != ValueSource::DefaultValue);
        Ok(arguments)
    }
}

/// Options that every command takes, before it or behind it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(super) struct Global {
    /// The pipeline file
    #[arg(
        short = 'f',
        long,
        global = true,
        value_name = "FILE",
        default_value = "pipeline.toml",
        env = "RECONVERGE_PIPELINE",
        hide_env_values = true
    )]
    pub pipeline: PathBuf,
    /// Whether somebody named it: some commands do without where nobody does.
    #[arg(skip)]
    pub named: bool,
    /// Answer as JSON on stdout
    #[arg(long, global = true)]
    pub json: bool,
    /// How the log is written; without it as [log] in the pipeline file says
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log: Option<LogWord>,
    /// Log more; twice for everything
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Log less; twice for errors alone
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
}

/// The words of `--log`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LogWord {
    /// Lines for people
    Line,
    /// One JSON object a line
    Json,
}

impl From<LogWord> for LogFormat {
    fn from(word: LogWord) -> LogFormat {
        match word {
            LogWord::Line => LogFormat::Line,
            LogWord::Json => LogFormat::Json,
        }
    }
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the pipeline until it is told to stop
    #[command(long_about = help::RUN, after_long_help = help::RUN_MORE)]
    Run(Run),
    /// Find everything that would keep the pipeline from running
    #[command(long_about = help::CHECK, after_long_help = help::CHECK_MORE)]
    Check,
    /// Show how far each lane is, who owns it, and its ledger
    #[command(long_about = help::STATUS, after_long_help = help::STATUS_MORE)]
    Status,
    /// Tell why a row is as it is
    #[command(long_about = help::EXPLAIN, after_long_help = help::EXPLAIN_MORE)]
    Explain(Explain),
    /// Recount the ledger against the stream
    #[command(long_about = help::AUDIT, after_long_help = help::AUDIT_MORE)]
    Audit,
    /// Look at decisions about changes that met a row
    #[command(subcommand, long_about = help::CONFLICTS, after_long_help = help::CONFLICTS_MORE)]
    Conflicts(Conflicts),
    /// Look at changes that could not be applied; send them again or close them
    #[command(subcommand, long_about = help::DLQ, after_long_help = help::DLQ_MORE)]
    Dlq(Dlq),
    /// See who works on which lane; put a changed plan in force
    #[command(subcommand, long_about = help::LANES, after_long_help = help::LANES_MORE)]
    Lanes(Lanes),
    /// Look at rows that wait for the rows that they depend on; release or discard one
    #[command(subcommand, long_about = help::PARKED, after_long_help = help::PARKED_MORE)]
    Parked(Parked),
    /// Take contests from a running pipeline, to try plugins on
    #[command(long_about = plugin::CAPTURE, after_long_help = plugin::CAPTURE_MORE)]
    Capture(plugin::Capture),
    /// See what a failback would do, from recorded changes
    #[command(long_about = rehearse::REHEARSE, after_long_help = rehearse::REHEARSE_MORE)]
    Rehearse(rehearse::Rehearse),
    /// Look at tables; pause one, or let it run again
    #[command(subcommand, long_about = help::TABLES, after_long_help = help::TABLES_MORE)]
    Tables(Tables),
    /// Say where rows come from that stood in the sink before the pipeline
    #[command(long_about = adopt::ADOPT, after_long_help = adopt::ADOPT_MORE)]
    Adopt(adopt::Adopt),
    /// Look at sources, and say whether their positions began anew
    #[command(subcommand, long_about = source::SOURCE, after_long_help = source::SOURCE_MORE)]
    Source(source::SourceCommand),
    /// Make, build, inspect and try plugins
    #[command(subcommand, long_about = plugin::PLUGIN, after_long_help = plugin::PLUGIN_MORE)]
    Plugin(plugin::PluginCommand),
    /// Look at what a stream lost before it was applied; let a lane go on without
    #[command(subcommand, long_about = help::HOLES, after_long_help = help::HOLES_MORE)]
    Holes(Holes),
    /// Print the script that completes this command line in a shell
    #[command(long_about = help::COMPLETIONS, after_long_help = help::COMPLETIONS_MORE)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Print the JSON Schema of pipeline.toml
    #[command(long_about = help::SCHEMA, after_long_help = help::SCHEMA_MORE)]
    Schema,
}

/// `run`.
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Stop when everything that the stream holds at the start is applied
    #[arg(long, conflicts_with = "until_sequence")]
    pub until_caught_up: bool,
    /// Stop when everything up to this stream sequence is applied
    #[arg(long, value_name = "N")]
    pub until_sequence: Option<u64>,
    /// Create the stream where it is missing
    #[arg(long)]
    pub ensure: bool,
    /// Name of this process in the sink, the same after a restart: then it need not wait for its own lease
    #[arg(long, value_name = "NAME", env = "RECONVERGE_OWNER", hide_env_values = true)]
    pub owner: Option<String>,
    /// Take a plugin anew when its file changes, as `watch` in [reload] does: for development
    #[arg(long)]
    pub watch: bool,
    /// Show progress of a run that ends by itself, also where stderr is no terminal
    #[arg(long)]
    pub progress: bool,
}

/// `explain`.
#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The table, as the source or the sink calls it
    pub table: String,
    /// The key's values, in the order of `key` in pipeline.toml
    #[arg(required = true, allow_negative_numbers = true)]
    pub key: Vec<String>,
    /// Show at most so many decisions
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: u32,
}

/// `conflicts`.
#[derive(Debug, Subcommand)]
pub(super) enum Conflicts {
    /// List decisions, the newest first
    List {
        /// Only of this table, as the sink calls it
        #[arg(long)]
        table: Option<String>,
        /// Only of this kind, such as update_origin_differs
        #[arg(long)]
        kind: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Show one decision with the rows that were kept of it
    Show {
        /// Its id; the first letters are enough
        id: String,
    },
}

/// `dlq`.
#[derive(Debug, Subcommand)]
pub(super) enum Dlq {
    /// List dead letters, the newest first
    List {
        /// Only in this state
        #[arg(long, default_value = "open")]
        state: LetterState,
        /// Only of this table, as the sink calls it
        #[arg(long)]
        table: Option<String>,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Show one dead letter
    Show {
        /// Its id
        id: i64,
        /// Also write the original bytes to this file; `-` writes them, and nothing else, to stdout
        #[arg(long, value_name = "FILE")]
        bytes: Option<OsString>,
    },
    /// Send dead letters again, to the end of their stream
    Redrive {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
    },
    /// Close dead letters for good
    Discard {
        /// Their ids
        #[arg(required = true, value_name = "ID")]
        ids: Vec<i64>,
        /// Why, for those who ask later
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Who closes them
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
        by: Option<String>,
    },
}

/// `lanes`.
#[derive(Debug, Subcommand)]
pub(super) enum Lanes {
    /// Show the processes, the lanes and their owners, and which silent owners were overridden
    List {
        /// At most so many overrides, the newest first
        #[arg(long, value_name = "N", default_value_t = 20)]
        takeovers: u32,
    },
    /// Bring all lanes to one sequence, and put this file's plan in force from there
    Move {
        /// The pipeline file that the lanes ran by: needed where they stand apart
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
        /// Who asks, for those who look later
        #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
        by: Option<String>,
    },
}

/// `parked`.
#[derive(Debug, Subcommand)]
pub(super) enum Parked {
    /// List rows that wait, the newest first
    List {
        /// Only of this table, as the sink calls it
        #[arg(long)]
        table: Option<String>,
        /// Only for this reason
        #[arg(long, default_value = "all")]
        why: Waits,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: u32,
    },
    /// Show one row that waits, and what it waits for
    Show {
        /// The table, as the source or the sink calls it
        table: String,
        /// The key's values, in the order of `key` in pipeline.toml
        #[arg(required = true, allow_negative_numbers = true)]
        key: Vec<String>,
    },
    /// Do not wait: put a row in without its parent, decide a change before its time
    Release(ByHand),
    /// Give up what waits: it becomes a closed dead letter
    Discard(ByHand),
}

/// What is kept under one key, for its operator.
#[derive(Debug, Args)]
pub(super) struct ByHand {
    /// The table, as the source or the sink calls it
    pub table: String,
    /// The key's values, in the order of `key` in pipeline.toml
    #[arg(required = true, allow_negative_numbers = true)]
    pub key: Vec<String>,
    /// Why, for those who ask later
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Who asks
    #[arg(long, value_name = "NAME", env = "USER", hide_env_values = true)]
    pub by: Option<String>,
    /// How many seconds to wait until the lane has done it
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub wait: u64,
}

/// `tables`.
#[derive(Debug, Subcommand)]
pub(super) enum Tables {
    /// List the pipeline's tables: which run, which are paused, and why
    List,
    /// Pause a table: its changes wait
    Pause {
        /// The table, as the source or the sink calls it
        table: String,
        /// Why, for those who ask later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Let a paused table run again: its shape is read anew, and what waited is applied in order
    Resume {
        /// The table, as the source or the sink calls it
        table: String,
    },
}

/// The words of `parked list --why`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Waits {
    /// The row that it depends on may come
    Parent,
    /// The row that it depends on is known not to come by itself
    Orphaned,
    /// Its commit time has to pass
    Skew,
    /// Its table is paused
    Paused,
    /// For any reason
    All,
}

impl Waits {
    /// The reason's word in the sink; none for all.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            Waits::Parent => Some("parent"),
            Waits::Orphaned => Some("orphaned"),
            Waits::Skew => Some("skew"),
            Waits::Paused => Some("paused"),
            Waits::All => None,
        }
    }
}

/// The words of `dlq list --state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum LetterState {
    /// Waits for somebody
    Open,
    /// Was sent again and applied
    Redriven,
    /// Was closed
    Discarded,
    /// Whatever its state
    All,
}

impl LetterState {
    /// The state's word in the sink; none for all.
    pub(super) fn word(self) -> Option<&'static str> {
        match self {
            LetterState::Open => Some("open"),
            LetterState::Redriven => Some("redriven"),
            LetterState::Discarded => Some("discarded"),
            LetterState::All => None,
        }
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_of_every_command_stand_before_or_behind() {
        for words in [
            &["reconverge", "-f", "a.toml", "--json", "dlq", "list"][..],
            &["reconverge", "dlq", "list", "--json", "--pipeline", "a.toml"],
        ] {
            let arguments = Arguments::try_parse_from(words).unwrap();
            assert_eq!(arguments.global.pipeline, PathBuf::from("a.toml"));
            assert!(arguments.global.json);
        }
    }

    #[test]
    fn it_is_known_whether_the_pipeline_was_named() {
        let named = |words: &[&str]| Arguments::read(words.iter().map(Into::into)).unwrap().global.named;
        assert!(named(&["reconverge", "check", "-f", "pipeline.toml"]));
        assert!(named(&["reconverge", "--pipeline", "a.toml", "check"]));
        assert!(!named(&["reconverge", "check"]) || std::env::var_os("RECONVERGE_PIPELINE").is_some());
    }

    #[test]
    fn a_run_has_one_end() {
        let both = ["reconverge", "run", "--until-caught-up", "--until-sequence", "5"];
        assert!(Arguments::try_parse_from(both).is_err());
    }

    #[test]
    fn a_key_may_be_negative() {
        let arguments = Arguments::try_parse_from(["reconverge", "explain", "orders", "-7"]).unwrap();
        assert!(matches!(arguments.command, Command::Explain(Explain { key, .. }) if key == ["-7"]));
    }
}
