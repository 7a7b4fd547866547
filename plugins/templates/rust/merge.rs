//! Workforce schedules: the greater `modification_epoch` wins, then the greater name of the region; what loses is
//! archived for audit.

use reconverge_sdk::{Columns, Verdict, merge};

/// The struct is the contract: the host hands over these two columns of both rows, and no others. Declared order
/// is the order of comparison.
#[derive(Columns, Debug, PartialEq, PartialOrd)]
struct Shift<'a> {
    modification_epoch: i64,
    region_source: &'a str,
}

/// Called for every change that meets a current row. Ties, first inserts and deletes are the host's.
#[merge(name = "NAME", laws = true)]
fn decide(incoming: &Shift, current: &Shift) -> Verdict {
    if incoming > current {
        Verdict::take_incoming().archive_loser()
    } else {
        Verdict::keep_current().because("older modification_epoch").archive_loser()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newer_edit_wins() {
        let older = Shift { modification_epoch: 41, region_source: "us-west" };
        let newer = Shift { modification_epoch: 42, region_source: "us-east" };
        assert_eq!(decide(&newer, &older), Verdict::take_incoming().archive_loser());
    }
}
