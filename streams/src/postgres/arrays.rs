//! Rows from arrays: how the columns of a batch, which travel as one array each, become the rows of a statement.

/// A subquery `u` with a row per element: each array (its SQL) under a name, and with `ordered` its place, from 1, as `ord`.
///
/// In the select list rather than as `FROM unnest(..)`: there each array is first written into a store of its own and read
/// back from it, which for seven columns costs a twelfth of an upsert (PostgreSQL 15, counted by schedstat).
pub(super) fn rows(arrays: &[(&str, &str)], ordered: bool) -> String {
    format!("({}) u", select(arrays, ordered))
}

/// What [`rows`] selects.
pub(super) fn select(arrays: &[(&str, &str)], ordered: bool) -> String {
    let mut columns: Vec<String> =
        arrays.iter().map(|(array, name)| format!("unnest({array}) AS {name}")).collect();
    if let (true, Some((array, _))) = (ordered, arrays.first()) {
        columns.push(format!("generate_subscripts({array}, 1)::int8 AS ord"));
    }
    format!("SELECT {}", columns.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_array_is_a_column() {
        assert_eq!(rows(&[("$1::int8[]", "c0")], false), "(SELECT unnest($1::int8[]) AS c0) u");
        let ordered = select(&[("$1::int8[]", "c0"), ("$2::text[]", "c1")], true);
        let columns = "unnest($1::int8[]) AS c0, unnest($2::text[]) AS c1";
        assert_eq!(ordered, format!("SELECT {columns}, generate_subscripts($1::int8[], 1)::int8 AS ord"));
    }
}
