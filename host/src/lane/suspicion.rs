//! Changes at lower positions and with later commit times than what is known of their keys: no repetition can be so,
//! but a source that was restored, and whose positions began anew, can.
//!
//! One or two keys may be a clock that was set back: such a change becomes a dead letter, so that nothing is skipped.
//! With three keys of a source the lane halts, with nothing of the batch written, until the operator has said what it is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use reconverge_streams::{
    epoch::SourceEpochs,
    names::NameId,
    sink::{Claim, Sink},
    source::Source,
    standing::Wanted,
    table::TableId,
    writes::{ChangeIndex, Writes},
};

use crate::{
    batch::Refusal,
    resolve::{SOURCE_EPOCH, Suspected},
};

use super::{Lane, LaneError};

/// So many distinct keys of a source halt the lane.
const KEYS_MAX: usize = 3;

/// What the suspicions of a batch come to.
#[derive(Debug, PartialEq, Eq)]
enum Judged {
    /// Changes that become dead letters; the others were dismissed.
    LeaveOut(Vec<ChangeIndex>),
    /// The source, how many keys, and the first sequence.
    Halt(NameId, usize, u64),
}

fn judge(found: &[Suspected], known: &SourceEpochs) -> Judged {
    let is_dismissed = |s: &&Suspected| {
        let of_source = known.dismissed.iter().filter(|(source, _)| *source == s.suspicion.source);
        of_source.map(|(_, through)| *through).max().is_some_and(|through| s.suspicion.sequence <= through)
    };
    let counted: Vec<&Suspected> = found.iter().filter(|s| !is_dismissed(s)).collect();
    let mut keys: BTreeMap<NameId, BTreeSet<(TableId, &[u8])>> = BTreeMap::new();
    for s in &counted {
        keys.entry(s.suspicion.source).or_default().insert((s.suspicion.table, s.suspicion.key.as_slice()));
    }
    for (source, table, key) in &known.suspected {
        // Only where the batch itself is suspicious of the source: the operator may still look at the others.
        if let Some(keys) = keys.get_mut(source) {
            keys.insert((*table, key.as_slice()));
        }
    }
    let worst = keys.iter().find(|(_, keys)| keys.len() >= KEYS_MAX);
    match worst {
        Some((source, keys)) => {
            let of_source = counted.iter().filter(|s| s.suspicion.source == *source);
            let first = of_source.map(|s| s.suspicion.sequence).min().unwrap_or_default();
            Judged::Halt(*source, keys.len(), first)
        }
        None => Judged::LeaveOut(counted.iter().map(|s| s.change).collect()),
    }
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Adds what has to be left out to `refused`.
    ///
    /// # Errors
    /// [`LaneError::Halted`] where the lane has to halt; what was found is in the sink then.
    pub(super) async fn suspect(
        &mut self,
        found: &[Suspected],
        refused: &mut HashMap<ChangeIndex, Refusal>,
        claim: &mut K::Claim,
    ) -> Result<(), LaneError> {
        claim.abandon().await;
        let known = claim.epochs().await?;
        let (source, keys, first) = match judge(found, &known) {
            Judged::LeaveOut(changes) => {
                let left_out = found.iter().filter(|s| changes.contains(&s.change));
                refused.extend(left_out.map(|s| (s.change, self.left_out(s))));
                return Ok(());
            }
            Judged::Halt(source, keys, first) => (source, keys, first),
        };
        let (sequence, generation) = (claim.checkpoint().sequence, claim.checkpoint().generation);
        claim.begin(Wanted { from: sequence, ..Wanted::default() }).await?;
        let suspicions = found.iter().map(|s| s.suspicion.clone()).collect();
        let writes =
            Writes { through: sequence, scanned: sequence, generation, suspicions, ..Writes::default() };
        let (lane, stream) = (&self.settings.claim.lane, &self.settings.claim.stream);
        if let Err(error) = claim.commit(writes).await {
            // They are found again at the next start.
            tracing::warn!(%lane, %error, "source.epoch.not_recorded");
        }
        let source = self.plan.names.get(source);
        tracing::error!(%lane, %source, keys, sequence = first, "source.epoch");
        metrics::counter!("reconverge_source_suspicions_total", "source" => source.to_string())
            .increment(found.len() as u64);
        Err(LaneError::Halted {
            what: format!(
                "source epoch? {keys} keys of source `{source}` came at lower positions and with later commit times than \
                 what is known of them, the first of this batch at sequence {first} of stream {stream}: was the source \
                 restored?"
            ),
            hint: format!(
                "nothing of the batch was written. If its positions began anew: `reconverge source epoch bump {source}`; \
                 if only its clock was set back: `reconverge source epoch dismiss {source}`; then start again"
            ),
        })
    }

    fn left_out(&self, suspected: &Suspected) -> Refusal {
        let s = &suspected.suspicion;
        let source = self.plan.names.get(s.source);
        metrics::counter!("reconverge_source_suspicions_total", "source" => source.to_string()).increment(1);
        Refusal {
            stage: "resolve",
            code: SOURCE_EPOCH,
            reason: format!(
                "position {}/{}/{} of source `{source}` is before {}/{}/{}, and its commit time is later: was the source \
                 restored?",
                s.position.epoch,
                s.position.commit,
                s.position.ordinal,
                s.newest.epoch,
                s.newest.commit,
                s.newest.ordinal
            ),
            table: Some(s.table),
            key: Some(s.key.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use reconverge_streams::{epoch::Suspicion, names::Names, position::Position};

    use super::*;

    fn suspected(source: NameId, change: u32, key: u8) -> Suspected {
        let position = Position { epoch: 0, commit: 5, ordinal: 0 };
        let newest = Position { commit: 9, ..position };
        let sequence = 100 + u64::from(change);
        let (table, key) = (TableId(0), vec![key]);
        Suspected { change, suspicion: Suspicion { source, table, key, sequence, position, at: 1, newest } }
    }

    #[test]
    fn three_keys_of_one_source_halt() {
        let names = Names::default();
        let (east, west) = (names.intern("east").unwrap(), names.intern("west").unwrap());
        let found =
            [suspected(east, 0, 1), suspected(east, 1, 1), suspected(west, 2, 2), suspected(east, 3, 3)];
        let mut known = SourceEpochs::default();
        assert_eq!(
            judge(&found, &known),
            Judged::LeaveOut(vec![0, 1, 2, 3]),
            "two keys of one, one of the other"
        );
        known.suspected.push((west, TableId(0), vec![9]));
        known.suspected.push((east, TableId(0), vec![3]));
        assert_eq!(judge(&found, &known), Judged::LeaveOut(vec![0, 1, 2, 3]), "a key counts once");
        known.suspected.push((east, TableId(0), vec![4]));
        assert_eq!(judge(&found, &known), Judged::Halt(east, 3, 100));
        known.dismissed.push((east, 103));
        assert_eq!(judge(&found, &known), Judged::LeaveOut(vec![2]), "those of east were dismissed");
    }
}
