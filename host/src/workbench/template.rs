//! What a new plugin's folder holds: the schedule merge of its language, or a small rule of another stage, the SDK,
//! golden contests, and a page that says which commands to run. All of it stands in `plugins/` of the project and
//! goes into the program as text, so that a new folder needs nothing from the network but its language's tools.

mod files;
mod page;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::manifest::{Language, NAMES, is_name};
use crate::config::Stage;
use crate::plugin::stage_word;

/// Why no folder was made.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// Not a name that every toolchain takes.
    #[error("`{0}` is no name for a plugin: {NAMES}")]
    Name(String),
    /// Something is there already.
    #[error("{} is there already", .0.display())]
    There(PathBuf),
    /// A file cannot be written.
    #[error("{} cannot be written", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl NewError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            NewError::Name(_) => "name it like my-rule",
            NewError::There(_) => "choose another name, or another folder with --into",
            NewError::File { .. } => "see to the folder's permissions and space",
        }
    }
}

/// Makes the folder of a plugin, `NAME` below `into`, and gives its place.
///
/// # Errors
/// See [`NewError`].
pub fn new(into: &Path, name: &str, language: Language, stage: Stage) -> Result<PathBuf, NewError> {
    if !is_name(name) {
        return Err(NewError::Name(name.into()));
    }
    let folder = into.join(name);
    if folder.exists() {
        return Err(NewError::There(folder));
    }
    for (path, text) in contents(name, language, stage) {
        let path = folder.join(path);
        let written =
            fs::create_dir_all(path.parent().unwrap_or(&folder)).and_then(|()| fs::write(&path, text));
        written.map_err(|source| NewError::File { path, source })?;
    }
    Ok(folder)
}

/// The files of a new folder, by their places in it.
fn contents(name: &str, language: Language, stage: Stage) -> Vec<(String, String)> {
    let mut files = vec![
        ("contests/golden.jsonl".to_owned(), files::contests(stage).to_owned()),
        (".gitignore".to_owned(), "build/\ntarget/\nnode_modules/\n.venv/\n__pycache__/\n".to_owned()),
        ("README.md".to_owned(), page::page(name, language, stage)),
    ];
    let of_language = files::sources(language, stage);
    files.extend(of_language.into_iter().map(|(path, text)| (path, files::named(&text, name, language))));
    if !files.iter().any(|(path, _)| path == "plugin.toml") {
        let text =
            format!("name = \"{name}\"\nlanguage = \"{language}\"\nstage = \"{}\"\n", stage_word(stage));
        files.push(("plugin.toml".to_owned(), text));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_and_stage_has_a_folder_that_bears_the_name() {
        for language in Language::ALL {
            for stage in [Stage::Merge, Stage::Filter, Stage::Residency, Stage::Mapping] {
                let files = contents("my-rule", language, stage);
                let told = format!("{language} {}", stage_word(stage));
                assert!(
                    files.iter().any(|(path, text)| path == "plugin.toml" && text.contains("\"my-rule\"")),
                    "{told}"
                );
                for (path, text) in &files {
                    let is_old =
                        text.contains("schedule-merge-") || text.contains("\"NAME") || text.contains("NAME/");
                    assert!(!is_old, "{told}: {path} bears the template's name");
                }
                assert!(files.iter().filter(|(_, text)| text.contains("my-rule")).count() >= 2, "{told}");
            }
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let place = tempfile::tempdir().unwrap();
        let folder = new(place.path(), "mine", Language::C, Stage::Filter).unwrap();
        assert!(folder.join("reconverge.h").exists() && folder.join("contests/golden.jsonl").exists());
        assert!(matches!(new(place.path(), "mine", Language::C, Stage::Filter), Err(NewError::There(_))));
        assert!(matches!(new(place.path(), "My", Language::C, Stage::Filter), Err(NewError::Name(_))));
    }
}
