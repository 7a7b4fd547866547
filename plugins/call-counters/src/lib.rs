//! Counters of calls: each region counts in a column of its own, which only grows there; a row holds the greatest count
//! of each. The sum is for whoever reads (or a generated column), never for the rule: two sums cannot be merged.
//!
//! For `deletes = "win"`, like every rule that writes columns.

use reconverge_sdk::{Columns, Verdict, Writes, merge};

/// The counts of both regions; null is none yet.
#[derive(Columns, Writes, Clone, Copy, Debug, PartialEq, Eq)]
struct Calls {
    calls_us_east: Option<i64>,
    calls_us_west: Option<i64>,
}

/// The greatest of each. To add would count a call twice that both rows know of.
#[merge(name = "call-counters", laws = true)]
fn decide(incoming: &Calls, current: &Calls) -> Verdict<Calls> {
    let merged = Calls {
        calls_us_east: incoming.calls_us_east.max(current.calls_us_east),
        calls_us_west: incoming.calls_us_west.max(current.calls_us_west),
    };
    if merged == *current {
        Verdict::keep_current().because("nothing was counted since")
    } else if merged == *incoming {
        Verdict::take_incoming()
    } else {
        Verdict::write(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(east: i64, west: i64) -> Calls {
        Calls { calls_us_east: Some(east), calls_us_west: Some(west) }
    }

    #[test]
    fn no_call_is_lost_and_none_counted_twice() {
        let (east, west) = (calls(7, 3), calls(5, 4));
        assert_eq!(decide(&east, &west), Verdict::write(calls(7, 4)));
        assert_eq!(decide(&west, &east), Verdict::write(calls(7, 4)));
        assert_eq!(decide(&west, &calls(7, 4)), Verdict::keep_current().because("nothing was counted since"));
    }
}
