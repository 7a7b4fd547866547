//! Where a tool is: beside the plugin, where its language's package manager puts it, else on PATH.

use std::{
    env,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Where package managers put programs, below a folder.
const BESIDE: [&str; 2] = ["node_modules/.bin", ".venv/bin"];

/// The first program of this name: of the plugin's folder, of those around it, of PATH.
pub(super) fn find(name: &str, folder: &Path) -> Option<PathBuf> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.into());
    let beside =
        folder.ancestors().flat_map(|around| BESIDE.map(|place| around.join(place))).collect::<Vec<_>>();
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places = beside.into_iter().chain(env::split_paths(&path));
    places.find_map(|place| Some(place.join(name)).filter(|file| is_program(file)))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|facts| facts.is_file() && facts.permissions().mode() & 0o111 != 0)
}

/// What a program says; nothing where it fails or is none.
pub(super) fn told(program: &Path, arguments: &[&str], folder: &Path) -> Option<String> {
    let output = Command::new(program).args(arguments).current_dir(folder).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_a_plugin_goes_before_path() {
        let place = tempfile::tempdir().unwrap();
        let (bin, plugin) = (place.path().join("node_modules/.bin"), place.path().join("plugins/mine"));
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&plugin).unwrap();
        assert_ne!(find("sh", &plugin), Some(bin.join("sh")));
        std::os::unix::fs::symlink("/bin/sh", bin.join("sh")).unwrap();
        assert_eq!(find("sh", &plugin).unwrap(), bin.canonicalize().unwrap().join("sh"));
        assert_eq!(find("no-such-tool-anywhere", &plugin), None);
    }
}
