//! `reconverge run`: a pipeline's life as the operator sees it. Signals, health, progress and the summary stand
//! here; the life itself is the engine's.

use std::{sync::Arc, time::Instant};

use tokio::{
    sync::oneshot,
    task::{JoinError, JoinHandle},
};

use crate::{
    assemble::{self, Options, RunError, RunUntil},
    lane::{Lanes, RunReport},
};
use reconverge_streams::disposition::Disposition;

use super::{
    arguments::{Global, Run},
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, grouped},
    progress, serve,
    signals::Signals,
};

pub(super) async fn run(global: &Global, asked: &Run) -> Result<Exit, Failure> {
    let until = match asked.until_sequence {
        Some(sequence) => RunUntil::Sequence(sequence),
        None if asked.until_caught_up => RunUntil::CaughtUp,
        None => RunUntil::Forever,
    };
    let has_end = until != RunUntil::Forever;
    let bar = progress::bar(has_end);
    let mut pipeline = connect::pipeline(global, Loudness::Info, &bar)?;
    pipeline.reload.watch |= asked.watch;
    connect::tell_warnings(&pipeline, global, &bar);
    let mut signals = Signals::listen()
        .map_err(|error| Failure::new(Exit::Environment, "signals cannot be heard").because(&error))?;
    let lanes = Arc::new(Lanes::new());
    let server = match pipeline.metrics {
        Some(listen) => Some(serve::start(listen, Arc::clone(&lanes)).await?),
        None => None,
    };
    let shows = has_end && (asked.progress || bar.drawn().is_some());
    let shown =
        shows.then(|| tokio::spawn(progress::show(Arc::clone(&lanes), asked.until_sequence, bar.clone())));
    let options = Options { ensure: asked.ensure, until, owner: asked.owner.clone() };
    let began = Instant::now();
    let (stop, stopped) = oneshot::channel::<()>();
    // On a task of its own, so that a signal is heard also while a plugin computes.
    let mut life = tokio::spawn(async move {
        let told = async {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        assemble::run(&pipeline, &options, lanes, told).await
    });
    let ended = end_of(&mut life, stop, &mut signals, &bar).await;
    if let Some(shown) = shown {
        shown.abort();
    }
    if let Some(drawn) = bar.drawn() {
        drawn.finish_and_clear();
    }
    if let Some(server) = server {
        server.stop();
    }
    let Some(ended) = ended else {
        bar.talk("stopped at once; the next run goes on from the last commit\n");
        return Ok(Exit::Interrupted);
    };
    let ended =
        ended.map_err(|error| Failure::new(Exit::Runtime, "the pipeline broke off").because(&error))?;
    // What the other lanes did is told before which lanes failed.
    let done = match &ended {
        Ok(report) => Some(report),
        Err(RunError::Lanes { done, .. }) => Some(&**done),
        Err(_) => None,
    };
    if let Some(report) = done {
        told(report, began, has_end, &bar);
        output::show(global.json, report, summary)?;
    }
    ended?;
    Ok(Exit::Done)
}

/// How the pipeline's life ended; none where a second signal did not wait for it.
async fn end_of<T>(
    life: &mut JoinHandle<T>,
    stop: oneshot::Sender<()>,
    signals: &mut Signals,
    bar: &Bar,
) -> Option<Result<T, JoinError>> {
    let signal = tokio::select! {
        ended = &mut *life => return Some(ended),
        signal = signals.next() => signal,
    };
    bar.talk(&format!("{signal}: the batch in hand is committed first; a second signal stops at once\n"));
    // Where nobody hears it any more the life has ended, and the next line finds that.
    let _ = stop.send(());
    tokio::select! {
        ended = life => Some(ended),
        _ = signals.next() => None,
    }
}

/// The rate is that of a run that ends by itself; another one mostly waits.
fn told(report: &RunReport, began: Instant, has_end: bool, bar: &Bar) {
    let seconds = began.elapsed().as_secs_f64();
    let (changes, batches) = (grouped(report.changes), grouped(report.batches));
    #[expect(clippy::cast_precision_loss, reason = "a rate for people; a count stays below 2^53")]
    let rate = report.changes as f64 / seconds.max(0.001);
    let rate = if has_end { format!(", {rate:.0} changes/s") } else { String::new() };
    bar.talk(&format!("{changes} changes in {batches} batches, {seconds:.1} s{rate}\n"));
}

/// The dispositions of a run: a row a table, a column a disposition that occurred.
fn summary(report: &RunReport) -> String {
    if report.changes == 0 {
        return "no changes\n".to_owned();
    }
    let occurred: Vec<&str> = Disposition::ALL
        .into_iter()
        .map(Disposition::word)
        .filter(|word| report.tables.values().any(|counts| counts.contains_key(word)))
        .collect();
    let mut head = vec!["table".to_owned()];
    head.extend(occurred.iter().map(|word| format!("{word}#")));
    head.push("sum#".to_owned());
    let mut rows = Vec::new();
    let mut sums = vec![0; occurred.len() + 1];
    for (table, counts) in &report.tables {
        let mut numbers: Vec<u64> =
            occurred.iter().map(|word| counts.get(word).copied().unwrap_or_default()).collect();
        numbers.push(numbers.iter().sum());
        sums.iter_mut().zip(&numbers).for_each(|(sum, number)| *sum += number);
        rows.push(row(table, &numbers));
    }
    if rows.len() > 1 {
        rows.push(row("sum", &sums));
    }
    let mut text = output::table(&head.iter().map(String::as_str).collect::<Vec<_>>(), rows);
    if report.local_writes > 0 {
        let met = grouped(report.local_writes);
        text.push_str(&format!("\nrows met that the application had written: {met}\n"));
    }
    text
}

fn row(name: &str, numbers: &[u64]) -> Vec<String> {
    let shown = |number: &u64| if *number == 0 { "-".to_owned() } else { grouped(*number) };
    std::iter::once(name.to_owned()).chain(numbers.iter().map(shown)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_has_a_column_for_what_occurred() {
        let mut report = RunReport { batches: 2, changes: 1203, local_writes: 1, ..RunReport::default() };
        report.tables.insert("orders".to_owned(), [("applied", 1200), ("duplicate", 2)].into());
        report.tables.insert("items".to_owned(), [("duplicate", 1)].into());
        assert_eq!(
            summary(&report),
            "table   applied  duplicate    sum\n\
             items         -          1      1\n\
             orders    1 200          2  1 202\n\
             sum       1 200          3  1 203\n\
             \nrows met that the application had written: 1\n"
        );
        assert_eq!(summary(&RunReport::default()), "no changes\n");
    }
}
