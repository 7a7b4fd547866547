//! What last-writer-wins would have left otherwise than the rule did: both sets of rows come from runs of the same
//! stream, none from a file. Pure but for the file that lists them all.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use reconverge_capture::split_brain::SCHEDULES;
use reconverge_capture::{How, Row, Rows, differences};

/// The list of all of them, below the demo's folder.
pub(super) const FILE: &str = "last_writer_wins.csv";
/// How a row that is not there stands in the list.
const NO_ROW: &str = "\\N";

/// A row that last-writer-wins would have left otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Harmed {
    /// Its key.
    pub(super) key: String,
    /// What would have happened to it.
    pub(super) harm: Harm,
    /// As the rule left it.
    pub(super) rule: Option<Row>,
    /// As last-writer-wins left it.
    pub(super) rival: Option<Row>,
}

/// What last-writer-wins does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Harm {
    /// Puts another version in its place.
    Overwritten,
    /// Deletes it.
    Lost,
    /// Brings it back after its delete.
    Resurrected,
}

/// The state of both at one moment of the stream.
#[derive(Debug)]
pub(super) struct Moment {
    /// What is done by then.
    pub(super) name: &'static str,
    /// The last sequence that was applied.
    pub(super) sequence: u64,
    /// In the order of their keys.
    pub(super) harmed: Vec<Harmed>,
}

impl Harm {
    /// All, in the order in which they are told.
    pub(super) const ALL: [Harm; 3] = [Harm::Overwritten, Harm::Lost, Harm::Resurrected];

    /// As the list and the story call it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Harm::Overwritten => "overwritten by an older version",
            Harm::Lost => "lost",
            Harm::Resurrected => "resurrected",
        }
    }
}

impl Moment {
    pub(super) fn new(name: &'static str, sequence: u64, harmed: Vec<Harmed>) -> Moment {
        Moment { name, sequence, harmed }
    }

    /// `48 overwritten by an older version, 4 lost, 1 resurrected`; what did not happen is left out.
    pub(super) fn summary(&self) -> String {
        let counted = Harm::ALL.map(|harm| (self.harmed.iter().filter(|row| row.harm == harm).count(), harm));
        let told = counted.iter().filter(|(count, _)| *count > 0);
        told.map(|(count, harm)| format!("{count} {}", harm.words())).collect::<Vec<_>>().join(", ")
    }
}

/// The schedules that differ between what the rule left and what its rival did, in the order of their keys.
pub(super) fn harmed(rule: &Rows, rival: &Rows) -> Vec<Harmed> {
    let of = |difference: reconverge_capture::Difference| {
        let harm = match difference.how {
            How::Missing => Harm::Lost,
            How::Unexpected => Harm::Resurrected,
            How::Cells(_) => Harm::Overwritten,
        };
        let key = std::slice::from_ref(&difference.key);
        let (rule, rival) = (rule.get(key).cloned(), rival.get(key).cloned());
        Harmed { key: difference.key, harm, rule, rival }
    };
    let mut rows = differences(rule, rival).into_iter().map(of).collect::<Vec<_>>();
    rows.sort_by(|one, other| one.key.cmp(&other.key));
    rows
}

/// Writes the list: moment, key, what would have happened, and both rows as JSON objects of text.
pub(super) fn write_csv(moments: &[Moment], file: &Path) -> Result<()> {
    let written = || -> Result<()> {
        let mut list = csv::Writer::from_path(file)?;
        list.write_record([
            "cut",
            "schedule_id",
            "last-writer-wins",
            "row by the rule",
            "row by last-writer-wins",
        ])?;
        for moment in moments {
            let cut = format!("{} ({})", moment.name, moment.sequence);
            for row in &moment.harmed {
                let (rule, rival) = (json(row.rule.as_ref())?, json(row.rival.as_ref())?);
                list.write_record([cut.as_str(), &row.key, row.harm.words(), &rule, &rival])?;
            }
        }
        Ok(list.flush()?)
    };
    written().with_context(|| format!("writing {}", file.display()))
}

fn json(row: Option<&Row>) -> Result<String> {
    let Some(row) = row else { return Ok(NO_ROW.to_owned()) };
    let names = SCHEDULES.columns.iter().map(|(name, _)| *name);
    let members = names.zip(row).collect::<BTreeMap<_, _>>();
    serde_json::to_string(&members).context("a row that is no JSON")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn schedule(key: &str, epoch: &str) -> Row {
        let shift = "2026-02-18T01:48:43.999999Z";
        let cells = [key, "360", shift, "infinity", epoch, "us-west", "please hold"];
        cells.into_iter().map(|cell| Some(cell.to_owned())).chain([None]).collect()
    }

    fn rows(schedules: &[(&str, &str)]) -> Rows {
        let mut rows = Rows::none(SCHEDULES);
        schedules.iter().for_each(|(key, epoch)| rows.add(schedule(key, epoch)).unwrap());
        rows
    }

    fn moments() -> [Moment; 1] {
        let rule = rows(&[("1001", "8"), ("1002", "9"), ("1003", "9"), ("1005", "9")]);
        let rival = rows(&[("1001", "8"), ("1002", "7"), ("1004", "5"), ("1005", "6")]);
        [Moment::new("recovery", 3987, harmed(&rule, &rival))]
    }

    #[test]
    fn each_harm_is_known_and_counted() {
        let [moment] = moments();
        let told = moment.harmed.iter().map(|row| (row.key.as_str(), row.harm)).collect::<Vec<_>>();
        let expected = [
            ("1002", Harm::Overwritten),
            ("1003", Harm::Lost),
            ("1004", Harm::Resurrected),
            ("1005", Harm::Overwritten),
        ];
        assert_eq!(told, expected);
        assert_eq!(moment.harmed[0].rule, Some(schedule("1002", "9")));
        assert_eq!(moment.harmed[0].rival, Some(schedule("1002", "7")));
        assert_eq!((&moment.harmed[1].rival, &moment.harmed[2].rule), (&None, &None));
        assert_eq!(moment.summary(), "2 overwritten by an older version, 1 lost, 1 resurrected");
        assert_eq!(
            Moment::new("end", 1, harmed(&rows(&[]), &rows(&[("1", "1")]))).summary(),
            "1 resurrected"
        );
    }

    #[test]
    fn the_list_has_the_form_of_the_one_beside_the_recording() {
        let file = tempfile::NamedTempFile::new().unwrap();
        write_csv(&moments(), file.path()).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        let theirs = reconverge_capture::split_brain::folder().join("lww_schedules.csv");
        let theirs = std::fs::read_to_string(theirs).unwrap();
        assert_eq!(text.lines().next(), theirs.lines().next());
        let columns = ["agent_id", "modification_epoch", "notes", "overtime_minutes", "region_source"];
        let order = columns.map(|name| text.find(name).unwrap());
        assert!(order.is_sorted(), "{order:?}");
        assert!(
            text.contains("recovery (3987),1003,lost,") && text.lines().nth(2).unwrap().ends_with(",\\N")
        );
    }
}
