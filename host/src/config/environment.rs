//! The world around the pipeline file, as far as the configuration may look at it: variables and files.
//!
//! A trait, so that everything else in this module is a function of its arguments and the tests need no
//! real environment. It never writes.

use std::io;
use std::path::Path;

/// Variables and small text files.
pub trait Environment {
    /// The value of a variable; `None` where it is not set, is empty or is no text.
    fn variable(&self, name: &str) -> Option<String>;

    /// The text of a file.
    ///
    /// # Errors
    /// As the operating system gives them; also where the file is not UTF-8.
    fn file(&self, path: &Path) -> io::Result<String>;

    /// Whether a file can be opened for reading, whatever is in it.
    ///
    /// # Errors
    /// As the operating system gives them.
    fn readable(&self, path: &Path) -> io::Result<()>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    fn file(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn readable(&self, path: &Path) -> io::Result<()> {
        std::fs::File::open(path).map(drop)
    }
}
