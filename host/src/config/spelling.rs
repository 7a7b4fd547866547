//! What the writer of a misspelt word may have meant.

/// The nearest of `known` to `word`, if it is near enough to be a slip of the keyboard.
///
/// Damerau-Levenshtein distance, case and `-`/`_` apart; a third of the word may be wrong.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace('_', "-");
    let wanted = plain(word);
    let allowed = (wanted.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&wanted, &plain(candidate)), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// A hint for a word that is not among `known`: the nearest, else all of them.
pub(super) fn hint(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None if known.is_empty() => "there is none".to_owned(),
        None => {
            let list: Vec<_> = known.iter().map(|word| format!("`{word}`")).collect();
            format!("one of {}", list.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_is_understood_and_another_word_is_not() {
        let known = ["linger_ms", "rows", "bytes", "before_images"];
        let cases = [
            ("lingr_ms", Some("linger_ms")),
            ("linger-ms", Some("linger_ms")),
            ("row", Some("rows")),
            ("bytse", Some("bytes")),
            ("Before_Image", Some("before_images")),
            ("colour", None),
            ("x", None),
        ];
        for (word, meant) in cases {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
