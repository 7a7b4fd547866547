//! Why a plugin cannot run, in words for whoever configured or wrote it. Found before the first event; what goes
//! wrong with an event is a [`super::fault`].

use std::fmt;

use super::contract::BadContract;

/// A plugin that is not fit to run, and why.
#[derive(Debug, thiserror::Error)]
#[error("plugin `{plugin}` cannot run: {why}")]
pub struct PluginError {
    /// Its name in the pipeline.
    pub plugin: String,
    /// What is wrong with it.
    pub why: Box<Unfit>,
}

impl PluginError {
    pub(super) fn new(plugin: &str, why: Unfit) -> Self {
        PluginError { plugin: plugin.into(), why: Box::new(why) }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        self.why.hint()
    }
}

/// See [`PluginError`].
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The file cannot be read.
    #[error("its file cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// The file is larger than a plugin may be.
    #[error("its file is larger than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The file holds something else.
    #[error("its file is no WebAssembly; it begins like {0}")]
    NotWasm(&'static str),
    /// The file is cut off or damaged.
    #[error("its file is damaged or cut off: {0}")]
    Damaged(String),
    /// A core module that does not say what it exports.
    #[error("its file is a core module without the description of a component")]
    NoDescription,
    /// A core module that does not fit its own description.
    #[error("no component can be made of its core module: {0}")]
    Encode(String),
    /// It imports what a plugin cannot have.
    #[error("it imports what no plugin is given: {}", Listed(.0))]
    Imports(Vec<String>),
    /// It was built for another version of the interface.
    #[error("it was built for another version of the interface: {}; this host speaks 0.1", Listed(.0))]
    Version(Vec<String>),
    /// It has no lifecycle.
    #[error("it exports no `reconverge:plugin/lifecycle`")]
    NoLifecycle,
    /// It does not implement the stage that it is configured for.
    #[error("it has no stage `{wanted}`; it has {}", Listed(.has))]
    NoStage {
        /// The stage in the configuration.
        wanted: &'static str,
        /// The stages that it exports.
        has: Vec<String>,
    },
    /// An export has the right name and other types.
    #[error("an export is not as the interface says: {0}")]
    Shape(String),
    /// It does not compile.
    #[error("it does not compile: {0}")]
    Compile(String),
    /// An instance could not be started.
    #[error("it does not start: {0}")]
    Start(String),
    /// `describe` failed.
    #[error("`describe` failed: {0}")]
    Describe(String),
    /// Its JSON Schema is none.
    #[error("its own configuration schema is no JSON Schema: {0}")]
    Schema(String),
    /// It takes no configuration and was given one.
    #[error("it takes no configuration")]
    TakesNoConfig,
    /// The configuration breaks its schema.
    #[error("its configuration breaks its schema: {}", Listed(.0))]
    Config(Vec<String>),
    /// `open` said no.
    #[error("it refuses to open: {0}")]
    Refused(String),
    /// `open` failed.
    #[error("`open` failed: {0}")]
    Open(String),
    /// It is bound to no table.
    #[error("it is bound to no table")]
    NoTables,
    /// `open` gave no contract for a table that the plugin is bound to.
    #[error("it gave no contract for table `{0}`, which it is bound to")]
    NoContract(String),
    /// A contract breaks the rules.
    #[error("its contract for table `{table}` does not hold: {why}")]
    Contract {
        /// The table.
        table: String,
        /// What is wrong.
        why: BadContract,
    },
    /// Two merge plugins for one table.
    #[error("table `{table}` has a merge plugin already: `{other}`")]
    SecondMerge {
        /// The table.
        table: String,
        /// The other plugin.
        other: String,
    },
    /// Two contracts ask for a source's column as different types.
    #[error(
        "column `{column}` of table `{table}`, which only the source has, is asked for as {asked} here and as {before} by `{other}`"
    )]
    Disagree {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The type in this contract.
        asked: String,
        /// The type in the other contract.
        before: String,
        /// The other plugin.
        other: String,
    },
    /// The plan was made without what [`super::PluginSet::source_columns`] says.
    #[error("the plan has no column `{column}` of type {logical} in table `{table}`")]
    Plan {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type.
        logical: String,
    },
}

impl Unfit {
    fn hint(&self) -> String {
        let fixed = match self {
            Unfit::Unreadable(_) => "give the path of a .wasm file, relative to the folder of pipeline.toml",
            Unfit::TooLarge { .. } => {
                "build it optimised and stripped, or with a smaller runtime (QuickJS in place of StarlingMonkey)"
            }
            Unfit::NotWasm("WebAssembly text") => {
                "translate it to binary: `wasm-tools parse plugin.wat -o plugin.wasm`"
            }
            Unfit::NotWasm(_) | Unfit::Damaged(_) => "build the plugin again: `reconverge plugin build`",
            Unfit::NoDescription => {
                "build it with reconverge-sdk (Rust) or wit-bindgen, and do not strip the custom sections `component-type:*`"
            }
            Unfit::Encode(_) | Unfit::Shape(_) | Unfit::Version(_) => {
                "build it against wit/plugin.wit of this release"
            }
            Unfit::Imports(names) => return import_hint(names).into(),
            Unfit::NoLifecycle => "build it for a world that includes `reconverge:plugin/base`",
            Unfit::NoStage { .. } => {
                "set `stage` of the [[plugin]] to one that it has, or build it for the other world"
            }
            Unfit::Compile(_) => "check it with `wasm-tools validate`",
            Unfit::Start(_) | Unfit::Describe(_) | Unfit::Open(_) => {
                "try it alone: `reconverge plugin inspect`; raise [limits] plugin if it needs more than it may have"
            }
            Unfit::Schema(_) => "give `describe` a JSON Schema of draft 2020-12, or an empty text",
            Unfit::TakesNoConfig => "remove `config` from the [[plugin]]",
            Unfit::Config(_) => "see the schema: `reconverge plugin inspect`",
            Unfit::Refused(_) => "change `config` or `tables` of the [[plugin]] as it says",
            Unfit::NoTables => "name tables or tags in the [[plugin]], or remove it",
            Unfit::NoContract(_) => {
                "leave the table out of the [[plugin]], or answer `open` with a contract for it (it may read nothing)"
            }
            Unfit::Contract { why, .. } => return why.hint().into(),
            Unfit::SecondMerge { .. } => "bind one merge plugin to each table",
            Unfit::Disagree { .. } => "let both plugins ask for the column as the same type",
            Unfit::Plan { .. } => "this is a fault of Reconverge: please report it",
        };
        fixed.into()
    }
}

fn import_hint(names: &[String]) -> &'static str {
    if names.iter().any(|name| name.contains("wasi")) {
        "build it without WASI: Rust for wasm32-unknown-unknown; Python with `componentize-py --stub-wasi`; JavaScript with \
         `jco componentize --backend quickjs --backend-qjs-stub-wasi`; Go and C with `reconverge plugin build`, which stubs it"
    } else {
        "a plugin may import `reconverge:plugin/log` and nothing else"
    }
}

/// Names in a sentence.
struct Listed<'a>(&'a [String]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { f.write_str("none") } else { f.write_str(&self.0.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_say_what_and_hints_what_to_do() {
        let error = PluginError::new(
            "p",
            Unfit::Imports(vec!["wasi:clocks/wall-clock@0.2.0".into(), "env.x".into()]),
        );
        let told =
            "plugin `p` cannot run: it imports what no plugin is given: wasi:clocks/wall-clock@0.2.0, env.x";
        assert_eq!(error.to_string(), told);
        assert!(error.hint().contains("wasm32-unknown-unknown"));
        let none = PluginError::new("p", Unfit::NoStage { wanted: "merge", has: vec![] });
        assert!(none.to_string().ends_with("it has no stage `merge`; it has none"));
    }
}
