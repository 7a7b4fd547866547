//! How many changes the next batch takes, where the stream has more.
//!
//! A transaction costs its statements' way and a flush to disk whatever it holds, and a page that several of its rows lie
//! on is tidied once, so a change is cheaper in a larger one; but what a transaction has locked waits for its end. So
//! batches grow while they are full and their transactions short, and shrink where those get long. Never below
//! [`LEAST`]: where a commit alone takes long, smaller batches would only make more of them.

use std::time::Duration;

/// The changes of a first batch, and what batches do not shrink below.
const LEAST: usize = 1_000;

/// A transaction that takes longer makes the next batch smaller; one of less than half of it, the next one larger.
const AIM: Duration = Duration::from_millis(250);

/// See the module.
pub(super) struct Pace {
    changes: usize,
    most: usize,
}

impl Pace {
    /// `most`: the changes of a batch as configured. Below [`LEAST`] it alone counts.
    pub(super) fn new(most: usize) -> Pace {
        Pace { changes: LEAST.min(most), most }
    }

    /// How many changes the next batch takes.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    /// A batch was decided and committed within a time.
    pub(super) fn committed(&mut self, changes: usize, within: Duration) {
        if within > AIM {
            self.changes = (self.changes / 2).max(LEAST.min(self.most));
        } else if changes >= self.changes && within <= AIM / 2 {
            self.changes = self.changes.saturating_mul(2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_millis(251);

    #[test]
    fn full_batches_grow_to_what_is_allowed_while_their_transactions_are_short() {
        let mut pace = Pace::new(5_000);
        let mut sizes = Vec::new();
        for _ in 0..4 {
            sizes.push(pace.changes());
            pace.committed(pace.changes(), SHORT);
        }
        assert_eq!(sizes, [1_000, 2_000, 4_000, 5_000]);
        pace.committed(5_000, Duration::from_millis(200));
        assert_eq!(pace.changes(), 5_000, "neither short nor long");
    }

    #[test]
    fn where_the_stream_has_no_more_they_do_not_grow() {
        let mut pace = Pace::new(4_000);
        pace.committed(999, SHORT);
        assert_eq!(pace.changes(), 1_000);
    }

    #[test]
    fn a_long_transaction_makes_the_next_ones_smaller_down_to_the_least() {
        let mut pace = Pace::new(4_000);
        (0..3).for_each(|_| pace.committed(pace.changes(), SHORT));
        pace.committed(3, LONG);
        assert_eq!(pace.changes(), 2_000);
        (0..3).for_each(|_| pace.committed(pace.changes(), LONG));
        assert_eq!(pace.changes(), 1_000);
    }

    #[test]
    fn less_than_the_least_is_what_is_configured() {
        let mut pace = Pace::new(10);
        pace.committed(10, SHORT);
        assert_eq!(pace.changes(), 10);
        pace.committed(10, LONG);
        assert_eq!(pace.changes(), 10);
    }
}
