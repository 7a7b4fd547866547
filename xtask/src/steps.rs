//! A step of a command: a heading and its duration on stderr, its output where it always goes, and, where it
//! fails, the line that runs it by hand.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use reconverge_servers::project_root;

/// How the variables begin by which `cargo run` tells a program about its package.
const OF_THE_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// One program run in a folder of the project.
pub(crate) struct Step {
    title: String,
    /// Below the project's root; empty for the root itself.
    folder: &'static str,
    program: PathBuf,
    /// As a person would type it.
    typed: String,
    arguments: Vec<String>,
    variables: Vec<(&'static str, String)>,
    /// An exit code besides 0 that is no failure.
    accepted: Option<i32>,
}

impl Step {
    /// Cargo, with the arguments of `line` parted at spaces.
    pub(crate) fn cargo(title: &str, line: &str) -> Step {
        // The cargo that runs this command, so that one toolchain builds everything.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        Step::program(title, Path::new(&cargo), "cargo").arguments(line.split(' '))
    }

    /// Another program, `typed` as a person would type it.
    pub(crate) fn program(title: &str, program: &Path, typed: &str) -> Step {
        Step {
            title: title.to_owned(),
            folder: "",
            program: program.to_path_buf(),
            typed: typed.to_owned(),
            arguments: Vec::new(),
            variables: Vec::new(),
            accepted: None,
        }
    }

    /// Takes this exit code for no failure, as 0.
    pub(crate) fn accepting(mut self, code: i32) -> Step {
        self.accepted = Some(code);
        self
    }

    /// More arguments, each taken as it is.
    pub(crate) fn arguments(mut self, more: impl IntoIterator<Item = impl Into<String>>) -> Step {
        self.arguments.extend(more.into_iter().map(Into::into));
        self
    }

    /// Runs it in this folder of the project in place of its root.
    pub(crate) fn in_folder(mut self, folder: &'static str) -> Step {
        self.folder = folder;
        self
    }

    /// Sets a variable of its environment.
    pub(crate) fn variable(mut self, name: &'static str, value: impl Into<String>) -> Step {
        self.variables.push((name, value.into()));
        self
    }

    /// Runs it to its end.
    ///
    /// # Errors
    /// When it cannot be started or fails; with the line that runs it by hand.
    pub(crate) fn run(&self) -> Result<()> {
        timed(&self.title, || {
            let status = self.command().status().with_context(|| format!("starting {}", self.typed))?;
            let is_accepted = self.accepted.is_some() && status.code() == self.accepted;
            if !status.success() && !is_accepted {
                bail!("{} failed ({status})\nhint: run it by hand: {}", self.title, self.by_hand());
            }
            Ok(())
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(project_root().join(self.folder));
        // `cargo run` tells this program about its own package. Build scripts that look at such variables (ring's
        // does) would take the outer cargo's for theirs and build anew each time.
        let own = std::env::vars_os().map(|(name, _)| name);
        let own =
            own.filter(|name| OF_THE_PACKAGE.iter().any(|lead| name.to_string_lossy().starts_with(lead)));
        own.for_each(|name| {
            command.env_remove(name);
        });
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn by_hand(&self) -> String {
        let variables = self.variables.iter().map(|(name, value)| format!("{name}={}", quoted(value)));
        let words =
            variables.chain([self.typed.clone()]).chain(self.arguments.iter().map(|word| quoted(word)));
        let line = words.collect::<Vec<_>>().join(" ");
        if self.folder.is_empty() { line } else { format!("(cd {} && {line})", self.folder) }
    }
}

/// Does `work` below a heading, and says how long it took.
///
/// # Errors
/// Those of `work`.
pub(crate) fn timed<T>(title: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("== {title}");
    let start = Instant::now();
    let outcome = work();
    let word = if outcome.is_ok() { "done" } else { "failed" };
    eprintln!("== {title}: {word} after {:.1} s", start.elapsed().as_secs_f64());
    outcome
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Whether `program` runs at all, its output aside.
pub(crate) fn is_there(program: impl AsRef<OsStr>) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|told| told.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_by_hand_can_be_pasted_into_a_shell() {
        let step = Step::cargo("documentation", "doc --no-deps").variable("RUSTDOCFLAGS", "-D warnings");
        assert_eq!(step.by_hand(), "RUSTDOCFLAGS='-D warnings' cargo doc --no-deps");
        let step = Step::cargo("tests", "test").arguments(["it's"]).in_folder("plugins");
        assert_eq!(step.by_hand(), r"(cd plugins && cargo test 'it'\''s')");
    }

    #[test]
    fn a_step_does_not_inherit_what_cargo_says_about_this_package() {
        let command = Step::cargo("version", "--version").variable("RUSTFLAGS", "").command();
        let told = std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG_")).count();
        assert!(told > 0, "cargo test tells a test about its package");
        let removed = command.get_envs().filter(|(_, value)| value.is_none()).count();
        assert!(removed >= told, "{removed} of {told}");
        assert!(command.get_envs().any(|(name, value)| name == "RUSTFLAGS" && value.is_some()));
    }

    #[test]
    fn a_failing_step_says_how_to_run_it_and_a_missing_one_what_is_missing() {
        let step = Step::program("nothing", Path::new("/bin/false"), "false");
        let words = step.run().unwrap_err().to_string();
        assert!(words.contains("nothing failed") && words.ends_with("run it by hand: false"), "{words}");
        let words = Step::program("it", Path::new("/nowhere/it"), "it").run().unwrap_err().to_string();
        assert_eq!(words, "starting it");
        assert!(!is_there("/nowhere/it") && is_there("cargo"));
    }
}
