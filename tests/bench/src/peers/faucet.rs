//! faucet-stream as a user runs it: a configuration file, its own program, its durable consumer at the broker.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use reconverge_servers::{project_root, target_dir};
use tokio::process::{Child, Command};

use crate::{place::Place, sinks::Stream, stream::Broker};

/// The name in `tests/bench/peers/faucet/*.yaml`.
const CONSUMER: &str = "peer";
/// The broker's own default.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// More than it ever has open.
const ACK_PENDING_MAX: i64 = 20_000;
/// Longer than any run takes.
const PATIENCE: Duration = Duration::from_secs(300);

/// The program.
pub(crate) struct Faucet {
    program: PathBuf,
    name: String,
}

/// What a run is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) folder: PathBuf,
    pub(crate) nats: String,
    pub(crate) stream: String,
    pub(crate) sink: String,
    /// It ends after so many messages; else when it is idle.
    pub(crate) ends_at: Option<u64>,
    pub(crate) idle_s: u64,
    pub(crate) function: &'static str,
    pub(crate) on_error: &'static str,
}

impl Asked {
    /// The whole stream into a place, by the rules.
    pub(crate) fn at(place: &Place<'_>, stream: &Stream<'_>) -> Asked {
        Asked {
            folder: place.folder(),
            nats: stream.nats.clone(),
            stream: stream.name.to_owned(),
            sink: place.url(),
            ends_at: None,
            idle_s: 45,
            function: "transform",
            on_error: "fail",
        }
    }

    /// The configuration, from the file for this kind of sink.
    fn text(&self) -> Result<String> {
        let kind = if self.sink.starts_with("sqlite") { "sqlite" } else { "postgres" };
        let file = project_root().join(format!("tests/bench/peers/faucet/{kind}.yaml"));
        let text = std::fs::read_to_string(&file).with_context(|| format!("reading {}", file.display()))?;
        let mut end = format!("      idle_timeout_secs: {}", self.idle_s);
        if let Some(count) = self.ends_at {
            end = format!("      max_messages: {count}\n{end}");
        }
        let sink = self.sink.replace("sqlite://", "sqlite:");
        let plugin = plugin().display().to_string();
        let fills = [
            ("@NATS@", self.nats.as_str()),
            ("@STREAM@", &self.stream),
            ("@SINK@", &sink),
            ("@PLUGIN@", &plugin),
            ("@FUNCTION@", self.function),
            ("@ON_ERROR@", self.on_error),
            ("@END@", &end),
        ];
        Ok(fills.iter().fold(text, |text, (name, value)| text.replace(name, value)))
    }
}

/// Its plugin, which `cargo xtask bench --peers` builds.
fn plugin() -> PathBuf {
    target_dir().join("peers/wasm32-unknown-unknown/release/peer_faucet.wasm")
}

impl Faucet {
    /// The program at a path.
    ///
    /// # Errors
    /// It does not run, or its plugin is missing.
    pub(crate) fn at(program: &Path) -> Result<Faucet> {
        ensure!(plugin().exists(), "{} is missing\nhint: cargo xtask bench --peers", plugin().display());
        let told = std::process::Command::new(program).arg("--version").output();
        let told = told.with_context(|| format!("starting {}", program.display()))?;
        let words = String::from_utf8_lossy(&told.stdout);
        let version = words.split_whitespace().last().unwrap_or("of no version");
        // It is started in a folder of its own.
        let program = std::path::absolute(program).context("finding the peer's program")?;
        Ok(Faucet { program, name: format!("faucet-stream {version}") })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Starts it. What it says goes to the file that is returned.
    ///
    /// # Errors
    /// It does not start.
    pub(crate) fn start(&self, asked: &Asked) -> Result<(Child, PathBuf)> {
        let (config, said) = (asked.folder.join("peer.yaml"), asked.folder.join("peer.log"));
        std::fs::write(&config, asked.text()?).with_context(|| format!("writing {}", config.display()))?;
        let log = File::create(&said).with_context(|| format!("writing {}", said.display()))?;
        let mut command = Command::new(&self.program);
        command.args(["run", "--quiet", "--no-env-file"]).arg(&config).current_dir(&asked.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).kill_on_drop(true);
        Ok((command.spawn().context("starting the peer")?, said))
    }

    /// Runs it to its end, and says how long that took from its start.
    ///
    /// # Errors
    /// It fails in another way than by stopping early.
    pub(crate) async fn run(&self, asked: &Asked) -> Result<Duration> {
        let start = Instant::now();
        let (mut child, said) = self.start(asked)?;
        let status = ended(&mut child, PATIENCE).await?.context("the peer does not end")?;
        let took = start.elapsed();
        let words = std::fs::read_to_string(&said).unwrap_or_default();
        if !status.success() && !words.contains("missed idle heartbeat") {
            bail!("the peer failed ({status})\n{}", words.trim_end());
        }
        Ok(took)
    }
}

/// The end of a program, or none in that time.
///
/// # Errors
/// The system does not tell.
pub(crate) async fn ended(child: &mut Child, patience: Duration) -> Result<Option<ExitStatus>> {
    match tokio::time::timeout(patience, child.wait()).await {
        Ok(status) => Ok(Some(status.context("waiting for a program")?)),
        Err(_) => Ok(None),
    }
}

/// A new consumer at the beginning of the stream.
///
/// # Errors
/// The broker refuses.
pub(crate) async fn consumer(broker: &Broker, stream: &str) -> Result<()> {
    let stream = broker.jetstream.get_stream(stream).await.context("asking for the stream")?;
    // Nothing to remove before the first run.
    let _ = stream.delete_consumer(CONSUMER).await;
    let config = pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: ACK_PENDING_MAX,
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.context("making the peer's consumer")?;
    Ok(())
}

/// What its consumer has still to do.
pub(crate) struct Open {
    pub(crate) never_delivered: u64,
    pub(crate) unacknowledged: usize,
}

/// See [`Open`].
///
/// # Errors
/// The broker does not answer.
pub(crate) async fn open(broker: &Broker, stream: &str) -> Result<Open> {
    let stream = broker.jetstream.get_stream(stream).await.context("asking for the stream")?;
    let mut consumer: PullConsumer = stream.get_consumer(CONSUMER).await.map_err(|error| {
        // The library's error is no `std::error::Error` that can be sent on.
        anyhow::anyhow!("asking for the peer's consumer: {error}")
    })?;
    let info = consumer.info().await.context("asking the peer's consumer")?;
    Ok(Open { never_delivered: info.num_pending, unacknowledged: info.num_ack_pending })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_gap_of_a_configuration_is_filled() {
        for sink in ["sqlite:///it.db", "postgresql://it"] {
            let asked = Asked {
                folder: PathBuf::new(),
                nats: "nats://it".to_owned(),
                stream: "S".to_owned(),
                sink: sink.to_owned(),
                ends_at: Some(7),
                idle_s: 5,
                function: "transform",
                on_error: "fail",
            };
            let text = asked.text().unwrap();
            let config: String = text.lines().filter(|line| !line.starts_with('#')).collect();
            assert!(!config.contains('@'), "{text}");
            assert!(text.contains("max_messages: 7") && text.contains("idle_timeout_secs: 5"), "{text}");
        }
    }
}
