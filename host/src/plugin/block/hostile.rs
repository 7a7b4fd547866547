//! An answer of any bytes, checked and read to its last cell as the host does it: the door for fuzzing, which has
//! no plugin to ask. Nothing in the life of an event passes here.

use reconverge_streams::{columns::State, logical::Logical};

use super::{Wanted, check};
use crate::plugin::bindings::base::reconverge::plugin::types::Answer;

/// Whether an answer for `rows` rows holds under a contract that writes columns of the types `writes`. Every cell of
/// one that holds is read, so that a check which lets too much by shows as a panic.
#[must_use]
pub fn answer_holds(
    rows: usize,
    writes: &[Logical],
    verdict: Vec<u8>,
    reason: Vec<u8>,
    reasons: Vec<String>,
    block: Vec<u8>,
) -> bool {
    let bytes_max = 1 << 20;
    let answer = Answer { verdict, reason, reasons, block };
    let wanted: Vec<Wanted> = writes.iter().map(|logical| Wanted::of(*logical)).collect();
    let Ok(answered) = check(&answer, rows, &wanted, bytes_max) else { return false };
    for row in 0..rows {
        let named = answered.reason(row).map(|at| answered.reasons[at].len());
        let _ = (answered.verdicts[row], named);
        for column in answered.columns.iter().filter(|column| column.state(row) == State::Value) {
            let _ = (column.bit(row), column.eight(row), column.bytes(row).len());
        }
    }
    true
}
