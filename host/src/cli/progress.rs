//! How far a run that ends by itself has come: a bar on a terminal, a line every few seconds elsewhere. Reads what
//! the lanes tell; a run does not depend on it.

use std::{fmt::Write, io::IsTerminal, sync::Arc, time::Duration};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::lane::{LaneState, Lanes};

use super::{logging::Bar, output::grouped};

/// How often a bar is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);
/// How often a line is written where there is no terminal.
const LINES: Duration = Duration::from_secs(2);

/// A bar for a run with an end, where stderr shows one; else just the place for talk. It is drawn once there is
/// something to show.
pub(super) fn bar(has_end: bool) -> Bar {
    if !has_end || !std::io::stderr().is_terminal() {
        return Bar::default();
    }
    let bar = ProgressBar::hidden();
    if let Ok(style) =
        ProgressStyle::with_template("{bar:30} {percent:>3} %  {way}  {rate}  {eta} left  {msg}")
    {
        let way = |state: &ProgressState, out: &mut dyn Write| {
            let all = grouped(state.len().unwrap_or_default());
            // A bar that cannot be written is not worth a word.
            let _ = write!(out, "{} of {all} sequences", grouped(state.pos()));
        };
        let rate = |state: &ProgressState, out: &mut dyn Write| {
            let _ = write!(out, "{:.0}/s", state.per_sec());
        };
        bar.set_style(style.with_key("way", way).with_key("rate", rate));
    }
    Bar::above(bar)
}

/// Shows progress until it is aborted. `until` is the sequence to end at; without it the stream's end at the time
/// of the claim.
pub(super) async fn show(lanes: Arc<Lanes>, until: Option<u64>, bar: Bar) {
    let Some(drawn) = bar.drawn() else { return lines(&lanes, until, &bar).await };
    let mut is_drawn = false;
    loop {
        tokio::time::sleep(REDRAW).await;
        let Some(now) = Covered::of(&lanes, until) else { continue };
        drawn.set_length(now.all);
        drawn.set_position(now.done);
        drawn.set_message(now.waits);
        if !is_drawn {
            // What earlier runs did is no part of this one's rate.
            drawn.reset_eta();
            drawn.set_draw_target(ProgressDrawTarget::stderr());
            is_drawn = true;
        }
    }
}

async fn lines(lanes: &Lanes, until: Option<u64>, bar: &Bar) {
    let mut last = None;
    loop {
        tokio::time::sleep(LINES).await;
        let now = Covered::of(lanes, until);
        if let Some(now) = now.filter(|now| last.as_ref() != Some(now)) {
            bar.talk(&format!("{}\n", now.line()));
            last = Some(now);
        }
    }
}

/// How much of the way all lanes together have behind them, in stream sequences.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Covered {
    done: u64,
    all: u64,
    waits: String,
}

impl Covered {
    /// None before a lane knows where its stream ends.
    fn of(lanes: &Lanes, until: Option<u64>) -> Option<Covered> {
        let mut covered = Covered { done: 0, all: 0, waits: String::new() };
        for lane in lanes {
            let end = until.unwrap_or(lane.stream_last());
            covered.all += end;
            covered.done += lane.sequence().min(end);
            if let LaneState::Waiting(why) = lane.state() {
                covered.waits = format!("waits: {why}");
            }
        }
        (covered.all > 0).then_some(covered)
    }

    fn line(&self) -> String {
        let (done, all) = (grouped(self.done), grouped(self.all));
        let percent = u128::from(self.done) * 100 / u128::from(self.all.max(1));
        format!("progress: {done} of {all} sequences ({percent} %) {}", self.waits).trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use crate::lane::Progress;

    use super::*;

    #[test]
    fn nothing_is_shown_before_the_end_is_known() {
        let lanes = Lanes::new();
        assert_eq!(Covered::of(&lanes, None), None);
        lanes.insert("a".to_owned(), Arc::new(Progress::new("a".to_owned())));
        assert_eq!(Covered::of(&lanes, None), None);
        let to_ten = Covered::of(&lanes, Some(10)).unwrap();
        assert_eq!((to_ten.done, to_ten.all), (0, 10));
    }

    #[test]
    fn a_line_says_how_far() {
        let covered = Covered { done: 1500, all: 6000, waits: String::new() };
        assert_eq!(covered.line(), "progress: 1 500 of 6 000 sequences (25 %)");
        let waits = Covered { waits: "waits: no server".to_owned(), ..covered };
        assert_eq!(waits.line(), "progress: 1 500 of 6 000 sequences (25 %) waits: no server");
    }
}
