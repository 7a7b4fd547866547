//! Bytes to changes: Reconverge's envelope and Debezium's, as JSON or MessagePack, to a [`Batch`] of columns.
//!
//! The second step in the life of an event, and a pure one. The sink's columns are the schema: each cell is
//! converted to its column's type here, once, and checked against what the column can hold. Every delivery
//! becomes at least one item, whatever its bytes are: a change, something settled, or a refusal with a reason
//! that names no value. Decode never decides between rows; [`crate::resolve`] does.

mod array;
mod assembly;
mod cell;
mod change;
mod debezium;
mod epochs;
mod decimal;
mod event;
mod field;
mod instant;
mod mark;
mod msgpack;
mod native;
mod number;
mod options;
mod refusal;
mod row;
mod share;
mod source_schema;
mod spelling;
mod table;
#[cfg(test)]
mod tests;
mod violation;

use std::{collections::HashMap, sync::Arc};

use reconverge_streams::{
    names::NameId,
    source::{Delivery, Pulled},
    table::TableId,
};

pub use crate::{batch::MOVED_HEADER, epochs::Epochs};
pub use mark::Mark;
pub use options::Options;
pub use refusal::Code;
pub use share::Share;

use crate::{batch::Batch, config::Format, plan::Plan};

use assembly::Assembly;
use cell::Cells;
use event::Event;
use options::Placeholder;
use refusal::{Aside, Fault};
use row::Image;
use table::TableDecoder;

const CONTENT_TYPE_HEADER: &str = "Content-Type";

/// What decode may know of the batches before, given to it so that it stays pure.
pub struct Past<'a> {
    /// Whether an event of a source without positions is known to have taken effect. False where it is not known.
    pub repeated: &'a (dyn Fn(&reconverge_streams::event::Event) -> bool + Sync),
    /// The epochs of sources that are known.
    pub epochs: Epochs,
}

impl Default for Past<'_> {
    fn default() -> Self {
        Past { repeated: &|_| false, epochs: Epochs::default() }
    }
}

/// Turns deliveries into batches of one plan's tables.
#[derive(Debug)]
pub struct Decoder {
    plan: Arc<Plan>,
    options: Options,
    placeholder: Placeholder,
    region: Arc<str>,
    tables: Vec<TableDecoder>,
    share: Share,
    /// By name without schema: the schemas that the plan names it with, none for any.
    by_name: HashMap<String, Vec<(Option<String>, TableId)>>,
}

impl Decoder {
    /// A decoder for the changes of one source.
    pub fn new(plan: Arc<Plan>, options: impl Into<Options>) -> Self {
        let options = options.into();
        let mut by_name: HashMap<String, Vec<_>> = HashMap::new();
        for (whole, id) in &plan.by_source_name {
            let (schema, name) = schema_and_name(whole);
            by_name.entry(name.into()).or_default().push((schema.map(str::to_owned), *id));
        }
        Decoder {
            by_name,
            placeholder: Placeholder::new(&options.unavailable_value),
            region: plan.names.get(plan.region),
            tables: plan.tables.iter().map(TableDecoder::new).collect(),
            share: Share::all(),
            options,
            plan,
        }
    }

    /// The same for a lane that has only a share of its partition's messages: the others are left out, as if they had
    /// not been delivered.
    #[must_use]
    pub fn for_share(self, share: Share) -> Self {
        Decoder { share, ..self }
    }

    /// Decodes what a pull brought. Never fails as a whole and never panics, whatever the bytes are.
    #[must_use]
    pub fn decode(&self, pulled: Pulled) -> Batch {
        self.decode_after(pulled, &Past::default())
    }

    /// [`Self::decode`] beside what is known of earlier batches.
    #[must_use]
    pub fn decode_after(&self, pulled: Pulled, past: &Past<'_>) -> Batch {
        let cells = Cells::new(&self.options, &self.placeholder, self.plan.value_bytes);
        let mut assembly = Assembly::new(self, cells, past, pulled.deliveries.len());
        let mut json = String::new();
        let through = pulled.deliveries.last().map_or(pulled.scanned, |delivery| delivery.sequence);
        let mut ours = Vec::with_capacity(pulled.deliveries.len());
        let (mut known, mut starts) = (past.epochs.clone(), Vec::new());
        for delivery in pulled.deliveries {
            let at = u32::try_from(ours.len()).expect("a batch has fewer messages than 2^32");
            let begun = epochs::begun(self, &delivery);
            if let Some(Ok(start)) = &begun {
                known.begin(*start);
                starts.push(*start);
            }
            let is_ours = match begun {
                Some(Err(refused)) => self.take_aside(&mut assembly, at, refused),
                _ => self.take(&mut assembly, at, &delivery, &known, &mut json),
            };
            if is_ours {
                ours.push(delivery);
            }
        }
        let mut batch = assembly.finish();
        batch.through = through;
        batch.scanned = pulled.scanned.max(through);
        batch.deliveries = ours;
        batch.epochs = past.epochs.clone();
        batch.epoch_starts = starts;
        batch
    }

    /// Adds a message to the batch; false where it is another lane's.
    fn take(
        &self,
        assembly: &mut Assembly<'_>,
        at: u32,
        delivery: &Delivery,
        known: &Epochs,
        json: &mut String,
    ) -> bool {
        match self.open(delivery, json) {
            Ok(event) if !self.share.has(event.table) => return false,
            Ok(mut event) => {
                epochs::place(&mut event, known, delivery);
                if let Err(aside) = assembly.take(&event, at, delivery) {
                    assembly.aside(at, aside);
                }
            }
            Err(aside) => return self.take_aside(assembly, at, aside),
        }
        true
    }

    /// The same for what brings no change.
    fn take_aside(&self, assembly: &mut Assembly<'_>, at: u32, aside: Aside) -> bool {
        let is_ours = self.share.has_aside(&aside);
        if is_ours {
            assembly.aside(at, aside);
        }
        is_ours
    }

    /// Reads the envelope of a message; `json` holds its JSON where the message is MessagePack.
    fn open<'a>(&self, delivery: &'a Delivery, json: &'a mut String) -> Result<Event<'a>, Aside> {
        let body = self.body(delivery, json);
        if self.is_native(delivery) { native::open(self, body) } else { debezium::open(self, body) }
    }

    fn is_native(&self, delivery: &Delivery) -> bool {
        self.options.format == Format::Native || delivery.header(native::VERSION_HEADER).is_some()
    }

    fn body<'a>(&self, delivery: &'a Delivery, json: &'a mut String) -> Body<'a> {
        let packed = if self.is_native(delivery) {
            delivery.header(CONTENT_TYPE_HEADER).is_some_and(is_msgpack)
        } else {
            self.options.format == Format::DebeziumMsgpack
        };
        Body { delivery, json: packed.then_some(json) }
    }

    /// The name of a source or origin.
    #[must_use]
    pub fn name(&self, id: NameId) -> Arc<str> {
        self.plan.names.get(id)
    }

    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn options(&self) -> &Options {
        &self.options
    }

    fn region(&self) -> &str {
        &self.region
    }

    fn is_region(&self, name: NameId) -> bool {
        self.plan.region == name
    }

    fn tables(&self) -> &[TableDecoder] {
        &self.tables
    }

    fn table(&self, id: TableId) -> &TableDecoder {
        &self.tables[id.index()]
    }

    /// A table by its name at the source. One that the plan names with this schema goes before one that it names
    /// without.
    fn table_named(&self, schema: Option<&str>, name: &str) -> Option<TableId> {
        let known = self.by_name.get(name)?;
        let with = schema.and_then(|schema| known.iter().find(|(s, _)| s.as_deref() == Some(schema)));
        with.or_else(|| known.iter().find(|(s, _)| s.is_none())).map(|(_, id)| *id)
    }

    fn before_image(&self, table: TableId) -> Image {
        if self.plan.table(table).full_before_images { Image::Before } else { Image::BeforeKey }
    }

    fn intern(&self, name: &str) -> Result<NameId, Fault> {
        self.plan.names.intern(name).map_err(|error| Fault::new(Code::TooManyNames, error.to_string()))
    }

    fn refused(&self, table: TableId, fault: Fault, key: Option<Vec<u8>>) -> Aside {
        Aside::Refused(fault.refusal(Some((table, &self.table(table).name)), key))
    }
}

fn schema_and_name(whole: &str) -> (Option<&str>, &str) {
    whole.split_once('.').map_or((None, whole), |(schema, name)| (Some(schema), name))
}

fn is_msgpack(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    ["application/msgpack", "application/x-msgpack", "application/vnd.msgpack"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

/// The body of a message, which is read only where its subject does not say enough.
struct Body<'a> {
    delivery: &'a Delivery,
    /// Where the body is MessagePack: what takes its JSON.
    json: Option<&'a mut String>,
}

impl<'a> Body<'a> {
    /// The body as JSON text.
    fn text(self) -> Result<&'a str, Aside> {
        let Some(json) = self.json else {
            return std::str::from_utf8(&self.delivery.payload).map_err(|_| {
                let what = "the body is no UTF-8; hint: is it MessagePack? See `Content-Type` and the source's `format`";
                Fault::new(Code::NotJson, what).into()
            });
        };
        match msgpack::write_json(&self.delivery.payload, json) {
            Ok(()) => Ok(json),
            Err(what) => {
                Err(Fault::new(Code::NotMsgpack, format!("the body is no MessagePack: {}", what.0)).into())
            }
        }
    }
}
