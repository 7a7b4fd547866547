//! What a process starts with: of each plugin the artifact that is deployed, else the one that the pipeline names.
//! A deployment that cannot be read ends the start: running the file instead would undo it in silence.

use reconverge_streams::jetstream::PluginStore;

use super::{Artifacts, Deployment, Placed, Shelf, signature};
use crate::{
    assemble::{RunError, ends},
    config::{Artifact, Pipeline, Plugin},
    contests::{ContestFile, golden},
    generation::Promotion,
    plugin::{ARTIFACT_BYTES, Digest},
};

/// See the module.
pub(in crate::assemble) struct Beginning {
    pub(in crate::assemble) shelf: Shelf,
    pub(in crate::assemble) artifacts: Artifacts,
    /// Where deployments are; none where the pipeline has no plugins or follows none.
    pub(in crate::assemble) store: Option<PluginStore>,
}

/// Reads everything once.
///
/// # Errors
/// [`RunError::Environment`] where a deployment cannot be asked for, or its artifact is gone.
pub(in crate::assemble) async fn beginning(pipeline: &Pipeline) -> Result<Beginning, RunError> {
    let shelf = Shelf::new().map_err(|cause| RunError::Environment {
        what: format!("no folder for the plugins of this run: {cause}"),
        hint: "see that the folder for temporary files (TMPDIR) can be written".to_owned(),
    })?;
    let is_stored = |plugin: &Plugin| matches!(plugin.artifact, Artifact::Digest { .. });
    let asks = pipeline.reload.follow || pipeline.plugins.iter().any(is_stored);
    let store = match pipeline.sources.first() {
        Some(source) if asks && !pipeline.plugins.is_empty() => {
            Some(PluginStore::connect(&ends::nats(&source.nats, &pipeline.name), &pipeline.name).await?)
        }
        _ => None,
    };
    let mut artifacts = Artifacts::default();
    for plugin in &pipeline.plugins {
        if let Some((placed, signed)) = placed(pipeline, plugin, store.as_ref(), &shelf).await? {
            check(pipeline, plugin, &placed, signed.as_deref())?;
            artifacts.by_plugin.insert(plugin.name.clone(), placed);
        }
    }
    let store = store.filter(|_| pipeline.reload.follow);
    Ok(Beginning { shelf, artifacts, store })
}

fn check(
    pipeline: &Pipeline,
    plugin: &Plugin,
    placed: &Placed,
    signed: Option<&str>,
) -> Result<(), RunError> {
    let read = std::fs::read(&placed.path).map_err(|cause| cause.to_string());
    let checked = read.and_then(|bytes| signature::check(&pipeline.reload.trusted_keys, &bytes, signed));
    checked.map_err(|why| {
        let mut problem =
            pipeline.problem(plugin.path_span.clone(), format!("plugin `{}`: {why}", plugin.name));
        problem.help("sign it with `minisign -Sm FILE`; the signature stands beside it in FILE.minisig");
        RunError::Configuration(vec![problem])
    })
}

/// An artifact and its signature.
type Signed = (Placed, Option<String>);

async fn placed(
    pipeline: &Pipeline,
    plugin: &Plugin,
    store: Option<&PluginStore>,
    shelf: &Shelf,
) -> Result<Option<Signed>, RunError> {
    let Some(store) = store else { return Ok(of_file(plugin, shelf)) };
    if let Artifact::Digest { sha256, .. } = &plugin.artifact {
        return of_store(plugin, store, shelf, sha256).await.map(Some);
    }
    if !pipeline.reload.follow {
        return Ok(of_file(plugin, shelf));
    }
    let entry = store.deployment(&plugin.name).await.map_err(|error| RunError::Environment {
        what: format!("it cannot be told whether plugin `{}` is deployed: {error}", plugin.name),
        hint: "give this user the right to read the bucket reconverge-deployments ($JS.API.STREAM.INFO.KV_reconverge-deployments \
               and $KV.reconverge-deployments.>), or set `follow = false` in [reload]"
            .to_owned(),
    })?;
    let Some(value) = entry.and_then(|entry| entry.value) else { return Ok(of_file(plugin, shelf)) };
    let deployed = Deployment::read(&value).map_err(|why| RunError::Environment {
        what: format!("the deployment of plugin `{}` cannot be read: {why}", plugin.name),
        hint: "deploy it again with this version of `reconverge plugin deploy`".to_owned(),
    })?;
    let is_settled = deployed.promotion == Promotion::default() && !deployed.is_canary();
    let wanted = if is_settled { Some(deployed.sha256) } else { deployed.previous };
    match wanted {
        Some(sha256) => of_store(plugin, store, shelf, &sha256).await.map(Some),
        None => Ok(of_file(plugin, shelf)),
    }
}

/// The pipeline's own file. One that cannot be read stays where it is: opening it says what is wrong, at its place.
fn of_file(plugin: &Plugin, shelf: &Shelf) -> Option<Signed> {
    match &plugin.artifact {
        Artifact::File(path) => Some((shelf.put_file(path, ARTIFACT_BYTES).ok()?, signature::of_file(path))),
        Artifact::Digest { .. } => None,
    }
}

async fn of_store(
    plugin: &Plugin,
    store: &PluginStore,
    shelf: &Shelf,
    sha256: &str,
) -> Result<Signed, RunError> {
    fetched(store, shelf, sha256).await.map_err(|why| RunError::Environment {
        what: format!("plugin `{}`: {why}", plugin.name),
        hint: "store it with `reconverge plugin deploy`".to_owned(),
    })
}

/// An artifact of the store, on the shelf, and its signature. The digest is checked; the store's word is not enough.
pub(super) async fn fetched(store: &PluginStore, shelf: &Shelf, sha256: &str) -> Result<Signed, String> {
    let found = store.kept(sha256).await.map_err(|error| error.to_string())?;
    let bytes = found.ok_or_else(|| format!("the store has no plugin {sha256}"))?;
    let is = Digest::of(&bytes).to_string();
    if is != sha256 {
        return Err(format!("the store holds other bytes under {sha256}: their digest is {is}"));
    }
    let signature = store.kept(&signature::name(sha256)).await.map_err(|error| error.to_string())?;
    let signature = signature.and_then(|bytes| String::from_utf8(bytes).ok());
    Ok((shelf.put(&bytes).map_err(|error| error.to_string())?, signature))
}

/// The golden contests that came with an artifact, from the store.
pub(super) async fn contests(store: &PluginStore, sha256: &str) -> Result<Vec<ContestFile>, String> {
    let found = store.kept(&contests_name(sha256)).await.map_err(|error| error.to_string())?;
    let bytes = found.ok_or_else(|| format!("the store has no golden contests {sha256}"))?;
    if Digest::of(&bytes).to_string() != sha256 {
        return Err(format!("the store holds other golden contests under {sha256}"));
    }
    golden::unbundled(&bytes).map_err(|why| format!("its golden contests cannot be read: {why}"))
}

/// What golden contests are called in the store.
pub(super) fn contests_name(sha256: &str) -> String {
    format!("{sha256}.contests")
}
