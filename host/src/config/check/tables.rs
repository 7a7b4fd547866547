//! Checks `[[table]]`: each by itself, and its names against the rest of the file.

use std::num::NonZeroU32;
use std::ops::Range;

use super::Checker;
use super::lanes::MAIN;
use crate::config::checked::{Lane, NamedColumn, PayloadSchema, Table};
use crate::config::choices::{BeforeImages, Deletes, Stage};
use crate::config::located::At;
use crate::config::policy::Policy;
use crate::config::raw;
use crate::config::spelling;

impl Checker<'_> {
    pub(super) fn tables(
        &mut self,
        tables: Option<Vec<At<raw::Table>>>,
        lanes: &[Lane],
        plugins: &[At<raw::Plugin>],
    ) -> Vec<Table> {
        let tables = self.section(tables, "table").unwrap_or_default();
        let mut names: Vec<(String, Range<usize>)> = Vec::new();
        let mut targets: Vec<(String, Range<usize>)> = Vec::new();
        let mut checked: Vec<(&raw::Table, Table)> = Vec::new();
        for raw in &tables {
            let Some(name) = self.needed(raw.name.as_ref(), &raw.span(), "[[table]]", "name") else {
                continue;
            };
            let table = self.table(raw, name, raw.span(), lanes, plugins);
            let target = raw.target.as_ref().unwrap_or(name);
            let is_new = self.is_new(&names, name, "table");
            if is_new && let Some((_, first)) = targets.iter().find(|(known, _)| *known == table.target) {
                self.refuse(target.span(), format!("two tables go into `{}`", table.target))
                    .also(first.clone(), "the other one")
                    .help("give one of them another `target`");
            }
            names.push((name.value().clone(), name.span()));
            targets.push((table.target.clone(), target.span()));
            if is_new {
                checked.push((raw, table));
            }
        }
        self.in_effect_order(checked)
    }

    fn table(
        &mut self,
        raw: &raw::Table,
        name: &At<String>,
        span: Range<usize>,
        lanes: &[Lane],
        plugins: &[At<raw::Plugin>],
    ) -> Table {
        if name.is_empty() || raw.target.as_ref().is_some_and(|target| target.is_empty()) {
            self.refuse(name.span(), "a table has an empty name").help("write the name that the source uses");
        }
        let policy = self.policy(raw, plugins);
        self.deletes(raw, &policy);
        self.whole_before_images(raw, &policy);
        self.without_effect(raw, &policy);
        let (key, key_from) = self.key(raw, &span);
        for tags in std::iter::once(&raw.tags).chain(raw.columns.values().map(|column| &column.tags)) {
            self.distinct(tags, "tag");
        }
        let words = |list: &[At<String>]| list.iter().map(|word| word.value().clone()).collect::<Vec<_>>();
        let column_tags =
            raw.columns.iter().map(|(name, column)| (name.value().clone(), words(&column.tags))).collect();
        Table {
            name: name.value().clone(),
            target: match &raw.target {
                Some(target) => target.value().clone(),
                None => name.rsplit('.').next().unwrap_or(name).to_owned(),
            },
            named_columns: named_columns(raw, &policy),
            key,
            key_from,
            priority: *raw.priority.value(),
            depends_on: Vec::new(),
            orphans: raw.orphans.as_ref().map(|orphans| *orphans.value()).unwrap_or_default(),
            lane: self.lane_of(raw, lanes),
            policy,
            deletes: raw.deletes.as_ref().map_or(Deletes::default(), |deletes| *deletes.value()),
            before_images: raw.before_images,
            archive: raw.archive.as_ref().map_or_else(Default::default, |archive| *archive.value()),
            leaves: raw.leaves.as_ref().map_or_else(Default::default, |leaves| *leaves.value()),
            origin_column: raw.origin_column.as_ref().map(|column| column.value().clone()),
            schema: self.payload_schema(raw.schema.as_ref()),
            tags: words(&raw.tags),
            column_tags,
            span: name.span(),
        }
    }

    fn key(&mut self, raw: &raw::Table, span: &Range<usize>) -> (Vec<String>, Vec<String>) {
        let names =
            |list: &At<Vec<At<String>>>| list.iter().map(|name| name.value().clone()).collect::<Vec<_>>();
        let Some(key) = self.needed(raw.key.as_ref(), span, "[[table]]", "key") else {
            return Default::default();
        };
        if key.is_empty() && !self.excused.iter().any(|excused| excused == "key") {
            self.refuse(key.span(), "a key without columns")
                .label("at least one column")
                .help("without a key no change can be told from another");
        }
        self.distinct(key, "column");
        let Some(from) = &raw.key_from else { return (names(key), names(key)) };
        self.distinct(from, "column");
        if from.len() != key.len() {
            self.refuse(from.span(), "`key_from` has not as many columns as `key`")
                .also(key.span(), format!("{} of them here", key.len()))
                .help("write the source's name of each key column, in the order of `key`");
        }
        (names(key), names(from))
    }

    fn policy(&mut self, raw: &raw::Table, plugins: &[At<raw::Plugin>]) -> Policy {
        let Some(policy) = &raw.policy else { return Policy::LwwCommitTime };
        match policy.value() {
            raw::Policy::Words(words) => match Policy::parse(words) {
                Ok(policy) => policy,
                Err((message, help)) => {
                    self.refuse(policy.span(), message).help(help);
                    Policy::LwwCommitTime
                }
            },
            raw::Policy::Plugin(by) => {
                self.merge_plugin(&by.plugin, plugins);
                Policy::Plugin(by.plugin.value().clone())
            }
        }
    }

    fn merge_plugin(&mut self, name: &At<String>, plugins: &[At<raw::Plugin>]) {
        let named =
            |plugin: &&At<raw::Plugin>| plugin.name.as_ref().is_some_and(|n| n.value() == name.value());
        match plugins.iter().find(named).map(|plugin| plugin.stage.as_ref()) {
            None => {
                let names: Vec<&str> = plugins
                    .iter()
                    .filter_map(|plugin| plugin.name.as_ref().map(|name| name.as_str()))
                    .collect();
                self.unknown(name, "plugin", &names);
            }
            Some(Some(stage)) if *stage.value() != Stage::Merge => {
                self.refuse(name.span(), format!("plugin `{}` is not a merge plugin", name.value()))
                    .also(stage.span(), format!("its stage is {}", stage.value()))
                    .help("a policy needs a plugin with `stage = \"merge\"`");
            }
            Some(_) => {}
        }
    }

    fn deletes(&mut self, raw: &raw::Table, policy: &Policy) {
        let Some(deletes) = raw.deletes.as_ref().filter(|deletes| *deletes.value() == Deletes::Ordered)
        else {
            return;
        };
        if policy.is_ordering() && !policy.puts_together() && raw.before_images != BeforeImages::Full {
            self.refuse(deletes.span(), "`deletes = \"ordered\"` needs `before_images = \"full\"`")
                .label("a delete is ordered by its before image")
                .help(
                    "with PostgreSQL's default identity a delete carries fillers, 0 and \"\", that look like \
                     data: run `ALTER TABLE ... REPLICA IDENTITY FULL` at the source, or write `deletes = \"win\"`",
                );
        }
    }

    /// Warns of keys that the table's policy makes no use of.
    fn without_effect(&mut self, raw: &raw::Table, policy: &Policy) {
        if let Some(deletes) = raw.deletes.as_ref().filter(|_| !policy.is_ordering()) {
            self.refuse(deletes.span(), "`deletes` has no effect under this policy").warn().help(
                "under `none`, `take-incoming` and `keep-current` a delete deletes what it names, whatever stands",
            );
        }
        if let Some(orphans) = raw.orphans.as_ref().filter(|_| raw.depends_on.is_empty()) {
            self.refuse(orphans.span(), "`orphans` has no effect without `depends_on`")
                .warn()
                .help("name the table's parents in `depends_on`, or leave it out");
        }
        if let Some(archive) = raw.archive.as_ref().filter(|_| !policy.keeps_versions()) {
            self.refuse(archive.span(), "`archive` has no effect under this policy")
                .warn()
                .help("under `none` nothing loses; name another policy, or leave it out");
        }
    }

    fn lane_of(&mut self, raw: &raw::Table, lanes: &[Lane]) -> usize {
        let place = |name: &str| lanes.iter().position(|lane| lane.name == name);
        let main = place(MAIN).unwrap_or(0);
        let Some(lane) = &raw.lane else { return main };
        place(lane).unwrap_or_else(|| {
            let names: Vec<&str> = lanes.iter().map(|lane| lane.name.as_str()).collect();
            self.refuse(lane.span(), format!("there is no lane `{}`", lane.value()))
                .label("not in this file")
                .help(format!("{} (a lane is declared by [[lane]])", spelling::hint(lane, &names)));
            main
        })
    }

    fn payload_schema(&mut self, schema: Option<&At<raw::PayloadSchema>>) -> PayloadSchema {
        let Some(schema) = schema else { return PayloadSchema::default() };
        let version = schema.version.as_ref().map(|version| *version.value());
        let accept: Vec<NonZeroU32> = match &schema.accept {
            Some(accept) => accept.iter().map(|version| *version.value()).collect(),
            None => version.into_iter().collect(),
        };
        if let (Some(version), Some(list)) = (&schema.version, &schema.accept)
            && !accept.contains(version.value())
        {
            self.refuse(list.span(), format!("version {} is not among those accepted", version.value()))
                .also(version.span(), "the table's own version")
                .help(format!("put {} into `accept`", version.value()));
        }
        PayloadSchema {
            version,
            accept,
            json_schema: schema.json_schema.as_ref().map(|path| self.path(path)),
            span: schema.json_schema.as_ref().map_or(schema.span(), At::span),
        }
    }
}

/// Every column of the sink's table that the file names, with its place.
fn named_columns(raw: &raw::Table, policy: &Policy) -> Vec<NamedColumn> {
    let here = |name: &At<String>| NamedColumn { name: name.value().clone(), span: name.span() };
    let mut named: Vec<NamedColumn> = Vec::new();
    named.extend(raw.key.iter().flat_map(|key| key.iter().map(here)));
    named.extend(raw.depends_on.iter().flat_map(|parent| parent.columns.iter().map(here)));
    named.extend(raw.origin_column.iter().map(here));
    named.extend(raw.columns.keys().map(here));
    let policy_span = raw.policy.as_ref().map_or(0..0, At::span);
    let ordering = policy.order_columns().iter().cloned();
    named.extend(ordering.map(|name| NamedColumn { name, span: policy_span.clone() }));
    named.extend(super::merging::counters(raw, policy));
    named
}
