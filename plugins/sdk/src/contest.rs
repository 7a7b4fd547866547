//! The long form of a merge: an incoming row beside the current one, with what else the rule asks for.
//!
//! Only what is asked for gets into the contract, so that a rule which needs two columns pays for two.

use std::marker::PhantomData;

use crate::value::Timestamp;

/// An incoming row and the current row of its key, for `#[merge] fn decide(contest: &Contest<Shift>) -> Verdict`.
///
/// `A` is what is asked for beside the two rows: any of [`Before`], [`Versions`] and [`Deletes`], as a tuple where
/// it is several. `Contest<Shift>` asks for all three, `Contest<Shift, Versions>` for the versions alone. To ask
/// for more than `A` has does not compile.
///
/// ```
/// # use reconverge_sdk::{merge, contest::Versions, Columns, Contest, Verdict};
/// # #[derive(Columns, Clone, PartialEq, PartialOrd)] struct Shift<'a> { modification_epoch: i64, region_source: &'a str }
/// #[merge(name = "home-region-wins")]
/// fn decide(contest: &Contest<Shift, Versions>) -> Verdict {
///     let home = |version: &reconverge_sdk::contest::Version| version.origin == Some("us-east");
///     match (home(contest.incoming_version()), home(contest.current_version())) {
///         (true, false) => Verdict::take_incoming(),
///         (false, true) => Verdict::keep_current().because("the home region wrote it"),
///         _ if contest.incoming > contest.current => Verdict::take_incoming(),
///         _ => Verdict::keep_current(),
///     }
/// }
/// ```
///
/// ```compile_fail
/// # use reconverge_sdk::{merge, contest::Versions, Columns, Contest, Verdict};
/// # #[derive(Columns)] struct Shift { modification_epoch: i64 }
/// #[merge(name = "asks-for-too-little")]
/// fn decide(contest: &Contest<Shift, Versions>) -> Verdict {
///     if contest.is_delete() { Verdict::delete() } else { Verdict::take_incoming() }
/// }
/// # fn main() { decide(&Contest::new(Shift { modification_epoch: 1 }, Shift { modification_epoch: 2 })); }
/// ```
#[derive(Clone, Debug)]
pub struct Contest<'a, R, A = (Before, Versions, Deletes)> {
    /// The change's row. Of a delete under `deletes = "ordered"` the row that it deleted.
    pub incoming: R,
    /// The row in the sink. Of a tombstone the columns that it was deleted with.
    pub current: R,
    facts: Facts<'a, R>,
    asked: PhantomData<A>,
}

#[derive(Clone, Debug)]
struct Facts<'a, R> {
    before: Option<R>,
    incoming: Version<'a>,
    current: Version<'a>,
    is_delete: bool,
    is_current_deleted: bool,
}

/// Where and when a version of a row was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version<'a> {
    /// The region; `None` where it is not known.
    pub origin: Option<&'a str>,
    /// When it was committed there; `None` where it is not known.
    pub committed_at: Option<Timestamp>,
}

/// Asks for the row as the change found it.
#[derive(Clone, Copy, Debug)]
pub struct Before;
/// Asks for origin and commit time of both rows.
#[derive(Clone, Copy, Debug)]
pub struct Versions;
/// Asks whether the change is a delete and whether the current row is a tombstone.
#[derive(Clone, Copy, Debug)]
pub struct Deletes;

/// What a contest asks for beside the two rows.
pub trait Ask {
    /// The row before the change.
    const BEFORE: bool = false;
    /// Both versions.
    const VERSIONS: bool = false;
    /// Deletes on both sides.
    const DELETES: bool = false;
}

impl Ask for () {}
impl Ask for Before {
    const BEFORE: bool = true;
}
impl Ask for Versions {
    const VERSIONS: bool = true;
}
impl Ask for Deletes {
    const DELETES: bool = true;
}
impl<A: Ask, B: Ask> Ask for (A, B) {
    const BEFORE: bool = A::BEFORE || B::BEFORE;
    const VERSIONS: bool = A::VERSIONS || B::VERSIONS;
    const DELETES: bool = A::DELETES || B::DELETES;
}
impl<A: Ask, B: Ask, C: Ask> Ask for (A, B, C) {
    const BEFORE: bool = A::BEFORE || <(B, C)>::BEFORE;
    const VERSIONS: bool = A::VERSIONS || <(B, C)>::VERSIONS;
    const DELETES: bool = A::DELETES || <(B, C)>::DELETES;
}

impl<'a, R, A: Ask> Contest<'a, R, A> {
    /// A contest of two rows that stand, of which nothing else is known.
    pub fn new(incoming: R, current: R) -> Self {
        let unknown = Version::default();
        let facts = Facts {
            before: None,
            incoming: unknown,
            current: unknown,
            is_delete: false,
            is_current_deleted: false,
        };
        Contest { incoming, current, facts, asked: PhantomData }
    }

    /// The same with a before image.
    #[must_use]
    pub fn with_before(mut self, before: Option<R>) -> Self {
        self.facts.before = before;
        self
    }

    /// The same with versions.
    #[must_use]
    pub fn with_versions(mut self, incoming: Version<'a>, current: Version<'a>) -> Self {
        (self.facts.incoming, self.facts.current) = (incoming, current);
        self
    }

    /// The same with deletes on the sides named.
    #[must_use]
    pub fn with_deletes(mut self, is_delete: bool, is_current_deleted: bool) -> Self {
        (self.facts.is_delete, self.facts.is_current_deleted) = (is_delete, is_current_deleted);
        self
    }

    /// The row as the change found it; `None` where there was none, or where the source did not send a column
    /// that the row needs.
    pub fn before(&self) -> Option<&R> {
        const { assert!(A::BEFORE, "this contest does not ask for `Before`") };
        self.facts.before.as_ref()
    }

    /// Origin and commit time of the change.
    pub fn incoming_version(&self) -> &Version<'a> {
        const { assert!(A::VERSIONS, "this contest does not ask for `Versions`") };
        &self.facts.incoming
    }

    /// Origin and commit time of the row in the sink.
    pub fn current_version(&self) -> &Version<'a> {
        const { assert!(A::VERSIONS, "this contest does not ask for `Versions`") };
        &self.facts.current
    }

    /// Whether the change deletes the row.
    pub fn is_delete(&self) -> bool {
        const { assert!(A::DELETES, "this contest does not ask for `Deletes`") };
        self.facts.is_delete
    }

    /// Whether the current row is a tombstone.
    pub fn is_current_deleted(&self) -> bool {
        const { assert!(A::DELETES, "this contest does not ask for `Deletes`") };
        self.facts.is_current_deleted
    }
}
