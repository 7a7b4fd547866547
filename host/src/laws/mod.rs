//! Whether a merge rule keeps the laws by which two regions end with the same rows.
//!
//! Histories are made by chance (`generate`) over what a table can hold (`ground`, `values`), run through the
//! host's own resolve into a scratch sink in several orders and batches ([`trial`]), and compared; what differs is made
//! small (`shrink`). Contests are looked at as resolve makes them (`watch`). Passing is no proof: the laws are tried,
//! not derived. Beside the life of an event: nothing here decides about a real row.

mod law;
pub mod dice;
pub mod values;
pub mod ground;
pub mod history;
mod generate;
pub mod captured;
mod watch;
pub mod trial;
mod shrink;

use std::time::{Duration, Instant};

use crate::scratch::ScratchError;

use self::{dice::Dice, history::History};
pub use self::{
    law::Law,
    trial::{Broken, Subject},
};

/// How much to try.
#[derive(Clone, Debug)]
pub struct Effort {
    /// Histories for each law.
    pub cases: u64,
    /// What they are made from.
    pub seed: u64,
    /// When to stop, whatever was tried.
    pub at_most: Duration,
    /// Laws that are not looked at.
    pub without: Vec<Law>,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { cases: 200, seed: 1, at_most: Duration::from_secs(20), without: Vec::new() }
    }
}

/// What is known of one law.
#[derive(Clone, Debug)]
pub enum Finding {
    /// It held in so many histories.
    Held(u64),
    /// It is broken: the smallest counterexample.
    Broken(Box<Broken>),
    /// It was not looked at, and why.
    Untried(&'static str),
}

/// Looks at every law, in order. `captured` are histories to try first; `progress` is told how many of all histories
/// are done. Where a ground law is broken the others are not looked at: what they would say means nothing.
///
/// # Errors
/// The scratch sink fails.
pub fn check(
    subject: &mut Subject,
    effort: &Effort,
    captured: &[History],
    mut progress: impl FnMut(Law, u64),
) -> Result<Vec<(Law, Finding)>, ScratchError> {
    let begun = Instant::now();
    let mut findings: Vec<(Law, Finding)> = Vec::new();
    for law in Law::ALL {
        let is_broken = |law: Law| findings.iter().any(|(l, f)| *l == law && matches!(f, Finding::Broken(_)));
        let finding = if effort.without.contains(&law) {
            Finding::Untried("left out")
        } else if findings.iter().any(|(law, f)| law.is_ground() && matches!(f, Finding::Broken(_))) {
            Finding::Untried("means nothing while an earlier law is broken")
        } else if law == Law::Associative && is_broken(Law::Commutative) {
            Finding::Untried("means nothing while `commutative` is broken")
        } else {
            // Each law has its share of what is left of the time.
            let left = effort.at_most.saturating_sub(begun.elapsed());
            let laws_left = u32::try_from(Law::ALL.len() - findings.len()).unwrap_or(1);
            let until = Instant::now() + left / laws_left * 2;
            look_at(law, subject, effort, captured, until.min(begun + effort.at_most), &mut progress)?
        };
        findings.push((law, finding));
    }
    // A history of three changes that shrank to two is a broken commutative law, found late.
    let moved = findings.iter().position(
        |(law, f)| matches!(f, Finding::Broken(b) if *law == Law::Associative && b.law == Law::Commutative),
    );
    if let Some(at) = moved {
        let found = std::mem::replace(
            &mut findings[at].1,
            Finding::Untried("means nothing while `commutative` is broken"),
        );
        findings[at - 1].1 = found;
    }
    Ok(findings)
}

fn look_at(
    law: Law,
    subject: &mut Subject,
    effort: &Effort,
    captured: &[History],
    until: Instant,
    progress: &mut impl FnMut(Law, u64),
) -> Result<Finding, ScratchError> {
    let mut held = 0;
    for history in captured {
        if let Some(found) = subject.broken(law, history)? {
            return Ok(Finding::Broken(Box::new(shrink::smallest(subject, found)?)));
        }
        held += 1;
    }
    for case in 0..effort.cases {
        if Instant::now() >= until {
            break;
        }
        let mut dice = Dice::of_case(effort.seed, case);
        let Some(history) = subject.history_for(law, &mut dice) else {
            return Ok(Finding::Untried("the contract compares no number and no time"));
        };
        if let Some(found) = subject.broken(law, &history)? {
            return Ok(Finding::Broken(Box::new(shrink::smallest(subject, found)?)));
        }
        held += 1;
        progress(law, held);
    }
    Ok(if held == 0 { Finding::Untried("no time was left") } else { Finding::Held(held) })
}
