//! What comes of a contest, in the words of a contests file, and how two of them are told apart.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Who decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum By {
    /// The plugin was asked.
    #[default]
    Plugin,
    /// The plugin was not asked: nothing stands, the contract's columns are equal, or a delete wins.
    Host,
}

impl By {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "the shape that serde wants")]
    fn is_plugin(&self) -> bool {
        *self == By::Plugin
    }
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Merge: `keep`, `take`, `write`, `delete`, `refuse`; of the host also `tie`. Before merge: `keep`, `drop`,
    /// `suppress`, `refuse`.
    pub verdict: String,
    /// Who decided.
    #[serde(default, skip_serializing_if = "By::is_plugin")]
    pub by: By,
    /// Whether the loser is to be archived.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub archive: bool,
    /// Of a refusal: the fixed word of its dead letter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Why, in the plugin's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What was put in place, by column.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub written: Map<String, Value>,
}

impl Decision {
    /// A decision of the host.
    pub(super) fn of_host(verdict: &str, reason: &str) -> Self {
        Decision { verdict: verdict.into(), by: By::Host, reason: Some(reason.into()), ..Decision::default() }
    }

    /// A decision of the plugin.
    pub(super) fn of_plugin(verdict: &str) -> Self {
        Decision { verdict: verdict.into(), ..Decision::default() }
    }

    /// In words, for a table.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = self.verdict.clone();
        if self.archive {
            words.push_str(", archive");
        }
        if !self.written.is_empty() {
            words.push_str(&format!(" {}", Value::Object(self.written.clone())));
        }
        if let Some(code) = &self.code {
            words.push_str(&format!(" [{code}]"));
        }
        if let Some(reason) = &self.reason {
            words.push_str(&format!(": {reason}"));
        }
        if self.by == By::Host {
            words.push_str(" (the host)");
        }
        words
    }

    /// In words that hold no value of a row and no word of the plugin: for logs and reports.
    #[must_use]
    pub fn outline(&self) -> String {
        let mut words = self.verdict.clone();
        if !self.written.is_empty() {
            let columns: Vec<&str> = self.written.keys().map(String::as_str).collect();
            words.push_str(&format!(" ({})", columns.join(", ")));
        }
        if self.archive {
            words.push_str(" and archive");
        }
        if let Some(code) = &self.code {
            words.push_str(&format!(" [{code}]"));
        }
        words
    }

    /// Whether it is what an author wrote down. A number may be written as one or as text, as in an envelope.
    #[must_use]
    pub fn is_as(&self, expected: &Decision) -> bool {
        let plain = |decision: &Decision| Decision { written: Map::new(), ..decision.clone() };
        plain(self) == plain(expected)
            && self.written.len() == expected.written.len()
            && self
                .written
                .iter()
                .all(|(column, cell)| expected.written.get(column).is_some_and(|other| same(cell, other)))
    }
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(number), Value::String(text)) | (Value::String(text), Value::Number(number)) => {
            number.to_string() == *text
        }
        _ => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(text: &str) -> Decision {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn decisions_are_compared_in_all_that_they_say() {
        let found = decision(r#"{"verdict":"write","archive":true,"written":{"n":7}}"#);
        assert!(found.is_as(&decision(r#"{"verdict":"write","archive":true,"written":{"n":"7"}}"#)));
        for other in [
            r#"{"verdict":"take","archive":true,"written":{"n":7}}"#,
            r#"{"verdict":"write","written":{"n":7}}"#,
            r#"{"verdict":"write","archive":true,"written":{"n":8}}"#,
            r#"{"verdict":"write","archive":true,"written":{"m":7}}"#,
            r#"{"verdict":"write","archive":true,"written":{"n":7,"m":1}}"#,
            r#"{"verdict":"write","archive":true,"reason":"x","written":{"n":7}}"#,
        ] {
            assert!(!found.is_as(&decision(other)), "{other}");
        }
    }

    #[test]
    fn what_is_not_said_is_not_written() {
        assert_eq!(serde_json::to_string(&Decision::of_plugin("keep")).unwrap(), r#"{"verdict":"keep"}"#);
        let host = Decision::of_host("tie", "equal");
        assert_eq!(host.words(), "tie: equal (the host)");
        assert!(serde_json::from_str::<Decision>(r#"{"verdict":"keep","why":1}"#).is_err());
    }
}
