//! The compiled program with nothing of the tester's environment, in a folder of its own.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// What a call of the program came to.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Stdout as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}\n{self:?}"))
    }

    /// The same, where the call did what was asked.
    pub fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }
}

/// Calls `reconverge` in `folder`.
pub fn reconverge(folder: &Path, words: &[&str]) -> Ended {
    with(folder, &[], words)
}

/// The same with variables set.
pub fn with(folder: &Path, variables: &[(&str, &str)], words: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_reconverge"))
        .args(words)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ended {
        code: output.status.code().expect("ended by itself"),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}
