//! Whether a generation in shadow goes live: a rule over what was compared. Pure; how long it has run is given.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Compared;

/// When a generation in shadow is promoted, and when it is refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// Changes that have to be decided twice first.
    #[serde(default)]
    pub changes: u64,
    /// How long it has to run beside the live one first, in milliseconds.
    #[serde(default)]
    pub for_ms: u64,
    /// Changes that it may decide otherwise; any number where none is given.
    #[serde(default)]
    pub max_diff: Option<u64>,
    /// Calls that may fail.
    #[serde(default)]
    pub max_faults: u64,
    /// Whether a person says when: it stays in shadow until then.
    #[serde(default)]
    pub by_hand: bool,
}

/// See [`Promotion::judge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has not been seen long enough, or a person has to say.
    Wait,
    /// It goes live.
    Promote,
    /// It does not; why.
    Refuse(String),
}

impl Promotion {
    /// What is to be done after this much of a shadow run. Too many differences or faults refuse it at once.
    #[must_use]
    pub fn judge(&self, compared: &Compared, ran_for: Duration) -> Verdict {
        if compared.faults > self.max_faults {
            return Verdict::Refuse(format!(
                "{} of its calls failed in the shadow run, {} may",
                compared.faults, self.max_faults
            ));
        }
        if let Some(max) = self.max_diff.filter(|max| compared.differ > *max) {
            return Verdict::Refuse(format!(
                "it decides {} of {} changes otherwise than the live one, {max} may differ",
                compared.differ, compared.changes
            ));
        }
        let seen = compared.changes >= self.changes && ran_for >= Duration::from_millis(self.for_ms);
        if seen && !self.by_hand { Verdict::Promote } else { Verdict::Wait }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_waits_promotes_or_refuses() {
        let rule = Promotion { changes: 100, for_ms: 1000, max_diff: Some(2), max_faults: 0, by_hand: false };
        let seen = |changes, differ, faults| Compared { changes, differ, faults, ..Compared::default() };
        let (early, late) = (Duration::from_millis(999), Duration::from_secs(1));
        assert_eq!(rule.judge(&seen(100, 2, 0), late), Verdict::Promote);
        assert_eq!(rule.judge(&seen(99, 0, 0), late), Verdict::Wait);
        assert_eq!(rule.judge(&seen(100, 0, 0), early), Verdict::Wait);
        assert!(
            matches!(rule.judge(&seen(1, 3, 0), early), Verdict::Refuse(why) if why.contains("3 of 1 changes"))
        );
        assert!(matches!(rule.judge(&seen(1, 0, 1), early), Verdict::Refuse(why) if why.contains("0 may")));
        let by_hand = Promotion { by_hand: true, ..rule };
        assert_eq!(by_hand.judge(&seen(1000, 0, 0), late), Verdict::Wait);
        let any = Promotion { max_diff: None, ..rule };
        assert_eq!(any.judge(&seen(100, 99, 0), late), Verdict::Promote);
    }
}
