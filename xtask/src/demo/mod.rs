//! `cargo xtask demo`: the project's reason to be, on real change events, from nothing to a story on the screen. It
//! brings what is missing, starts private servers, replays `examples/split-brain`, runs the pipeline of that folder
//! and the same under last-writer-wins, tells what differs, and checks every final row.
//!
//! In this order: `setting` is the servers, the stream and the databases, `pipeline` runs the product as a user does,
//! `harm` is what last-writer-wins would have left otherwise, `story` is the words. Nothing here is a part of the
//! product, and nothing is left running when it ends.

mod harm;
mod pipeline;
mod setting;
mod story;

use std::future::Future;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use reconverge_capture::split_brain::{LAST, RECOVERY, SCHEDULES};
use reconverge_capture::{Database, Difference, split_brain};
use reconverge_servers::{target_dir, tools};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::setup;
use crate::steps::{Step, timed};
use harm::{Harmed, Moment};
use pipeline::Pipeline;
use setting::Setting;
use story::Story;

/// Of rows that are not as expected, what is shown.
const DIFFERENCES_SHOWN: usize = 20;

/// What can be asked of the demo.
#[derive(Args)]
pub(crate) struct Demo {
    /// Where the rows go.
    #[arg(long, value_enum, default_value_t)]
    sink: SinkKind,
    /// Leave the servers up for exploring, until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// The folder below target/ that everything is written to; what an earlier run left in it is removed.
    #[arg(long, hide = true, default_value = "demo", value_parser = plain_word)]
    folder: String,
}

/// A folder's name that leads nowhere else: what is in the folder will be removed.
fn plain_word(word: &str) -> Result<String> {
    if word.is_empty() || !word.bytes().all(|byte| byte == b'-' || byte.is_ascii_alphanumeric()) {
        bail!("letters, digits and dashes only");
    }
    Ok(word.to_owned())
}

/// A kind of sink.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SinkKind {
    /// Files; nothing to install.
    #[default]
    Sqlite,
    /// A private server.
    Postgres,
}

/// Runs the demo to its end.
///
/// # Errors
/// When something that it needs cannot be had, a run fails, a final row is not as expected, or it is interrupted.
pub(crate) fn run(asked: &Demo) -> Result<()> {
    // Before signals are listened to: until then Ctrl-C ends this process and what it runs, as anywhere.
    set_up(asked.sink)?;
    let folder = target_dir().join(&asked.folder);
    let _locked = alone(&folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("starting a runtime")?.block_on(async {
        let mut stop = Stop::listen()?;
        let setting = tokio::select! {
            played = play(asked, &folder) => played?,
            name = stop.heard() => bail!("stopped by {name}; no process is left behind"),
        };
        if asked.keep {
            eprintln!("\n{}", setting.open_house());
            let name = stop.heard().await;
            eprintln!("\n{name}: stopping the servers");
        }
        Ok(())
    })
}

fn set_up(sink: SinkKind) -> Result<()> {
    setup::wasm_target()?;
    timed("nats-server", tools::nats_server)?;
    if sink == SinkKind::Postgres {
        timed("PostgreSQL", tools::postgres)?;
    }
    setup::plugins()?;
    Step::cargo("host", "build --package reconverge").run()
}

/// Makes sure that no other demo uses the folder, for as long as the file is held.
fn alone(folder: &Path) -> Result<std::fs::File> {
    let file = folder.with_extension("lock");
    let opened = std::fs::File::create(&file).with_context(|| format!("opening {}", file.display()))?;
    if opened.try_lock().is_err() {
        bail!("another demo is running in {}\nhint: stop it with Ctrl-C", folder.display());
    }
    Ok(opened)
}

/// Everything that happens on the stage; what it returns keeps the servers up.
async fn play(asked: &Demo, folder: &Path) -> Result<Setting> {
    let setting = told("servers, stream and tables", Setting::build(asked.sink, folder)).await?;
    let rule = Pipeline::new(&setting, "pipeline.toml", &setting.database);
    let rival = Pipeline::new(&setting, "last-writer-wins.toml", &setting.rival);
    let to_recovery = ["--until-sequence".to_owned(), RECOVERY.to_string()];
    let to_end = ["--until-caught-up".to_owned()];

    told("reconverge check", async { rule.check().await.and(rival.check().await) }).await?;
    let mut ran = told("your rule, up to the recovery", rule.run(&to_recovery)).await?;
    told("last-writer-wins, up to the recovery", rival.run(&to_recovery)).await?;
    let recovery = harmed(&setting).await?;
    let decision = decision(&rule).await?;
    ran += told("your rule, to the end", rule.run(&to_end)).await?;
    told("last-writer-wins, to the end", rival.run(&to_end)).await?;
    let end = harmed(&setting).await?;

    let moments = [Moment::new("recovery", RECOVERY, recovery), Moment::new("end", LAST, end)];
    harm::write_csv(&moments, &folder.join(harm::FILE))?;
    let differing = told("comparing every row", split_brain::differing(&setting.database)).await?;
    let status = rule.status().await?;
    let audit = rule.audit().await?;
    let page = folder.join("rehearsal.html");
    let rehearsed = told("reconverge rehearse", rule.rehearsed(&page)).await?;
    let story = Story {
        setting: &setting,
        ran,
        conflicts: status.conflicts,
        balanced: audit.balanced,
        moments: &moments,
        decision,
        rehearsed,
        right: differing.is_empty(),
    };
    show(&story.text());
    judge(&differing, story.balanced)?;
    Ok(setting)
}

async fn harmed(setting: &Setting) -> Result<Vec<Harmed>> {
    let (rule, rival) = (setting.database.rows(&SCHEDULES).await?, setting.rival.rows(&SCHEDULES).await?);
    Ok(harm::harmed(&rule, &rival))
}

/// A schedule that was decided in the way that the story is about, and what `explain` says of it now.
async fn decision(rule: &Pipeline) -> Result<Option<(String, String)>> {
    let Some(key) = rule.telling_decision().await? else { return Ok(None) };
    let told = rule.explained(SCHEDULES.name, &key).await?;
    Ok(Some((key, told)))
}

#[allow(clippy::print_stdout, reason = "the story is what the command is for; all talk goes to stderr")]
fn show(text: &str) {
    eprintln!();
    print!("{text}");
}

/// The demo's own verdict; everything has been shown by now.
fn judge(differing: &[Difference], balanced: bool) -> Result<()> {
    if !differing.is_empty() {
        differing.iter().take(DIFFERENCES_SHOWN).for_each(|difference| eprintln!("{difference}"));
        if differing.len() > DIFFERENCES_SHOWN {
            eprintln!("and {} more", differing.len() - DIFFERENCES_SHOWN);
        }
        bail!("{} rows are not as examples/split-brain expects them", differing.len());
    }
    if !balanced {
        bail!("the ledger does not balance\nhint: `reconverge audit` says where");
    }
    Ok(())
}

/// As [`timed`], for work that waits.
async fn told<T>(title: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let start = Instant::now();
    eprintln!("== {title}");
    let outcome = work.await;
    let word = if outcome.is_ok() { "done" } else { "failed" };
    eprintln!("== {title}: {word} after {:.1} s", start.elapsed().as_secs_f64());
    outcome
}

/// The signals by which a person or a system ends a command.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Stop {
    fn listen() -> Result<Stop> {
        let listen = |kind| signal(kind).context("listening to signals");
        Ok(Stop {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Its name, when one comes.
    async fn heard(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "Ctrl-C",
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.hangup.recv() => "SIGHUP",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reconverge_capture::How;

    #[test]
    fn a_row_or_a_ledger_that_is_not_right_fails_the_demo() {
        judge(&[], true).unwrap();
        assert!(judge(&[], false).unwrap_err().to_string().contains("does not balance"));
        let planted = Difference { table: "agent_schedules", key: "1008".to_owned(), how: How::Missing };
        let words = judge(&vec![planted; 21], true).unwrap_err().to_string();
        assert!(words.starts_with("21 rows are not"), "{words}");
    }

    #[test]
    fn only_one_demo_plays_in_a_folder() {
        let folder = tempfile::tempdir().unwrap();
        let stage = folder.path().join("demo");
        let _first = alone(&stage).unwrap();
        assert!(alone(&stage).unwrap_err().to_string().contains("another demo"));
    }

    #[test]
    fn a_folder_cannot_lead_out_of_the_target_folder() {
        plain_word("demo-test").unwrap();
        for word in ["", "/", "..", "a/b", "/etc"] {
            assert!(plain_word(word).is_err(), "{word}");
        }
    }

    #[test]
    fn last_writer_wins_differs_from_the_pipeline_in_the_one_rule_alone() {
        let file = |name: &str| std::fs::read_to_string(split_brain::folder().join(name)).unwrap();
        let (rule, rival) = (file("pipeline.toml"), file("last-writer-wins.toml"));
        let changed = [
            (r#"name   = "split-brain""#, r#"name   = "last-writer-wins""#),
            (r#"{ plugin = "schedule-merge" }"#, r#""lww:commit-time""#),
        ];
        let mut expected = rule;
        for (from, to) in changed {
            assert_eq!(expected.matches(from).count(), 1, "{from}");
            expected = expected.replace(from, to);
        }
        // The plugin that nothing names any more is the last part of the file.
        let plugin = expected.find("[[plugin]]\nname   = \"schedule-merge\"").unwrap();
        assert_eq!(expected.rfind("[["), Some(plugin));
        let plain =
            |text: &str| text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n");
        assert_eq!(plain(&rival).trim(), plain(&expected[..plugin]).trim());
    }
}
