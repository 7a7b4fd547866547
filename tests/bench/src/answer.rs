//! What a question came to: measures by contestant, each beside its baseline and its bar. [`crate::table`] shows it
//! to people; programs get it as JSON. Nothing here measures.

use serde::{Serialize, Serializer, ser::SerializeStruct};

use crate::trial::{median, ratios, spread};

/// What a measure is in, and whether more of it is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Less is better.
    NanosPerEvent,
    /// More is better.
    EventsPerSecond,
    /// Less is better.
    Micros,
    /// Less is better.
    Millis,
    /// Less is better.
    Megabytes,
    /// Less is better.
    PercentOfACore,
}

impl Unit {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Unit::NanosPerEvent => "ns/event",
            Unit::EventsPerSecond => "events/s",
            Unit::Micros => "us",
            Unit::Millis => "ms",
            Unit::Megabytes => "MB",
            Unit::PercentOfACore => "% of a core",
        }
    }
}

/// What the project wants to reach. It is shown as met or not; it never fails a run, since machines differ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// The median is below this.
    Below(f64),
    /// The median ratio to the baseline is at least this.
    RatioAtLeast(f64),
}

/// One contestant's share of an answer.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) unit: Unit,
    /// By round.
    pub(crate) measures: Vec<f64>,
    /// The name of what it is compared with, and its measure over that one's, by round.
    pub(crate) against: Option<(String, Vec<f64>)>,
    pub(crate) bar: Option<Bar>,
    /// Further facts, such as allocations per event.
    pub(crate) note: String,
}

impl Line {
    pub(crate) fn new(what: impl Into<String>, unit: Unit, measures: Vec<f64>) -> Line {
        Line { what: what.into(), unit, measures, against: None, bar: None, note: String::new() }
    }

    /// Compares it, round by round.
    pub(crate) fn against(mut self, name: &str, others: &[f64]) -> Line {
        self.against = Some((name.to_owned(), ratios(&self.measures, others)));
        self
    }

    pub(crate) fn bar(mut self, bar: Bar) -> Line {
        self.bar = Some(bar);
        self
    }

    pub(crate) fn note(mut self, note: impl Into<String>) -> Line {
        self.note = note.into();
        self
    }

    /// The median ratio to the baseline.
    pub(crate) fn ratio(&self) -> Option<f64> {
        self.against.as_ref().map(|(_, ratios)| median(ratios))
    }

    /// Whether the bar is met; `None` without one.
    pub(crate) fn is_met(&self) -> Option<bool> {
        Some(match self.bar? {
            Bar::Below(limit) => median(&self.measures) < limit,
            Bar::RatioAtLeast(least) => self.ratio()? >= least,
        })
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut line = serializer.serialize_struct("Line", 11)?;
        let (least, greatest) = spread(&self.measures);
        line.serialize_field("what", &self.what)?;
        line.serialize_field("unit", self.unit.word())?;
        line.serialize_field("median", &median(&self.measures))?;
        line.serialize_field("least", &least)?;
        line.serialize_field("greatest", &greatest)?;
        line.serialize_field("measures", &self.measures)?;
        line.serialize_field("against", &self.against.as_ref().map(|(name, _)| name))?;
        line.serialize_field("ratio", &self.ratio())?;
        line.serialize_field("bar", &self.bar.map(|bar| bar.to_string()))?;
        line.serialize_field("met", &self.is_met())?;
        line.serialize_field("note", &self.note)?;
        line.end()
    }
}

impl std::fmt::Display for Bar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Bar::Below(limit) => write!(f, "< {}", crate::table::short(*limit)),
            Bar::RatioAtLeast(least) => write!(f, ">= {least:.2} x"),
        }
    }
}

/// The answer to one question.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Answer {
    /// The word that selects the question.
    pub(crate) question: &'static str,
    /// What it asks.
    pub(crate) asks: String,
    pub(crate) lines: Vec<Line>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_met_by_the_median_or_by_the_ratio_of_pairs() {
        let line = Line::new("it", Unit::NanosPerEvent, vec![10.0, 30.0, 20.0]);
        assert_eq!(line.is_met(), None);
        assert_eq!(line.clone().bar(Bar::Below(20.0)).is_met(), Some(false));
        assert_eq!(line.clone().bar(Bar::Below(20.1)).is_met(), Some(true));
        let beside = line.against("other", &[20.0, 30.0, 40.0]).bar(Bar::RatioAtLeast(0.5));
        assert_eq!((beside.ratio(), beside.is_met()), (Some(0.5), Some(true)));
        assert_eq!(Line { bar: Some(Bar::RatioAtLeast(0.6)), ..beside }.is_met(), Some(false));
    }

    #[test]
    fn programs_get_the_measures_and_what_follows_from_them() {
        let line = Line::new("it", Unit::EventsPerSecond, vec![4.0, 2.0]).against("other", &[2.0, 2.0]);
        let json = serde_json::to_value(line.bar(Bar::RatioAtLeast(1.5))).unwrap();
        assert_eq!(json["median"], 3.0);
        assert_eq!((&json["least"], &json["greatest"]), (&2.0.into(), &4.0.into()));
        assert_eq!((&json["ratio"], &json["met"]), (&1.5.into(), &true.into()));
        assert_eq!((&json["bar"], &json["against"]), (&">= 1.50 x".into(), &"other".into()));
    }
}
