//! The texts of the templates, from `plugins/`.

use super::{Language, Stage};

macro_rules! plugins {
    ($path:literal) => {
        include_str!(concat!("../../../../plugins/", $path))
    };
}

/// The files at these places, to be put below `reconverge/`.
macro_rules! sdk {
    ($($path:literal),+ $(,)?) => {
        &[$((concat!("reconverge/", $path), include_str!(concat!("../../../../plugins/", $path)))),+]
    };
}

/// The Rust SDK, which no registry has yet: its sources go along.
const RUST_SDK: &[(&str, &str)] = sdk![
    "sdk/Cargo.toml",
    "sdk/src/answer.rs",
    "sdk/src/any.rs",
    "sdk/src/bindings.rs",
    "sdk/src/block.rs",
    "sdk/src/columns.rs",
    "sdk/src/component.rs",
    "sdk/src/config.rs",
    "sdk/src/contest.rs",
    "sdk/src/field.rs",
    "sdk/src/kind.rs",
    "sdk/src/lib.rs",
    "sdk/src/log.rs",
    "sdk/src/pattern.rs",
    "sdk/src/plugin.rs",
    "sdk/src/rows.rs",
    "sdk/src/testing.rs",
    "sdk/src/value.rs",
    "sdk/src/verdict.rs",
    "sdk/src/writer.rs",
    "sdk-derive/Cargo.toml",
    "sdk-derive/src/config.rs",
    "sdk-derive/src/fields.rs",
    "sdk-derive/src/lib.rs",
    "sdk-derive/src/rule.rs",
    "sdk-derive/src/signature.rs",
];

/// Golden contests of a stage: the same for every language.
pub(super) fn contests(stage: Stage) -> &'static str {
    match stage {
        Stage::Merge => plugins!("schedule-merge/contests/golden.jsonl"),
        Stage::Filter => plugins!("contests/filter.jsonl"),
        Stage::Residency => plugins!("contests/residency.jsonl"),
        Stage::Mapping => plugins!("contests/mapping.jsonl"),
    }
}

/// The rule's source in a language: (merge, filter, residency, mapping).
macro_rules! rule {
    ($stage:expr, $merge:literal, $language:literal, $extension:literal) => {
        match $stage {
            Stage::Merge => plugins!($merge),
            Stage::Filter => {
                include_str!(concat!("../../../../plugins/templates/", $language, "/filter.", $extension))
            }
            Stage::Residency => {
                include_str!(concat!("../../../../plugins/templates/", $language, "/residency.", $extension))
            }
            Stage::Mapping => {
                include_str!(concat!("../../../../plugins/templates/", $language, "/mapping.", $extension))
            }
        }
    };
}

/// The files of a language, by their places.
pub(super) fn sources(language: Language, stage: Stage) -> Vec<(String, String)> {
    let mut files: Vec<(&str, String)> = match language {
        Language::Rust => rust(stage),
        Language::C => vec![
            ("plugin.c", rule!(stage, "c/plugin.c", "c", "c").into()),
            ("reconverge.h", plugins!("c/reconverge.h").into()),
        ],
        Language::Go => vec![
            ("go.mod", plugins!("go/go.mod").into()),
            ("main.go", rule!(stage, "go/main.go", "go", "go").into()),
            ("reconverge/reconverge.go", plugins!("go/reconverge/reconverge.go").into()),
            ("reconverge/block.go", plugins!("go/reconverge/block.go").into()),
            ("reconverge/component.go", plugins!("go/reconverge/component.go").into()),
            ("reconverge/native.go", plugins!("go/reconverge/native.go").into()),
        ],
        Language::JavaScript => vec![
            ("package.json", plugins!("javascript/package.json").into()),
            ("plugin.js", rule!(stage, "javascript/plugin.js", "javascript", "js").into()),
            ("reconverge.js", plugins!("javascript/reconverge.js").into()),
        ],
        Language::Python => vec![
            ("requirements.txt", plugins!("python/requirements.txt").into()),
            ("plugin.py", rule!(stage, "python/plugin.py", "python", "py").into()),
            ("app.py", plugins!("python/app.py").replace("Merge", class(stage))),
            ("reconverge.py", plugins!("python/reconverge.py").into()),
        ],
        Language::AssemblyScript => vec![
            ("package.json", plugins!("assemblyscript/package.json").into()),
            ("plugin.toml", assemblyscript_manifest(stage)),
            (
                "assembly/plugin.ts",
                rule!(stage, "assemblyscript/assembly/plugin.ts", "assemblyscript", "ts").into(),
            ),
            ("assembly/reconverge.ts", plugins!("assemblyscript/assembly/reconverge.ts").into()),
            ("assembly/tsconfig.json", plugins!("assemblyscript/assembly/tsconfig.json").into()),
        ],
    };
    let test: Option<(&str, &str)> = match (language, stage) {
        (Language::Go, Stage::Merge) => Some(("main_test.go", plugins!("go/main_test.go"))),
        (Language::JavaScript, Stage::Merge) => {
            Some(("plugin.test.js", plugins!("javascript/plugin.test.js")))
        }
        (Language::Python, Stage::Merge) => Some(("test_plugin.py", plugins!("python/test_plugin.py"))),
        _ => None,
    };
    files.extend(test.map(|(path, text)| (path, text.to_owned())));
    files.into_iter().map(|(path, text)| (path.to_owned(), text)).collect()
}

fn rust(stage: Stage) -> Vec<(&'static str, String)> {
    let mut files: Vec<(&str, String)> =
        RUST_SDK.iter().map(|(path, text)| (*path, (*text).to_owned())).collect();
    files.push(("Cargo.toml", rust_manifest()));
    files.push(("src/lib.rs", rule!(stage, "templates/rust/merge.rs", "rust", "rs").into()));
    files.push(("wit/plugin.wit", crate::plugin::WIT.into()));
    files
}

/// The manifest of a crate that is a workspace of its own with the SDK in it: what `plugins/Cargo.toml` says for all.
fn rust_manifest() -> String {
    let package = "[package]\nname = \"NAME\"\nversion = \"0.1.0\"\nedition = \"2024\"\npublish = false\n\n[lib]\ncrate-type = [\"cdylib\"]\n\n\
                   [dependencies]\nreconverge-sdk.workspace = true\n\n";
    let shared = plugins!("Cargo.toml");
    let shared = shared.split_once("[workspace.package]").map_or("", |(_, rest)| rest);
    let shared = shared
        .replace("{ path = \"sdk\" }", "{ path = \"reconverge/sdk\" }")
        .replace("{ path = \"sdk-derive\" }", "{ path = \"reconverge/sdk-derive\" }");
    let head = "[workspace]\nresolver = \"3\"\nmembers = [\"reconverge/sdk\", \"reconverge/sdk-derive\"]\n\n[workspace.package]";
    format!("{package}{head}{shared}")
}

fn assemblyscript_manifest(stage: Stage) -> String {
    let merge = plugins!("assemblyscript/plugin.toml");
    let rest = match stage {
        Stage::Merge => return merge.into(),
        Stage::Filter => plugins!("templates/assemblyscript/filter.toml"),
        Stage::Residency => plugins!("templates/assemblyscript/residency.toml"),
        Stage::Mapping => plugins!("templates/assemblyscript/mapping.toml"),
    };
    let head = format!(
        "name = \"NAME\"\nlanguage = \"assemblyscript\"\nstage = \"{}\"\n",
        crate::plugin::stage_word(stage)
    );
    head + rest
}

fn class(stage: Stage) -> &'static str {
    match stage {
        Stage::Merge => "Merge",
        Stage::Filter => "Filter",
        Stage::Residency => "Residency",
        Stage::Mapping => "Mapping",
    }
}

/// A template's text with the plugin's name in place of its own.
pub(super) fn named(text: &str, name: &str, language: Language) -> String {
    let own = format!("schedule-merge-{language}");
    let text = text.replace(&own, name);
    ["\"NAME\"", "\"NAME/"].iter().fold(text, |text, place| text.replace(place, &place.replace("NAME", name)))
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;

    #[test]
    fn the_whole_rust_sdk_goes_along() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins");
        let mut found = Vec::new();
        for folder in ["sdk", "sdk-derive"] {
            found.push(format!("reconverge/{folder}/Cargo.toml"));
            for entry in fs::read_dir(root.join(folder).join("src")).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                found.push(format!("reconverge/{folder}/src/{name}"));
            }
        }
        found.sort();
        let mut listed: Vec<&str> = RUST_SDK.iter().map(|(path, _)| *path).collect();
        listed.sort_unstable();
        assert_eq!(listed, found);
    }
}
