//! The batch while it is put together: events in, items and rows out.
//!
//! The order of the checks is SURFACE (g) 0: incomplete keys, then our own writes come back, then cells. A row
//! that fails half-way is taken back, so that a table's columns stay of one length.

use reconverge_streams::{
    columns::Columns, disposition::Disposition, event as seen, source::Delivery, table::TableId,
};

use crate::batch::{Batch, Item, ItemKind, Op, Refusal, TableBatch};

use super::{
    Decoder, Past,
    cell::{Cells, Wire},
    change::{self, append_key},
    event::Event,
    refusal::{Aside, Code, Fault},
    table::TableDecoder,
    violation,
};

pub(super) struct Assembly<'d> {
    pub(super) decoder: &'d Decoder,
    pub(super) batch: Batch,
    /// By table: its place in [`Batch::tables`].
    places: Vec<Option<usize>>,
    /// By table: one row of key cells, reused.
    pub(super) keys: Vec<Columns>,
    pub(super) cells: Cells<'d>,
    past: &'d Past<'d>,
    /// Rows of a table that there is made room for: its share, where the messages are of all tables alike.
    rows: usize,
}

/// How far a table's batch had come.
pub(super) struct Mark {
    pub(super) rows: usize,
    pub(super) keys: usize,
    pub(super) items: usize,
}

impl<'d> Assembly<'d> {
    /// For so many messages.
    pub(super) fn new(decoder: &'d Decoder, cells: Cells<'d>, past: &'d Past<'d>, messages: usize) -> Self {
        let tables = decoder.tables();
        let key_of = |t: &TableDecoder| Columns::new(t.key.iter().map(|k| t.fields[*k].shape.logical));
        Assembly {
            decoder,
            batch: Batch { items: Vec::with_capacity(messages), ..Batch::default() },
            places: vec![None; tables.len()],
            keys: tables.iter().map(key_of).collect(),
            cells,
            past,
            rows: messages / tables.len().max(1),
        }
    }

    pub(super) fn finish(self) -> Batch {
        self.batch
    }

    /// Adds what a message without a change is.
    pub(super) fn aside(&mut self, delivery: u32, aside: Aside) {
        let kind = match aside {
            Aside::Settled(disposition) => ItemKind::Settled(disposition),
            Aside::Refused(refusal) => ItemKind::Refused(refusal),
        };
        self.batch.items.push(Item { delivery, kind });
    }

    /// Adds the change of an event, or both halves of a key change.
    ///
    /// # Errors
    /// Why there is none; nothing was added then.
    pub(super) fn take(&mut self, event: &Event<'_>, at: u32, delivery: &Delivery) -> Result<(), Aside> {
        let decoder = self.decoder;
        let table = decoder.table(event.table);
        self.cells.wire = event.wire;
        let ours = event.came_by_here || decoder.is_region(event.origin) || self.written_by_us(table, event);
        if ours {
            self.read_key(table, event).map_err(|fault| decoder.refused(event.table, fault, None))?;
            return Err(Aside::Settled(Disposition::Echo));
        }
        if self.is_repeat(event, delivery) {
            return Err(Aside::Settled(Disposition::Duplicate));
        }
        let place = self.place(event.table);
        let mark = self.mark(place);
        let taken = acceptable(decoder, event).and_then(|()| self.rows(place, table, event, at, delivery));
        taken.map_err(|fault| {
            self.back_to(place, &mark);
            Aside::Refused(self.refusal(table, event, fault))
        })
    }

    /// Whether the event is known to have taken effect a moment ago. One that is not known may be a repetition too:
    /// the sink tells.
    fn is_repeat(&self, event: &Event<'_>, delivery: &Delivery) -> bool {
        if event.position.is_some() || change::is_redriven(delivery) {
            return false;
        }
        let Some(id) = change::event_id(event, delivery) else { return false };
        (self.past.repeated)(&seen::Event { table: event.table, source: event.source, id })
    }

    /// A dead letter with its key, where that reads. An incomplete key is the graver fault: it comes first.
    fn refusal(&mut self, table: &TableDecoder, event: &Event<'_>, fault: Fault) -> Refusal {
        let named = Some((table.id, table.name.as_str()));
        match self.read_key(table, event) {
            Ok(()) => fault.refusal(named, Some(self.key_bytes(event.table))),
            Err(key)
                if matches!(key.code, Code::MissingKey | Code::NullKey)
                    && fault.code != Code::NotAnEnvelope =>
            {
                key.refusal(named, None)
            }
            Err(_) => fault.refusal(named, None),
        }
    }

    fn place(&mut self, table: TableId) -> usize {
        let decoder = self.decoder;
        *self.places[table.index()].get_or_insert_with(|| {
            let columns = || {
                let mut columns = Columns::new(decoder.table(table).fields.iter().map(|f| f.shape.logical));
                columns.reserve(self.rows);
                columns
            };
            self.batch.tables.push(TableBatch {
                table,
                changes: Vec::with_capacity(self.rows),
                after: columns(),
                before: columns(),
                keys: Vec::new(),
            });
            self.batch.tables.len() - 1
        })
    }

    pub(super) fn mark(&self, place: usize) -> Mark {
        let table = &self.batch.tables[place];
        Mark { rows: table.changes.len(), keys: table.keys.len(), items: self.batch.items.len() }
    }

    pub(super) fn back_to(&mut self, place: usize, mark: &Mark) {
        let table = &mut self.batch.tables[place];
        table.after.truncate(mark.rows);
        table.before.truncate(mark.rows);
        table.changes.truncate(mark.rows);
        table.keys.truncate(mark.keys);
        self.batch.items.truncate(mark.items);
    }

    /// Reads the event's key into [`Self::keys`]: from `key` of a native envelope, else from its rows.
    pub(super) fn read_key(&mut self, table: &TableDecoder, event: &Event<'_>) -> Result<(), Fault> {
        let object = match (event.wire, event.op) {
            (Wire::Native, _) => event.key,
            (Wire::Debezium, Op::Delete) => event.before,
            (Wire::Debezium, _) => event.after,
        };
        let key = &mut self.keys[table.id.index()];
        match object {
            Some(json) => self.cells.key(json, event.facts.as_deref(), table, key),
            None => {
                key.truncate(0);
                Err(Fault::new(
                    Code::MissingKey,
                    "the message carries no key; hint: the source's table needs a primary key or REPLICA IDENTITY FULL",
                ))
            }
        }
    }

    pub(super) fn key_bytes(&self, table: TableId) -> Vec<u8> {
        let mut bytes = Vec::new();
        append_key(&self.keys[table.index()], 0..self.keys[table.index()].columns.len(), 0, &mut bytes);
        bytes
    }

    /// Whether the column that says who wrote the row names our region. A delete shows only who wrote the row
    /// that is gone, so it is never told by this column.
    fn written_by_us(&mut self, table: &TableDecoder, event: &Event<'_>) -> bool {
        let Some(column) = self.decoder.plan().table(event.table).origin_column else { return false };
        let Some(after) = event.after.filter(|_| event.op != Op::Delete) else { return false };
        violation::text_of(after, &table.fields[column].source_name).as_deref() == Some(self.decoder.region())
    }
}

/// Schema version and payload schema.
fn acceptable(decoder: &Decoder, event: &Event<'_>) -> Result<(), Fault> {
    let plan = decoder.plan().table(event.table);
    if let Some(version) = event.schema.filter(|v| !plan.accept.is_empty() && !plan.accept.contains(v)) {
        return Err(Fault::new(
            Code::SchemaVersion,
            format!("schema version {version} is not accepted; hint: see the table's `schema.accept`"),
        ));
    }
    match (&plan.payload_schema, event.after) {
        (Some(validator), Some(after)) => violation::check(validator, after),
        _ => Ok(()),
    }
}
