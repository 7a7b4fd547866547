//! A release: changes that waited, put together as a batch of their own. They stand in stream order and move no
//! checkpoint, since they were counted when they began to wait: their counts move instead, in the ledger of the lane that
//! counted them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use reconverge_streams::{
    disposition::{Counts, Disposition},
    source::Pulled,
    waiting::{Waiting, WaitingId},
    writes::ChangeIndex,
};

use crate::{
    batch::{Batch, ItemKind},
    decode::Decoder,
    resolve::Resolved,
    stages::{Passed, Prepared},
    waiting::{Passage, Stored},
};

/// See the module.
pub(super) struct Released {
    ids: Vec<WaitingId>,
    /// Changes that were to be released too and could not be written.
    tried: Vec<WaitingId>,
    stored: Vec<Stored>,
    /// Message by message: the lane that counted its changes, where that is another one.
    counted_by: Vec<Option<Arc<str>>>,
    /// How many changes each lane has counted; under `None` this one.
    due: BTreeMap<Option<Arc<str>>, u64>,
}

impl Released {
    /// Of what the sink keeps, the changes of these ids, in order.
    pub(super) fn of(kept: &[Waiting], ids: &[WaitingId], tried: &[WaitingId]) -> Self {
        let (mut stored, mut counted_by) = (Vec::<Stored>::new(), Vec::new());
        let mut due = BTreeMap::new();
        for waiting in kept.iter().filter(|waiting| ids.contains(&waiting.id)) {
            let sequence = waiting.id.sequence;
            *due.entry(waiting.counted_by.clone()).or_default() += 1;
            let Some(read) = Stored::read(sequence, &waiting.change) else { continue };
            // Both halves of a key change are in one message.
            let is_known = stored.last().is_some_and(|last| last.delivery.sequence == sequence);
            if !(is_known && read.passage == Passage::Whole) {
                stored.push(read);
                counted_by.push(waiting.counted_by.clone());
            }
        }
        if due.keys().all(Option::is_none) {
            counted_by.clear();
        }
        Released { ids: ids.to_vec(), tried: tried.to_vec(), stored, counted_by, due }
    }

    /// The changes, decoded by the table as it is now. The checkpoint stays at `sequence`.
    pub(super) fn batch(&self, decoder: &Decoder, sequence: u64) -> Batch {
        let deliveries = self.stored.iter().map(|stored| stored.delivery.clone()).collect();
        let mut batch = decoder.decode(Pulled { deliveries, scanned: sequence });
        (batch.through, batch.scanned) = (sequence, sequence);
        batch.counted_by.clone_from(&self.counted_by);
        batch
    }

    /// What residency has said already. A change that it passed as it came is asked about once more, since the table
    /// may have columns by now that it had not.
    pub(super) fn known(&self, batch: &Batch) -> Prepared {
        let mut known = Prepared::all(batch);
        self.each(batch, &mut known, |passage, passed, may_keep| match passage {
            Passage::Whole => {}
            // Not to be asked about: put back by `restored`.
            Passage::Redacted => (*passed, *may_keep) = (Passed::Filtered, false),
            Passage::Suppressed => (*passed, *may_keep) = (Passed::Suppressed, false),
        });
        known
    }

    /// What residency left of a change goes on to filter and mapping.
    pub(super) fn restored(&self, batch: &Batch, admitted: &mut Prepared) {
        self.each(batch, admitted, |passage, passed, _| {
            if passage == Passage::Redacted {
                *passed = Passed::Keep;
            }
        });
    }

    fn each(&self, batch: &Batch, said: &mut Prepared, mut of: impl FnMut(Passage, &mut Passed, &mut bool)) {
        for (table, said) in batch.tables.iter().zip(&mut said.tables) {
            for (row, change) in table.changes.iter().enumerate() {
                let delivery = batch.items[change.item as usize].delivery as usize;
                if let Some(stored) = self.stored.get(delivery) {
                    of(stored.passage, &mut said.passed[row], &mut said.residency_passed[row]);
                }
            }
        }
    }

    /// The waiting changes behind changes of the batch.
    pub(super) fn ids_of(&self, batch: &Batch, changes: &[ChangeIndex]) -> Vec<WaitingId> {
        let id = |change: &ChangeIndex| {
            let item = batch.items.get(*change as usize)?;
            let ItemKind::Change(table, row) = item.kind else { return None };
            let table = &batch.tables[table as usize];
            let sequence = batch.deliveries[item.delivery as usize].sequence;
            let id = WaitingId { sequence, table: table.table, key: table.key(row as usize).to_vec() };
            self.ids.contains(&id).then_some(id)
        };
        changes.iter().filter_map(id).collect()
    }

    /// The counts of a decided release become moves of what was counted as parked.
    pub(super) fn settle(&self, resolved: &mut Resolved) {
        let writes = &mut resolved.writes;
        writes.released.clone_from(&self.ids);
        writes.tried.clone_from(&self.tried);
        writes.events.clear();
        resolved.events.clear();
        let elsewhere = std::mem::take(&mut resolved.elsewhere);
        let mut here = std::mem::take(&mut resolved.writes.counts);
        elsewhere.values().for_each(|counts| here.take_out(counts));
        for (lane, due) in &self.due {
            let counts = lane.as_ref().map_or(here, |lane| elsewhere.get(lane).copied().unwrap_or_default());
            // A key change of which not even the key can be told any more is one dead letter, and was two changes.
            let missing = (Disposition::DeadLettered, due.saturating_sub(counts.sum()));
            for (to, n) in
                counts.present().chain([missing]).filter(|&(to, n)| to != Disposition::Parked && n > 0)
            {
                resolved.writes.reclassify(lane.as_ref(), Disposition::Parked, to, n);
            }
        }
        for (table, counts) in std::mem::take(&mut resolved.counts) {
            let Some(table) = table else { continue };
            for (to, n) in counts.present().filter(|(to, _)| *to != Disposition::Parked) {
                resolved.reclassified.extend((0..n).map(|_| (table, Disposition::Parked, to)));
            }
            resolved.counts.insert(Some(table), Counts::default());
        }
        let digests: HashMap<u64, [u8; 32]> =
            self.stored.iter().map(|stored| (stored.delivery.sequence, stored.digest)).collect();
        for letter in &mut resolved.writes.dead {
            if let Some(digest) = digests.get(&letter.sequence) {
                letter.digest = *digest;
            }
        }
    }
}
