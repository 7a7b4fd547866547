//! The one present fate of a change, and the ledger's counts of them.

use std::fmt;

macro_rules! dispositions {
    ($($(#[$doc:meta])* $name:ident = $number:literal $word:literal,)*) => {
        /// The fate of a change; the number is its place in `checkpoint.counts`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Disposition { $($(#[$doc])* $name = $number,)* }

        impl Disposition {
            /// All of them, by number.
            pub const ALL: [Disposition; 16] = [$(Disposition::$name,)*];

            /// The one with a number.
            #[must_use]
            pub fn of(number: i64) -> Option<Self> {
                usize::try_from(number).ok().and_then(|at| Self::ALL.get(at)).copied()
            }

            /// The word that people see.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Disposition::$name => $word,)* }
            }
        }
    };
}

dispositions! {
    /// Taken as it came.
    Applied = 0 "applied",
    /// Lost against what stands.
    KeptCurrent = 1 "kept-current",
    /// Taken with columns that the merge wrote.
    Merged = 2 "merged",
    /// The row was deleted.
    Deleted = 3 "deleted",
    /// Nothing to change: equal rows, or a delete of nothing.
    NoOp = 4 "no-op",
    /// Its position is the newest already seen.
    Duplicate = 5 "duplicate",
    /// Its position is before the newest seen.
    Regressed = 6 "regressed",
    /// A filter dropped it.
    Filtered = 7 "filtered",
    /// A residency rule keeps it out of this region.
    Suppressed = 8 "suppressed",
    /// Kept beside until its parent, its table or its time comes.
    Parked = 9 "parked",
    /// Could not be applied; kept with its reason.
    DeadLettered = 10 "dead-lettered",
    /// A control message.
    Control = 11 "control",
    /// Our own write come back.
    Echo = 12 "echo",
    /// Of a table that the pipeline does not list.
    Unlisted = 13 "unlisted",
    /// Kept beside; its parent is known not to come.
    Orphaned = 14 "orphaned",
    /// Older than the tombstones that are still kept.
    TooOld = 15 "too-old",
}

impl fmt::Display for Disposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// How many changes ended in each disposition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; 16]);

impl Counts {
    /// Counts as they stand in a checkpoint; missing places are 0.
    #[must_use]
    pub fn from_places(places: impl IntoIterator<Item = u64>) -> Self {
        let mut counts = Counts::default();
        for (to, from) in counts.0.iter_mut().zip(places) {
            *to = from;
        }
        counts
    }

    /// By number.
    #[must_use]
    pub fn places(&self) -> &[u64; 16] {
        &self.0
    }

    /// How many ended so.
    #[must_use]
    pub fn get(&self, what: Disposition) -> u64 {
        self.0[what as usize]
    }

    /// One more.
    pub fn add(&mut self, what: Disposition) {
        self.0[what as usize] += 1;
    }

    /// All of `other` as well.
    pub fn add_all(&mut self, other: &Counts) {
        for (to, from) in self.0.iter_mut().zip(other.0) {
            *to += from;
        }
    }

    /// Without what `other` counts, which is part of this.
    pub fn take_out(&mut self, other: &Counts) {
        for (from, n) in self.0.iter_mut().zip(other.0) {
            *from = from.saturating_sub(n);
        }
    }

    /// Changes that were counted before met another fate: (from, to, how many). What is not counted here cannot move,
    /// so that the sum stays.
    pub fn reclassify(&mut self, moves: &[(Disposition, Disposition, u64)]) {
        for &(from, to, n) in moves {
            let n = n.min(self.get(from));
            self.0[from as usize] -= n;
            self.0[to as usize] += n;
        }
    }

    /// The sum: equal to what was delivered, or the ledger is broken.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Those that are not zero, by number.
    pub fn present(&self) -> impl Iterator<Item = (Disposition, u64)> + '_ {
        Disposition::ALL.into_iter().map(|d| (d, self.get(d))).filter(|(_, n)| *n > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_counted_cannot_move() {
        let mut counts = Counts::from_places([2, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        counts.reclassify(&[
            (Disposition::Parked, Disposition::Applied, 3),
            (Disposition::Applied, Disposition::Orphaned, 1),
        ]);
        assert_eq!(
            [Disposition::Applied, Disposition::Parked, Disposition::Orphaned].map(|d| counts.get(d)),
            [2, 0, 1]
        );
        assert_eq!(counts.sum(), 3);
    }

    #[test]
    fn numbers_are_those_of_the_surface() {
        for (i, d) in Disposition::ALL.into_iter().enumerate() {
            assert_eq!(d as usize, i);
        }
        assert_eq!(Disposition::ALL[10].word(), "dead-lettered");
    }
}
