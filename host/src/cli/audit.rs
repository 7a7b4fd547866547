//! `reconverge audit`: shows whether the ledger balances and matches the stream. The counting is the engine's.

use crate::assemble::{self, AuditReport, LaneAudit};

use super::{
    arguments::Global,
    connect,
    exit::Exit,
    failure::Failure,
    logging::{Bar, Loudness},
    output::{self, grouped},
};

pub(super) async fn audit(global: &Global) -> Result<Exit, Failure> {
    let pipeline = connect::pipeline(global, Loudness::Warn, &Bar::default())?;
    let report = assemble::audit(&pipeline).await?;
    output::show(global.json, &report, words)?;
    Ok(if report.balanced { Exit::Done } else { Exit::Runtime })
}

fn words(report: &AuditReport) -> String {
    if report.lanes.is_empty() {
        return "no lane of this pipeline ever ran: nothing to count\n".to_owned();
    }
    let head = ["lane", "delivered#", "dispositions#", "in the stream#", "from#", "through#", "verdict"];
    let mut text = output::table(&head, report.lanes.iter().map(row));
    for lane in &report.lanes {
        if let Some(note) = &lane.recount.note {
            text.push_str(&format!("\nnote: {}: {note}\n", lane.lane));
        }
    }
    text.push_str(if report.balanced {
        "\nThe ledger balances.\n"
    } else {
        "\nTHE LEDGER DOES NOT BALANCE.\n"
    });
    text
}

fn row(lane: &LaneAudit) -> Vec<String> {
    let verdict = match (lane.balanced, lane.recount.matches) {
        (false, _) => "dispositions do not add up to what was delivered",
        (true, Some(true)) => "balances, as the stream has it",
        (true, Some(false)) => "the stream holds another number",
        (true, None) => "balances; the stream no longer holds it all",
    };
    let recount = &lane.recount;
    let mut row = vec![lane.lane.clone()];
    row.extend([lane.delivered, lane.sum, recount.changes, recount.from, recount.through].map(grouped));
    row.push(verdict.to_owned());
    row
}

#[cfg(test)]
mod tests {
    use crate::assemble::Recount;

    use super::*;

    fn report(sum: u64, changes: u64) -> AuditReport {
        let recount = Recount { from: 1, through: 9, changes, matches: Some(changes == 5), note: None };
        let lane = LaneAudit {
            lane: "p/main/main/0".to_owned(),
            delivered: 5,
            sum,
            balanced: sum == 5,
            dispositions: [("applied", sum)].into(),
            recount,
        };
        AuditReport { balanced: sum == 5 && changes == 5, lanes: vec![lane] }
    }

    #[test]
    fn the_verdict_says_what_is_wrong() {
        let cases = [(5, 5, "The ledger balances"), (4, 5, "do not add up"), (5, 6, "holds another number")];
        for (sum, changes, verdict) in cases {
            let text = words(&report(sum, changes));
            assert!(text.contains(verdict), "{text}");
        }
    }
}
