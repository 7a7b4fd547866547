//! The rows of one event in its table's batch, and the change that they belong to.
//!
//! A delete has no row after it but its key; an update whose key changed becomes a delete and a create.

use std::sync::Arc;

use reconverge_streams::{
    canonical,
    columns::{Column, Columns, State},
    source::Delivery,
};
use smallvec::SmallVec;

use crate::batch::{Change, Item, ItemKind, Op, Redrive, TableBatch};

use super::{
    assembly::{Assembly, Mark},
    cell::Wire,
    event::Event,
    refusal::{Code, Fault},
    row::{Image, Row, complete},
    table::TableDecoder,
};

/// Names the first delivery of a message that an operator sent again: `<stream>/<sequence>`.
const REDRIVE_HEADER: &str = "Reconverge-Redrive";

/// What JetStream tells repetitions by, for minutes; of a source without positions it is the event's id.
const MESSAGE_ID_HEADER: &str = "Nats-Msg-Id";

impl Assembly<'_> {
    /// Appends the rows of an event, and the change or both halves of it.
    ///
    /// # Errors
    /// A part of it may have been appended then.
    pub(super) fn rows(
        &mut self,
        place: usize,
        table: &TableDecoder,
        event: &Event<'_>,
        at: u32,
        delivery: &Delivery,
    ) -> Result<(), Fault> {
        let moved = self.other_key(table, event);
        if event.op == Op::Delete {
            self.read_key(table, event)?;
            self.push_delete(place, table, event)?;
            let row = self.batch.tables[place].changes.len();
            if self.key_before(place, table, row).is_some() {
                return Err(Fault::new(Code::KeyMismatch, "`key` and `before` name different rows"));
            }
            self.push_change(place, event, Op::Delete, moved, at, delivery);
            return Ok(());
        }
        self.push_write(place, table, event)?;
        let row = self.batch.tables[place].changes.len();
        if event.op != Op::Update || event.before.is_none() {
            self.push_change(place, event, event.op, moved, at, delivery);
            return Ok(());
        }
        match self.key_before(place, table, row) {
            None => self.push_change(place, event, event.op, moved, at, delivery),
            Some(old) => self.split(place, table, event, old, at, delivery)?,
        }
        Ok(())
    }

    /// Appends `after` and `before` of a create, update or snapshot row, and its key.
    fn push_write(&mut self, place: usize, table: &TableDecoder, event: &Event<'_>) -> Result<(), Fault> {
        let json = event.after.ok_or_else(|| {
            Fault::new(Code::NotAnEnvelope, format!("`op` is {} and `after` is missing", event.op.letter()))
        })?;
        let native = event.wire == Wire::Native;
        if native {
            self.read_key(table, event)?;
        }
        let batch = &mut self.batch.tables[place];
        let key = native.then(|| &self.keys[table.id.index()]);
        let facts = event.facts.as_deref();
        let row = Row { json, image: Image::After, absent: &event.absent, key, facts };
        self.cells.row(row, table, &mut batch.after)?;
        let at = batch.after.rows() - 1;
        for column in &table.key {
            complete(batch.after.columns[*column].state(at), &table.fields[*column].source_name)?;
        }
        let begin = batch.keys.len();
        append_key(&batch.after, table.key.iter().copied(), at, &mut batch.keys);
        if let Some(key) = key {
            let named = &mut self.cells.bytes;
            named.clear();
            append_key(key, 0..key.columns.len(), 0, named);
            if *named != batch.keys[begin..] {
                return Err(Fault::new(Code::KeyMismatch, "`key` and `after` name different rows"));
            }
        }
        match (event.op, event.before) {
            (Op::Update, Some(json)) => {
                let image = self.decoder.before_image(table.id);
                self.cells.row(Row { json, image, absent: &[], key: None, facts }, table, &mut batch.before)
            }
            (Op::Update, None) => {
                batch.before.push_row_of(State::Unavailable);
                Ok(())
            }
            _ => {
                batch.before.push_row_of(State::NoRow);
                Ok(())
            }
        }
    }

    /// Appends the rows of a delete of the key in [`Self::keys`]: no row after, but for the key; before it what
    /// the source sent and the table believes.
    fn push_delete(&mut self, place: usize, table: &TableDecoder, event: &Event<'_>) -> Result<(), Fault> {
        let batch = &mut self.batch.tables[place];
        let key = &self.keys[table.id.index()];
        push_key_row(&mut batch.after, table, key, State::NoRow);
        append_key(key, 0..key.columns.len(), 0, &mut batch.keys);
        match event.before {
            Some(json) => {
                let image = self.decoder.before_image(table.id);
                let facts = event.facts.as_deref();
                let row = Row { json, image, absent: &[], key: Some(key), facts };
                self.cells.row(row, table, &mut batch.before)
            }
            None => {
                push_key_row(&mut batch.before, table, key, State::Unavailable);
                Ok(())
            }
        }
    }

    /// The key of `before` in canonical bytes, where it is complete and another than that of `after`.
    fn key_before(&mut self, place: usize, table: &TableDecoder, row: usize) -> Option<Vec<u8>> {
        let batch = &self.batch.tables[place];
        let known = |column: &usize| batch.before.columns[*column].state(row) == State::Value;
        if !table.key.iter().all(known) {
            return None;
        }
        let before = &mut self.cells.bytes;
        before.clear();
        append_key(&batch.before, table.key.iter().copied(), row, before);
        (*before != batch.keys[key_begin(batch)..]).then(|| before.clone())
    }

    /// Takes an update whose key changed apart: a delete of the old key, then a create of the new one.
    fn split(
        &mut self,
        place: usize,
        table: &TableDecoder,
        event: &Event<'_>,
        old: Vec<u8>,
        at: u32,
        delivery: &Delivery,
    ) -> Result<(), Fault> {
        let begin = key_begin(&self.batch.tables[place]);
        let new = self.batch.tables[place].keys[begin..].to_vec();
        self.back_to(place, &Mark { keys: begin, ..self.mark(place) });
        let before = event.before.expect("a key change is told by its before image");
        self.cells.key(before, event.facts.as_deref(), table, &mut self.keys[table.id.index()])?;
        self.push_delete(place, table, event)?;
        self.push_change(place, event, Op::Delete, Some(new), at, delivery);
        self.push_write(place, table, event)?;
        let batch = &mut self.batch.tables[place];
        batch.before.truncate(batch.changes.len());
        batch.before.push_row_of(State::NoRow);
        self.push_change(place, event, Op::Create, Some(old), at, delivery);
        Ok(())
    }

    /// The canonical key in a key change's header.
    fn other_key(&mut self, table: &TableDecoder, event: &Event<'_>) -> Option<Vec<u8>> {
        let json = event.other_key.as_deref()?;
        self.cells.key(json, event.facts.as_deref(), table, &mut self.keys[table.id.index()]).ok()?;
        Some(self.key_bytes(table.id))
    }

    /// Adds the change whose rows and key were appended last.
    fn push_change(
        &mut self,
        place: usize,
        event: &Event<'_>,
        op: Op,
        moved: Option<Vec<u8>>,
        at: u32,
        delivery: &Delivery,
    ) {
        let item = number(self.batch.items.len());
        let batch = &mut self.batch.tables[place];
        let key = number(key_begin(batch))..number(batch.keys.len());
        let row = number(batch.changes.len());
        batch.changes.push(Change {
            item,
            op,
            key,
            source: event.source,
            position: event.position,
            origin: event.origin,
            at: event.at,
            published_at: delivery.published_at,
            schema: event.schema.unwrap_or(0),
            moved,
            clocks: event.clocks.clone(),
            event_id: event_id(event, delivery),
            transaction: event.transaction.clone(),
            redriven: redrive(delivery),
        });
        self.batch.items.push(Item { delivery: at, kind: ItemKind::Change(number(place), row) });
    }
}

/// What tells an event of a source without positions: the id in its envelope, else the message's.
pub(super) fn event_id(event: &Event<'_>, delivery: &Delivery) -> Option<Arc<str>> {
    let of_message = || delivery.header(MESSAGE_ID_HEADER).filter(|id| !id.is_empty()).map(Arc::from);
    event.event_id.clone().or_else(|| of_message().filter(|_| event.position.is_none()))
}

/// Where the key of the change that is being added begins.
fn key_begin(batch: &TableBatch) -> usize {
    batch.changes.last().map_or(0, |change| change.key.end as usize)
}

/// Appends the canonical key of a row.
pub(super) fn append_key(columns: &Columns, key: impl Iterator<Item = usize>, row: usize, out: &mut Vec<u8>) {
    let columns: SmallVec<[&Column; 4]> = key.map(|column| &columns.columns[column]).collect();
    canonical::key(&columns, row, out);
}

/// Appends a row that knows nothing but its key.
fn push_key_row(into: &mut Columns, table: &TableDecoder, key: &Columns, state: State) {
    for (at, cell) in into.columns.iter_mut().enumerate() {
        match table.key.iter().position(|k| *k == at) {
            Some(place) => cell.push_from(&key.columns[place], 0),
            None => cell.push_state(state),
        }
    }
    into.end_row();
}

/// Whether an operator sent the message again.
pub(super) fn is_redriven(delivery: &Delivery) -> bool {
    redrive(delivery).is_some()
}

/// The sequence of the first delivery of a message that an operator sent again.
pub(super) fn first_sequence(delivery: &Delivery) -> Option<u64> {
    redrive(delivery).map(|redrive| redrive.sequence)
}

fn redrive(delivery: &Delivery) -> Option<Arc<Redrive>> {
    let (stream, sequence) = delivery.header(REDRIVE_HEADER)?.rsplit_once('/')?;
    Some(Arc::new(Redrive { stream: stream.into(), sequence: sequence.parse().ok()? }))
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a batch is bounded far below 4 GiB")
}
