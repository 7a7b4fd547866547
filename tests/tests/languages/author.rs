//! An author of plugins in one language: a folder, the program, the tools.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use reconverge_servers::{project_root, target_dir};
use tempfile::TempDir;

/// Folders that a build makes, which are not copied.
const MADE: [&str; 5] = ["build", "target", "node_modules", ".venv", "__pycache__"];

/// See the module.
pub struct Author {
    language: String,
    place: TempDir,
    path: String,
    python: String,
}

impl Author {
    /// One who has the language's tools.
    pub fn of(language: &str) -> Author {
        let outer = std::env::var("PATH").unwrap();
        let mut author = Author::without_tools(language);
        author.path = format!("{}:{outer}", author.path);
        #[cfg(feature = "languages")]
        if !["rust", "go"].contains(&language) {
            let tools = reconverge_servers::tools::language_tools().unwrap();
            let folders = tools.path.iter().map(|folder| format!("{}:", folder.display()));
            author.path = folders.collect::<String>() + &author.path;
            author.python = tools.python.display().to_string();
        }
        author
    }

    /// One who has `reconverge` and nothing else.
    pub fn without_tools(language: &str) -> Author {
        let place = tempfile::tempdir().unwrap();
        let bin = place.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(reconverge_tests::program(), bin.join("reconverge")).unwrap();
        let path = bin.display().to_string();
        Author { language: language.into(), place, path, python: String::new() }
    }

    /// The author's own folder.
    pub fn place(&self) -> &Path {
        self.place.path()
    }

    /// The plugin of `plugins/` says of the shared contests what the others say.
    pub fn passes_the_golden_contests(&self) {
        let contests = project_root().join("plugins/schedule-merge/contests");
        let folder = self.place().join("schedule-merge");
        if self.language == "rust" {
            self.made("schedule-merge", "merge");
        } else {
            copy(&project_root().join("plugins").join(&self.language), &folder);
        }
        self.done(self.place(), &["plugin", "build", "schedule-merge"]);
        let told = self.done(
            self.place(),
            &["plugin", "test", "schedule-merge", "--golden", contests.to_str().unwrap()],
        );
        assert!(told.ends_with("\n26 passed, 0 failed\n"), "{told}");
        let told = self.done(self.place(), &["plugin", "inspect", "schedule-merge", "--json"]);
        let found: serde_json::Value = serde_json::from_str(&told).unwrap();
        let imports = found["imports"].as_array().unwrap();
        assert!(imports.iter().all(|import| import["given"] == true), "{found}");
        assert_eq!(found["stages"], serde_json::json!(["merge"]));
        // On a table of the contract's own, as an author has it on the first day: nothing is seen broken.
        let told = self.done(self.place(), &["plugin", "laws", "schedule-merge", "--cases", "12"]);
        assert!(
            told.contains("never null, since the plugin takes no null there: modification_epoch"),
            "{told}"
        );
        if let Some(own) = self.own_tests() {
            self.shell(&folder, own);
        }
    }

    /// A new folder of each other stage builds as it is and passes its contests.
    pub fn makes_every_stage(&self) {
        for stage in ["filter", "residency", "mapping"] {
            let name = format!("a-{stage}");
            self.made(&name, stage);
            self.done(self.place(), &["plugin", "build", &name]);
            let told = self.done(self.place(), &["plugin", "test", &name]);
            assert!(told.ends_with(" passed, 0 failed\n"), "{told}");
        }
    }

    /// The commands of the language's page, one after another as they stand there.
    pub fn follows_the_page(&self) {
        let page = project_root().join("docs/plugins").join(format!("{}.md", self.language));
        let page = fs::read_to_string(&page).unwrap_or_else(|error| panic!("{}: {error}", page.display()));
        let mut script = String::new();
        let mut is_open = false;
        for line in page.lines() {
            match line {
                "```sh" => is_open = true,
                "```" => is_open = false,
                line if is_open => script.push_str(&format!("{line}\n")),
                _ => {}
            }
        }
        assert!(script.contains("reconverge plugin build"), "the page shows no build:\n{script}");
        let folder = self.place().join("page");
        fs::create_dir(&folder).unwrap();
        self.shell(&folder, &script);
    }

    /// The language's own tests of the plugin in `plugins/`, the golden blocks among them.
    fn own_tests(&self) -> Option<&'static str> {
        match self.language.as_str() {
            "go" => Some("go test ./..."),
            "javascript" => Some("npm test"),
            "python" => Some("python3 -m unittest"),
            "c" => Some("cc -Wall -Wextra -Werror -o golden golden.c && ./golden ../golden"),
            _ => None,
        }
    }

    fn made(&self, name: &str, stage: &str) {
        let language = if self.language == "javascript" { "js" } else { &self.language };
        self.done(self.place(), &["plugin", "new", name, "--lang", language, "--stage", stage]);
        if self.language == "rust" {
            // One build of the SDK for all of them.
            let shared = target_dir().join("languages-rust");
            fs::create_dir_all(&shared).unwrap();
            std::os::unix::fs::symlink(shared, self.place().join(name).join("target")).unwrap();
        }
    }

    fn done(&self, folder: &Path, words: &[&str]) -> String {
        let (code, stdout, stderr) = self.call(folder, words);
        assert_eq!(code, 0, "{words:?}\n{stdout}\n{stderr}");
        stdout
    }

    /// Calls `reconverge`; its exit code, stdout and stderr.
    pub fn call(&self, folder: &Path, words: &[&str]) -> (i32, String, String) {
        self.run(Command::new(self.place().join("bin/reconverge")).args(words), folder)
    }

    fn shell(&self, folder: &Path, script: &str) {
        let mut shell = Command::new("/bin/bash");
        let (code, stdout, stderr) = self.run(shell.args(["-euo", "pipefail", "-c", script]), folder);
        assert_eq!(code, 0, "{script}\n{stdout}\n{stderr}");
    }

    fn run(&self, command: &mut Command, folder: &Path) -> (i32, String, String) {
        // The golden blocks stand beside a plugin as they do in the project.
        let golden = self.place().join("golden");
        if !golden.exists() {
            std::os::unix::fs::symlink(project_root().join("plugins/golden"), &golden).unwrap();
        }
        command.current_dir(folder).env("PATH", &self.path).stdin(Stdio::null());
        command.env("XDG_CACHE_HOME", target_dir().join("test-cache"));
        if !self.python.is_empty() {
            command.env("PYTHONPATH", &self.python);
        }
        for outer in ["CARGO_TARGET_DIR", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RECONVERGE_LOG"] {
            command.env_remove(outer);
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !MADE.contains(&name) {
            copy(&path, &to.join(name));
        } else if path.is_file() {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}
