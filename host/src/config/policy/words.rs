//! The words of a policy: a head, its arguments behind a colon, and for rules that put rows together or leave some pairs
//! open the order that decides them, behind ` by `.

use super::Policy;
use crate::config::spelling;

/// What is wrong with the words, and what to write.
type Wrong = (String, String);

/// The heads, for hints.
const HEADS: [&str; 9] = [
    "none",
    "keep-current",
    "take-incoming",
    "lww",
    "max",
    "origin-priority",
    "vector",
    "column-merge",
    "counter",
];

/// Reads a policy's words.
pub(super) fn parse(words: &str) -> Result<Policy, Wrong> {
    let (rule, by) = match words.split_once(" by ") {
        Some((rule, by)) => (rule.trim_end(), Some(by.trim_start())),
        None => (words, None),
    };
    let (head, arguments) = match rule.split_once(':') {
        Some((head, arguments)) => (head, Some(arguments)),
        None => (rule, None),
    };
    match (head, arguments) {
        ("vector", None) => Ok(Policy::Vector(by.map(|by| order(head, by)).transpose()?.map(Box::new))),
        ("column-merge", None) => Ok(Policy::ColumnMerge(Box::new(order_or_time(head, by)?))),
        ("counter", Some(columns)) => {
            let counters = list(head, columns)?;
            let by = order_or_time(head, by)?;
            if let Some(both) = counters.iter().find(|counter| by.order_columns().contains(counter)) {
                let what = format!("policy `counter` sums `{both}` and orders by it");
                return Err((what, "order by a column that is no sum".to_owned()));
            }
            Ok(Policy::Counter { counters, by: Box::new(by) })
        }
        ("counter", None) => Err((
            "policy `counter` needs the columns that are sums".to_owned(),
            "write `counter:views,likes`; the rest of the row goes by commit time, or `counter:views by lww:updated_at`"
                .to_owned(),
        )),
        ("vector" | "column-merge", Some(_)) => Err((
            format!("policy `{head}` takes no argument"),
            format!("write `{head}`, or `{head} by lww:updated_at`"),
        )),
        _ => match (plain(head, arguments), by) {
            (Some(policy), None) => policy,
            (Some(_), Some(_)) => Err((
                format!("policy `{head}` takes no `by`"),
                "only `vector`, `column-merge` and `counter` do: the others decide every pair".to_owned(),
            )),
            (None, _) => Err((
                format!("unknown policy `{words}`"),
                format!("{} (a plugin is written {{ plugin = \"name\" }})", spelling::hint(head, &HEADS)),
            )),
        },
    }
}

/// A policy that stands alone; `None` for words that begin none.
fn plain(head: &str, arguments: Option<&str>) -> Option<Result<Policy, Wrong>> {
    let wrong = |what: &str, help: &str| Err((what.to_owned(), help.to_owned()));
    Some(match (head, arguments) {
        ("none", None) => Ok(Policy::None),
        ("keep-current", None) => Ok(Policy::KeepCurrent),
        ("take-incoming", None) => Ok(Policy::TakeIncoming),
        ("lww", Some("commit-time")) => Ok(Policy::LwwCommitTime),
        ("lww", Some("hlc")) => Ok(Policy::LwwHlc),
        ("lww", Some(columns)) => list(head, columns).map(|columns| by_columns(columns, Policy::Lww)),
        ("max", Some(columns)) => list(head, columns).map(|columns| by_columns(columns, Policy::Max)),
        ("origin-priority", Some(regions)) => list(head, regions).map(Policy::OriginPriority),
        ("none" | "keep-current" | "take-incoming", Some(_)) => {
            Err((format!("policy `{head}` takes no argument"), format!("write `{head}`")))
        }
        ("lww", None) => wrong(
            "policy `lww` needs a column, `commit-time` or `hlc`",
            "write `lww:updated_at`, `lww:commit-time` or `lww:hlc`",
        ),
        ("max", None) => wrong("policy `max` needs a column", "write `max:modification_epoch`"),
        ("origin-priority", None) => wrong(
            "policy `origin-priority` needs regions",
            "write `origin-priority:us-east,us-west`, the first wins",
        ),
        _ => return None,
    })
}

/// What stands behind `by`: an order of two changes, whatever else they are.
fn order(head: &str, by: &str) -> Result<Policy, Wrong> {
    let (first, arguments) = by.split_once(':').map_or((by, None), |(first, rest)| (first, Some(rest)));
    match plain(first, arguments) {
        Some(Ok(policy)) if policy.is_ordering() => Ok(policy),
        Some(Err(wrong)) => Err(wrong),
        _ => Err((
            format!("`{by}` is no order that `{head}` could go by"),
            format!(
                "write `{head} by lww:commit-time`, or `lww:hlc`, `lww:COLUMN`, `max:COLUMN`, `origin-priority:..`"
            ),
        )),
    }
}

fn order_or_time(head: &str, by: Option<&str>) -> Result<Policy, Wrong> {
    by.map_or(Ok(Policy::LwwCommitTime), |by| order(head, by))
}

fn by_columns(mut columns: Vec<String>, one: fn(String) -> Policy) -> Policy {
    if columns.len() == 1 { one(columns.remove(0)) } else { Policy::Columns(columns) }
}

/// Names parted by commas, none empty and none twice.
fn list(head: &str, names: &str) -> Result<Vec<String>, Wrong> {
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
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn words_become_policies() {
        let counter = |counters: &[&str], by| Policy::Counter { counters: names(counters), by: Box::new(by) };
        let cases = [
            ("none", Policy::None),
            ("keep-current", Policy::KeepCurrent),
            ("take-incoming", Policy::TakeIncoming),
            ("lww:commit-time", Policy::LwwCommitTime),
            ("lww:hlc", Policy::LwwHlc),
            ("lww:updated_at", Policy::Lww("updated_at".to_owned())),
            ("max:epoch", Policy::Max("epoch".to_owned())),
            ("max:epoch,region", Policy::Columns(names(&["epoch", "region"]))),
            ("lww:at, id", Policy::Columns(names(&["at", "id"]))),
            ("origin-priority:us-east,us-west", Policy::OriginPriority(names(&["us-east", "us-west"]))),
            ("vector", Policy::Vector(None)),
            ("vector by lww:hlc", Policy::Vector(Some(Box::new(Policy::LwwHlc)))),
            ("column-merge", Policy::ColumnMerge(Box::new(Policy::LwwCommitTime))),
            ("column-merge by max:epoch", Policy::ColumnMerge(Box::new(Policy::Max("epoch".to_owned())))),
            ("counter:views,likes", counter(&["views", "likes"], Policy::LwwCommitTime)),
            ("counter:views by lww:at", counter(&["views"], Policy::Lww("at".to_owned()))),
        ];
        for (words, policy) in cases {
            assert_eq!(parse(words), Ok(policy), "{words}");
        }
    }

    #[test]
    fn a_policy_reads_back_from_its_own_words() {
        for words in [
            "none",
            "keep-current",
            "take-incoming",
            "lww:commit-time",
            "lww:hlc",
            "lww:updated_at",
            "max:epoch",
            "max:epoch,region",
            "origin-priority:us-east,us-west",
            "vector",
            "vector by origin-priority:us-east",
            "column-merge by lww:commit-time",
            "counter:views,likes by lww:hlc",
        ] {
            assert_eq!(parse(words).map(|policy| policy.to_string()), Ok(words.to_owned()));
        }
    }

    #[test]
    fn order_columns_are_those_that_the_words_name() {
        let columns = |words| parse(words).unwrap().order_columns().join("+");
        assert_eq!(columns("max:epoch,region"), "epoch+region");
        assert_eq!(columns("lww:updated_at"), "updated_at");
        assert_eq!(columns("lww:commit-time"), "");
        assert_eq!(columns("column-merge by max:epoch,region"), "epoch+region");
        assert_eq!(columns("counter:views by lww:at"), "at");
    }
}
