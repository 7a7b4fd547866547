//! The pattern that says where a change's source, partition, schema and table stand in its subject.
//!
//! Used twice: to make the filter that a lane's consumer asks JetStream for, and to read a delivered
//! subject. The envelope stays the truth where both say something.

use std::fmt;
use std::ops::Range;

use super::spelling;

/// `cdc.{source}.{partition}.>`, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectPattern {
    tokens: Vec<Token>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(String),
    /// `*`
    Any,
    /// `>`
    Rest,
    Source,
    Partition,
    Schema,
    Table,
}

const PLACEHOLDERS: [(&str, Token); 4] = [
    ("source", Token::Source),
    ("partition", Token::Partition),
    ("schema", Token::Schema),
    ("table", Token::Table),
];

/// What a subject says about the change in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubjectFacts<'a> {
    /// Name of the source (origin).
    pub source: Option<&'a str>,
    /// Number of the partition.
    pub partition: Option<u32>,
    /// Schema of the table, `_` in place of what a subject may not hold.
    pub schema: Option<&'a str>,
    /// Name of the table, likewise.
    pub table: Option<&'a str>,
}

/// What is wrong with a pattern: where in it, what, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPattern {
    pub part: Range<usize>,
    pub message: String,
    pub help: String,
}

impl SubjectPattern {
    /// Takes a pattern apart; all that is wrong with it is reported together.
    pub(super) fn parse(pattern: &str) -> Result<Self, Vec<BadPattern>> {
        let (mut tokens, mut wrong, mut start) = (Vec::new(), Vec::new(), 0);
        for part in pattern.split('.') {
            let place = start..start + part.len();
            start = place.end + 1;
            let last = place.end == pattern.len();
            match token(part, last) {
                Ok(token) if !matches!(token, Token::Literal(_) | Token::Any) && tokens.contains(&token) => {
                    wrong.push(BadPattern {
                        part: place,
                        message: format!("`{part}` stands twice in the subjects"),
                        help: "put `*` for the token that is not to be read".to_owned(),
                    });
                }
                Ok(token) => tokens.push(token),
                Err((message, help)) => wrong.push(BadPattern { part: place, message, help }),
            }
        }
        if wrong.is_empty() { Ok(Self { tokens }) } else { Err(wrong) }
    }

    /// Whether subjects say which partition they belong to.
    pub fn has_partition(&self) -> bool {
        self.tokens.contains(&Token::Partition)
    }

    /// Whether subjects say which source they come from, so that one stream carries several.
    pub fn has_source(&self) -> bool {
        self.tokens.contains(&Token::Source)
    }

    /// The filter subject of one partition, for a JetStream consumer.
    pub fn filter(&self, partition: u32) -> String {
        let tokens: Vec<String> = self
            .tokens
            .iter()
            .map(|token| match token {
                Token::Literal(text) => text.clone(),
                Token::Rest => ">".to_owned(),
                Token::Partition => partition.to_string(),
                Token::Any | Token::Source | Token::Schema | Token::Table => "*".to_owned(),
            })
            .collect();
        tokens.join(".")
    }

    /// Reads a subject; `None` where it does not fit the pattern.
    pub fn read<'a>(&self, subject: &'a str) -> Option<SubjectFacts<'a>> {
        let mut facts = SubjectFacts::default();
        let mut parts = subject.split('.');
        for token in &self.tokens {
            let part = parts.next().filter(|part| !part.is_empty())?;
            match token {
                Token::Literal(text) if text == part => {}
                Token::Literal(_) => return None,
                Token::Any => {}
                Token::Rest => return Some(facts),
                Token::Source => facts.source = Some(part),
                Token::Partition => facts.partition = Some(part.parse().ok()?),
                Token::Schema => facts.schema = Some(part),
                Token::Table => facts.table = Some(part),
            }
        }
        parts.next().is_none().then_some(facts)
    }
}

fn token(part: &str, last: bool) -> Result<Token, (String, String)> {
    let refuse = |message: String, help: &str| Err((message, help.to_owned()));
    match part {
        "" => refuse("an empty token in the subjects".to_owned(), "tokens are parted by single dots"),
        "*" => Ok(Token::Any),
        ">" if last => Ok(Token::Rest),
        ">" => refuse("`>` stands before the end of the subjects".to_owned(), "put `*` for a single token"),
        _ => match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => match PLACEHOLDERS.iter().find(|(known, _)| *known == name) {
                Some((_, token)) => Ok(token.clone()),
                None => Err((
                    format!("unknown placeholder `{part}` in the subjects"),
                    spelling::hint(name, &PLACEHOLDERS.map(|(known, _)| known)),
                )),
            },
            None if part.contains(['{', '}', '*', '>']) || part.contains(char::is_whitespace) => refuse(
                format!("`{part}` is no token of a subject"),
                "a placeholder or wildcard stands for a whole token, between dots",
            ),
            None => Ok(Token::Literal(part.to_owned())),
        },
    }
}

impl fmt::Display for SubjectPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, token) in self.tokens.iter().enumerate() {
            let dot = if n == 0 { "" } else { "." };
            match token {
                Token::Literal(text) => write!(f, "{dot}{text}")?,
                Token::Any => write!(f, "{dot}*")?,
                Token::Rest => write!(f, "{dot}>")?,
                Token::Source => write!(f, "{dot}{{source}}")?,
                Token::Partition => write!(f, "{dot}{{partition}}")?,
                Token::Schema => write!(f, "{dot}{{schema}}")?,
                Token::Table => write!(f, "{dot}{{table}}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{SubjectFacts, SubjectPattern};

    #[test]
    fn a_pattern_gives_the_filter_of_a_partition() {
        let cases = [
            ("cdc.us-east-1.{partition}.>", "cdc.us-east-1.3.>"),
            ("cdc.{source}.{partition}.{schema}.{table}", "cdc.*.3.*.*"),
            ("{source}.{schema}.{table}", "*.*.*"),
            ("orders.*", "orders.*"),
        ];
        for (text, filter) in cases {
            let pattern = SubjectPattern::parse(text).unwrap();
            assert_eq!(pattern.filter(3), filter);
            assert_eq!(pattern.to_string(), text);
        }
    }

    #[test]
    fn a_subject_is_read_by_the_pattern_or_does_not_fit() {
        let native = SubjectPattern::parse("cdc.{source}.{partition}.>").unwrap();
        let debezium = SubjectPattern::parse("{source}.{schema}.{table}").unwrap();
        let east = SubjectFacts { source: Some("us-east"), ..SubjectFacts::default() };
        let cases = [
            (&native, "cdc.us-east.7.public.orders", Some(SubjectFacts { partition: Some(7), ..east })),
            (&native, "cdc.us-east.x.public.orders", None),
            (&native, "cdc.us-east.7", None),
            (&native, "other.us-east.7.public", None),
            (
                &debezium,
                "us-east.public.a",
                Some(SubjectFacts { schema: Some("public"), table: Some("a"), ..east }),
            ),
            (&debezium, "us-east.transaction", None),
            (&debezium, "us-east.public.a.b", None),
            (&debezium, "us-east..a", None),
        ];
        for (pattern, subject, facts) in cases {
            assert_eq!(pattern.read(subject), facts, "{pattern} {subject}");
        }
    }
}
