//! Copies of the artifacts that this process has admitted, by digest, in a folder of its own: a generation that is made
//! for the sake of one plugin must not pick up what has meanwhile happened to another's file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::plugin::Digest;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shelf {
    folder: TempDir,
}

/// An artifact on the shelf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// SHA-256, lower-case hex.
    pub(crate) sha256: String,
    pub(crate) path: PathBuf,
}

/// Which artifact each plugin of a generation is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Artifacts {
    /// By the plugin's name in the pipeline; the pipeline's own file where it has none here.
    pub(crate) by_plugin: BTreeMap<String, Placed>,
    /// A plugin that runs another artifact for some of its tables.
    pub(crate) split: Option<Split>,
}

impl Artifacts {
    /// The artifact in place of the pipeline's own.
    pub(crate) fn placed(&self, plugin: &str) -> Option<&Path> {
        self.by_plugin.get(plugin).map(|placed| placed.path.as_path())
    }

    /// The artifact for some of its tables.
    pub(crate) fn split_of(&self, plugin: &str) -> Option<&Split> {
        self.split.as_ref().filter(|split| split.plugin == plugin)
    }
}

/// See [`Artifacts::split`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Split {
    pub(crate) plugin: String,
    /// Names of tables in the pipeline.
    pub(crate) tables: Vec<String>,
    pub(crate) artifact: Placed,
}

impl Shelf {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Shelf { folder: tempfile::Builder::new().prefix("reconverge-plugins-").tempdir()? })
    }

    /// Puts bytes on the shelf.
    pub(crate) fn put(&self, bytes: &[u8]) -> io::Result<Placed> {
        let sha256 = Digest::of(bytes).to_string();
        let path = self.folder.path().join(format!("{sha256}.wasm"));
        if !path.exists() {
            fs::write(&path, bytes)?;
        }
        Ok(Placed { sha256, path })
    }

    /// Puts a file on the shelf, as it is now. Files beyond `limit` bytes are not read.
    pub(crate) fn put_file(&self, file: &Path, limit: u64) -> io::Result<Placed> {
        if fs::metadata(file)?.len() > limit {
            return Err(io::Error::other(format!("it has more than {limit} bytes")));
        }
        self.put(&fs::read(file)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_stays_whatever_happens_to_the_file() {
        let shelf = Shelf::new().unwrap();
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("plugin.wasm");
        fs::write(&file, "one").unwrap();
        let one = shelf.put_file(&file, 3).unwrap();
        fs::write(&file, "four").unwrap();
        assert_eq!(fs::read(&one.path).unwrap(), b"one");
        assert!(shelf.put_file(&file, 3).is_err());
        assert_eq!(shelf.put(b"one").unwrap(), one);
        assert_ne!(shelf.put_file(&file, 4).unwrap(), one);
    }
}
