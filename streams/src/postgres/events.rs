//! Seen events of sources without positions: asked for when a batch begins, added when it commits, with as many old
//! ones dropped as there is reason to. Grades of sources likewise.

use tokio_postgres::Row;

use crate::{
    columns::Column,
    event::{Event, KEPT_HOURS},
    logical::Logical,
    names::NameId,
    writes::Writes,
};

use super::{
    cells::{self, Unlike},
    claim::Facts,
    params::Param,
    sidecar::{Batch, Outgoing, ints, packed},
    travel::Wire,
};

/// Old events that one batch drops for each new one: more than one, so that what is kept comes down to a day's again.
const DROPPED_FOR_ONE: i64 = 2;

/// The places of the events that were seen. Lateral, for the same reason as the lock of the versions.
pub(super) const READ: &str = "SELECT u.ord FROM unnest($1::int2[], $2::int2[], $3::text[]) \
    WITH ORDINALITY AS u(target, source, event_id, ord) CROSS JOIN LATERAL (SELECT 1 FROM reconverge.seen_event w \
    WHERE w.target = u.target AND w.source = u.source AND w.event_id = u.event_id OFFSET 0) w";

/// The parameters of [`READ`].
pub(super) fn asked<'a>(facts: &Facts, events: &'a [Event]) -> Vec<Param<'a>> {
    columns(events, |e| facts.target(e.table).id, |source| facts.ids.number(source))
}

/// Those of `events` that were seen.
pub(super) fn seen(events: &[Event], rows: &[Row]) -> Result<Vec<Event>, Unlike> {
    let event = |row: &Row| {
        let ord = cells::int(cells::raw(row, 0)?.ok_or(Unlike("place of an event"))?)?;
        let at = usize::try_from(ord - 1).map_err(|_| Unlike("place of an event"))?;
        events.get(at).cloned().ok_or(Unlike("place of an event"))
    };
    rows.iter().map(event).collect()
}

/// Names that the statements below will need numbers for.
pub(super) fn names(writes: &Writes) -> impl Iterator<Item = NameId> {
    writes.events.iter().map(|e| e.source).chain(writes.grades.iter().map(|(source, _)| *source))
}

/// The statements of a batch: none where no source lacks positions.
pub(super) fn statements<'a>(batch: &Batch<'a>) -> Vec<Outgoing<'a>> {
    let mut out = Vec::new();
    let (events, grades) = (&batch.writes.events, &batch.writes.grades);
    if !events.is_empty() {
        // An event that came meanwhile is an error, and the batch is begun again.
        let sql = "INSERT INTO reconverge.seen_event (target, source, event_id) \
                   SELECT u.* FROM unnest($1::int2[], $2::int2[], $3::text[]) AS u";
        let target = |e: &Event| batch.targets[e.table.index()].id;
        let params = columns(events, target, |source| batch.ids.number(source));
        out.push(Outgoing { sql: sql.into(), params });
        let drop = format!(
            "DELETE FROM reconverge.seen_event WHERE ctid = ANY(ARRAY(SELECT ctid FROM reconverge.seen_event \
             WHERE at < now() - interval '{KEPT_HOURS} hours' ORDER BY at LIMIT $1::bigint FOR UPDATE SKIP LOCKED))"
        );
        let most = i64::try_from(events.len()).unwrap_or(i64::MAX).saturating_mul(DROPPED_FOR_ONE);
        out.push(Outgoing { sql: drop, params: vec![Param::Int8(most)] });
    }
    if !grades.is_empty() {
        let sql = "UPDATE reconverge.source s SET grade = u.grade FROM unnest($1::int2[], $2::\"char\"[]) AS u(id, grade) \
                   WHERE s.id = u.id AND s.grade <> u.grade";
        let sources = ints(grades, |(source, _)| Some(i64::from(batch.ids.number(*source))));
        let mut letters = Column::new(Logical::Bytes);
        grades.iter().for_each(|(_, grade)| letters.push_bytes(&[grade.letter() as u8]));
        let params = vec![Param::Own(sources, Wire::Int2), Param::Own(letters, Wire::Char)];
        out.push(Outgoing { sql: sql.into(), params });
    }
    out
}

fn columns<'a>(
    events: &'a [Event],
    target: impl Fn(&Event) -> i16,
    number: impl Fn(NameId) -> i16,
) -> Vec<Param<'a>> {
    let targets = ints(events, |e| Some(i64::from(target(e))));
    let sources = ints(events, |e| Some(i64::from(number(e.source))));
    let ids = packed(events, Logical::Text, |e| Some(e.id.as_bytes()));
    vec![Param::Own(targets, Wire::Int2), Param::Own(sources, Wire::Int2), Param::Own(ids, Wire::Text)]
}
