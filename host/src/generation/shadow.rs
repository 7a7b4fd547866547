//! Shadow runs: a batch that was committed is decided once more by two generations, and what they say is compared.
//! Nothing is written. Both start from what stood then, so a difference is the plugins' and not the time's.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use reconverge_streams::{
    canonical,
    source::Pulled,
    table::TableId,
    writes::{ChangeIndex, Upserts, Writes},
};
use serde::{Deserialize, Serialize};

use crate::{
    batch::Batch,
    resolve::{self, LeftOut, keys},
};

use super::{
    Rules,
    recent::{Sample, asked},
};

/// Differences that are shown one by one; all are counted.
const SHOWN_MAX: usize = 20;

/// What a generation said of one change: words and a digest, never values of the row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    table: Option<TableId>,
    /// `applied`, `deleted`, `kept-current`, `dead-lettered (trap)`, ..
    outcome: String,
    reason: Option<String>,
    /// Of the row as it is written.
    row: Option<u64>,
}

/// A change that two generations decide otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Difference {
    /// The lane.
    pub lane: String,
    /// The change's sequence in the stream: `reconverge explain` and the stream tell the rest.
    pub sequence: u64,
    /// The table in the sink; none where decode could not tell.
    pub table: Option<String>,
    /// What the live generation says.
    pub live: String,
    /// What the new one says. Equal to `live` where both write, and write another row.
    pub new: String,
}

/// What shadow runs came to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// Batches decided twice.
    pub batches: u64,
    /// Batches that could not be decided twice: gone by too fast, or the new contract asks for other keys.
    pub missed: u64,
    /// Changes in them.
    pub changes: u64,
    /// Changes that the two decide otherwise.
    pub differ: u64,
    /// Calls to the new generation's plugins that failed.
    pub faults: u64,
    /// The first differences.
    pub examples: Vec<Difference>,
}

impl Compared {
    /// Decides a sample by both and adds what differs.
    pub fn add(&mut self, sample: &Sample, live: &mut Rules, new: &mut Rules) {
        let before = new.stages.faults();
        let (old, fresh) = (decided(sample, live), decided(sample, new));
        self.faults += new.stages.faults() - before;
        let (Some(old), Some(fresh)) = (old, fresh) else {
            self.missed += 1;
            return;
        };
        self.batches += 1;
        self.changes += sample.deliveries.len() as u64;
        let sequences = old.keys().chain(fresh.keys().filter(|sequence| !old.contains_key(sequence)));
        let nothing = Said { outcome: "no effect".to_owned(), ..Said::default() };
        for sequence in sequences {
            let (a, b) = (old.get(sequence).unwrap_or(&nothing), fresh.get(sequence).unwrap_or(&nothing));
            if a.outcome == b.outcome && a.row == b.row {
                continue;
            }
            self.differ += 1;
            if self.examples.len() < SHOWN_MAX {
                let name = |table: TableId| live.plan.table(table).shape.name.clone();
                self.examples.push(Difference {
                    lane: sample.lane.clone(),
                    sequence: *sequence,
                    table: a.table.or(b.table).map(name),
                    live: a.words(),
                    new: b.words(),
                });
            }
        }
    }
}

impl Said {
    fn words(&self) -> String {
        match &self.reason {
            Some(reason) => format!("{}: {reason}", self.outcome),
            None => self.outcome.clone(),
        }
    }
}

/// One generation's word on each change that it said anything of, by sequence. `None` where it would have asked the
/// sink for other keys: what stood for them is not known.
fn decided(sample: &Sample, rules: &mut Rules) -> Option<BTreeMap<u64, Said>> {
    let pulled = Pulled {
        deliveries: sample.deliveries.clone(),
        scanned: sample.deliveries.last().map_or(0, |delivery| delivery.sequence),
    };
    let mut batch = rules.decoder.decode(pulled);
    batch.include_relatives(&rules.plan);
    let prepared = rules.stages.prepare(&mut batch, &rules.plan);
    let (keyed, wanted) = keys::keyed(&batch, &rules.plan, sample.from, &[]);
    if asked(&wanted) != sample.asked {
        return None;
    }
    let left_out = LeftOut::default();
    let mut open = resolve::decide(
        &batch,
        &prepared,
        &keyed,
        &sample.standing,
        &left_out,
        rules.stages.as_mut(),
        &rules.plan,
        0,
    );
    let mut families = sample.families.iter();
    while open.asks().is_some() {
        let Some(family) = families.next() else { break };
        open.learn(family.clone());
    }
    Some(said(&batch, &open.close().writes))
}

/// A digest of what is written of a row, and of which columns.
fn written(upserts: &Upserts, row: usize) -> u64 {
    let mut bytes = Vec::new();
    canonical::row(&upserts.rows.columns.iter().collect::<Vec<_>>(), row, &mut bytes);
    let mut digest = DefaultHasher::new();
    (&upserts.columns, bytes).hash(&mut digest);
    digest.finish()
}

fn said(batch: &Batch, writes: &Writes) -> BTreeMap<u64, Said> {
    let sequence = |change: ChangeIndex| {
        let item = batch.items.get(change as usize)?;
        Some(batch.deliveries.get(item.delivery as usize)?.sequence)
    };
    let mut all: BTreeMap<u64, Said> = BTreeMap::new();
    for table in &writes.tables {
        for upserts in &table.upserts {
            for (row, change) in upserts.changes.iter().enumerate() {
                let Some(sequence) = sequence(*change) else { continue };
                let said = all.entry(sequence).or_default();
                said.table = Some(table.table);
                said.outcome = "applied".to_owned();
                said.row = Some(written(upserts, row));
            }
        }
        for change in &table.deletes.changes {
            let Some(sequence) = sequence(*change) else { continue };
            let said = all.entry(sequence).or_default();
            (said.table, said.outcome) = (Some(table.table), "deleted".to_owned());
        }
    }
    for decision in &writes.decisions {
        let said = all.entry(decision.sequence).or_default();
        said.table = Some(decision.table);
        said.outcome = decision.outcome.word().to_owned();
        said.reason = decision.reason.as_deref().map(str::to_owned);
    }
    for letter in &writes.dead {
        let said = all.entry(letter.sequence).or_default();
        said.table = letter.table;
        said.outcome = format!("dead-lettered ({})", letter.code);
    }
    all
}
