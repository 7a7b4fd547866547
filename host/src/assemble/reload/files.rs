//! Plugin files that change on disk, for staging: which plugin, once a write has settled.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use notify_debouncer_mini::{
    DebounceEventResult, Debouncer, new_debouncer,
    notify::{RecommendedWatcher, RecursiveMode},
};
use tokio::sync::mpsc;

use crate::config::{Artifact, Pipeline};

/// How long a file has to be left alone: a linker writes in pieces.
const SETTLED: Duration = Duration::from_millis(200);

/// See the module. Watches the files' folders, since tools replace a file rather than write into it.
pub(super) struct Files {
    changed: mpsc::UnboundedReceiver<String>,
    _watcher: Debouncer<RecommendedWatcher>,
}

impl Files {
    /// Watches the files of a pipeline's plugins.
    pub(super) fn watch(pipeline: &Pipeline) -> Result<Self, String> {
        let mut plugins: BTreeMap<(PathBuf, OsString), Vec<String>> = BTreeMap::new();
        for plugin in &pipeline.plugins {
            let Artifact::File(path) = &plugin.artifact else { continue };
            let place = place(path).map_err(|cause| format!("{}: {cause}", path.display()))?;
            plugins.entry(place).or_default().push(plugin.name.clone());
        }
        let folders: Vec<PathBuf> = plugins.keys().map(|(folder, _)| folder.clone()).collect();
        let (tell, changed) = mpsc::unbounded_channel();
        let told = move |events: DebounceEventResult| {
            for event in events.into_iter().flatten() {
                let Ok(place) = place(&event.path) else { continue };
                for plugin in plugins.get(&place).into_iter().flatten() {
                    // Nobody listens any more where the run has ended.
                    let _ = tell.send(plugin.clone());
                }
            }
        };
        let mut watcher = new_debouncer(SETTLED, told).map_err(|cause| cause.to_string())?;
        for folder in folders {
            let watched = watcher.watcher().watch(&folder, RecursiveMode::NonRecursive);
            watched.map_err(|cause| format!("{}: {cause}", folder.display()))?;
        }
        Ok(Files { changed, _watcher: watcher })
    }

    /// The next plugin whose file has changed.
    pub(super) async fn next(&mut self) -> Option<String> {
        self.changed.recv().await
    }
}

/// The folder, with all links followed, and the name in it. The file itself may be gone for a moment.
fn place(path: &Path) -> std::io::Result<(PathBuf, OsString)> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Ok((folder.canonicalize()?, path.file_name().unwrap_or_default().to_owned()))
}
