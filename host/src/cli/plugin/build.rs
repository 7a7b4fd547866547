//! `reconverge plugin new` and `plugin build`: a folder from nothing, and a component from a folder.

use serde::Serialize;

use crate::{
    cli::{arguments::Global, exit::Exit, failure::Failure, output},
    workbench::{self, BuildError, NewError},
};

use super::arguments::{Build, New};

#[derive(Serialize)]
struct Made {
    folder: String,
    name: String,
}

pub(super) fn new(global: &Global, asked: &New) -> Result<Exit, Failure> {
    let folder = workbench::new(&asked.into, &asked.name, asked.lang.into(), asked.stage.into())?;
    let made = Made { folder: folder.display().to_string(), name: asked.name.clone() };
    output::show(global.json, &made, |made| {
        format!(
            "{folder} is there; {folder}/README.md says which tools it needs\n\n  reconverge plugin build {folder}\n  \
             reconverge plugin test {folder}\n",
            folder = made.folder
        )
    })?;
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct Built {
    file: String,
    bytes: usize,
    digest: String,
}

pub(super) fn build(global: &Global, asked: &Build) -> Result<Exit, Failure> {
    let built = workbench::build(&asked.folder, |line| {
        if global.quiet == 0 {
            eprintln!("{line}");
        }
    })?;
    let built = Built {
        file: built.file.display().to_string(),
        bytes: built.bytes,
        digest: built.digest.to_string(),
    };
    output::show(global.json, &built, |built| {
        format!("{}\n{} bytes, sha256:{}\n", built.file, output::grouped(built.bytes as u64), built.digest)
    })?;
    Ok(Exit::Done)
}

impl From<NewError> for Failure {
    fn from(error: NewError) -> Failure {
        let exit =
            if matches!(error, NewError::File { .. }) { Exit::Environment } else { Exit::Configuration };
        Failure::of(exit, &error).hint(error.hint())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Failure {
        let exit = match error {
            BuildError::Missing { .. } | BuildError::Start { .. } | BuildError::File { .. } => {
                Exit::Environment
            }
            BuildError::Failed { .. } => Exit::Runtime,
            BuildError::Manifest { .. } | BuildError::Plugin(_) => Exit::Configuration,
        };
        let failure = Failure::of(exit, &error);
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
