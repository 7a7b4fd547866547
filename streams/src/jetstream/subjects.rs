//! The pattern that cuts a stream into partitions: `cdc.us-east-1.{partition}.>` becomes the filter of a consumer.
//!
//! It never looks at a message: what a subject says about a change is the decoder's to read.

use crate::source::SourceError;

const PLACEHOLDERS: [&str; 4] = ["{source}", "{partition}", "{schema}", "{table}"];

/// Subjects with `{partition}`, `{source}`, `{schema}` or `{table}` in place of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilterPattern {
    tokens: Vec<String>,
}

impl FilterPattern {
    /// Takes a pattern apart.
    ///
    /// # Errors
    /// [`SourceError::Setup`] where it is no NATS subject or holds an unknown placeholder.
    pub fn parse(pattern: &str) -> Result<FilterPattern, SourceError> {
        let tokens: Vec<&str> = pattern.split('.').collect();
        for (index, token) in tokens.iter().enumerate() {
            check(token, index + 1 == tokens.len()).map_err(|(why, hint)| SourceError::Setup {
                what: format!("subjects `{pattern}`: {why}"),
                hint,
            })?;
        }
        Ok(FilterPattern { tokens: tokens.into_iter().map(str::to_owned).collect() })
    }

    /// The subjects that a consumer of one partition is filtered by. The same for all partitions where the pattern
    /// has no `{partition}`.
    #[must_use]
    pub fn filter(&self, partition: u32) -> Vec<String> {
        vec![self.with(&partition.to_string())]
    }

    /// The subjects of all partitions: what a stream must hold.
    #[must_use]
    pub fn subjects(&self) -> Vec<String> {
        vec![self.with("*")]
    }

    /// Whether a subject says which partition it is of.
    pub(super) fn has_partition(&self) -> bool {
        self.tokens.iter().any(|token| token == "{partition}")
    }

    fn with(&self, partition: &str) -> String {
        let token = |token: &String| match token.as_str() {
            "{partition}" => partition.to_owned(),
            "{source}" | "{schema}" | "{table}" => "*".to_owned(),
            other => other.to_owned(),
        };
        self.tokens.iter().map(token).collect::<Vec<_>>().join(".")
    }
}

fn check(token: &str, last: bool) -> Result<(), (String, String)> {
    if token.is_empty() {
        return Err(("a token is empty".to_owned(), "put exactly one dot between tokens".to_owned()));
    }
    if PLACEHOLDERS.contains(&token) || token == "*" || (token == ">" && last) {
        return Ok(());
    }
    if token == ">" {
        return Err(("`>` stands before the end".to_owned(), "write `*` for one token".to_owned()));
    }
    if token.contains(['{', '}']) {
        return Err((
            format!("`{token}` is unknown"),
            format!("a whole token may be {}", PLACEHOLDERS.map(|name| format!("`{name}`")).join(", ")),
        ));
    }
    if token.contains(['*', '>']) || token.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err((
            format!("`{token}` is no token of a subject"),
            "`*` and `>` stand alone; blanks are not allowed".to_owned(),
        ));
    }
    Ok(())
}

/// Whether some subject matches both patterns.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.split('.'), other.split('.'));
    loop {
        match (one.next(), other.next()) {
            (Some(">"), Some(_)) | (Some(_), Some(">")) | (None, None) => return true,
            (Some(a), Some(b)) if a == b || a == "*" || b == "*" => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_becomes_the_filter_of_a_partition() {
        for (pattern, filter, subjects) in [
            ("cdc.us-east-1.{partition}.>", "cdc.us-east-1.7.>", "cdc.us-east-1.*.>"),
            ("cdc.{source}.{partition}.>", "cdc.*.7.>", "cdc.*.*.>"),
            ("{source}.{schema}.{table}", "*.*.*", "*.*.*"),
            ("us.public.shifts", "us.public.shifts", "us.public.shifts"),
        ] {
            let parsed = FilterPattern::parse(pattern).unwrap();
            assert_eq!(parsed.filter(7), [filter], "{pattern}");
            assert_eq!(parsed.subjects(), [subjects], "{pattern}");
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused_with_a_hint() {
        for (pattern, word) in [
            ("", "empty"),
            ("cdc..x", "empty"),
            ("cdc.>.x", "before the end"),
            ("cdc.{part}.x", "`{part}` is unknown"),
            ("cdc.p{partition}", "`p{partition}` is unknown"),
            ("cdc.a b", "no token"),
            ("cdc.a*", "no token"),
        ] {
            let error = FilterPattern::parse(pattern).unwrap_err();
            let SourceError::Setup { what, hint } = error else { panic!("{error}") };
            assert!(what.contains(word) && !hint.is_empty(), "{pattern}: {what}");
        }
    }

    #[test]
    fn patterns_overlap_where_a_subject_matches_both() {
        for (one, other, both) in [
            ("cdc.>", "cdc.a.0.>", true),
            ("cdc.*.0.>", "cdc.a.*.b.c", true),
            ("cdc.a", "cdc.a", true),
            ("*", ">", true),
            ("cdc.a", "cdc.b", false),
            ("cdc.a.>", "cdc.a", false),
            ("cdc.*", "cdc.a.b", false),
            ("other.>", "cdc.>", false),
        ] {
            assert_eq!(overlap(one, other), both, "{one} {other}");
            assert_eq!(overlap(other, one), both, "{other} {one}");
        }
    }
}
