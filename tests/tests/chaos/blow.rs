//! What befalls the program, and what must hold right after.

use std::time::Duration;

use reconverge_tests::{Kind, Running};

use crate::{
    Chance,
    setting::{Setting, kill},
};

/// One blow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, another process takes the lane and works, SIGCONT: the old one must write nothing.
    Freeze,
    /// nats-server killed and started again.
    Nats,
    /// PostgreSQL stopped at once (`-m immediate`) and started again.
    Postgres,
    /// All connections cut.
    Cut,
}

impl Blow {
    /// All of them.
    pub const ALL: [Blow; 5] = [Blow::Kill, Blow::Freeze, Blow::Nats, Blow::Postgres, Blow::Cut];

    /// For the report.
    pub fn words(self) -> &'static str {
        match self {
            Blow::Kill => "process killed (SIGKILL)",
            Blow::Freeze => "process frozen while another takes its lane, then woken",
            Blow::Nats => "nats-server killed and restarted",
            Blow::Postgres => "PostgreSQL stopped at once and restarted",
            Blow::Cut => "all connections cut",
        }
    }

    /// The next: each kind once at the beginning, then mostly kills.
    pub fn next(chance: &mut Chance, kind: Kind, fallen: u64) -> Blow {
        let blow = match fallen {
            1 => Blow::Freeze,
            2 => Blow::Nats,
            3 => Blow::Postgres,
            4 => Blow::Cut,
            0 => Blow::Kill,
            _ => match chance.below(100) {
                0..3 => Blow::Freeze,
                3..6 => Blow::Nats,
                6..9 => Blow::Postgres,
                9..15 => Blow::Cut,
                _ => Blow::Kill,
            },
        };
        if blow == Blow::Postgres && kind == Kind::Sqlite { Blow::Kill } else { blow }
    }

    /// Falls. Returns the process that runs from now on.
    pub async fn fall(self, setting: &mut Setting, mut running: Running) -> Running {
        match self {
            Blow::Kill => {
                kill(&mut running).await;
                drop(running.ended().await);
                return setting.start();
            }
            Blow::Freeze => return frozen(setting, running).await,
            Blow::Nats => {
                setting.nats.kill().unwrap();
                setting.nats.restart().unwrap();
            }
            Blow::Postgres => setting.postgres.as_mut().expect("a sink of PostgreSQL").restart().unwrap(),
            Blow::Cut => setting.cut(),
        }
        running
    }
}

/// A process sleeps while another owner works, and wakes up late.
async fn frozen(setting: &mut Setting, mut old: Running) -> Running {
    if !old.runs() {
        return setting.start();
    }
    old.signal("STOP").await;
    // A frozen process may hold the sink's lock inside its transaction; the new one waits for it as it must.
    let mut new = setting.start();
    let moves = tokio::time::timeout(Duration::from_secs(2), setting.until_it_moves(&mut new)).await;
    old.signal("CONT").await;
    if moves.is_err() {
        setting.until_it_moves(&mut new).await;
    }
    // Both run under one name, so the old one may take the lane back, as it may; then it is the new one that is late.
    kill(&mut old).await;
    drop(old.ended().await);
    new
}
