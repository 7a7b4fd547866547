//! Generations of plugins: numbered under the lock of the lane's checkpoint, in a transaction of their own or of the first
//! batch that they decide.

use tokio_postgres::Error;

use crate::standing::NewGeneration;

use super::{claim::PostgresClaim, params::Param};

impl PostgresClaim {
    /// In a transaction of its own; `None` where the lane is not ours any more.
    pub(super) async fn number_generation(
        &mut self,
        from_sequence: u64,
        new: &NewGeneration,
    ) -> Result<Option<i64>, Error> {
        let lock =
            "SELECT 1 FROM reconverge.checkpoint WHERE lane = $1::text AND epoch = $2::bigint FOR UPDATE";
        self.in_transaction = true;
        self.session.say("BEGIN").await?;
        let ours = self
            .session
            .query(lock, vec![Param::Text(&self.facts.lane), Param::Int8(self.checkpoint.epoch)])
            .await?;
        if ours.is_empty() {
            return Ok(None);
        }
        let numbered = numbering(&self.facts.lane, from_sequence, new);
        let rows = self.session.query(NUMBER_GENERATION, numbered).await?;
        self.session.say("COMMIT").await?;
        self.in_transaction = false;
        Ok(rows.first().map(|row| row.get(0)))
    }
}

/// Finds the newest generation of a lane where it is of these plugins, and else records them as the next; under the lock
/// of the lane's checkpoint. A lane says it when it is claimed, so that it is prepared when a batch says it again.
pub(super) const NUMBER_GENERATION: &str = "WITH newest AS (SELECT id, plugins FROM reconverge.generation \
      WHERE id = (SELECT max(id) FROM reconverge.generation WHERE lane = $1::text)), \
    same AS (SELECT id FROM newest WHERE plugins = $3::text::jsonb), \
    added AS (INSERT INTO reconverge.generation (lane, from_sequence, plugins, by) \
      SELECT $1::text, $2::bigint, $3::text::jsonb, $4::text WHERE NOT EXISTS (SELECT 1 FROM same) RETURNING id) \
    SELECT id FROM same UNION ALL SELECT id FROM added";

/// The parameters of [`NUMBER_GENERATION`].
pub(super) fn numbering<'a>(lane: &'a str, from_sequence: u64, new: &'a NewGeneration) -> Vec<Param<'a>> {
    let from = Param::Int8(from_sequence.cast_signed());
    vec![Param::Text(lane), from, Param::Text(&new.plugins), Param::Text(&new.by)]
}
