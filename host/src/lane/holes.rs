//! Promise 11: a stream that lost what was not applied, came back with less, or is another one under the same name is
//! never read on in silence. Stands between the claim of a lane and its first batch, and is met again after every
//! doubt while the lane runs.
//!
//! What is wrong is judged by the checkpoint and what the stream says of itself ([`judge`], pure), recorded in the
//! sink, and passed when somebody has accepted it, when the pipeline goes on over holes, or when a mirror has what
//! is missing.

use std::{future::Future, pin::Pin};

use reconverge_streams::{
    checkpoint::Checkpoint,
    hole::{Hole, HoleKind, HoleRecord, Passed, Resume},
    sink::{Claim, Sink},
    source::{Source, SourceError, StreamFacts},
};

use super::{Lane, LaneError, RunReport, Until, alarms};

/// What is wrong between a checkpoint and its stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub hole: Hole,
    pub resume: Resume,
    /// In words, with sequences.
    pub what: String,
}

/// Holds a checkpoint against its stream. `was` is the sequence from which the sink went back to that checkpoint, if
/// it did: only then does a stream that lets go what was acknowledged lack anything.
pub(super) fn judge(checkpoint: &Checkpoint, facts: &StreamFacts, was: Option<u64>) -> Option<Found> {
    let (lane, stream, applied) = (&checkpoint.lane, &facts.name, checkpoint.sequence);
    let anew = Resume::Anew { stream_created: facts.created, sequence: facts.first.saturating_sub(1) };
    if checkpoint.stream_created != facts.created {
        return Some(Found {
            hole: Hole { kind: HoleKind::Recreated, first: applied + 1, last: None },
            resume: anew,
            what: format!("stream {stream} was created anew since lane {lane} last ran"),
        });
    }
    if applied > facts.last {
        return Some(Found {
            hole: Hole { kind: HoleKind::RolledBack, first: facts.last + 1, last: Some(applied) },
            resume: anew,
            what: format!(
                "stream {stream} ends at sequence {}, lane {lane} has applied up to {applied}: the stream was rolled back",
                facts.last
            ),
        });
    }
    let (looked, from) = match (facts.keeps_acknowledged, was) {
        (true, _) => (starting_point(checkpoint, facts).max(checkpoint.scanned), String::new()),
        (false, Some(was)) => {
            let from =
                format!(" since the sink went back from {was}, and the stream lets go what was acknowledged");
            (applied.max(checkpoint.scanned), from)
        }
        (false, None) => return None,
    };
    if facts.first <= looked + 1 {
        return None;
    }
    Some(Found {
        hole: Hole { kind: HoleKind::Trimmed, first: looked + 1, last: Some(facts.first - 1) },
        resume: Resume::Behind(facts.first - 1),
        what: format!(
            "stream {stream} begins at sequence {}, lane {lane} has applied up to {looked}{from}: {} sequences between them \
             are gone",
            facts.first,
            facts.first - looked - 1
        ),
    })
}

/// Where to read on: behind the checkpoint; a lane that is claimed for the first time begins with what the stream
/// still holds.
pub(super) fn starting_point(checkpoint: &Checkpoint, facts: &StreamFacts) -> u64 {
    let fresh = checkpoint.sequence == 0 && checkpoint.delivered == 0 && checkpoint.epoch <= 1;
    if fresh { facts.first.saturating_sub(1) } else { checkpoint.sequence }
}

impl Found {
    /// Only as far as `last`.
    fn up_to(mut self, last: u64) -> Found {
        self.hole.last = Some(last);
        self.resume = Resume::Behind(last);
        self
    }

    /// What to do about it.
    fn hint(&self, id: i64) -> String {
        match self.hole.kind {
            HoleKind::Trimmed => format!(
                "let the source send that range again, then `reconverge holes accept {id}` lets the lane go on behind it; \
                 a mirror that still has it can be named in `mirrors`"
            ),
            HoleKind::RolledBack => format!(
                "restore the stream's newer state, or `reconverge holes accept {id}` reads it again from its beginning: \
                 what was applied is known by its position"
            ),
            HoleKind::Recreated => format!(
                "`reconverge holes accept {id}` reads the new stream from its beginning: what was applied is known by \
                 its position"
            ),
        }
    }

    /// Where to go on, no further than what was accepted.
    fn resume(&self, recorded: &HoleRecord) -> Resume {
        match (self.resume, recorded.last) {
            (Resume::Behind(to), Some(last)) => Resume::Behind(to.min(last)),
            (resume, _) => resume,
        }
    }
}

impl<S: Source, K: Sink> Lane<'_, S, K> {
    /// Sees to it that nothing is missing between checkpoint and stream. Returns what the stream says of itself at
    /// the end; none where the lane was told to stop, or was done, while it read a mirror.
    ///
    /// # Errors
    /// [`LaneError::Hole`] where somebody has to accept a loss first.
    pub(super) async fn mend(
        &mut self,
        mut facts: StreamFacts,
        claim: &mut K::Claim,
        report: &mut RunReport,
        mut shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<Option<StreamFacts>, LaneError> {
        let was = self.went_back(claim.checkpoint(), &facts);
        // A lane that has begun is told from one that never ran, also before it has applied anything.
        let begin = starting_point(claim.checkpoint(), &facts);
        if begin > claim.checkpoint().sequence && claim.checkpoint().stream_created == facts.created {
            claim.idle(begin).await?;
        }
        while let Some(mut found) = judge(claim.checkpoint(), &facts, was) {
            let mirror = mirror_of(self.source, self.mirrors, &found, &facts).await?;
            match &mirror {
                Some((_, there)) if there.first > found.hole.first => found = found.up_to(there.first - 1),
                Some((_, there)) => {
                    let last = found.hole.last.unwrap_or(there.last).min(there.last);
                    found = found.up_to(last);
                }
                None => {}
            }
            let recorded = claim.record_hole(&found.hole).await?;
            let filling = mirror.filter(|(_, there)| there.first <= found.hole.first);
            if let Some((mirror, there)) = filling {
                let ended = self
                    .read_mirror(mirror, &there, &found, recorded.id, claim, report, shutdown.as_mut())
                    .await?;
                if ended {
                    return Ok(None);
                }
            } else {
                self.pass(&found, &recorded, claim).await?;
            }
            facts = self.source.inspect().await?;
        }
        Ok(Some(facts))
    }

    /// Goes on without what is gone, where that was accepted or is the pipeline's rule.
    async fn pass(
        &mut self,
        found: &Found,
        recorded: &HoleRecord,
        claim: &mut K::Claim,
    ) -> Result<(), LaneError> {
        let lane = self.settings.claim.lane.to_string();
        let (id, kind) = (recorded.id, found.hole.kind.word());
        if recorded.is_accepted() {
            tracing::warn!(lane, hole = id, kind, by = recorded.by, "lane.hole_accepted");
            self.progress.alarms().clear(&lane, alarms::HOLE);
        } else {
            let (first, last) = (found.hole.first, found.hole.last);
            let goes_on = self.settings.continue_over_holes;
            let stream = &recorded.stream;
            tracing::error!(lane, stream, hole = id, kind, first, last, goes_on, "lane.hole");
            metrics::counter!("reconverge_holes_total", "lane" => lane.clone(), "kind" => kind).increment(1);
            self.progress.alarms().raise(&lane, alarms::HOLE, format!("hole {id}: {}", found.what));
            if !goes_on {
                return Err(LaneError::Hole { what: found.what.clone(), hint: found.hint(id) });
            }
        }
        claim.pass_hole(id, Passed::AsItIs, found.resume(recorded)).await?;
        Ok(())
    }

    /// Reads what is missing from a mirror; whether the lane is to end.
    #[expect(clippy::too_many_arguments, reason = "the lane's own state, handed through for one step")]
    async fn read_mirror(
        &mut self,
        mirror: &S,
        there: &StreamFacts,
        found: &Found,
        id: i64,
        claim: &mut K::Claim,
        report: &mut RunReport,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> Result<bool, LaneError> {
        let (lane, last) = (self.settings.claim.lane.to_string(), found.hole.last.unwrap_or(there.last));
        let (first, from) = (found.hole.first, found.hole.first - 1);
        tracing::warn!(lane, mirror = %there.name, hole = id, first, last, "lane.reads_mirror");
        let reader = mirror.open(self.settings.claim.lane.partition, from).await?;
        self.progress.claimed(claim.checkpoint(), there);
        let until = match self.settings.until {
            Until::Sequence(asked) => asked.min(last),
            Until::Forever => last,
        };
        self.read(reader, Until::Sequence(until), claim, report, shutdown).await?;
        if claim.checkpoint().sequence.max(claim.checkpoint().scanned) < last {
            return Ok(true);
        }
        claim.pass_hole(id, Passed::Filled { mirror: there.name.clone() }, Resume::Behind(last)).await?;
        tracing::info!(lane, mirror = %there.name, hole = id, first, last, "lane.hole_filled");
        Ok(false)
    }
}

/// The mirror that has the most of what is missing, from its beginning or else from as early as any.
async fn mirror_of<'a, S: Source>(
    source: &S,
    mirrors: &'a [S],
    found: &Found,
    facts: &StreamFacts,
) -> Result<Option<(&'a S, StreamFacts)>, SourceError> {
    let (HoleKind::Trimmed, Some(last)) = (found.hole.kind, found.hole.last) else { return Ok(None) };
    let mut best: Option<(&'a S, StreamFacts)> = None;
    for mirror in mirrors {
        // One that does not answer may have what is missing: the lane waits for it rather than go on without.
        let there = mirror.inspect().await?;
        let has_some = there.first <= last && there.last >= found.hole.first && there.first <= there.last;
        let better = best.as_ref().is_none_or(|(_, best)| there.first < best.first);
        if has_some && better && is_mirror(source, facts, mirror, &there).await? {
            best = Some((mirror, there));
        }
    }
    Ok(best)
}

/// Whether a stream has the same messages under the same numbers, as far as both still have any.
async fn is_mirror<S: Source>(
    source: &S,
    facts: &StreamFacts,
    mirror: &S,
    there: &StreamFacts,
) -> Result<bool, SourceError> {
    let named = there.mirror_of.as_ref().is_none_or(|of| *of == facts.name);
    let both = facts.first.max(there.first);
    let mut same = named;
    if named && both <= facts.last.min(there.last) {
        let (ours, theirs) = (source.fetch(both).await?, mirror.fetch(both).await?);
        if let (Some(ours), Some(theirs)) = (ours, theirs) {
            same = ours.payload == theirs.payload && ours.published_at == theirs.published_at;
        }
    }
    if !same {
        tracing::error!(stream = %facts.name, mirror = %there.name, "mirror.is_none");
    }
    Ok(same)
}

#[cfg(test)]
mod tests {
    use reconverge_streams::{checkpoint::PlanDigest, disposition::Counts, source::StreamBounds};

    use super::*;

    /// A lane that has applied up to `sequence`, and a stream from `first` to 100.
    fn found(keeps_acknowledged: bool, sequence: u64, first: u64, was: Option<u64>) -> Option<Hole> {
        let checkpoint = Checkpoint {
            lane: "p/s/main/0".into(),
            stream: "S".into(),
            stream_created: 1,
            sequence,
            scanned: sequence,
            epoch: 2,
            owner: None,
            lease_until: None,
            generation: 1,
            plan: PlanDigest([0; 32]),
            delivered: sequence,
            counts: Counts::default(),
            committed_at: None,
        };
        let facts = StreamFacts {
            name: "S".into(),
            created: 1,
            first,
            first_at: Some(0),
            last: 100,
            keeps_acknowledged,
            deleted: 0,
            mirror_of: None,
            bounds: StreamBounds::default(),
        };
        judge(&checkpoint, &facts, was).map(|found| found.hole)
    }

    #[test]
    fn what_was_acknowledged_and_went_is_a_hole_only_where_the_sink_went_back() {
        let trimmed = |first, last| Some(Hole { kind: HoleKind::Trimmed, first, last: Some(last) });
        assert_eq!(found(true, 10, 11, None), None);
        assert_eq!(found(true, 10, 31, None), trimmed(11, 30));
        assert_eq!(found(false, 10, 31, None), None, "others acknowledged it, or it was of other lanes");
        assert_eq!(found(false, 10, 31, Some(30)), trimmed(11, 30));
        assert_eq!(found(false, 0, 31, Some(30)), trimmed(1, 30), "a sink that knows nothing any more");
        assert_eq!(found(false, 10, 11, Some(30)), None, "the stream still holds it");
    }
}
