//! The servers of a run, which are its own since they are killed too, the ways to them, and the pipeline between.

use std::time::Duration;

use reconverge_capture::Database;
use reconverge_servers::{NatsServer, Postgres, Proxy};
use reconverge_tests::{Checkpoint, Kind, Running, Scene};
use tokio::{sync::watch, task::JoinHandle};

use crate::{report::Report, workload};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(180);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// See the module.
pub struct Setting {
    /// The nats-server.
    pub nats: NatsServer,
    /// The PostgreSQL of a sink of that kind.
    pub postgres: Option<Postgres>,
    scene: Scene,
    kind: Kind,
    ways: Vec<Proxy>,
    stop: watch::Sender<bool>,
    publisher: Option<JoinHandle<u64>>,
    /// Where the lane was last seen.
    last: Checkpoint,
    /// How often the program could not begin and was started again.
    restarts: u64,
}

impl Setting {
    /// Starts the servers and the publisher.
    pub async fn new(kind: Kind, seed: u64) -> Setting {
        let nats = NatsServer::temporary().unwrap();
        let name = format!("chaos_{}", crate::report::word(kind));
        let mut scene = Scene::on(&nats, &name, Kind::Sqlite, "").await;
        let postgres = (kind == Kind::Postgres).then(|| Postgres::temporary().unwrap());
        if let Some(postgres) = &postgres {
            scene.sink = Database::Postgres(postgres.create_database(&name).unwrap());
        }
        scene.sink.execute(workload::TABLES).await.unwrap();
        scene.rows = 5;
        let direct = scene.sink.url();
        scene.write(workload::RULES);
        let mut ways = vec![Proxy::to(nats.port()).unwrap()];
        scene.replace(&nats.url(), &format!("nats://127.0.0.1:{}", ways[0].port()));
        if let Some(postgres) = &postgres {
            let way = Proxy::to(postgres.port()).unwrap();
            let port = format!(":{}/", postgres.port());
            scene.replace(&direct, &direct.replace(&port, &format!(":{}/", way.port())));
            ways.push(way);
        }
        let (stop, told) = watch::channel(false);
        let publisher = workload::publish(scene.jetstream.clone(), name, seed, told);
        let publisher = Some(tokio::spawn(publisher));
        let last = Checkpoint { sequence: 0, delivered: 0, sum: 0, owner: None };
        Setting { nats, postgres, scene, kind, ways, stop, publisher, last, restarts: 0 }
    }

    /// Starts the program. It goes by one name in all its lives, so that it need not wait for its own lease.
    pub fn start(&self) -> Running {
        self.scene.start(&["run", "--owner", "the-same"])
    }

    /// Cuts all connections.
    pub fn cut(&self) {
        self.ways.iter().for_each(|way| _ = way.cut());
    }

    /// Waits until something is committed. A program that cannot even begin, since its connections were cut, says so and
    /// ends, and is started again; one that has begun must not end by itself.
    pub async fn until_it_moves(&mut self, running: &mut Running) {
        let from = self.last.sequence;
        let mut restarts = 0;
        let moved = async {
            while self.seen().await.is_none_or(|checkpoint| checkpoint.sequence <= from) {
                if !running.runs() {
                    let talk = running.talk();
                    assert!(!talk.contains("lane.claimed"), "it ended by itself:\n{talk}");
                    *running = self.start();
                    restarts += 1;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        if tokio::time::timeout(PATIENCE, moved).await.is_err() {
            panic!("nothing moves after sequence {from}:\n{}", running.talk());
        }
        self.restarts += restarts;
        self.look().await;
    }

    async fn seen(&self) -> Option<Checkpoint> {
        self.scene.checkpoint().await
    }

    /// What the ledger says, once it can be read; it must balance, and never go back. Returns the sequence.
    pub async fn look(&mut self) -> u64 {
        let read = async {
            loop {
                if let Some(checkpoint) = self.seen().await {
                    return checkpoint;
                }
                if self.last.sequence == 0 {
                    return self.last.clone();
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let Ok(now) = tokio::time::timeout(PATIENCE, read).await else { panic!("the ledger cannot be read") };
        assert_eq!(now.delivered, now.sum, "the ledger does not balance: {now:?}");
        assert!(now.sequence >= self.last.sequence, "from {:?} back to {now:?}", self.last);
        assert!(now.delivered >= self.last.delivered, "from {:?} back to {now:?}", self.last);
        self.last = now.clone();
        now.sequence
    }

    /// The end: everything that was published is applied, the ledger is recounted, and a clean run of the same stream
    /// into another database ends with the same rows and the same fates.
    pub async fn end(mut self, mut running: Running, report: &mut Report) {
        self.stop.send(true).unwrap();
        let sent = self.publisher.take().unwrap().await.unwrap();
        kill(&mut running).await;
        drop(running.ended().await);
        let caught_up = ["run", "--owner", "the-same", "--until-caught-up", "--json"];
        self.scene.call(&caught_up).await.done();
        assert_eq!(self.look().await, sent, "every message is in the stream once");
        let audit = self.scene.audit().await;
        let rows = self.scene.column(workload::ROWS).await;
        let clean = self.clean().await;
        clean.call(&caught_up).await.done();
        let same = clean.audit().await;
        let expected = clean.column(workload::ROWS).await;
        assert!(rows.len() > 50, "{} rows: nothing was tried", rows.len());
        assert_eq!(rows, expected, "the rows are not those of a clean run");
        assert_eq!(audit.lanes[0].dispositions, same.lanes[0].dispositions, "nor are the fates");
        report.end(sent, rows.len(), self.restarts);
    }

    /// The same pipeline under another name, into an empty database of the same kind, with larger batches.
    async fn clean(&self) -> Scene {
        let name = format!("chaos_{}", crate::report::word(self.kind));
        let mut clean = Scene::without_stream(&self.nats, &name, Kind::Sqlite, "").await;
        if let Some(postgres) = &self.postgres {
            clean.sink = Database::Postgres(postgres.create_database("clean").unwrap());
        }
        clean.sink.execute(workload::TABLES).await.unwrap();
        clean.pipeline = "clean".to_owned();
        clean.write(workload::RULES);
        clean
    }
}

/// Kills a program, if it has not ended by itself.
pub async fn kill(running: &mut Running) {
    if running.runs() {
        running.signal("KILL").await;
    }
}
