//! The version rows of a batch, and the gates of its lane: a statement for all that get there the same way and
//! have seen the same number of sources.

use std::collections::BTreeMap;

use crate::{
    columns::{Column, State},
    logical::Logical,
    position::Seen,
    writes::Touch,
};

use super::{
    digest,
    ids::Ids,
    params::Param,
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

/// What the rows of a group have in common.
struct Form<'a> {
    mode: Mode,
    sources: usize,
    /// The lane that counts the changes which stand, where that is to be remembered.
    counted_by: Option<&'a str>,
}

/// Version rows with the same number of seen sources.
struct Group<'a> {
    keys: Column,
    standing: Column,
    origin: Column,
    committed_at: Column,
    xmin: Column,
    digest: Column,
    clock: Column,
    ordered_by: Column,
    seen: Vec<&'a [Seen]>,
    /// Of rows that are updated.
    places: Vec<Place>,
}

impl<'a> Group<'a> {
    fn new() -> Self {
        let [keys, standing, clock, ordered_by] =
            [Logical::Bytes, Logical::Bytes, Logical::Json, Logical::Json].map(Column::new);
        let [origin, committed_at, xmin, digest] = [Logical::Int; 4].map(Column::new);
        Group {
            keys,
            standing,
            origin,
            committed_at,
            xmin,
            digest,
            clock,
            ordered_by,
            seen: Vec::new(),
            places: Vec::new(),
        }
    }
}

/// The statements for all tables of a batch.
pub(super) fn statements<'a>(batch: &Batch<'a>, xmins: Xmins<'_>) -> Vec<Outgoing<'a>> {
    let mut out = Vec::new();
    for (t, table) in batch.writes.tables.iter().enumerate() {
        let mut groups: BTreeMap<(Mode, usize, bool), Group<'a>> = BTreeMap::new();
        for write in &table.versions {
            let known = batch.open.known(table.table, &write.key);
            let mode = match known {
                Some(Known { place: Some(_), .. }) => Mode::Update,
                Some(_) => Mode::Insert,
                None => Mode::Upsert,
            };
            let group =
                groups.entry((mode, write.version.seen.len(), write.counted)).or_insert_with(Group::new);
            group.keys.push_bytes(&write.key);
            group.standing.push_bytes(&[write.version.standing.letter() as u8]);
            group.origin.push_int(i64::from(batch.ids.number(write.version.origin)));
            group.committed_at.push_int(write.version.committed_at);
            let (xmin, digest) = match write.row {
                Touch::No => (None, None),
                Touch::Written(set, row) => {
                    let target = &batch.targets[table.table.index()];
                    let digest = digest::of_written(target, &table.upserts[set as usize], row as usize);
                    (Some(xmins(t, set, row)), digest)
                }
                Touch::TakenOver => known.map_or((None, None), |known| (known.row, known.digest)),
            };
            int_or_null(xmin.map(i64::from), &mut group.xmin);
            int_or_null(digest, &mut group.digest);
            text_or_null(write.version.clock.as_deref(), &mut group.clock);
            text_or_null(write.ordered_by.as_deref(), &mut group.ordered_by);
            group.seen.push(&write.version.seen);
            group.places.extend(known.and_then(|known| known.place));
        }
        if !table.gate.is_empty() {
            let group = groups.entry((Mode::Upsert, table.gate.len(), false)).or_insert_with(Group::new);
            group.keys.push_bytes(&gate_key(batch.lane));
            group.standing.push_bytes(b"g");
            group.origin.push_int(0);
            group.committed_at.push_int(0);
            for column in [&mut group.xmin, &mut group.digest, &mut group.clock, &mut group.ordered_by] {
                column.push_state(State::Null);
            }
            group.seen.push(&table.gate);
        }
        let target = batch.targets[table.table.index()].id;
        out.extend(groups.into_iter().map(|((mode, sources, counted), group)| {
            let form = Form { mode, sources, counted_by: counted.then_some(batch.lane) };
            version_rows(target, form, group, batch.ids)
        }));
    }
    out
}

/// One statement for a group: the seen sources travel as columns, one array each, because an array of arrays of
/// different lengths has no form in PostgreSQL.
fn version_rows<'a>(target: i16, form: Form<'a>, group: Group<'a>, ids: &Ids) -> Outgoing<'a> {
    let Form { mode, sources, counted_by } = form;
    let mut params = vec![
        Param::Int2(target),
        Param::Own(group.keys, Wire::Bytea),
        Param::Own(group.standing, Wire::Char),
        Param::Own(group.origin, Wire::Int2),
        Param::Own(group.committed_at, Wire::Int8),
        Param::Own(group.xmin, Wire::Xid),
        Param::Own(group.clock, Wire::Jsonb),
        Param::Own(group.ordered_by, Wire::Jsonb),
        Param::Own(group.digest, Wire::Int8),
    ];
    let mut unnest = String::from(
        "unnest($2::bytea[], $3::\"char\"[], $4::int2[], $5::int8[], $6::xid[], $7::jsonb[], $8::jsonb[], \
         $9::int8[]",
    );
    let mut names =
        String::from("key, standing, origin, committed_at, row_xmin, clock, ordered_by, row_digest");
    for i in 0..sources {
        let [mut s, mut e, mut c, mut o, mut l] = [Logical::Int; 5].map(Column::new);
        let mut d = Column::new(Logical::Bool);
        for seen in group.seen.iter().map(|seen| seen[i]) {
            s.push_int(i64::from(ids.number(seen.source)));
            e.push_int(i64::from(seen.position.epoch));
            c.push_int(seen.position.commit.cast_signed());
            o.push_int(seen.position.ordinal.cast_signed());
            d.push_bit(seen.deleted);
            l.push_int(seen.live_at);
        }
        for (column, wire, letter) in [
            (s, Wire::Int2, 's'),
            (e, Wire::Int4, 'e'),
            (c, Wire::Int8, 'c'),
            (o, Wire::Int8, 'o'),
            (d, Wire::Bool, 'd'),
            (l, Wire::Int8, 'l'),
        ] {
            params.push(Param::Own(column, wire));
            unnest.push_str(&format!(", ${}::{}", params.len(), wire.array_type()));
            names.push_str(&format!(", {letter}{i}"));
        }
    }
    if mode == Mode::Update {
        params.push(Param::Places(group.places));
        unnest.push_str(&format!(", ${}::tid[]", params.len()));
        names.push_str(", place");
    }
    let array = |letter: char, of: &str| {
        let cells: Vec<String> = (0..sources).map(|i| format!("u.{letter}{i}")).collect();
        format!("ARRAY[{}]::{of}[]", cells.join(", "))
    };
    let seen = [
        array('s', "int2"),
        array('e', "int4"),
        array('c', "int8"),
        array('o', "int8"),
        array('d', "bool"),
        array('l', "int8"),
    ];
    let counted_by = counted_by.map(|lane| {
        params.push(Param::Text(lane));
        format!("${}::text", params.len())
    });
    let from = format!("{unnest}) AS u({names})");
    Outgoing { sql: version_sql(mode, &seen, &from, counted_by.as_deref()), params }
}

/// Without an xmin the row was not touched, and what it is known by stays; a key that is gone has no row to be known by.
const OURS_STAYS: &str = "row_xmin = coalesce(u.row_xmin, v.row_xmin), row_digest = CASE WHEN u.standing <> 'r' THEN NULL \
    WHEN u.row_xmin IS NULL THEN v.row_digest ELSE u.row_digest END";

/// `counted_by` is the place of the lane's name, where it is to be remembered.
fn version_sql(mode: Mode, seen: &[String; 6], from: &str, counted_by: Option<&str>) -> String {
    const SEEN: [&str; 6] =
        ["seen_source", "seen_epoch", "seen_commit", "seen_ordinal", "seen_deleted", "seen_at"];
    if mode == Mode::Update {
        let set: Vec<String> =
            SEEN.iter().zip(seen).map(|(name, value)| format!("{name} = {value}")).collect();
        // The rows are found by the place
        // where the batch's beginning has locked them, rather than by their key for the third time. A limit that is no
        // constant makes the planner think of few places, so that it goes by them however the table was when the
        // statement was prepared; else it reads an empty table whole, and keeps that plan when it is large.
        return format!(
            "UPDATE reconverge.version v SET standing = u.standing, origin = u.origin, committed_at = u.committed_at, \
             {}, {OURS_STAYS}, clock = u.clock, ordered_by = u.ordered_by{} \
             FROM (SELECT * FROM {from} LIMIT cardinality($2)) u WHERE v.ctid = u.place AND v.target = $1::int2",
            set.join(", "),
            counted_by.map(|place| format!(", counted_by = {place}")).unwrap_or_default()
        );
    }
    let insert = format!(
        "INSERT INTO reconverge.version AS v (target, key, standing, origin, committed_at, {}, row_xmin, row_digest, clock, \
         ordered_by{}) SELECT $1::int2, u.key, u.standing, u.origin, u.committed_at, {}, u.row_xmin, u.row_digest, u.clock, \
         u.ordered_by{} FROM {from}",
        SEEN.join(", "),
        counted_by.map(|_| ", counted_by").unwrap_or_default(),
        seen.join(", "),
        counted_by.map(|place| format!(", {place}")).unwrap_or_default()
    );
    if mode == Mode::Insert {
        return insert;
    }
    let set: Vec<String> = SEEN.iter().map(|name| format!("{name} = EXCLUDED.{name}")).collect();
    format!(
        "{insert} ON CONFLICT (target, key) DO UPDATE SET standing = EXCLUDED.standing, origin = EXCLUDED.origin, \
         committed_at = EXCLUDED.committed_at, {}, {}, \
         clock = EXCLUDED.clock, ordered_by = EXCLUDED.ordered_by{}",
        set.join(", "),
        OURS_STAYS.replace("u.", "EXCLUDED."),
        counted_by.map(|_| ", counted_by = EXCLUDED.counted_by").unwrap_or_default()
    )
}
