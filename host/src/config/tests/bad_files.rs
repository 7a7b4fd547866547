//! Bad files: each is the minimal one with one thing changed, and what its writer is told.

use proptest::prelude::{Just, ProptestConfig, any, prop_assert, prop_oneof, proptest};
use proptest::sample::Index;

use super::bad_cases::{Bad, CASES};
use super::{MINIMAL, WHOLE, read, rendered};

#[test]
fn each_bad_file_is_told_where_what_and_what_to_write() {
    let mut wrong = Vec::new();
    for Bad { from, to, told } in CASES {
        let text = MINIMAL.replacen(from, to, 1);
        assert_ne!(text, MINIMAL, "`{from}` is not in the minimal file");
        let shown = match read(&text) {
            Ok(_) => "taken".to_owned(),
            Err(error) => rendered(&error),
        };
        let missing: Vec<_> = told.iter().filter(|part| !shown.contains(**part)).collect();
        if !missing.is_empty() {
            wrong.push(format!("{to}\n  lacks {missing:?} in\n{shown}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}\n{}", wrong.len(), CASES.len(), wrong.join("\n"));
}

#[test]
fn one_fault_is_one_problem() {
    for Bad { from, to, .. } in CASES {
        let error = read(&MINIMAL.replacen(from, to, 1)).unwrap_err();
        let faults = error.problems().iter().filter(|problem| !problem.is_warning()).count();
        assert_eq!(faults, 1, "{to}\n{}", rendered(&error));
    }
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_the_file() {
    let text = MINIMAL
        .replace("region =", "regoin =")
        .replace("sqlite://", "${NOT_SET}://")
        .replace("key = [", "prority = 1\npolicy = \"newest\"\nlane = \"bulk\"\ndeletes = 7\nkey = [");
    let error = read(&text).unwrap_err();
    let told: Vec<_> = error.problems().iter().map(|p| (p.position().0, p.message().to_owned())).collect();
    let expected = [
        (3, "unknown key `regoin`"),
        (10, "the environment has no variable `NOT_SET`"),
        (14, "unknown key `prority`"),
        (15, "unknown policy `newest`"),
        (16, "there is no lane `bulk`"),
    ];
    for (line, message) in expected {
        assert!(told.contains(&(line, message.to_owned())), "{message}\n{told:?}");
    }
    assert_eq!(told.len(), expected.len() + 1, "{told:?}");
    assert!(told.is_sorted_by_key(|(line, _)| *line), "{told:?}");
}

#[test]
fn a_literal_secret_is_not_spread_by_the_complaint_about_it() {
    let text = MINIMAL.replace("sqlite://orders.db", "postgres://app:hunter2@db/cc");
    let error = read(&text).unwrap_err();
    assert!(!rendered(&error).contains("hunter2"));
    assert!(!format!("{error:?}").contains("hunter2"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is cut out of a file and put into it, the reader answers with a plan or with problems that
    /// stand in the file and can be drawn.
    #[test]
    fn no_text_makes_the_reader_panic(
        start in any::<Index>(),
        length in 0usize..60,
        put in prop_oneof![
            Just("\"".to_owned()), Just("[[".to_owned()), Just("= 7\n".to_owned()), Just("= []\n".to_owned()),
            Just("\n[table.name]\n".to_owned()), Just("é\r\n".to_owned()), "\\PC{0,8}",
        ],
    ) {
        let chars: Vec<char> = WHOLE.chars().collect();
        let start = start.index(chars.len());
        let end = (start + length).min(chars.len());
        let text: String =
            chars[..start].iter().copied().chain(put.chars()).chain(chars[end..].iter().copied()).collect();
        if let Err(error) = read(&text) {
            prop_assert!(!error.problems().is_empty());
            prop_assert!(rendered(&error).contains("pipeline.toml"));
            let lines = text.matches('\n').count() + 1;
            prop_assert!(error.problems().iter().all(|problem| problem.position().0 <= lines));
        }
    }
}
