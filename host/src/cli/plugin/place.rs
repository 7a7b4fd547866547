//! Where a plugin's file and its contests are: a path that was typed names the file, or the folder of a plugin that
//! `plugin build` builds.

use std::path::{Path, PathBuf};

use crate::cli::{exit::Exit, failure::Failure};

/// The folder of contests beside it.
const CONTESTS: &str = "contests";
/// Where the built file lies.
pub(super) const BUILT: &str = "build";

/// See the module.
#[derive(Debug)]
pub(super) struct Place {
    /// The plugin's file.
    pub(super) file: PathBuf,
    /// The contests beside it, where there are some.
    pub(super) contests: Option<PathBuf>,
}

impl Place {
    /// Finds both.
    pub(super) fn of(path: &Path) -> Result<Place, Failure> {
        if !path.is_dir() {
            let folder = path.parent().unwrap_or(Path::new("."));
            return Ok(Place { file: path.into(), contests: contests(folder) });
        }
        let folder = path.join(BUILT);
        let built = std::fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let wasm = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "wasm");
        let mut built: Vec<PathBuf> = built.filter(wasm).collect();
        match (built.pop(), built.is_empty()) {
            (Some(file), true) => Ok(Place { file, contests: contests(path) }),
            (Some(_), false) => {
                Err(Failure::new(Exit::Configuration, format!("{} holds several plugins", folder.display()))
                    .hint("name the file"))
            }
            (None, _) => {
                Err(Failure::new(Exit::Configuration, format!("{} holds no plugin", folder.display()))
                    .hint(format!("build it: `reconverge plugin build {}`", path.display())))
            }
        }
    }
}

/// The contests of a folder.
fn contests(folder: &Path) -> Option<PathBuf> {
    let contests = folder.join(CONTESTS);
    contests.is_dir().then_some(contests)
}
