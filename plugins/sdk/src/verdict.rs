//! What a row-level function answers: one type per stage, each with the words of its stage.
//!
//! A verdict may carry a reason (`because`), and where the function's return type names a `#[derive(Writes)]`
//! struct, the columns to put in place. Reasons are fixed words by type, so that no row value can get into one.

use crate::{
    answer::FAILED,
    columns::{NoWrites, Writes},
};

/// A verdict of any stage, as the rows of a batch are answered with it.
pub trait Outcome {
    /// The columns that it may put in place.
    type Writes: Writes;
    /// The stage's code, the reason, the columns.
    fn into_parts(self) -> (u8, Option<&'static str>, Option<Self::Writes>);
}

macro_rules! outcome {
    ($(#[$doc:meta])* $name:ident { $($(#[$method_doc:meta])* $method:ident = $code:literal;)+ } $($writing:tt)*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[must_use = "a verdict says what becomes of the row only where it is returned"]
        pub struct $name<W = NoWrites> {
            code: u8,
            reason: Option<&'static str>,
            writes: Option<W>,
        }

        impl<W> $name<W> {
            $($(#[$method_doc])* pub const fn $method() -> Self {
                $name { code: $code, reason: None, writes: None }
            })+

            outcome!(@writing $name $($writing)*);

            /// Fails this change, and it alone: it is dead-lettered with the reason.
            pub const fn failed(why: &'static str) -> Self {
                $name { code: FAILED, reason: Some(why), writes: None }
            }

            /// Says why, in words for people: `"older modification_epoch"`.
            pub fn because(self, why: &'static str) -> Self {
                $name { reason: Some(why), ..self }
            }
        }

        impl<W: Writes> Outcome for $name<W> {
            type Writes = W;
            #[inline]
            fn into_parts(self) -> (u8, Option<&'static str>, Option<W>) {
                (self.code, self.reason, self.writes)
            }
        }
    };
    (@writing $name:ident) => {};
    (@writing $name:ident $(#[$doc:meta])* $method:ident) => {
        $(#[$doc])*
        pub const fn $method(row: W) -> Self {
            $name { code: 2, reason: None, writes: Some(row) }
        }
    };
}

outcome! {
    /// What a merge decides. Return `Verdict`, or `Verdict<Row>` to be able to [`write`](Verdict::write) a `Row`.
    Verdict {
        /// The row in the sink stays.
        keep_current = 0;
        /// The incoming row takes its place.
        take_incoming = 1;
        /// No row is to stand.
        delete = 3;
        /// Neither: the change is dead-lettered.
        reject = 4;
    }
    /// The incoming row takes its place, with these columns put in place.
    write
}

impl<W> Verdict<W> {
    /// Keeps the version that loses, for audit.
    pub fn archive_loser(self) -> Self {
        Verdict { code: self.code | 128, ..self }
    }
}

outcome! {
    /// What a filter says of a row.
    Filtered {
        /// The row does not belong here.
        drop = 0;
        /// The row belongs here.
        keep = 1;
    }
}

outcome! {
    /// What a residency rule says of a row. Return `Placed`, or `Placed<Row>` to be able to redact.
    Placed {
        /// The row may not be here.
        suppress = 0;
        /// The row may be here as it is.
        keep = 1;
    }
    /// The row may be here with these columns put in place.
    redact
}

outcome! {
    /// What a mapping makes of a row. Return `Mapped<Row>` to be able to write.
    Mapped {
        /// The row does not belong here.
        drop = 0;
        /// The row is right as it is.
        keep = 1;
    }
    /// The row with these columns put in place.
    write
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_have_the_codes_of_the_interface() {
        type Merge = Verdict;
        for (verdict, code) in [
            (Merge::keep_current(), 0),
            (Merge::take_incoming().archive_loser(), 129),
            (Merge::delete().archive_loser(), 131),
            (Merge::reject(), 4),
            (Merge::failed("x").archive_loser(), 255),
        ] {
            assert_eq!(verdict.into_parts().0, code);
        }
        assert_eq!(<Filtered>::drop().because("temporary").into_parts(), (0, Some("temporary"), None));
        assert_eq!(<Placed>::keep().into_parts().0, 1);
        assert_eq!(<Mapped>::failed("no").into_parts(), (255, Some("no"), None));
    }
}
