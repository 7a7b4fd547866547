//! Where plugins are kept and pointed at: artifacts by digest in an object store, and per pipeline and plugin one
//! entry of a key-value bucket that every process watches. What an entry says is not this file's to know: it carries
//! bytes. Reports of the processes lie in a bucket of their own and go by themselves.
//!
//! A user that deploys needs the rights to create and write these three streams; a process that runs a pipeline needs
//! to read two and to write the reports. Where a bucket does not exist there is nothing to follow, and that is no error.

use std::time::Duration;

use async_nats::jetstream::{
    self, Context, ErrorCode,
    context::GetStreamErrorKind,
    kv::{self, Operation, Store, UpdateErrorKind},
    object_store::{self, GetErrorKind, ObjectMetadata, ObjectStore},
};
use futures_util::StreamExt;
use tokio::io::AsyncReadExt;

use super::connect::{ConnectOptions, Connection};
use crate::source::SourceError;

/// The object store: an artifact is named by the lower-case hex of its SHA-256, its signature `SHA-256.minisig`.
pub const ARTIFACTS: &str = "reconverge-plugins";
/// The bucket with what is deployed: `pipeline.plugin`.
pub const DEPLOYMENTS: &str = "reconverge-deployments";
/// The bucket with what processes say of it: `pipeline.plugin.process`.
pub const REPORTS: &str = "reconverge-reports";

/// How long a report stands without being said again.
const REPORT_AGE: Duration = Duration::from_mins(2);
/// Revisions of a deployment that are kept, for its history.
const HISTORY: i64 = 20;
/// Greatest artifact that is read; an engine has a limit of its own.
const ARTIFACT_MAX: usize = 256 << 20;

/// An entry of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The plugin; of a report, the process.
    pub name: String,
    /// The bucket's revision: grows with each write.
    pub revision: u64,
    /// What was written; `None` where the entry was taken away.
    pub value: Option<Vec<u8>>,
}

/// The store of one pipeline. Cloning shares the connection.
#[derive(Clone)]
pub struct PluginStore {
    jetstream: Context,
    url: String,
    pipeline: String,
}

impl PluginStore {
    /// Connects. Nothing is created.
    ///
    /// # Errors
    /// As for a source.
    pub async fn connect(options: &ConnectOptions, pipeline: &str) -> Result<Self, SourceError> {
        let Connection { client, api_prefix, url, .. } = Connection::open(options).await?;
        let jetstream = jetstream::with_prefix(client, &api_prefix);
        Ok(PluginStore { jetstream, url, pipeline: pipeline.to_owned() })
    }

    /// Keeps bytes under a name (of an artifact its digest), and makes the store where there is none. What is there
    /// under that name in the same length is taken to be the same.
    ///
    /// # Errors
    /// The server does not take it.
    pub async fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), SourceError> {
        let store = match self.artifacts().await? {
            Some(store) => store,
            None => {
                let description = Some("Reconverge: plugins by SHA-256".to_owned());
                let config =
                    object_store::Config { bucket: ARTIFACTS.to_owned(), description, ..Default::default() };
                let made = self.jetstream.create_object_store(config).await;
                made.map_err(|cause| self.failed("creating the store of plugins", cause))?
            }
        };
        let is_there = store.info(name).await.is_ok_and(|info| info.size == bytes.len() && !info.deleted);
        if is_there {
            return Ok(());
        }
        let metadata = ObjectMetadata { name: name.to_owned(), ..ObjectMetadata::default() };
        let mut reader = bytes;
        let put = store.put(metadata, &mut reader).await;
        put.map(|_| ()).map_err(|cause| self.failed("storing the plugin", cause))
    }

    /// What is kept under a name; `None` where the store lacks it. The digest is the reader's to check.
    ///
    /// # Errors
    /// The server does not answer, or the object is beyond all limits.
    pub async fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, SourceError> {
        let Some(store) = self.artifacts().await? else { return Ok(None) };
        let mut object = match store.get(name).await {
            Ok(object) if object.info().size > ARTIFACT_MAX => {
                return Err(SourceError::Setup {
                    what: format!("plugin {name} in the store has {} bytes", object.info().size),
                    hint: format!("a plugin has at most {ARTIFACT_MAX} bytes"),
                });
            }
            Ok(object) => object,
            Err(cause) if cause.kind() == GetErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(self.failed("reading the plugin", cause)),
        };
        let mut bytes = Vec::new();
        let read = object.read_to_end(&mut bytes).await;
        read.map_err(|cause| self.failed("reading the plugin", cause))?;
        Ok(Some(bytes))
    }

    /// What is deployed of one plugin.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn deployment(&self, plugin: &str) -> Result<Option<Entry>, SourceError> {
        let Some(bucket) = self.bucket(DEPLOYMENTS).await? else { return Ok(None) };
        let found = bucket.entry(self.key(plugin)).await;
        let found = found.map_err(|cause| self.failed("reading the deployment", cause))?;
        Ok(found.map(|entry| entry_of(plugin.to_owned(), entry)).filter(|entry| entry.value.is_some()))
    }

    /// The revisions of one plugin that are still kept, the oldest first.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn history(&self, plugin: &str) -> Result<Vec<Entry>, SourceError> {
        let Some(bucket) = self.bucket(DEPLOYMENTS).await? else { return Ok(Vec::new()) };
        let history = bucket.history(self.key(plugin)).await;
        let mut history = history.map_err(|cause| self.failed("reading the history", cause))?;
        let mut entries = Vec::new();
        while let Some(entry) = history.next().await {
            let entry = entry.map_err(|cause| self.failed("reading the history", cause))?;
            entries.push(entry_of(plugin.to_owned(), entry));
        }
        Ok(entries)
    }

    /// Writes what is deployed, in place of revision `replaces` (0: of none). Returns the new revision; `None` where
    /// someone else was quicker.
    ///
    /// # Errors
    /// The server does not take it.
    pub async fn deploy(
        &self,
        plugin: &str,
        value: Vec<u8>,
        replaces: u64,
    ) -> Result<Option<u64>, SourceError> {
        let config = kv::Config {
            bucket: DEPLOYMENTS.to_owned(),
            description: "Reconverge: the plugins that pipelines run".to_owned(),
            history: HISTORY,
            ..Default::default()
        };
        let bucket = self.bucket_or_new(config).await?;
        match bucket.update(self.key(plugin), value.into(), replaces).await {
            Ok(revision) => Ok(Some(revision)),
            Err(cause) if cause.kind() == UpdateErrorKind::WrongLastRevision => Ok(None),
            Err(cause) => Err(self.failed("writing the deployment", cause)),
        }
    }

    /// What is deployed now, and then each change. `None` where nothing was ever deployed on this server.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn watch(&self) -> Result<Option<Watch>, SourceError> {
        let Some(bucket) = self.bucket(DEPLOYMENTS).await? else { return Ok(None) };
        let watch = bucket.watch_with_history(self.key("*")).await;
        let inner = watch.map_err(|cause| self.failed("watching deployments", cause))?;
        Ok(Some(Watch { inner, prefix: self.key("") }))
    }

    /// Says how a process stands to a deployment. Said again within two minutes, or it goes.
    ///
    /// # Errors
    /// The server does not take it.
    pub async fn report(&self, plugin: &str, process: &str, value: Vec<u8>) -> Result<(), SourceError> {
        let config = kv::Config {
            bucket: REPORTS.to_owned(),
            description: "Reconverge: what processes say of deployments".to_owned(),
            history: 1,
            max_age: REPORT_AGE,
            ..Default::default()
        };
        let bucket = self.bucket_or_new(config).await?;
        let key = format!("{}.{}", self.key(plugin), super::consumer::sanitized(process));
        let put = bucket.put(key, value.into()).await;
        put.map(|_| ()).map_err(|cause| self.failed("writing the report", cause))
    }

    /// What the processes say of a plugin's deployment.
    ///
    /// # Errors
    /// The server does not answer.
    pub async fn reports(&self, plugin: &str) -> Result<Vec<Entry>, SourceError> {
        let Some(bucket) = self.bucket(REPORTS).await? else { return Ok(Vec::new()) };
        let prefix = format!("{}.", self.key(plugin));
        let keys = bucket.keys().await.map_err(|cause| self.failed("reading reports", cause))?;
        let keys: Vec<_> = keys.collect().await;
        let mut entries = Vec::new();
        for key in keys.into_iter().flatten() {
            let Some(process) = key.strip_prefix(&prefix) else { continue };
            let entry = bucket.entry(key.clone()).await;
            let entry = entry.map_err(|cause| self.failed("reading reports", cause))?;
            entries.extend(entry.map(|entry| entry_of(process.to_owned(), entry)));
        }
        Ok(entries)
    }

    fn key(&self, plugin: &str) -> String {
        format!("{}.{plugin}", self.pipeline)
    }

    async fn bucket_or_new(&self, config: kv::Config) -> Result<Store, SourceError> {
        if let Some(bucket) = self.bucket(&config.bucket).await? {
            return Ok(bucket);
        }
        let name = config.bucket.clone();
        let made = self.jetstream.create_key_value(config).await;
        made.map_err(|cause| self.failed(&format!("creating bucket {name}"), cause))
    }

    async fn bucket(&self, name: &str) -> Result<Option<Store>, SourceError> {
        if !self.exists(&format!("KV_{name}")).await? {
            return Ok(None);
        }
        let bucket = self.jetstream.get_key_value(name).await;
        bucket.map(Some).map_err(|cause| self.failed(&format!("opening bucket {name}"), cause))
    }

    async fn artifacts(&self) -> Result<Option<ObjectStore>, SourceError> {
        if !self.exists(&format!("OBJ_{ARTIFACTS}")).await? {
            return Ok(None);
        }
        let store = self.jetstream.get_object_store(ARTIFACTS).await;
        store.map(Some).map_err(|cause| self.failed("opening the store of plugins", cause))
    }

    async fn exists(&self, stream: &str) -> Result<bool, SourceError> {
        match self.jetstream.get_stream(stream).await {
            Ok(_) => Ok(true),
            Err(cause) => match cause.kind() {
                GetStreamErrorKind::JetStream(error) if error.error_code() == ErrorCode::STREAM_NOT_FOUND => {
                    Ok(false)
                }
                _ => Err(self.failed(&format!("looking for stream {stream}"), cause)),
            },
        }
    }

    fn failed(&self, what: &str, cause: impl std::fmt::Display) -> SourceError {
        SourceError::Unreachable(format!("{what} at {}: {cause}", self.url))
    }
}

/// See [`PluginStore::watch`].
pub struct Watch {
    inner: kv::Watch,
    /// `pipeline.`
    prefix: String,
}

impl Watch {
    /// The next entry; `None` where the watch has ended and has to be opened again.
    pub async fn next(&mut self) -> Option<Entry> {
        let entry = self.inner.next().await?.ok()?;
        let name = entry.key.strip_prefix(&self.prefix).unwrap_or_default().to_owned();
        Some(entry_of(name, entry))
    }
}

fn entry_of(name: String, entry: kv::Entry) -> Entry {
    let value = (entry.operation == Operation::Put).then(|| entry.value.to_vec());
    Entry { name, revision: entry.revision, value }
}
