//! Facts about a change or about what stands, which a contract asks for by name on the side `meta`. Made into a
//! column only where one asks. Merge gets none that differ between regions.

use std::{fmt::Write as _, sync::Arc};

use reconverge_streams::{
    columns::{Column, State},
    logical::Logical,
    names::{NameId, Names},
};

use crate::{batch::Change, config::Stage, stages::Contest};

/// A fact, by its name in a contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fact {
    /// `operation`: c, u, d or r.
    Operation,
    /// `origin`: the region where the change began.
    Origin,
    /// `committed-at`: when it was committed there.
    CommittedAt,
    /// `schema-version` of the table at the source; null where the source says none.
    SchemaVersion,
    /// `position`: `<source>/<epoch>/<commit>/<ordinal>`; null for sources without positions.
    Position,
    /// `event-id`: null where there is none.
    EventId,
    /// `published-at`: the stream's time. Not in merge: a republished change has another one.
    PublishedAt,
    /// `current-origin`: the region that wrote what stands.
    CurrentOrigin,
    /// `current-committed-at`: when; null where unknown.
    CurrentCommittedAt,
    /// `current-live`: whether a row stands, or what is left of one.
    CurrentLive,
}

const FACTS: [(&str, Fact, Logical); 10] = [
    ("operation", Fact::Operation, Logical::Text),
    ("origin", Fact::Origin, Logical::Text),
    ("committed-at", Fact::CommittedAt, Logical::Timestamp),
    ("schema-version", Fact::SchemaVersion, Logical::Int),
    ("position", Fact::Position, Logical::Text),
    ("event-id", Fact::EventId, Logical::Text),
    ("published-at", Fact::PublishedAt, Logical::Timestamp),
    ("current-origin", Fact::CurrentOrigin, Logical::Text),
    ("current-committed-at", Fact::CurrentCommittedAt, Logical::Timestamp),
    ("current-live", Fact::CurrentLive, Logical::Bool),
];

impl Fact {
    /// The fact of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Fact> {
        FACTS.iter().find(|fact| fact.0 == name).map(|fact| fact.1)
    }

    /// Its name in a contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        FACTS.iter().find(|fact| fact.1 == self).expect("every fact stands in the table").0
    }

    /// What its cells mean.
    #[must_use]
    pub fn logical(self) -> Logical {
        FACTS.iter().find(|fact| fact.1 == self).expect("every fact stands in the table").2
    }

    /// Whether a plugin of this stage may ask for it.
    #[must_use]
    pub fn is_told(self, stage: Stage) -> bool {
        match self {
            Fact::PublishedAt => stage != Stage::Merge,
            Fact::CurrentOrigin | Fact::CurrentCommittedAt | Fact::CurrentLive => stage == Stage::Merge,
            _ => true,
        }
    }

    /// The fact of each of these changes, with the contest that it is in, as a column.
    pub(super) fn column<'a>(
        self,
        rows: impl Iterator<Item = (&'a Change, Option<&'a Contest>)>,
        names: &Names,
    ) -> Column {
        let mut column = Column::new(self.logical());
        let mut last = LastName(None);
        let mut text = String::new();
        for (change, contest) in rows {
            match self {
                Fact::Operation => column.push_bytes(change.op.letter().as_bytes()),
                Fact::Origin => column.push_bytes(last.get(names, change.origin).as_bytes()),
                Fact::CommittedAt => column.push_int(change.at),
                Fact::SchemaVersion if change.schema != 0 => column.push_int(i64::from(change.schema)),
                Fact::PublishedAt => column.push_int(change.published_at),
                Fact::Position => push(&mut column, change.position, |column, at| {
                    text.clear();
                    let source = last.get(names, change.source);
                    write!(text, "{source}/{}/{}/{}", at.epoch, at.commit, at.ordinal)
                        .expect("writing to a string does not fail");
                    column.push_bytes(text.as_bytes());
                }),
                Fact::EventId => {
                    push(&mut column, change.event_id.as_deref(), |column, id| {
                        column.push_bytes(id.as_bytes())
                    });
                }
                Fact::CurrentOrigin => push(&mut column, contest, |column, contest| {
                    column.push_bytes(last.get(names, contest.current_origin).as_bytes());
                }),
                Fact::CurrentCommittedAt => {
                    push(&mut column, contest.and_then(|contest| contest.current_at), Column::push_int);
                }
                Fact::CurrentLive => {
                    push(&mut column, contest, |column, contest| column.push_bit(contest.current_live));
                }
                Fact::SchemaVersion => column.push_state(State::Null),
            }
        }
        column
    }
}

fn push<T>(column: &mut Column, value: Option<T>, some: impl FnOnce(&mut Column, T)) {
    match value {
        Some(value) => some(column, value),
        None => column.push_state(State::Null),
    }
}

/// The name that was asked for last: a batch has few, in long runs.
struct LastName(Option<(NameId, Arc<str>)>);

impl LastName {
    fn get(&mut self, names: &Names, id: NameId) -> &str {
        if self.0.as_ref().is_none_or(|last| last.0 != id) {
            self.0 = Some((id, names.get(id)));
        }
        &self.0.as_ref().expect("it was put there").1
    }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::position::Position;

    use super::*;
    use crate::{
        batch::Op,
        stages::{Arena, RowRef},
    };

    #[test]
    fn each_fact_is_told_as_the_interface_says() {
        let names = Names::default();
        let (east, west) = (names.intern("east").unwrap(), names.intern("west").unwrap());
        let change = Change {
            item: 0,
            op: Op::Update,
            key: 0..0,
            source: east,
            position: Some(Position { epoch: 1, commit: 7, ordinal: 2 }),
            origin: west,
            at: 5,
            published_at: 6,
            schema: 3,
            moved: None,
            event_id: Some("e1".into()),
            transaction: None,
            clocks: Default::default(),
            redriven: None,
        };
        let bare = Change { position: None, schema: 0, event_id: None, ..change.clone() };
        let at = RowRef { arena: Arena::After, row: 0 };
        let contest = Contest {
            change: 0,
            incoming: at,
            current: at,
            current_live: false,
            current_origin: east,
            current_at: None,
        };
        let told = |fact: Fact| {
            let rows = [(&change, Some(&contest)), (&bare, None)];
            let column = fact.column(rows.into_iter(), &names);
            let cell = |i| match (column.state(i), column.logical()) {
                (State::Value, Logical::Text) => column.text(i).to_owned(),
                (State::Value, Logical::Bool) => column.bit(i).to_string(),
                (State::Value, _) => column.int(i).to_string(),
                (state, _) => format!("{state:?}"),
            };
            format!("{} {}", cell(0), cell(1))
        };
        for (name, cells) in [
            ("operation", "u u"),
            ("origin", "west west"),
            ("committed-at", "5 5"),
            ("schema-version", "3 Null"),
            ("position", "east/1/7/2 Null"),
            ("event-id", "e1 Null"),
            ("published-at", "6 6"),
            ("current-origin", "east Null"),
            ("current-committed-at", "Null Null"),
            ("current-live", "false Null"),
        ] {
            assert_eq!(told(Fact::named(name).unwrap()), cells, "{name}");
        }
        assert_eq!(Fact::named("sequence"), None);
    }
}
