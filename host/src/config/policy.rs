//! Who stands where two changes meet: a table's policy, from its words to a value.

use std::fmt;

use super::spelling;

/// A table's order. One per table, whatever the kind of conflict: rules that differ by kind form cycles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The table has one writer: the incoming change always takes and no versions are kept.
    None,
    /// The incoming change takes only where no row stands.
    KeepCurrent,
    /// The incoming change always takes; versions are kept.
    TakeIncoming,
    /// The later commit time at the source wins. The default.
    LwwCommitTime,
    /// The greater value of a column of time wins.
    Lww(String),
    /// The greater value of a column wins.
    Max(String),
    /// The greater row of values wins, the first column first.
    Columns(Vec<String>),
    /// The region that stands earlier in the list wins; one that is not listed loses against all that are.
    OriginPriority(Vec<String>),
    /// The merge plugin of this name decides.
    Plugin(String),
}

/// The words with their arguments, for hints.
const FORMS: [&str; 6] = ["none", "keep-current", "take-incoming", "lww", "max", "origin-priority"];

impl Policy {
    /// Reads a policy's words; else what is wrong with them and what to write.
    pub(super) fn parse(words: &str) -> Result<Self, (String, String)> {
        let (head, arguments) = match words.split_once(':') {
            Some((head, arguments)) => (head, Some(arguments)),
            None => (words, None),
        };
        match (head, arguments) {
            ("none", None) => Ok(Self::None),
            ("keep-current", None) => Ok(Self::KeepCurrent),
            ("take-incoming", None) => Ok(Self::TakeIncoming),
            ("lww", Some("commit-time")) => Ok(Self::LwwCommitTime),
            ("lww", Some(columns)) => Ok(Self::by_columns(list(head, columns)?, Self::Lww)),
            ("max", Some(columns)) => Ok(Self::by_columns(list(head, columns)?, Self::Max)),
            ("origin-priority", Some(regions)) => list(head, regions).map(Self::OriginPriority),
            ("none" | "keep-current" | "take-incoming", Some(_)) => {
                Err((format!("policy `{head}` takes no argument"), format!("write `{head}`")))
            }
            ("lww", None) => Err((
                "policy `lww` needs a column or `commit-time`".to_owned(),
                "write `lww:updated_at` or `lww:commit-time`".to_owned(),
            )),
            ("max", None) => {
                Err(("policy `max` needs a column".to_owned(), "write `max:modification_epoch`".to_owned()))
            }
            ("origin-priority", None) => Err((
                "policy `origin-priority` needs regions".to_owned(),
                "write `origin-priority:us-east,us-west`, the first wins".to_owned(),
            )),
            _ => Err((
                format!("unknown policy `{words}`"),
                format!("{} (a plugin is written {{ plugin = \"name\" }})", spelling::hint(head, &FORMS)),
            )),
        }
    }

    fn by_columns(mut columns: Vec<String>, one: fn(String) -> Self) -> Self {
        if columns.len() == 1 { one(columns.remove(0)) } else { Self::Columns(columns) }
    }

    /// The columns that order the rows, in the order of comparison. A merge plugin's are in its contract.
    pub fn order_columns(&self) -> &[String] {
        match self {
            Self::Lww(column) | Self::Max(column) => std::slice::from_ref(column),
            Self::Columns(columns) => columns,
            Self::None
            | Self::KeepCurrent
            | Self::TakeIncoming
            | Self::LwwCommitTime
            | Self::OriginPriority(_)
            | Self::Plugin(_) => &[],
        }
    }

    /// Whether changes are put in an order: else `deletes` does not apply and regions may end differently.
    pub fn is_ordering(&self) -> bool {
        !matches!(self, Self::None | Self::KeepCurrent | Self::TakeIncoming)
    }

    /// Whether versions are kept per row; without them local writes are not seen.
    pub fn keeps_versions(&self) -> bool {
        *self != Self::None
    }
}

/// In the words of the file; a plugin as `plugin:name`.
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::KeepCurrent => f.write_str("keep-current"),
            Self::TakeIncoming => f.write_str("take-incoming"),
            Self::LwwCommitTime => f.write_str("lww:commit-time"),
            Self::Lww(column) => write!(f, "lww:{column}"),
            Self::Max(column) => write!(f, "max:{column}"),
            Self::Columns(columns) => write!(f, "max:{}", columns.join(",")),
            Self::OriginPriority(regions) => write!(f, "origin-priority:{}", regions.join(",")),
            Self::Plugin(name) => write!(f, "plugin:{name}"),
        }
    }
}

/// Names parted by commas, none empty and none twice.
fn list(head: &str, names: &str) -> Result<Vec<String>, (String, String)> {
    let names: Vec<String> = names.split(',').map(|name| name.trim().to_owned()).collect();
    for (n, name) in names.iter().enumerate() {
        if name.is_empty() {
            let message = format!("policy `{head}` has an empty name in its list");
            return Err((message, format!("write `{head}:first,second`")));
        }
        if names[..n].contains(name) {
            let message = format!("policy `{head}` names `{name}` twice");
            return Err((message, "leave the second out".to_owned()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::Policy;

    #[test]
    fn words_become_policies() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let cases = [
            ("none", Policy::None),
            ("keep-current", Policy::KeepCurrent),
            ("take-incoming", Policy::TakeIncoming),
            ("lww:commit-time", Policy::LwwCommitTime),
            ("lww:updated_at", Policy::Lww("updated_at".to_owned())),
            ("max:epoch", Policy::Max("epoch".to_owned())),
            ("max:epoch,region", Policy::Columns(names(&["epoch", "region"]))),
            ("lww:at, id", Policy::Columns(names(&["at", "id"]))),
            ("origin-priority:us-east,us-west", Policy::OriginPriority(names(&["us-east", "us-west"]))),
        ];
        for (words, policy) in cases {
            assert_eq!(Policy::parse(words), Ok(policy), "{words}");
        }
    }

    #[test]
    fn order_columns_are_those_that_the_words_name() {
        let columns = |words| Policy::parse(words).unwrap().order_columns().join("+");
        assert_eq!(columns("max:epoch,region"), "epoch+region");
        assert_eq!(columns("lww:updated_at"), "updated_at");
        assert_eq!(columns("lww:commit-time"), "");
    }
}
