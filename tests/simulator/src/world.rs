//! A run: the stream is filled step by step, processes take the lanes from each other, faults hit, and the truth is
//! watched. A run ends when everything has a disposition, when something is wrong, or when nothing moves any more.

use std::{future::Future, sync::Arc, time::Duration};

use futures_util::future::join_all;
use reconverge_streams::memory::source::MemorySource;

use crate::{
    faults::Faults,
    place::{BEGINNING, InMemory, Place},
    process::{CREATED, Pace, Process},
    scenario::{Event, Scenario},
    truth::Truth,
    wire,
};

/// What a run came to.
#[derive(Debug)]
pub struct Ended {
    /// Every call that was made, in order.
    pub calls: Vec<String>,
    /// What was wrong, if anything.
    pub wrong: Option<String>,
}

/// Runs a scenario in memory, under a clock that stands still until everybody waits.
#[must_use]
pub fn run(scenario: &Scenario) -> Ended {
    stopped_clock(async {
        let place = Arc::new(InMemory::new(scenario.tables.len()).await);
        run_at(scenario, place, Pace::STOPPED_CLOCK).await
    })
}

/// Runs something on one thread, under such a clock.
pub fn stopped_clock<T>(what: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(what)
}

/// Runs a scenario at a place, on the runtime of the caller.
pub async fn run_at<P: Place>(scenario: &Scenario, place: Arc<P>, pace: Pace) -> Ended {
    let scenario = Arc::new(scenario.clone());
    let stream = MemorySource::new("CDC", CREATED, |partition, subject| {
        subject.split('.').nth(2) == Some(&partition.to_string())
    });
    let faults = Arc::new(Faults::new(&scenario.faults));
    let truth = Arc::new(Truth::new(&scenario, Arc::clone(&place)));
    let processes: Vec<_> = (0..scenario.processes)
        .map(|number| Process {
            number,
            scenario: Arc::clone(&scenario),
            stream: stream.clone(),
            place: Arc::clone(&place),
            faults: Arc::clone(&faults),
            witness: Arc::clone(&truth) as _,
            pace,
        })
        .collect();
    let living = async {
        let ended = join_all(processes.iter().map(Process::run)).await;
        truth.accuse(format!("lanes ended that were not to: {ended:?}"));
    };
    tokio::select! {
        biased;
        () = truth.ended() => {}
        () = async { tokio::join!(living, happen(&scenario, &stream, &truth, &place)); } => {}
        () = tokio::time::sleep(pace.patience) => truth.accuse("nothing moves any more".into()),
    }
    if truth.wrong().is_none() {
        truth.compare().await;
    }
    Ended { calls: faults.calls(), wrong: truth.wrong() }
}

/// Lets a scenario's steps happen.
async fn happen<P: Place>(scenario: &Scenario, stream: &MemorySource, truth: &Truth<P>, place: &P) {
    for step in &scenario.steps {
        if step.pause_ms > 0 {
            tokio::time::sleep(Duration::from_millis(step.pause_ms)).await;
        }
        match &step.event {
            Event::Publish { partition, message } => {
                let (subject, headers, body) = wire::published(*partition, message);
                let sequence = stream.push(subject, headers, body, BEGINNING);
                truth.published(sequence, *partition, message.clone());
            }
            Event::Local { table, row } => {
                place.write(*table, row).await;
                truth.written_locally(*table, row);
            }
            Event::Trim if scenario.keeps_acknowledged => stream.trim(truth.applied() + 1),
            Event::Trim => {}
        }
    }
    truth.published_all();
}
