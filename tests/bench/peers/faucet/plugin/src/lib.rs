//! What our three plugins do to a change, for faucet-stream: it calls `transform` once a record, with JSON in and JSON out.
//!
//! Residency keeps every row of the workload, the filter drops rows that are nearly empty, the mapping gives `notes` what
//! the source calls `remark` and `overtime` its default. One module for all three, since each call of this interface copies
//! and parses the record. Cells are borrowed as they stand in the JSON and never parsed: the cheapest way that there is.

use std::cell::RefCell;

use serde::Deserialize;
use serde_json::value::RawValue;

/// The answers of the interface that are no place of a record.
const DROP: i64 = 0;
const ERROR: i64 = -1;
/// The version of the source's table that the mapping knows.
const SCHEMA: u32 = 3;
/// A row with a greater share of empty columns beside its key is dropped.
const EMPTY_SHARE_MAX: f64 = 0.9;
/// The text that makes [`transform_or_trap`] trap.
const TRAP: &str = "\"trap\"";

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    after: Row<'a>,
    schema: u32,
}

#[derive(Deserialize)]
struct Row<'a> {
    #[serde(borrow)]
    schedule_id: &'a RawValue,
    agent_id: Option<&'a RawValue>,
    shift_start: Option<&'a RawValue>,
    modification_epoch: Option<&'a RawValue>,
    region_source: Option<&'a RawValue>,
    remark: Option<&'a RawValue>,
    overtime: Option<&'a RawValue>,
}

/// What the host writes into, and what it reads, kept from record to record.
#[derive(Default)]
struct Buffers {
    incoming: Vec<u8>,
    answer: String,
    error: String,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Room for a record.
#[unsafe(no_mangle)]
pub extern "C" fn alloc(len: i32) -> i32 {
    let len = usize::try_from(len).unwrap_or_default();
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers.incoming.len() < len {
            buffers.incoming.resize(len, 0);
        }
        place(buffers.incoming.as_ptr())
    })
}

/// The three rules; a record that is no envelope is an error.
#[unsafe(no_mangle)]
pub extern "C" fn transform(_: i32, len: i32) -> i64 {
    decided(len, false)
}

/// The same, with a trap where a remark says so.
#[unsafe(no_mangle)]
pub extern "C" fn transform_or_trap(_: i32, len: i32) -> i64 {
    decided(len, true)
}

/// Where the words of the last error are.
#[unsafe(no_mangle)]
pub extern "C" fn error_ptr() -> i32 {
    BUFFERS.with_borrow(|buffers| place(buffers.error.as_ptr()))
}

/// How long they are.
#[unsafe(no_mangle)]
pub extern "C" fn error_len() -> i32 {
    BUFFERS.with_borrow(|buffers| i32::try_from(buffers.error.len()).unwrap_or_default())
}

fn decided(len: i32, traps: bool) -> i64 {
    let len = usize::try_from(len).unwrap_or_default();
    // With nothing borrowed, since the host goes on with the same instance.
    answered(len, traps).unwrap_or_else(|| std::process::abort())
}

/// The answer; none where a trap is asked for.
fn answered(len: usize, traps: bool) -> Option<i64> {
    BUFFERS.with_borrow_mut(|buffers| {
        let Buffers { incoming, answer, error } = buffers;
        let record = incoming.get(..len).unwrap_or_default();
        let envelope = match serde_json::from_slice::<Envelope<'_>>(record) {
            Ok(envelope) => envelope,
            Err(why) => {
                *error = format!("no envelope: {why}");
                return Some(ERROR);
            }
        };
        if traps && envelope.after.remark.is_some_and(|remark| remark.get() == TRAP) {
            return None;
        }
        if empty_share(&envelope.after) > EMPTY_SHARE_MAX {
            return Some(DROP);
        }
        answer.clear();
        mapped(&envelope, answer);
        let len = i64::try_from(answer.len()).unwrap_or_default();
        Some((i64::from(place(answer.as_ptr())) << 32) | len)
    })
}

fn empty_share(row: &Row<'_>) -> f64 {
    let cells =
        [row.agent_id, row.shift_start, row.modification_epoch, row.region_source, row.remark, row.overtime];
    let empty = cells.iter().filter(|cell| cell.is_none_or(|cell| cell.get() == "\"\"")).count();
    empty as f64 / cells.len() as f64
}

fn mapped(envelope: &Envelope<'_>, answer: &mut String) {
    let row = &envelope.after;
    let mut cell = |lead: &str, cell: Option<&RawValue>, otherwise: &str| {
        answer.push_str(lead);
        answer.push_str(cell.map_or(otherwise, RawValue::get));
    };
    cell("{\"schedule_id\":", Some(row.schedule_id), "null");
    cell(",\"agent_id\":", row.agent_id, "null");
    cell(",\"shift_start\":", row.shift_start, "null");
    cell(",\"modification_epoch\":", row.modification_epoch, "null");
    cell(",\"region_source\":", row.region_source, "null");
    if envelope.schema == SCHEMA {
        cell(",\"notes\":", row.remark, "null");
        cell(",\"overtime\":", row.overtime, "0");
    }
    answer.push('}');
}

/// An address as the interface has it: 32 bits.
fn place<T>(at: *const T) -> i32 {
    at as usize as i32
}
