//! The laws by name: what each promises, and in which order they are looked at.

use std::fmt;

/// A law of merging. The order is that of looking: what an earlier one breaks makes the later ones mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Law {
    /// No row of the contract makes it trap, run out or answer nonsense.
    Total,
    /// The same contests get the same answers, from another instance and asked again.
    Deterministic,
    /// How changes are cut into batches, and which rows are asked about together, changes nothing.
    Batching,
    /// What is delivered again changes nothing.
    Redelivery,
    /// A change that its source sends once more changes nothing.
    Idempotent,
    /// Of two changes it does not matter which comes first.
    Commutative,
    /// Of three or more changes it does not matter in which order they meet.
    Associative,
    /// Seen from both sides a decision is the same: the archive flag and the written columns.
    Agreement,
    /// Where only one number or time differs, either the greater always wins or the lesser always does.
    Monotone,
}

impl Law {
    /// All of them, in the order of looking.
    pub const ALL: [Law; 9] = [
        Law::Total,
        Law::Deterministic,
        Law::Batching,
        Law::Redelivery,
        Law::Idempotent,
        Law::Commutative,
        Law::Associative,
        Law::Agreement,
        Law::Monotone,
    ];

    /// Its name, as the command line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Law::Total => "total",
            Law::Deterministic => "deterministic",
            Law::Batching => "batching",
            Law::Redelivery => "redelivery",
            Law::Idempotent => "idempotent",
            Law::Commutative => "commutative",
            Law::Associative => "associative",
            Law::Agreement => "agreement",
            Law::Monotone => "monotone",
        }
    }

    /// The law of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Law> {
        Law::ALL.into_iter().find(|law| law.name() == name)
    }

    /// What it promises, in a few words.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Law::Total => "answers every row of its contract",
            Law::Deterministic => "gives the same answer to the same contest",
            Law::Batching => "does not depend on how changes are batched",
            Law::Redelivery => "is not moved by what is delivered again",
            Law::Idempotent => "is not moved by a change that is sent once more",
            Law::Commutative => "ends the same whichever of two changes comes first",
            Law::Associative => "ends the same in whatever order changes meet",
            Law::Agreement => "says the same of a contest seen from both sides",
            Law::Monotone => "compares numbers and times by their value",
        }
    }

    /// What an author can do about it.
    #[must_use]
    pub fn hint(self) -> &'static str {
        match self {
            Law::Total => {
                "take `Option` where a column may be null and decide what null means; the smallest is usual"
            }
            Law::Deterministic => "keep nothing between calls: no static, no counter, no cache that decides",
            Law::Batching => {
                "decide each row by itself: neither the number of rows nor their neighbours may count"
            }
            Law::Redelivery => "decide by the rows alone; what was asked before may not count",
            Law::Idempotent => {
                "do not add up: keep a column per region and take the greatest of each, so that meeting twice is meeting once"
            }
            Law::Commutative => {
                "compare until nothing is left: end ties with a column that tells the rows apart, and use total orders \
                 (`f64::total_cmp`, whole timestamps)"
            }
            Law::Associative => "make one order of all rows: if a beats b and b beats c, a has to beat c",
            Law::Agreement => "archive in both cases or in none, and write what both sides would write",
            Law::Monotone => {
                "compare integers as integers and times as times, not as text; where the order is meant, say \
                 `--without monotone`"
            }
        }
    }

    /// Whether two regions can differ where it is broken. The others are about meaning.
    #[must_use]
    pub fn is_of_convergence(self) -> bool {
        self != Law::Monotone
    }

    /// Whether what comes after it means nothing while it is broken.
    pub(super) fn is_ground(self) -> bool {
        matches!(self, Law::Total | Law::Deterministic | Law::Batching)
    }
}

impl fmt::Display for Law {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_law_is_found_by_its_name() {
        assert!(Law::ALL.is_sorted());
        for law in Law::ALL {
            assert_eq!(Law::named(law.name()), Some(law));
        }
        assert_eq!(Law::named("murphy"), None);
    }
}
