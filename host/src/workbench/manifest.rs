//! `plugin.toml`: what a plugin's folder says of itself, so that `plugin build` knows what to do with it.

use std::{fmt, path::Path};

use serde::{Deserialize, Serialize};

use super::BuildError;
use crate::config::Stage;

/// Its name in a plugin's folder.
pub const FILE: &str = "plugin.toml";

/// See the module.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The plugin's name, and that of the built file.
    pub name: String,
    /// What it is written in.
    pub language: Language,
    /// Its stage. A plugin in Rust says its stages itself.
    pub stage: Stage,
    /// Its version; AssemblyScript only, other languages say it in the source.
    #[serde(default = "first")]
    pub version: String,
    /// JSON Schema of its configuration; AssemblyScript only.
    #[serde(default)]
    pub config_schema: String,
    /// Claims, a JSON object; AssemblyScript only.
    #[serde(default)]
    pub extensions: String,
    /// The columns that it reads, by name and logical type, with a `?` where null is taken; AssemblyScript only.
    #[serde(default)]
    pub row: toml::Table,
    /// The columns that it writes; AssemblyScript only.
    #[serde(default)]
    pub writes: toml::Table,
}

fn first() -> String {
    "0.1.0".into()
}

/// A language that plugins are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is the language of that name")]
pub enum Language {
    Rust,
    C,
    Go,
    JavaScript,
    Python,
    AssemblyScript,
}

impl Language {
    /// All of them.
    pub const ALL: [Language; 6] = [
        Language::Rust,
        Language::C,
        Language::Go,
        Language::JavaScript,
        Language::Python,
        Language::AssemblyScript,
    ];

    /// As it stands in `plugin.toml`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Language::Rust => "rust",
            Language::C => "c",
            Language::Go => "go",
            Language::JavaScript => "javascript",
            Language::Python => "python",
            Language::AssemblyScript => "assemblyscript",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl Manifest {
    /// Reads that of a folder.
    ///
    /// # Errors
    /// There is none, or it does not say what it must.
    pub fn read(folder: &Path) -> Result<Self, BuildError> {
        let path = folder.join(FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|source| BuildError::File { path: path.clone(), source })?;
        let manifest: Manifest = toml::from_str(&text).map_err(|cause| BuildError::Manifest {
            path: path.clone(),
            what: cause.to_string().trim_end().into(),
        })?;
        if is_name(&manifest.name) {
            Ok(manifest)
        } else {
            Err(BuildError::Manifest { path, what: format!("`{}` is no name: {NAMES}", manifest.name) })
        }
    }
}

/// What a name may be.
pub(super) const NAMES: &str = "lower-case letters, digits and `-`, a letter first";

/// Whether a plugin may be called so: a name that every toolchain takes.
pub(super) fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.len() <= 64
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        && !name.ends_with('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_is_read_by_its_word() {
        for language in Language::ALL {
            let text = format!("name = \"a\"\nlanguage = \"{language}\"\nstage = \"merge\"\n");
            assert_eq!(toml::from_str::<Manifest>(&text).unwrap().language, language);
        }
        assert!(
            toml::from_str::<Manifest>("name = \"a\"\nlanguage = \"cobol\"\nstage = \"merge\"\n").is_err()
        );
    }

    #[test]
    fn names_are_those_that_every_toolchain_takes() {
        for (name, is_one) in [
            ("my-rule", true),
            ("r2", true),
            ("My", false),
            ("", false),
            ("2r", false),
            ("a_b", false),
            ("a-", false),
        ] {
            assert_eq!(is_name(name), is_one, "{name}");
        }
    }
}
