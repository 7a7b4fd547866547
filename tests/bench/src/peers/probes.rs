//! Four ways to break a program on its way into PostgreSQL: killed and started again, a trap of its plugin at one event,
//! an event that is no JSON, the database restarted. A program that ends with an error is started again, as whatever
//! watches over programs would do, but not for ever; then its rows are compared with those that must stand.

use std::{
    fs::File,
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use reconverge_servers::{Postgres, scratch};
use tempfile::TempDir;
use tokio::{process::Child, runtime::Runtime, time::sleep};
use tokio_postgres::{NoTls, Row};

use super::{
    faucet::{self, Asked, Faucet},
    told::{Outcome, Rows, words},
};
use crate::{
    desk,
    pipeline::{self, Variant, Wiring},
    scale::Scale,
    stream::Broker,
    workload::{Event, Op, Workload, table_name},
};

const STREAM: &str = "PROBE";
const SUBJECTS: &str = "cdc.>";
/// Changes of a stream with one bad event, its keys, and the bad one's place.
const POISONED: u64 = 24_000;
const POISONED_KEYS: u64 = 6_000;
const BAD: usize = 5_000;
/// The text in the bad event's remark that plugins trap at.
const TRAP: &str = "trap";
/// So often a program is started in all.
const STARTS: usize = 3;
/// A program that does not end in this time is stopped, and told as running.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at the rows.
const LOOK: Duration = Duration::from_millis(20);

/// A way to break a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Kill,
    Trap,
    NotJson,
    Restart,
}

impl Broken {
    const ALL: [Broken; 4] = [Broken::Kill, Broken::Trap, Broken::NotJson, Broken::Restart];

    fn name(self) -> &'static str {
        match self {
            Broken::Kill => "kill -9, started again",
            Broken::Trap => "a trap at one event",
            Broken::NotJson => "an event that is no JSON",
            Broken::Restart => "database restarted",
        }
    }

    fn is_poison(self) -> bool {
        matches!(self, Broken::Trap | Broken::NotJson)
    }
}

/// What is broken.
#[derive(Clone, Copy)]
enum Program<'a> {
    Ours,
    /// With its `on_error`.
    Peer(&'a Faucet, &'static str),
}

impl Program<'_> {
    fn name(self) -> String {
        match self {
            Program::Ours => "reconverge".to_owned(),
            Program::Peer(faucet, "fail") => faucet.name().to_owned(),
            Program::Peer(faucet, on_error) => format!("{}, {on_error}", faucet.name()),
        }
    }
}

/// Breaks both programs in every way.
///
/// # Errors
/// There is no server, or a program cannot be started.
pub(crate) fn ask(runtime: &Runtime, scale: &Scale, faucet: &Faucet) -> Result<Vec<Outcome>> {
    let mut outcomes = Vec::new();
    for broken in Broken::ALL {
        let mut programs = vec![Program::Ours, Program::Peer(faucet, "fail")];
        if broken.is_poison() {
            programs.push(Program::Peer(faucet, "skip"));
        }
        for program in programs {
            let outcome = Probe::begin(runtime, scale, broken, program)?.outcome()?;
            eprintln!("   {}: {}: {:?}", outcome.broken, outcome.program, outcome.exits);
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// One program on its way to be broken.
struct Probe<'a> {
    runtime: &'a Runtime,
    broken: Broken,
    program: Program<'a>,
    events: Vec<Event>,
    broker: Broker,
    server: Postgres,
    url: String,
    folder: TempDir,
}

impl<'a> Probe<'a> {
    fn begin(runtime: &'a Runtime, scale: &Scale, broken: Broken, program: Program<'a>) -> Result<Probe<'a>> {
        let (rows, keys) =
            if broken.is_poison() { (POISONED, POISONED_KEYS) } else { (scale.sink_rows, scale.sink_keys) };
        let mut events = Workload { rows, keys, ..Workload::default() }.events();
        if broken == Broken::Trap {
            TRAP.clone_into(&mut events[BAD].notes);
        }
        let server = Postgres::builder().durable().start()?;
        let url = server.create_database("probe")?;
        server.execute("probe", &desk::workload_ddl(1))?;
        let folder = scratch("bench-probe")?;
        let broker = runtime.block_on(async {
            let broker = Broker::start().await?;
            let body = |(place, event): (usize, &Event)| {
                let is_bad = broken == Broken::NotJson && place == BAD;
                let body = if is_bad { b"{\"op\":\"u\",\"table\":".to_vec() } else { event.json() };
                (event.subject(), Bytes::from(body))
            };
            broker.fill(STREAM, &[SUBJECTS], events.iter().enumerate().map(body)).await?;
            faucet::consumer(&broker, STREAM).await?;
            anyhow::Ok(broker)
        })?;
        Ok(Probe { runtime, broken, program, events, broker, server, url, folder })
    }

    fn outcome(mut self) -> Result<Outcome> {
        // Programs are started outside of what is blocked on.
        let _entered = self.runtime.enter();
        if matches!(self.program, Program::Ours) {
            // Its plugins are compiled then, as they are at any start but a user's first.
            self.runtime.block_on(pipeline::check(self.folder.path(), &self.pipeline()))?;
        }
        let (mut exits, mut said) = (Vec::new(), String::new());
        let begin = Instant::now();
        for start in 0..STARTS {
            let (mut child, log) = self.start()?;
            if start == 0 && !self.broken.is_poison() {
                if !self.runtime.block_on(self.a_third())? {
                    // Not what is asked here: now and then the peer stops by itself. It is broken where it stands.
                    anyhow::ensure!(
                        matches!(self.program, Program::Peer(..)),
                        "{} does not come to a third of its changes",
                        self.program.name()
                    );
                    exits.push("stopped before a third".to_owned());
                }
                match self.broken {
                    Broken::Kill => child.start_kill().context("killing a program")?,
                    _ => self.server.restart()?,
                }
            }
            let ended = self.runtime.block_on(faucet::ended(&mut child, PATIENCE))?;
            said.push_str(&std::fs::read_to_string(log).unwrap_or_default());
            let Some(status) = ended else {
                exits.push(format!("runs after {} s", PATIENCE.as_secs()));
                break;
            };
            exits.push(status.code().map_or_else(|| "killed".to_owned(), |code| code.to_string()));
            if status.success() && self.is_done()? {
                break;
            }
        }
        let took = begin.elapsed();
        let found = self.runtime.block_on(rows(&self.url))?;
        let outcome = Outcome::of(self.broken.name(), &self.program.name(), &self.wanted(), &found);
        Ok(outcome.after(exits, took, words(&said)))
    }

    /// The rows that must stand: those of all events but the bad one.
    fn wanted(&self) -> Rows {
        let good =
            self.events.iter().enumerate().filter(|(place, _)| !self.broken.is_poison() || *place != BAD);
        good.filter(|(_, event)| event.op != Op::Delete)
            .map(|(_, event)| (event.schedule_id, event.modification_epoch))
            .collect()
    }

    /// Whether a program that ended well took everything.
    fn is_done(&self) -> Result<bool> {
        match self.program {
            Program::Ours => Ok(true),
            Program::Peer(..) => {
                let open = self.runtime.block_on(faucet::open(&self.broker, STREAM))?;
                Ok(open.never_delivered == 0 && open.unacknowledged == 0)
            }
        }
    }

    fn start(&self) -> Result<(Child, PathBuf)> {
        match self.program {
            Program::Ours => {
                let mut command = pipeline::command(self.folder.path(), &self.pipeline())?;
                let said = self.folder.path().join("said.log");
                let log = File::create(&said).context("writing a log")?;
                command.args(["run", "--until-caught-up"]).stdout(log.try_clone()?).stderr(log);
                Ok((command.spawn().context("starting reconverge")?, said))
            }
            Program::Peer(faucet, on_error) => faucet.start(&Asked {
                folder: self.folder.path().to_path_buf(),
                nats: self.broker.server.url(),
                stream: STREAM.to_owned(),
                sink: self.url.clone(),
                ends_at: None,
                idle_s: 45,
                function: if self.broken == Broken::Trap { "transform_or_trap" } else { "transform" },
                on_error,
            }),
        }
    }

    /// Ours, with a plugin that traps in place of the filter where that is asked.
    fn pipeline(&self) -> String {
        let text = pipeline::file(&Wiring {
            name: "probe",
            variant: Variant::Merge,
            nats: &self.broker.server.url(),
            stream: STREAM,
            sink: &self.url,
            tables: 1,
            partitions: 1,
            batch: None,
        });
        if self.broken != Broken::Trap {
            return text;
        }
        format!(
            "{text}\n[[plugin]]\nname = \"faulty\"\npath = {:?}\nstage = \"filter\"\ntables = [{:?}]\n\
             config = {{ mode = \"trap\", marker = {TRAP:?} }}\n",
            desk::wasm("faulty"),
            table_name(0)
        )
    }

    /// Waits until a third of the changes stands; whether it does in time.
    async fn a_third(&self) -> Result<bool> {
        let third = self.events[self.events.len() / 3].modification_epoch;
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if newest(&self.url).await? >= Some(third) {
                return Ok(true);
            }
            sleep(LOOK).await;
        }
        Ok(false)
    }
}

async fn rows(url: &str) -> Result<Rows> {
    let query = format!("SELECT schedule_id, modification_epoch FROM {}", table_name(0));
    Ok(asked(url, &query).await?.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The epochs of the stream rise, so the greatest of the rows says how far a program is.
async fn newest(url: &str) -> Result<Option<i64>> {
    let rows = asked(url, &format!("SELECT max(modification_epoch) FROM {}", table_name(0))).await?;
    Ok(rows.first().and_then(|row| row.get(0)))
}

async fn asked(url: &str, query: &str) -> Result<Vec<Row>> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("looking at the rows")?;
    // It ends with the client; what goes wrong before, the client's own call tells.
    drop(tokio::spawn(connection));
    client.query(query, &[]).await.context("looking at the rows")
}
