//! Shifts: the total of two columns, and a label for it.

use reconverge_sdk::{Columns, Mapped, Writes, mapping};

/// The struct is the contract: the host hands over these columns, and takes those of `Totals` back.
#[derive(Columns, Debug)]
struct Shift {
    minutes: i64,
    overtime: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Writes)]
struct Totals {
    total: i64,
    label: &'static str,
}

#[mapping(name = "NAME")]
fn decide(shift: &Shift) -> Mapped<Totals> {
    if shift.minutes < 0 {
        return Mapped::failed("minutes are less than none");
    }
    let total = shift.minutes + shift.overtime.unwrap_or(0);
    Mapped::write(Totals { total, label: if total > 480 { "long" } else { "normal" } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_overtime_is_none() {
        let totals = Totals { total: 480, label: "normal" };
        assert_eq!(decide(&Shift { minutes: 480, overtime: None }), Mapped::write(totals));
    }
}
