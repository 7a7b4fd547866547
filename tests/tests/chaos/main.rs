//! The program under chaos: killed at random moments, frozen while another takes its lane, its servers killed and
//! restarted, its connections cut. The ledger balances at every look, and the end is that of a clean run.
//!
//! `cargo xtask chaos --kills N --seed S` runs a long one; here runs a short one on each sink. `CHAOS_KILLS` and
//! `CHAOS_SEED` say how long and which, `CHAOS_SINK` on which sink alone.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod blow;
mod report;
mod setting;
mod workload;

use std::time::{Duration, Instant};

use reconverge_tests::Kind;

use blow::Blow;
use report::Report;
use setting::Setting;

/// Kills of a short run.
const KILLS: u64 = 6;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

fn is_asked(kind: Kind) -> bool {
    std::env::var("CHAOS_SINK").map_or(true, |word| word == report::word(kind))
}

/// Numbers from a seed (xorshift), so that a run can be had again as far as chance decides it.
#[derive(Debug)]
pub struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

async fn chaos(kind: Kind) {
    if !is_asked(kind) {
        return;
    }
    let (kills, seed) = (number("CHAOS_KILLS", KILLS), number("CHAOS_SEED", 1));
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut setting = Setting::new(kind, seed).await;
    let mut report = Report::new(kind, seed);
    let begin = Instant::now();
    let mut running = setting.start();
    while report.count(Blow::Kill) < kills {
        let blow = Blow::next(&mut chance, kind, report.blows());
        // Most blows fall while it works, some while it starts.
        if chance.below(4) > 0 {
            setting.until_it_moves(&mut running).await;
        }
        tokio::time::sleep(Duration::from_millis(chance.below(120))).await;
        running = blow.fall(&mut setting, running).await;
        report.add(blow, setting.look().await);
    }
    setting.end(running, &mut report).await;
    report.print(begin.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_sqlite() {
    chaos(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_postgres() {
    chaos(Kind::Postgres).await;
}
