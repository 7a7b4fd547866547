//! From a [`Plugin`] to the exports of a component: the only place where a plugin meets its host.
//!
//! Compiled into wasm alone. On the author's own machine a plugin has no exports, and its tests need no host.

use crate::{
    bindings::base::{exports::reconverge::plugin::lifecycle, reconverge::plugin::types},
    block::Block,
    plugin::{Batch, Plugin, Stage, Table},
};

/// Opens a plugin. Not for authors: [`export!`](crate::export) calls it.
#[doc(hidden)]
pub fn open<P: Plugin>(
    config: &str,
    tables: Vec<lifecycle::Table>,
) -> Result<(P, Vec<types::Contract>), String> {
    let tables: Vec<Table> = tables.into_iter().map(Table::from).collect();
    P::open(config, &tables)
}

/// Runs a stage on what the host handed over. Not for authors: [`export!`](crate::export) calls it.
#[doc(hidden)]
pub fn run<P: Stage<S>, S>(
    opened: &mut Option<P>,
    table: u32,
    rows: u32,
    block: &[u8],
) -> Result<types::Answer, String> {
    let plugin = opened.as_mut().ok_or("run was called before open")?;
    // SAFETY: this runs in a component alone, and its host has checked that text is UTF-8 (`wit/plugin.wit`). A
    // host that did not would break this plugin's own memory and nothing else's.
    let block = unsafe { Block::read_checked(block, rows as usize) }.map_err(|e| e.to_string())?;
    plugin.run(&Batch { table: table as usize, block })
}

/// Makes a component of a type that implements [`Plugin`](crate::Plugin) and the stages named:
/// `reconverge_sdk::export!(Faulty: filter, merge);`. Once per crate; the stage attributes do it themselves.
#[macro_export]
macro_rules! export {
    ($plugin:ty: $($stage:ident),+ $(,)?) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            ::std::thread_local! {
                /// What `open` made. A component has one thread.
                static OPENED: ::std::cell::RefCell<Option<$plugin>> = const { ::std::cell::RefCell::new(None) };
            }
            struct Component;
            use $crate::bindings::{base, base::exports::reconverge::plugin::lifecycle};
            impl lifecycle::Guest for Component {
                fn describe() -> lifecycle::Descriptor {
                    <$plugin as $crate::Plugin>::describe()
                }
                fn open(
                    config: String,
                    tables: Vec<lifecycle::Table>,
                ) -> Result<Vec<lifecycle::Contract>, String> {
                    let (plugin, contracts) = $crate::component::open::<$plugin>(&config, tables)?;
                    OPENED.with_borrow_mut(|opened| *opened = Some(plugin));
                    Ok(contracts)
                }
            }
            base::export_base!(Component with_types_in base);
            $($crate::__export_stage!($stage, Component, $plugin, OPENED);)+
        };
        // Elsewhere nothing is exported, but that the plugin is complete is checked all the same.
        #[cfg(not(target_arch = "wasm32"))]
        const _: () = {
            use $crate::Plugin;
            let _ = (<$plugin>::describe, <$plugin>::open);
            $($crate::__check_stage!($stage, $plugin);)+
        };
    };
}

/// One stage of [`export!`](crate::export).
#[doc(hidden)]
#[macro_export]
macro_rules! __export_stage {
    (filter, $($rest:tt)+) => { $crate::__export_stage!(@ filter, export_filter, Filter, $($rest)+); };
    (residency, $($rest:tt)+) => { $crate::__export_stage!(@ residency, export_residency, Residency, $($rest)+); };
    (mapping, $($rest:tt)+) => { $crate::__export_stage!(@ mapping, export_mapping, Mapping, $($rest)+); };
    (merge, $($rest:tt)+) => { $crate::__export_stage!(@ merge, export_merge, Merge, $($rest)+); };
    (@ $stage:ident, $export:ident, $marker:ident, $component:ident, $plugin:ty, $opened:ident) => {
        const _: () = {
            use $crate::bindings::$stage;
            impl $stage::exports::reconverge::plugin::$stage::Guest for $component {
                fn run(table: u32, rows: u32, block: Vec<u8>) -> Result<$crate::Answer, String> {
                    $opened.with_borrow_mut(|opened| {
                        $crate::component::run::<$plugin, $crate::stage::$marker>(opened, table, rows, &block)
                    })
                }
            }
            $stage::$export!($component with_types_in $stage);
        };
    };
}

/// That a plugin implements a stage which it exports.
#[doc(hidden)]
#[macro_export]
macro_rules! __check_stage {
    (filter, $plugin:ty) => {
        let _ = <$plugin as $crate::Stage<$crate::stage::Filter>>::run;
    };
    (residency, $plugin:ty) => {
        let _ = <$plugin as $crate::Stage<$crate::stage::Residency>>::run;
    };
    (mapping, $plugin:ty) => {
        let _ = <$plugin as $crate::Stage<$crate::stage::Mapping>>::run;
    };
    (merge, $plugin:ty) => {
        let _ = <$plugin as $crate::Stage<$crate::stage::Merge>>::run;
    };
}
