//! What an operator does with deployments: write one, go back, promote, pin, and look. All of it is one entry in the
//! store; the processes that run the pipeline follow it, each in its own time.

use std::path::Path;

use reconverge_streams::jetstream::PluginStore;
use serde::Serialize;

use super::{Deployment, Report, beginning, signature};
use crate::{
    assemble::{RunError, ends},
    config::{Artifact, Pipeline, Plugin},
    contests::{ContestFile, golden},
    generation::Promotion,
    plugin::{ARTIFACT_BYTES, Digest},
};

/// A deployment as it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// When it goes live.
    pub promotion: Promotion,
    /// At first on these lanes alone.
    pub lanes: Vec<String>,
    /// At first for these tables alone.
    pub tables: Vec<String>,
    /// Golden contests that every process asks it before it goes live.
    pub contests: Vec<ContestFile>,
    /// Deploy although another one is pinned.
    pub force: bool,
    /// Who asks.
    pub by: String,
}

/// How one plugin of a pipeline stands.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The plugin.
    pub plugin: String,
    /// The entry's revision; none where nothing is deployed, so that the pipeline's own file runs.
    pub revision: Option<u64>,
    /// What is deployed.
    pub deployment: Option<Deployment>,
    /// What the processes said last.
    pub reports: Vec<Report>,
}

/// The store of a pipeline.
pub struct Operator<'a> {
    pipeline: &'a Pipeline,
    store: PluginStore,
}

impl<'a> Operator<'a> {
    /// Connects to the server of the pipeline's first source.
    ///
    /// # Errors
    /// [`RunError::Environment`] where it does not answer.
    pub async fn connect(pipeline: &'a Pipeline) -> Result<Self, RunError> {
        let source = &pipeline.sources[0];
        let options = ends::nats(&source.nats, &pipeline.name);
        Ok(Operator { pipeline, store: PluginStore::connect(&options, &pipeline.name).await? })
    }

    /// Stores a plugin file and points the pipeline at it. Returns the revision that processes report on.
    ///
    /// # Errors
    /// [`RunError::NotFound`] for a plugin that the pipeline lacks, or that is pinned, or was deployed by someone else
    /// in the meantime; [`RunError::Environment`] where the file or the server cannot be read.
    pub async fn deploy(&self, plugin: &str, file: &Path, wish: Wish) -> Result<u64, RunError> {
        let known = self.plugin(plugin)?;
        let bytes = read(file)?;
        let signed = signature::of_file(file);
        let checked = signature::check(&self.pipeline.reload.trusted_keys, &bytes, signed.as_deref());
        checked.map_err(|what| RunError::NotFound {
            what: format!("{}: {what}", file.display()),
            hint: "sign it with `minisign -Sm FILE`; the signature stands beside it in FILE.minisig"
                .to_owned(),
        })?;
        let (revision, before) = self.entry(plugin).await?;
        if let Some(pinned) = before.as_ref().filter(|before| before.pinned && !wish.force) {
            return Err(RunError::NotFound {
                what: format!("plugin `{plugin}` is pinned to {} by {}", &pinned.sha256[..12], pinned.by),
                hint: "`reconverge plugin unpin` it first, or deploy with --force".to_owned(),
            });
        }
        let sha256 = self.kept(file, &bytes).await?;
        let previous = match before {
            Some(before) if before.sha256 == sha256 => before.previous,
            Some(before) => Some(before.sha256),
            None => self.kept_file(known).await?,
        };
        let contests = self.kept_contests(&wish.contests).await?;
        let Wish { promotion, lanes, tables, contests: _, force: _, by } = wish;
        let (pinned, taken_back) = (false, None);
        let deployment =
            Deployment { sha256, previous, contests, promotion, lanes, tables, pinned, taken_back, by };
        self.write(plugin, &deployment, revision).await
    }

    /// Points the pipeline at the artifact before, at once and everywhere.
    ///
    /// # Errors
    /// As for [`Self::deploy`]; [`RunError::NotFound`] where nothing was before.
    pub async fn roll_back(&self, plugin: &str, by: String) -> Result<u64, RunError> {
        let (revision, now) = self.deployed(plugin).await?;
        let Some(back) = now.turned_back(by) else {
            return Err(RunError::NotFound {
                what: format!("nothing was deployed of plugin `{plugin}` before {}", &now.sha256[..12]),
                hint: "deploy the file that it is to run".to_owned(),
            });
        };
        self.write(plugin, &Deployment { pinned: false, ..back }, revision).await
    }

    /// Lets what is in shadow or on some lanes or tables go live everywhere.
    ///
    /// # Errors
    /// As for [`Self::deploy`].
    pub async fn promote(&self, plugin: &str, by: String) -> Result<u64, RunError> {
        let (revision, now) = self.deployed(plugin).await?;
        let everywhere = Deployment {
            promotion: Promotion::default(),
            lanes: Vec::new(),
            tables: Vec::new(),
            taken_back: None,
            by,
            ..now
        };
        self.write(plugin, &everywhere, revision).await
    }

    /// Keeps what is deployed from being replaced, or lets it be.
    ///
    /// # Errors
    /// As for [`Self::deploy`].
    pub async fn pin(&self, plugin: &str, pinned: bool, by: String) -> Result<u64, RunError> {
        let (revision, now) = self.deployed(plugin).await?;
        self.write(plugin, &Deployment { pinned, by, ..now }, revision).await
    }

    /// How a plugin stands with all processes.
    ///
    /// # Errors
    /// As for [`Self::deploy`].
    pub async fn standing(&self, plugin: &str) -> Result<Standing, RunError> {
        self.plugin(plugin)?;
        let (revision, deployment) = self.entry(plugin).await?;
        let said = self.store.reports(plugin).await?;
        let read = |entry: reconverge_streams::jetstream::Entry| serde_json::from_slice(&entry.value?).ok();
        let reports = said.into_iter().filter_map(read).collect();
        let revision = deployment.as_ref().map(|_| revision);
        Ok(Standing { plugin: plugin.to_owned(), revision, deployment, reports })
    }

    fn plugin(&self, name: &str) -> Result<&'a Plugin, RunError> {
        self.pipeline.plugin(name).ok_or_else(|| {
            let names: Vec<&str> = self.pipeline.plugins.iter().map(|p| p.name.as_str()).collect();
            RunError::NotFound {
                what: format!("pipeline {} has no plugin `{name}`", self.pipeline.name),
                hint: format!("its plugins are {}", names.join(", ")),
            }
        })
    }

    /// The file that the pipeline names, kept in the store: what a roll back of the first deployment goes to. `None`
    /// where it is not on this machine.
    async fn kept_file(&self, plugin: &Plugin) -> Result<Option<String>, RunError> {
        let Artifact::File(path) = &plugin.artifact else { return Ok(None) };
        let Ok(bytes) = read(path) else { return Ok(None) };
        self.kept(path, &bytes).await.map(Some)
    }

    /// Keeps an artifact, and its signature where there is one. Returns its digest.
    async fn kept(&self, file: &Path, bytes: &[u8]) -> Result<String, RunError> {
        let sha256 = Digest::of(bytes).to_string();
        self.store.keep(&sha256, bytes).await?;
        if let Some(signature) = signature::of_file(file) {
            self.store.keep(&signature::name(&sha256), signature.as_bytes()).await?;
        }
        Ok(sha256)
    }

    /// Keeps golden contests; the digest of the piece. None for none.
    async fn kept_contests(&self, files: &[ContestFile]) -> Result<Option<String>, RunError> {
        if files.is_empty() {
            return Ok(None);
        }
        let bytes = golden::bundled(files);
        if bytes.len() > golden::BUNDLE_BYTES {
            return Err(RunError::NotFound {
                what: format!(
                    "the golden contests have {} bytes, at most {} go with a plugin",
                    bytes.len(),
                    golden::BUNDLE_BYTES
                ),
                hint: "name the files that matter with --golden".to_owned(),
            });
        }
        let sha256 = Digest::of(&bytes).to_string();
        self.store.keep(&beginning::contests_name(&sha256), &bytes).await?;
        Ok(Some(sha256))
    }

    /// The entry's revision (0 where there is none) and what it says.
    async fn entry(&self, plugin: &str) -> Result<(u64, Option<Deployment>), RunError> {
        let Some(entry) = self.store.deployment(plugin).await? else { return Ok((0, None)) };
        let read = entry.value.as_deref().map(Deployment::read).transpose();
        let deployment = read.map_err(|why| RunError::Environment {
            what: format!("the deployment of plugin `{plugin}` cannot be read: {why}"),
            hint: "it was written by another version or by hand; deploy again after removing the entry"
                .to_owned(),
        })?;
        Ok((entry.revision, deployment))
    }

    async fn deployed(&self, plugin: &str) -> Result<(u64, Deployment), RunError> {
        self.plugin(plugin)?;
        let (revision, deployment) = self.entry(plugin).await?;
        let deployment = deployment.ok_or_else(|| RunError::NotFound {
            what: format!("nothing is deployed of plugin `{plugin}`: processes run the pipeline's own file"),
            hint: "`reconverge plugin deploy FILE` deploys one".to_owned(),
        })?;
        Ok((revision, deployment))
    }

    async fn write(&self, plugin: &str, deployment: &Deployment, replaces: u64) -> Result<u64, RunError> {
        let written = self.store.deploy(plugin, deployment.to_bytes(), replaces).await?;
        written.ok_or_else(|| RunError::NotFound {
            what: format!("somebody else changed the deployment of plugin `{plugin}` at this moment"),
            hint: "look at `reconverge plugin status` and try again".to_owned(),
        })
    }
}

fn read(file: &Path) -> Result<Vec<u8>, RunError> {
    let unreadable = |cause: String| RunError::Environment {
        what: format!("{}: {cause}", file.display()),
        hint: "give the path of a plugin file (.wasm)".to_owned(),
    };
    let size = std::fs::metadata(file).map_err(|cause| unreadable(cause.to_string()))?.len();
    if size > ARTIFACT_BYTES {
        return Err(unreadable(format!("it has {size} bytes, a plugin at most {ARTIFACT_BYTES}")));
    }
    std::fs::read(file).map_err(|cause| unreadable(cause.to_string()))
}
