//! The version rows of a batch, and the gates of its lane: a statement for all that get there the same way.
//!
//! Each column of a statement costs the server a look at every row, so what has nothing to say stays out of it: no
//! clocks where none has one, and one transaction id for all where all rows were written by one.

use std::collections::BTreeMap;

use crate::{
    columns::{Column, State},
    logical::Logical,
    writes::{Counted, Touch},
};

use super::{
    arrays, digest,
    params::Param,
    seen,
    sidecar::{Batch, Outgoing, Xmins, int_or_null, text_or_null},
    standing::{Known, Place, gate_key},
    travel::Wire,
};

/// How the version rows of a group get there; as for rows, so that one that came meanwhile is an error.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mode {
    Insert,
    Update,
    Upsert,
}

/// Version rows that get there the same way.
struct Group {
    keys: Column,
    standing: Column,
    origin: Column,
    committed_at: Column,
    seen: Column,
    clock: Column,
    ordered_by: Column,
    /// By row: the xmin of the row of the table that was written.
    xmins: Vec<Option<u32>>,
    /// And its digest, where it is known.
    digest: Column,
    /// Of rows that are updated.
    places: Vec<Place>,
}

impl Group {
    fn new() -> Self {
        let [keys, standing, seen, clock, ordered_by] =
            [Logical::Bytes, Logical::Bytes, Logical::Bytes, Logical::Json, Logical::Json].map(Column::new);
        let [origin, committed_at, digest] = [Logical::Int; 3].map(Column::new);
        let (xmins, places) = (Vec::new(), Vec::new());
        Group { keys, standing, origin, committed_at, seen, clock, ordered_by, xmins, digest, places }
    }
}

/// The statements for all tables of a batch.
pub(super) fn statements<'a>(batch: &Batch<'a>, xmins: Xmins<'_>) -> Vec<Outgoing<'a>> {
    let mut out = Vec::new();
    let (mut packed, mut scratch) = (Vec::new(), Vec::new());
    for (t, table) in batch.writes.tables.iter().enumerate() {
        let mut groups: BTreeMap<(Mode, Option<&Counted>), Group> = BTreeMap::new();
        let mut lookup = batch.open.of(table.table);
        for write in &table.versions {
            let known = lookup.known(&write.key);
            let mode = match known {
                Some(Known { place: Some(_), .. }) => Mode::Update,
                Some(_) => Mode::Insert,
                None => Mode::Upsert,
            };
            let group = groups.entry((mode, write.counted.as_ref())).or_insert_with(Group::new);
            group.keys.push_bytes(&write.key);
            group.standing.push_bytes(&[write.version.standing.letter() as u8]);
            group.origin.push_int(i64::from(batch.ids.number(write.version.origin)));
            group.committed_at.push_int(write.version.committed_at);
            seen::pack(&write.version.seen, batch.ids, &mut packed);
            group.seen.push_bytes(&packed);
            text_or_null(write.version.clock.as_deref(), &mut group.clock);
            text_or_null(write.ordered_by.as_deref(), &mut group.ordered_by);
            let (xmin, digest) = match write.row {
                Touch::No => (None, None),
                Touch::Written(set, row) => {
                    let target = &batch.targets[table.table.index()];
                    let digest =
                        digest::of_written(target, &table.upserts[set as usize], row as usize, &mut scratch);
                    (Some(xmins(t, set, row)), digest)
                }
                Touch::TakenOver => known.map_or((None, None), |known| (known.row, known.digest)),
            };
            group.xmins.push(xmin);
            int_or_null(digest, &mut group.digest);
            group.places.extend(known.and_then(|known| known.place));
        }
        if !table.gate.is_empty() {
            let group = groups.entry((Mode::Upsert, None)).or_insert_with(Group::new);
            group.keys.push_bytes(&gate_key(batch.lane));
            group.standing.push_bytes(b"g");
            group.origin.push_int(0);
            group.committed_at.push_int(0);
            seen::pack(&table.gate, batch.ids, &mut packed);
            group.seen.push_bytes(&packed);
            group.clock.push_state(State::Null);
            group.ordered_by.push_state(State::Null);
            group.xmins.push(None);
            group.digest.push_state(State::Null);
        }
        let target = batch.targets[table.table.index()].id;
        out.extend(groups.into_iter().map(|((mode, counted), group)| {
            version_rows(target, mode, counted.map(|of| (of.lane(batch.lane), of.mark())), group)
        }));
    }
    out
}

/// The statement of a group while it is put together.
struct Statement<'a> {
    params: Vec<Param<'a>>,
    /// What is unnested, and the names of its columns.
    arrays: Vec<String>,
    names: Vec<&'static str>,
}

impl<'a> Statement<'a> {
    fn array(&mut self, name: &'static str, param: Param<'a>, wire: Wire) {
        self.params.push(param);
        self.arrays.push(format!("${}::{}", self.params.len(), wire.array_type()));
        self.names.push(name);
    }

    /// A column of the group and its value: as unnested, or null where no row has one.
    fn column(&mut self, name: &'static str, column: Column, wire: Wire) -> (&'static str, String) {
        if (0..column.len()).all(|row| column.state(row) == State::Null) {
            return (name, "NULL".into());
        }
        self.array(name, Param::Own(column, wire), wire);
        (name, format!("u.{name}"))
    }

    /// The xmins of a group as one value, where they are one. Without an xmin the row was not touched, and what is
    /// remembered of it stays: `kept`.
    fn xmins(&mut self, xmins: &[Option<u32>], kept: &str) -> (&'static str, String) {
        let name = "row_xmin";
        match xmins.first() {
            Some(one) if xmins.iter().all(|xmin| xmin == one) => match one {
                None => return (name, kept.into()),
                Some(xmin) => {
                    self.params.push(Param::Xid(*xmin));
                    return (name, format!("${}::xid", self.params.len()));
                }
            },
            _ => {}
        }
        let mut column = Column::new(Logical::Int);
        for xmin in xmins {
            match xmin {
                Some(xmin) => column.push_int(i64::from(*xmin)),
                None => column.push_state(State::Null),
            }
        }
        self.array(name, Param::Own(column, Wire::Xid), Wire::Xid);
        (name, format!("coalesce(u.{name}, {kept})"))
    }

    /// The digests of a group. Where the row was not touched, what it is known by stays: `kept`; a key that is gone has no
    /// row to be known by.
    fn digests(&mut self, xmins: &[Option<u32>], digest: Column, kept: &str) -> (&'static str, String) {
        let name = "row_digest";
        if xmins.iter().all(Option::is_none) {
            return (name, format!("CASE WHEN u.standing = 'r' THEN {kept} END"));
        }
        let (_, new) = self.column(name, digest, Wire::Int8);
        if xmins.iter().all(Option::is_some) {
            return (name, new);
        }
        (
            name,
            format!(
                "CASE WHEN u.standing <> 'r' THEN NULL WHEN u.row_xmin IS NULL THEN {kept} ELSE {new} END"
            ),
        )
    }

    /// What gives the rows of the arrays.
    fn select(&self) -> String {
        let named: Vec<(&str, &str)> =
            self.arrays.iter().zip(&self.names).map(|(array, name)| (array.as_str(), *name)).collect();
        arrays::select(&named, false)
    }
}

/// `counted_by` is a lane's name and what stands behind it, where it is to be remembered.
fn version_rows<'a>(
    target: i16,
    mode: Mode,
    counted_by: Option<(&'a str, &'static str)>,
    group: Group,
) -> Outgoing<'a> {
    let mut made = Statement { params: vec![Param::Int2(target)], arrays: Vec::new(), names: Vec::new() };
    made.array("standing", Param::Own(group.standing, Wire::Char), Wire::Char);
    let mut columns = vec![("standing", "u.standing".to_owned())];
    columns.extend([
        made.column("origin", group.origin, Wire::Int2),
        made.column("committed_at", group.committed_at, Wire::Int8),
        made.column("seen", group.seen, Wire::Bytea),
        made.column("clock", group.clock, Wire::Jsonb),
        made.column("ordered_by", group.ordered_by, Wire::Jsonb),
    ]);
    columns.extend(seen::ARRAYS.map(|name| (name, "NULL".to_owned())));
    if let Some((lane, mark)) = counted_by {
        made.params.push(Param::Text(lane));
        columns.push(("counted_by", format!("${}::text || '{mark}'", made.params.len())));
    }
    let set = |columns: &[(&str, String)]| -> String {
        let set: Vec<String> = columns.iter().map(|(name, value)| format!("{name} = {value}")).collect();
        set.join(", ")
    };
    if mode == Mode::Update {
        columns.push(made.xmins(&group.xmins, "v.row_xmin"));
        columns.push(made.digests(&group.xmins, group.digest, "v.row_digest"));
        made.array("place", Param::Places(group.places), Wire::Tid);
        // The rows are found by the place where the batch's beginning has locked them, rather than by their key for
        // the third time. A limit that is no constant makes the planner think of few places, so that it goes by them
        // however the table was when the statement was prepared; else it reads an empty table whole, and keeps that
        // plan when it is large.
        let sql = format!(
            "UPDATE reconverge.version v SET {} FROM ({} LIMIT cardinality($2)) u \
             WHERE v.ctid = u.place AND v.target = $1::int2",
            set(&columns),
            made.select()
        );
        return Outgoing { sql, params: made.params };
    }
    columns.push(made.xmins(&group.xmins, "NULL"));
    columns.push(made.column("row_digest", group.digest, Wire::Int8));
    made.array("key", Param::Own(group.keys, Wire::Bytea), Wire::Bytea);
    let [names, values]: [Vec<&str>; 2] =
        [columns.iter().map(|c| c.0).collect(), columns.iter().map(|c| c.1.as_str()).collect()];
    let mut sql = format!(
        "INSERT INTO reconverge.version AS v (target, key, {}) SELECT $1::int2, u.key, {} FROM ({}) u",
        names.join(", "),
        values.join(", "),
        made.select()
    );
    if mode == Mode::Upsert {
        let excluded: Vec<(&str, String)> = names
            .iter()
            .map(|&name| match name {
                "row_xmin" => (name, "coalesce(EXCLUDED.row_xmin, v.row_xmin)".to_owned()),
                "row_digest" => {
                    let kept = "CASE WHEN EXCLUDED.standing <> 'r' THEN NULL WHEN EXCLUDED.row_xmin IS NULL \
                                THEN v.row_digest ELSE EXCLUDED.row_digest END";
                    (name, kept.to_owned())
                }
                _ => (name, format!("EXCLUDED.{name}")),
            })
            .collect();
        sql.push_str(" ON CONFLICT (target, key) DO UPDATE SET ");
        sql.push_str(&set(&excluded));
    }
    Outgoing { sql, params: made.params }
}
