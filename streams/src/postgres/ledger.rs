//! What batches of other lanes moved in a lane's ledger: `reconverge.reclassified`. Written with such a batch, and taken
//! over by the lane itself, which alone writes its checkpoint.

use tokio_postgres::{Error, Row};

use crate::{
    checkpoint::Checkpoint,
    columns::Column,
    disposition::{Counts, Disposition},
    logical::Logical,
    writes::Writes,
};

use super::{
    cells::{self, Unlike},
    claim::PostgresClaim,
    lane,
    params::Param,
    session::Session,
    sidecar::{Outgoing, ints},
    travel::Wire,
};

/// From, to, how many.
type Moves = Vec<(Disposition, Disposition, u64)>;

/// What other lanes moved in a lane's ledger, in their order.
const READ: &str =
    "SELECT id, was, becomes, n FROM reconverge.reclassified WHERE lane = $1::text ORDER BY id";

/// A checkpoint of each lane with a name that begins with `$1`, and what other lanes moved in its ledger as three arrays.
/// One statement, so that a lane that takes it over meanwhile is seen before or after that.
pub(super) fn all_with_moves() -> String {
    format!(
        "SELECT {}, m.was, m.becomes, m.n FROM reconverge.checkpoint c LEFT JOIN LATERAL (SELECT \
         array_agg(r.was::bigint ORDER BY r.id) AS was, array_agg(r.becomes::bigint ORDER BY r.id) AS becomes, \
         array_agg(r.n ORDER BY r.id) AS n FROM reconverge.reclassified r WHERE r.lane = c.lane) m ON true \
         WHERE starts_with(lane, $1) ORDER BY lane",
        lane::COLUMNS
    )
}

/// A row of [`all_with_moves`].
pub(super) fn with_moves(row: &Row) -> Result<Checkpoint, Unlike> {
    let stored = lane::read(row)?;
    let first = row.len() - 3;
    let column = |at| -> Result<Vec<i64>, Unlike> {
        let Some(raw) = cells::raw(row, at)? else { return Ok(Vec::new()) };
        cells::elements(raw)?.into_iter().map(|cell| cells::int(cell.ok_or(Unlike("array"))?)).collect()
    };
    let (was, becomes, n) = (column(first)?, column(first + 1)?, column(first + 2)?);
    let moves = was.into_iter().zip(becomes).zip(n).map(|((was, becomes), n)| told(was, becomes, n));
    Ok(stored.settled(&moves.collect::<Result<Moves, Unlike>>()?))
}

fn told(was: i64, becomes: i64, n: i64) -> Result<(Disposition, Disposition, u64), Unlike> {
    let of = |number| Disposition::of(number).ok_or(Unlike("disposition"));
    Ok((of(was)?, of(becomes)?, n.cast_unsigned()))
}

/// What is to be taken over: the numbers of the rows, and what they say.
#[derive(Default)]
pub(super) struct Due {
    ids: Vec<i64>,
    moves: Moves,
}

/// Reads what is due. Only the lane itself takes it away.
async fn due(session: &mut Session, lane: &str) -> Result<Due, Error> {
    let rows = session.query(READ, vec![Param::Text(lane)]).await?;
    let mut due = Due::default();
    for row in &rows {
        let number = |at| cells::raw(row, at).and_then(|raw| cells::int(raw.ok_or(Unlike("number"))?));
        let Ok(id) = number(0) else { continue };
        due.ids.push(id);
        // A disposition that this version does not know moves nothing.
        let read = || told(number(1)?, number(2)?, number(3)?);
        due.moves.extend(read());
    }
    Ok(due)
}

/// Takes away what is taken over with the batch.
pub(super) fn taken(due: &[i64]) -> Option<Outgoing<'static>> {
    let sql = "DELETE FROM reconverge.reclassified WHERE id = ANY($1::int8[])";
    let params = vec![Param::Own(ints(due, |id| Some(*id)), Wire::Int8)];
    (!due.is_empty()).then(|| Outgoing { sql: sql.into(), params })
}

/// Keeps for other lanes what the batch moves in their ledgers.
pub(super) fn moved(writes: &Writes) -> Option<Outgoing<'_>> {
    if writes.elsewhere.is_empty() {
        return None;
    }
    let rows = writes.moved_elsewhere();
    let mut lanes = Column::new(Logical::Text);
    rows.iter().for_each(|(lane, ..)| lanes.push_bytes(lane.as_bytes()));
    let sql = "INSERT INTO reconverge.reclassified (lane, was, becomes, n) \
               SELECT u.* FROM unnest($1::text[], $2::int2[], $3::int2[], $4::int8[]) AS u";
    let params = vec![
        Param::Own(lanes, Wire::Text),
        Param::Own(ints(&rows, |row| Some(row.1 as i64)), Wire::Int2),
        Param::Own(ints(&rows, |row| Some(row.2 as i64)), Wire::Int2),
        Param::Own(ints(&rows, |row| Some(row.3.cast_signed())), Wire::Int8),
    ];
    Some(Outgoing { sql: sql.into(), params })
}

/// An array of the ledger's numbers, as the checkpoint has it.
pub(super) fn numbers(counts: &Counts) -> Param<'static> {
    let mut column = Column::new(Logical::Int);
    counts.places().iter().for_each(|n| column.push_int(n.cast_signed()));
    Param::Own(column, Wire::Int8)
}

impl PostgresClaim {
    /// Inside a batch's transaction, behind all of its locks: the checkpoint with what other lanes have moved in its
    /// ledger, where the batch moves something itself. So nothing moves out of a place that it has not come to yet.
    pub(super) async fn balanced(&mut self, writes: &Writes) -> Result<(Checkpoint, Vec<i64>), Error> {
        if writes.reclassified.is_empty() {
            return Ok((self.checkpoint.clone(), Vec::new()));
        }
        let due = due(&mut self.session, &self.facts.lane).await?;
        Ok((self.checkpoint.settled(&due.moves), due.ids))
    }

    /// See [`crate::sink::Claim::balance`]; none where the lane is not ours.
    pub(super) async fn take_over(&mut self) -> Result<Option<Checkpoint>, Error> {
        let found = due(&mut self.session, &self.facts.lane).await?;
        if found.ids.is_empty() {
            return Ok(Some(self.checkpoint.clone()));
        }
        self.in_transaction = true;
        self.session.say("BEGIN").await?;
        let update = format!(
            "UPDATE reconverge.checkpoint SET counts = $3::bigint[] WHERE lane = $1::text AND epoch = $2::bigint \
             RETURNING {}",
            lane::COLUMNS
        );
        let after = self.checkpoint.settled(&found.moves);
        let params = vec![Param::Text(&self.facts.lane), Param::Int8(after.epoch), numbers(&after.counts)];
        let rows = self.session.query(&update, params).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        if let Some(Outgoing { sql, params }) = taken(&found.ids) {
            self.session.query(&sql, params).await?;
        }
        self.session.say("COMMIT").await?;
        self.in_transaction = false;
        Ok(Some(after))
    }
}
