//! Patterns of names: `tmp_*` names every table whose name begins with `tmp_`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A pattern of names, in which `*` stands for any characters. It names a table by its whole name or, where the
/// pattern has no dot, by the part behind the schema: `tmp_*` names `public.tmp_states` too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Pattern(String);

impl Pattern {
    /// A pattern.
    #[must_use]
    pub fn new(pattern: &str) -> Self {
        Pattern(pattern.into())
    }

    /// Whether it names a table.
    #[must_use]
    pub fn names(&self, table: &str) -> bool {
        let bare = table.rsplit_once('.').map_or(table, |(_, bare)| bare);
        matches(&self.0, table) || (!self.0.contains('.') && matches(&self.0, bare))
    }
}

/// Greedy matching with one step back: linear for the patterns that people write.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::Pattern;

    #[test]
    fn a_star_stands_for_any_characters() {
        for (pattern, name, named) in [
            ("tmp_*", "tmp_session_state", true),
            ("tmp_*", "public.tmp_session_state", true),
            ("tmp_*", "tmp", false),
            ("*_session*", "user_sessions", true),
            ("a*b*c", "abbc", true),
            ("a*b*c", "acb", false),
            ("ab*ba", "aba", false),
            ("*", "", true),
            ("schedules", "schedules2", false),
            ("public.*", "public.t", true),
            ("public.*", "private.t", false),
            ("public.t", "t", false),
        ] {
            assert_eq!(Pattern::new(pattern).names(name), named, "{pattern} {name}");
        }
    }
}
