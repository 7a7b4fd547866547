//! What a plugin says in words (log lines, reasons, errors), made fit to be shown: bounded, on one line, without
//! control characters, which a terminal or a database's text could not take.

/// The first `bytes` bytes of `text` at most, cut between characters, with every control character as a space.
pub(super) fn tame(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::tame;

    #[test]
    fn words_are_cut_between_characters_and_hold_no_controls() {
        assert_eq!(tame("old\u{0}\n\u{1b}[31m", 80), "old   [31m");
        assert_eq!(tame("aé", 2), "a");
        assert_eq!(tame("aé", 3), "aé");
        assert_eq!(tame("", 0), "");
    }
}
