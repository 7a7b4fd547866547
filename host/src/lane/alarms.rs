//! What an operator should look at, by name: raised and cleared by a lane, shown by `/ready` and the metrics.
//! Nothing is decided by it.

use std::{collections::BTreeMap, sync::Mutex};

/// The alarms of one lane that stand at this moment.
#[derive(Debug, Default)]
pub struct Alarms(Mutex<BTreeMap<&'static str, String>>);

/// A stream lost what was not applied, or is another one; nobody has accepted it.
pub const HOLE: &str = "hole";
/// The stream's limits come near what is not applied.
pub const RETENTION: &str = "retention";
/// More is kept beside than somebody should be left to find out.
pub const PARKED: &str = "parked";

impl Alarms {
    /// Those that stand: name, and what is to be seen.
    #[must_use]
    pub fn standing(&self) -> Vec<(&'static str, String)> {
        let standing = self.0.lock().expect("no holder panics");
        standing.iter().map(|(name, words)| (*name, words.clone())).collect()
    }

    /// Raises an alarm, or says it anew; whether it did not stand before.
    pub(super) fn raise(&self, lane: &str, name: &'static str, words: String) -> bool {
        metrics::gauge!("reconverge_alarm", "lane" => lane.to_owned(), "alarm" => name).set(1.0);
        self.0.lock().expect("no holder panics").insert(name, words).is_none()
    }

    /// Clears an alarm; whether it stood.
    pub(super) fn clear(&self, lane: &str, name: &'static str) -> bool {
        metrics::gauge!("reconverge_alarm", "lane" => lane.to_owned(), "alarm" => name).set(0.0);
        self.0.lock().expect("no holder panics").remove(name).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_stands_until_it_is_cleared() {
        let alarms = Alarms::default();
        assert!(alarms.raise("l", RETENTION, "half".into()));
        assert!(!alarms.raise("l", RETENTION, "more".into()));
        assert_eq!(alarms.standing(), [(RETENTION, "more".to_owned())]);
        assert!(alarms.clear("l", RETENTION) && !alarms.clear("l", RETENTION));
        assert!(alarms.standing().is_empty());
    }
}
