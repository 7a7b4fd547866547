//! Checks `[[plugin]]` and binds plugins to tables.

use std::ops::Range;

use serde_json::Value as Json;
use toml::Value as Toml;

use super::Checker;
use crate::config::checked::{Artifact, Plugin, Table};
use crate::config::choices::{Laws, Stage};
use crate::config::located::At;
use crate::config::policy::Policy;
use crate::config::raw;

/// What binds a plugin to every table.
const EVERY: &str = "*";

impl Checker<'_> {
    pub(super) fn plugins(&mut self, plugins: &[At<raw::Plugin>], tables: &[Table]) -> Vec<Plugin> {
        let mut names: Vec<(String, Range<usize>)> = Vec::new();
        let mut checked = Vec::new();
        for plugin in plugins {
            let span = plugin.span();
            let name = self.needed(plugin.name.as_ref(), &span, "[[plugin]]", "name");
            if let Some(name) = name {
                self.is_new(&names, name, "plugin");
                names.push((name.value().clone(), name.span()));
            }
            let name = self.plain_name(name, "plugin");
            let path = self.needed(plugin.path.as_ref(), &span, "[[plugin]]", "path");
            let artifact = path.and_then(|path| self.artifact(path));
            let stage = self.needed(plugin.stage.as_ref(), &span, "[[plugin]]", "stage");
            let (Some(path), Some(stage)) = (path, stage) else { continue };
            if let Some(laws) = plugin.laws.as_ref().filter(|_| *stage.value() != Stage::Merge) {
                self.refuse(laws.span(), "`laws` are those of merge plugins")
                    .also(stage.span(), "but this is not one")
                    .help("leave it out");
            }
            let bound = self.bound(plugin, &name, *stage.value(), tables);
            let Some(artifact) = artifact else { continue };
            checked.push(Plugin {
                name,
                artifact,
                stage: *stage.value(),
                tables: bound,
                config: plugin
                    .config
                    .as_ref()
                    .map_or_else(|| Json::Object(Default::default()), |c| object(c.value())),
                laws: plugin.laws.as_ref().map_or(Laws::default(), |laws| *laws.value()),
                contests: plugin.contests.as_ref().map(|contests| self.path(contests)),
                contests_span: plugin.contests.as_ref().map_or(path.span(), At::span),
                path_span: path.span(),
                config_span: plugin.config.as_ref().map_or(path.span(), At::span),
            });
        }
        checked
    }

    /// `name@sha256:...` is in the store, all else a file.
    fn artifact(&mut self, path: &At<String>) -> Option<Artifact> {
        let Some((name, digest)) = path.split_once("@sha256:") else {
            if path.is_empty() {
                self.refuse(path.span(), "an empty path").help("write the path of the plugin's `.wasm` file");
                return None;
            }
            return Some(Artifact::File(self.path(path)));
        };
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if name.is_empty() || digest.len() != 64 || !digest.chars().all(hex) {
            self.refuse(path.span(), "not a digest of a plugin")
                .label("64 lower-case hexadecimal digits behind `sha256:`")
                .help("`sha256sum plugin.wasm` prints it");
            return None;
        }
        Some(Artifact::Digest { name: name.to_owned(), sha256: digest.to_owned() })
    }

    /// Indices of the tables that a plugin is given.
    fn bound(&mut self, plugin: &At<raw::Plugin>, name: &str, stage: Stage, tables: &[Table]) -> Vec<usize> {
        let by_policy = |table: &Table| table.policy == Policy::Plugin(name.to_owned());
        if stage != Stage::Merge && plugin.tables.is_none() && plugin.tags.is_none() {
            self.refuse(plugin.span(), format!("plugin `{name}` is bound to no table"))
                .help("write `tables = [\"orders\"]`, `tables = [\"*\"]` or `tags = [\"pii\"]`");
        }
        let listed = plugin.tables.as_ref().map_or(&[][..], |list| list.value());
        let tags = plugin.tags.as_ref().map_or(&[][..], |list| list.value());
        self.distinct(listed, "table");
        self.distinct(tags, "tag");
        for tag in tags {
            self.known_tag(tag, tables);
        }
        for table in listed.iter().filter(|table| table.value() != EVERY) {
            self.listed_table(table, name, stage, tables);
        }
        let named = |table: &Table| {
            listed.iter().any(|name| name.value() == EVERY || *name.value() == table.name)
                || tags.iter().any(|tag| has_tag(table, tag))
        };
        let unlisted = plugin.tables.is_some() || plugin.tags.is_some();
        for table in tables.iter().filter(|table| stage == Stage::Merge && by_policy(table)) {
            if unlisted && !named(table) {
                self.refuse(plugin.span(), format!("plugin `{name}` is not bound to table `{}`", table.name))
                    .also(table.span.clone(), "whose policy it is")
                    .help("add the table to its `tables`, or leave `tables` out");
            }
        }
        let given = |table: &Table| if stage == Stage::Merge { by_policy(table) } else { named(table) };
        tables.iter().enumerate().filter(|(_, table)| given(table)).map(|(index, _)| index).collect()
    }

    fn listed_table(&mut self, listed: &At<String>, plugin: &str, stage: Stage, tables: &[Table]) {
        match tables.iter().find(|table| table.name == *listed.value()) {
            None => {
                let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
                self.unknown(listed, "table", &names);
            }
            Some(table) if stage == Stage::Merge && table.policy != Policy::Plugin(plugin.to_owned()) => {
                self.refuse(listed.span(), format!("table `{}` has another policy", table.name))
                    .label("the plugin would never be asked")
                    .also(table.span.clone(), "this table")
                    .help(format!(
                        "write `policy = {{ plugin = \"{plugin}\" }}` there, or leave it out here"
                    ));
            }
            Some(_) => {}
        }
    }

    fn known_tag(&mut self, tag: &At<String>, tables: &[Table]) {
        let mut known: Vec<&str> = tables.iter().flat_map(tags_of).collect();
        known.sort_unstable();
        known.dedup();
        if !known.contains(&tag.as_str()) {
            self.unknown(tag, "table or column with the tag", &known);
        }
    }
}

fn tags_of(table: &Table) -> impl Iterator<Item = &str> {
    table.tags.iter().chain(table.column_tags.values().flatten()).map(String::as_str)
}

fn has_tag(table: &Table, tag: &str) -> bool {
    tags_of(table).any(|known| known == tag)
}

/// A plugin is given JSON; TOML has one kind of value more, times, which become text.
fn object(table: &toml::Table) -> Json {
    Json::Object(table.iter().map(|(key, value)| (key.clone(), json(value))).collect())
}

fn json(value: &Toml) -> Json {
    match value {
        Toml::String(text) => Json::String(text.clone()),
        Toml::Integer(number) => Json::from(*number),
        Toml::Float(number) => Json::from(*number),
        Toml::Boolean(truth) => Json::Bool(*truth),
        Toml::Datetime(time) => Json::String(time.to_string()),
        Toml::Array(values) => Json::Array(values.iter().map(json).collect()),
        Toml::Table(table) => object(table),
    }
}
