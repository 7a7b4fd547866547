//! Workforce schedules: the greater `modification_epoch` wins, then the greater name of the region; what loses is
//! archived for audit.
//!
//! A planner's edit raises the epoch, a resend or a restored backup does not. So the newest *edit* stands, whatever
//! region's clock is fast and whatever arrives last.

use reconverge_sdk::{Columns, Verdict, merge};

/// The struct is the contract: the host hands over these two columns of both rows, and no others. Declared order
/// is the order of comparison.
#[derive(Columns, Debug, PartialEq, PartialOrd)]
struct Shift<'a> {
    modification_epoch: i64,
    region_source: &'a str,
}

/// Called for every change that meets a current row. Ties, first inserts and deletes are the host's.
#[merge(name = "schedule-merge", laws = true)]
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
    use reconverge_sdk::{
        Table,
        stage::Merge,
        testing::{self, Cell, Row},
    };

    fn shift(modification_epoch: i64, region_source: &str) -> Shift<'_> {
        Shift { modification_epoch, region_source }
    }

    #[test]
    fn the_newer_edit_wins_and_the_older_is_archived() {
        let (old, new) = (shift(41, "us-west"), shift(42, "us-east"));
        assert_eq!(decide(&new, &old), Verdict::take_incoming().archive_loser());
        assert_eq!(
            decide(&old, &new),
            Verdict::keep_current().because("older modification_epoch").archive_loser()
        );
    }

    #[test]
    fn of_one_epoch_the_greater_region_wins_in_either_order() {
        let (east, west) = (shift(42, "us-east"), shift(42, "us-west"));
        assert_eq!(decide(&west, &east), Verdict::take_incoming().archive_loser());
        assert_eq!(
            decide(&east, &west),
            Verdict::keep_current().because("older modification_epoch").archive_loser()
        );
    }

    #[test]
    fn a_batch_is_answered_row_by_row() {
        let columns = [("schedule_id", "int"), ("modification_epoch", "int"), ("region_source", "text")];
        let mut plugin =
            testing::open::<decide>("", &[Table::new("agent_schedules", &["schedule_id"], &columns, "")])
                .unwrap();
        let after =
            |epoch: i64| Row::new().after("modification_epoch", epoch).after("region_source", "us-east");
        let meets = |row: Row, epoch: i64| {
            row.current("modification_epoch", epoch).current("region_source", "us-east")
        };
        // 2^53 + 1 is where a float would lose the difference.
        let rows = [
            meets(after(9_007_199_254_740_993), 9_007_199_254_740_992),
            meets(after(1), 2),
            after(1),
            meets(Row::delete(), 2),
            meets(after(1).after("region_source", Cell::Null), 2),
            meets(after(1).after("modification_epoch", Cell::Unavailable), 2),
        ];
        let answer = plugin.run::<Merge>(0, &rows).unwrap();
        assert_eq!(answer.verdicts, [129, 128, 1, 131, 255, 255]);
        assert_eq!(answer.reasons[1].as_deref(), Some("older modification_epoch"));
        assert_eq!(answer.reasons[4].as_deref(), Some("incoming column region_source is null"));
        assert_eq!(answer.reasons[5].as_deref(), Some("incoming column modification_epoch was not sent"));
    }
}
