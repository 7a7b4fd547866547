//! What stands in the store about a plugin: which artifact a pipeline is to run and how it gets there, and what each
//! process says of it. JSON, so that other programs may write and read it too.

use serde::{Deserialize, Serialize};

use crate::generation::{Compared, Promotion};

/// What is to run: the value of `pipeline.plugin` in the bucket of deployments.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// SHA-256 of the artifact, lower-case hex; its name in the store of plugins.
    pub sha256: String,
    /// The artifact that ran before; what `rollback` goes back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// SHA-256 of the golden contests that came with the artifact, in the store as `SHA-256.contests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contests: Option<String>,
    /// When it goes live.
    #[serde(default)]
    pub promotion: Promotion,
    /// Run it at first on these lanes alone; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lanes: Vec<String>,
    /// Run it at first for these tables alone; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tables: Vec<String>,
    /// No other artifact may be deployed until this is taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub pinned: bool,
    /// Why it was taken back by a process that ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taken_back: Option<String>,
    /// Who wrote this.
    pub by: String,
}

impl Deployment {
    /// The artifact before in its place, at once and everywhere; `None` where nothing was before. It has been live, so it
    /// is not asked for contests again.
    #[must_use]
    pub fn turned_back(&self, by: String) -> Option<Deployment> {
        Some(Deployment {
            sha256: self.previous.clone()?,
            previous: Some(self.sha256.clone()),
            contests: None,
            promotion: Promotion::default(),
            lanes: Vec::new(),
            tables: Vec::new(),
            pinned: self.pinned,
            taken_back: None,
            by,
        })
    }
}

/// How far a process is with a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It is being checked and compiled.
    Admitting,
    /// It decides beside the live one, and nothing of it is written.
    Shadow,
    /// It decides on some lanes or tables.
    Canary,
    /// It decides.
    Live,
    /// It is not fit to run here.
    Refused,
    /// It ran, and failed too often.
    TakenBack,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Phase::Admitting => "admitting",
            Phase::Shadow => "shadow",
            Phase::Canary => "canary",
            Phase::Live => "live",
            Phase::Refused => "refused",
            Phase::TakenBack => "taken-back",
        }
    }

    /// Whether nothing more comes without anybody's doing.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Phase::Canary | Phase::Live | Phase::Refused | Phase::TakenBack)
    }
}

/// What a process says of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The process: its owner's name in the sink.
    pub process: String,
    /// The deployment's revision that it speaks of.
    pub revision: u64,
    /// The artifact.
    pub sha256: String,
    /// How far it is.
    pub phase: Phase,
    /// Why not further.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What shadow runs came to.
    #[serde(default)]
    pub compared: Compared,
}

impl Deployment {
    /// Reads an entry.
    ///
    /// # Errors
    /// It is not a deployment; in words.
    pub fn read(value: &[u8]) -> Result<Self, String> {
        let read: Deployment = serde_json::from_slice(value).map_err(|cause| cause.to_string())?;
        if read.sha256.len() != 64 || !read.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err("`sha256` is not 64 lower-case hexadecimal digits".to_owned());
        }
        Ok(read)
    }

    /// The entry's value.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a deployment is plain data")
    }

    /// Whether it is to decide only some of what the plugin is bound to.
    #[must_use]
    pub fn is_canary(&self) -> bool {
        !self.lanes.is_empty() || !self.tables.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_is_read_as_it_was_written_and_needs_little() {
        let digest = "0a".repeat(32);
        let least = format!(r#"{{"sha256":"{digest}","by":"ci"}}"#);
        let read = Deployment::read(least.as_bytes()).unwrap();
        assert!(!read.is_canary() && !read.pinned && read.promotion == Promotion::default());
        assert_eq!(Deployment::read(&read.to_bytes()).unwrap(), read);
        for wrong in [r#"{"sha256":"0A","by":"ci"}"#, r#"{"by":"ci"}"#, "x"] {
            assert!(Deployment::read(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
