//! Secrets: taken from the environment, refused in the file, hidden in everything that is printed.
//!
//! `${NAME}` in a url is replaced by the variable of that name. A password or token that stands in the
//! file itself is an error, and `mask` blanks it in the text that diagnostics show.

use std::fmt;
use std::ops::Range;

use super::environment::Environment;

/// A url that may hold a password. `Debug` and `Display` hide it.
#[derive(Clone, PartialEq, Eq)]
pub struct ConnectionUrl(String);

impl ConnectionUrl {
    pub(super) fn new(url: String) -> Self {
        Self(url)
    }

    /// The url with its password, for the client that connects with it and for nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&mask(&self.0))
    }
}

impl fmt::Debug for ConnectionUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&mask(&self.0), f)
    }
}

/// Why a `${NAME}` was not replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unresolved {
    /// The variable is not set.
    NotSet(String),
    /// `${` without `}`, or no name between.
    Malformed,
}

/// Replaces each `${NAME}` by the variable of that name; all that could not be are reported together.
pub(super) fn interpolate(text: &str, environment: &dyn Environment) -> Result<String, Vec<Unresolved>> {
    let (mut resolved, mut unresolved, mut rest) = (String::new(), Vec::new(), text);
    while let Some(start) = rest.find("${") {
        resolved.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else {
            unresolved.push(Unresolved::Malformed);
            rest = "";
            break;
        };
        let name = &rest[start + 2..start + length];
        match environment.variable(name) {
            _ if !is_variable(name) => unresolved.push(Unresolved::Malformed),
            Some(value) => resolved.push_str(&value),
            None => unresolved.push(Unresolved::NotSet(name.to_owned())),
        }
        rest = &rest[start + length + 1..];
    }
    resolved.push_str(rest);
    if unresolved.is_empty() { Ok(resolved) } else { Err(unresolved) }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Where literal passwords and tokens stand in a url or in any text that has urls in it.
pub(super) fn literal_secrets(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("://") {
        found.extend(in_authority(text, at));
    }
    let lower = text.to_ascii_lowercase();
    for (at, word) in lower.match_indices("password=") {
        let start = at + word.len();
        let end = text[start..].find(['&', '"', '\'', ' ', '\n', '\r']).map_or(text.len(), |n| start + n);
        found.push(start..end);
    }
    found.retain(|range| is_literal(&text[range.clone()]));
    found
}

/// The password of `scheme://user:password@host`, or the token of `nats://token@host`.
fn in_authority(text: &str, colon: usize) -> Option<Range<usize>> {
    let start = colon + "://".len();
    let end = text[start..].find(['/', '?', '"', ' ', ',', '\n', '\r']).map_or(text.len(), |n| start + n);
    let at = start + text[start..end].rfind('@')?;
    match text[start..at].find(':') {
        Some(n) => Some(start + n + 1..at),
        None => ["nats", "tls", "ws", "wss"]
            .iter()
            .any(|scheme| text[..colon].ends_with(scheme))
            .then_some(start..at),
    }
}

/// Anything that is left when every `${NAME}` is taken away is literal.
fn is_literal(secret: &str) -> bool {
    let mut rest = secret;
    loop {
        match (rest.strip_prefix("${"), rest.find('}')) {
            (Some(_), Some(end)) => rest = &rest[end + 1..],
            _ => return !rest.is_empty(),
        }
    }
}

/// The same text, each byte of a literal secret replaced by `*`, so that places in it stay the same.
pub(super) fn mask(text: &str) -> String {
    let mut masked = text.to_owned();
    for range in literal_secrets(text) {
        masked.replace_range(range.clone(), &"*".repeat(range.len()));
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::super::tests::World;
    use super::{ConnectionUrl, Unresolved, interpolate, mask};

    #[test]
    fn variables_come_from_the_environment_alone() {
        let world = World::default().with("A", "one").with("B_2", "two");
        let not_set = |name: &str| Unresolved::NotSet(name.to_owned());
        let cases = [
            ("plain", Ok("plain".to_owned())),
            ("${A}", Ok("one".to_owned())),
            ("x${A}y${B_2}z", Ok("xoneytwoz".to_owned())),
            ("$A and {B}", Ok("$A and {B}".to_owned())),
            ("${NO}-${NEITHER}", Err(vec![not_set("NO"), not_set("NEITHER")])),
            ("${A", Err(vec![Unresolved::Malformed])),
            ("${}", Err(vec![Unresolved::Malformed])),
            ("${2}", Err(vec![Unresolved::Malformed])),
        ];
        for (text, expected) in cases {
            assert_eq!(interpolate(text, &world), expected, "{text}");
        }
    }

    #[test]
    fn literal_secrets_are_masked_and_references_are_not() {
        let cases = [
            ("postgres://app:hunter2@db/cc", "postgres://app:*******@db/cc"),
            ("postgres://app:${PW}@db/cc", "postgres://app:${PW}@db/cc"),
            ("postgres://app:${PW}x@db/cc", "postgres://app:******@db/cc"),
            ("postgres://app@db/cc", "postgres://app@db/cc"),
            ("nats://s3cr3t@nats:4222", "nats://******@nats:4222"),
            ("nats://a:b@one,nats://c:d@two", "nats://a:*@one,nats://c:*@two"),
            ("host=db password=hunter2 user=app", "host=db password=******* user=app"),
            ("postgres://db/cc?password=hunter2&x=1", "postgres://db/cc?password=*******&x=1"),
            ("url = \"nats://u:päss@n\"\nb = 1", "url = \"nats://u:*****@n\"\nb = 1"),
        ];
        for (text, masked) in cases {
            assert_eq!(mask(text), masked);
            assert_eq!(mask(text).len(), text.len(), "{text}");
        }
    }

    #[test]
    fn a_url_hides_its_password_when_it_is_printed() {
        let url = ConnectionUrl::new("postgres://app:hunter2@db/cc".to_owned());
        assert!(!format!("{url} {url:?}").contains("hunter2"));
        assert_eq!(url.expose(), "postgres://app:hunter2@db/cc");
    }
}
