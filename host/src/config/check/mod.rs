//! Raw form to checked plan: step two of two.
//!
//! Each section has its file. All of them put what they find wrong into one list and go on with something
//! harmless in its place, so that a file's problems are reported together and not one a run.

mod images;
mod lanes;
mod limits;
mod merging;
mod plugins;
mod sink;
mod source;
mod table_order;
mod tables;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::checked::{Pipeline, Reload};
use super::document::Document;
use super::environment::Environment;
use super::located::At;
use super::problem::{Problem, Text};
use super::raw;
use super::secret::{self, Unresolved};
use super::spelling;

/// The list of problems and what the checks need to know of the world.
struct Checker<'a> {
    text: &'a Text,
    folder: &'a Path,
    environment: &'a dyn Environment,
    problems: Vec<Problem>,
    /// Keys that the reading complained about already.
    excused: Vec<String>,
}

/// Checks a document. The plan, or everything that is wrong, in the order of the file.
pub(super) fn check(
    document: Document,
    text: &Text,
    folder: &Path,
    environment: &dyn Environment,
) -> Result<Pipeline, Vec<Problem>> {
    let Document { file, problems, excused } = document;
    let Some(file) = file else { return Err(problems) };
    let mut checker = Checker { text, folder, environment, problems, excused };
    let plan = checker.pipeline(file);
    let mut problems = checker.problems;
    problems.sort_by_key(Problem::position);
    match plan {
        Some(plan) if problems.iter().all(Problem::is_warning) => Ok(Pipeline { warnings: problems, ..plan }),
        _ => Err(problems),
    }
}

impl Checker<'_> {
    fn pipeline(&mut self, file: raw::File) -> Option<Pipeline> {
        let identity = self.section(file.pipeline, "pipeline");
        let (name, region) = match &identity {
            Some(identity) => {
                let span = identity.span();
                let name = self.needed(identity.name.as_ref(), &span, "[pipeline]", "name");
                let region = self.needed(identity.region.as_ref(), &span, "[pipeline]", "region");
                (self.plain_name(name, "pipeline"), self.plain_name(region, "region"))
            }
            None => Default::default(),
        };
        let sources = self.sources(file.source, &region);
        let sink = self.sink(file.sink);
        let limits = self.limits(&file.limits);
        let lanes = self.lanes(&file.lane);
        let tables = self.tables(file.table, &lanes, &file.plugin);
        let plugins = self.plugins(&file.plugin, &tables);
        let reload = reload(file.reload.as_ref());
        let plan = Pipeline {
            name,
            region,
            sources,
            sink: sink?,
            limits,
            tables,
            lanes,
            plugins,
            reload,
            metrics: file.metrics.map(|metrics| metrics.listen),
            log: file.log.format,
            warnings: Vec::new(),
            text: self.text.clone(),
        };
        self.before_images(&plan);
        self.merging(&plan);
        self.lanes_in_use(&plan);
        Some(plan)
    }

    fn refuse(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Problem {
        self.problems.push(self.text.problem(span, message));
        self.problems.last_mut().expect("a problem was just put in")
    }

    /// A section that must be there.
    fn section<T>(&mut self, section: Option<T>, name: &str) -> Option<T> {
        if section.is_none() && !self.excused.iter().any(|key| key == name) {
            self.refuse(0..0, format!("there is no [{name}]")).label("in this file").help(match name {
                "pipeline" => "write [pipeline] with `name` and `region`",
                "source" => "write [source] with `stream` and `subjects`",
                "sink" => "write [sink] with `url`",
                _ => "write a [[table]] with `name` and `key` for each table that is to be taken over",
            });
        }
        section
    }

    /// A key that must be there.
    fn needed<'v, T>(
        &mut self,
        value: Option<&'v At<T>>,
        section: &Range<usize>,
        name: &str,
        key: &str,
    ) -> Option<&'v At<T>> {
        if value.is_none() && !self.excused.iter().any(|excused| excused == key) {
            self.refuse(section.clone(), format!("{name} has no `{key}`"))
                .label("it belongs in here")
                .help(format!("write `{key} = ...`"));
        }
        value
    }

    /// A name that becomes part of other names: of consumers, checkpoints and subjects.
    fn plain_name(&mut self, name: Option<&At<String>>, what: &str) -> String {
        let Some(name) = name else { return String::new() };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            self.refuse(name.span(), format!("`{}` cannot be the name of a {what}", name.value()))
                .label("letters, digits, `-` and `_` only")
                .help("it becomes part of the names of consumers, checkpoints and subjects");
        }
        name.value().clone()
    }

    /// Complains about a name that an earlier one of its kind has; true if it is new.
    fn is_new(&mut self, earlier: &[(String, Range<usize>)], name: &At<String>, what: &str) -> bool {
        let Some((_, first)) = earlier.iter().find(|(known, _)| known == name.value()) else { return true };
        self.refuse(name.span(), format!("{what} `{}` stands twice in this file", name.value()))
            .label("again here")
            .also(first.clone(), "first here")
            .help("give one of them another name, or leave it out");
        false
    }

    /// Complains about a name that is not among those known.
    fn unknown(&mut self, name: &At<String>, what: &str, known: &[&str]) {
        self.refuse(name.span(), format!("there is no {what} `{}`", name.value()))
            .label("not in this file")
            .help(spelling::hint(name.value(), known));
    }

    /// Complains about values that stand twice in a list.
    fn distinct(&mut self, list: &[At<String>], what: &str) {
        for (n, value) in list.iter().enumerate() {
            if list[..n].iter().any(|earlier| earlier.value() == value.value()) {
                self.refuse(value.span(), format!("{what} `{}` stands twice in this list", value.value()))
                    .help("leave the second out");
            } else if value.is_empty() {
                self.refuse(value.span(), format!("an empty name for a {what}"));
            }
        }
    }

    /// A url with its variables filled in; literal secrets are refused.
    fn url(&mut self, url: &At<String>) -> Option<String> {
        if !secret::literal_secrets(url.value()).is_empty() {
            self.refuse(url.span(), "a secret stands in this file")
                .label("its password or token is literal")
                .help("put `${NAME}` in its place and set that variable in the environment");
        }
        match secret::interpolate(url.value(), self.environment) {
            Ok(url) => Some(url),
            Err(unresolved) => {
                for one in unresolved {
                    match one {
                        Unresolved::NotSet(name) => self
                            .refuse(url.span(), format!("the environment has no variable `{name}`"))
                            .label("needed here")
                            .help(format!("set it, such as: export {name}=...")),
                        Unresolved::Malformed => self
                            .refuse(url.span(), "`${` without a name and `}`")
                            .help("write `${NAME}`, NAME in letters, digits and `_`"),
                    };
                }
                None
            }
        }
    }

    /// A path of the file; what is relative starts at the file's folder.
    fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }
}

/// How long a new generation is on trial where the file does not say.
const TRIAL: Duration = Duration::from_mins(5);

fn reload(given: Option<&At<raw::Reload>>) -> Reload {
    let Some(given) = given else {
        return Reload {
            watch: false,
            shadow_batches: 20,
            max_diff: None,
            max_faults: 0,
            trial: TRIAL,
            follow: true,
            trusted_keys: Vec::new(),
            span: 0..0,
        };
    };
    Reload {
        watch: given.watch,
        shadow_batches: given.shadow_batches,
        max_diff: given.max_diff,
        max_faults: given.max_faults,
        trial: given.trial.as_ref().map_or(TRIAL, |trial| trial.duration),
        follow: given.follow,
        trusted_keys: given.trusted_keys.clone(),
        span: given.span(),
    }
}
