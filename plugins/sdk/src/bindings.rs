//! The interface of `wit/`, as wit-bindgen makes it from the file: one world for the lifecycle, one per stage.
//!
//! Each `export_` macro brings its own part of the component's description into the core module that invokes it,
//! and the host puts the parts together. So a plugin exports any set of stages, which no single world could say.
//! Nothing here is called outside of a component.

/// `lifecycle` and `log`, and the records that all stages share.
pub mod base {
    wit_bindgen::generate!({
        path: "../../wit",
        world: "reconverge:plugin/base",
        additional_derives: [PartialEq],
        export_macro_name: "export_base",
        pub_export_macro: true,
        default_bindings_module: "reconverge_sdk::bindings::base",
        runtime_path: "::reconverge_sdk::wit_bindgen::rt",
        generate_all,
    });
}

macro_rules! stage_world {
    ($(#[doc = $doc:literal] $stage:ident = $inline:literal as $export:literal;)+) => {$(
        #[doc = $doc]
        pub mod $stage {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $inline,
                with: { "reconverge:plugin/types@0.1.0": crate::bindings::base::reconverge::plugin::types },
                export_macro_name: $export,
                pub_export_macro: true,
                generate_all,
            });
        }
    )+};
}

stage_world! {
    /// The stage `filter`.
    filter = "package reconverge:sdk; world filter-stage { export reconverge:plugin/filter@0.1.0; }" as "export_filter";
    /// The stage `residency`.
    residency = "package reconverge:sdk; world residency-stage { export reconverge:plugin/residency@0.1.0; }" as "export_residency";
    /// The stage `mapping`.
    mapping = "package reconverge:sdk; world mapping-stage { export reconverge:plugin/mapping@0.1.0; }" as "export_mapping";
    /// The stage `merge`.
    merge = "package reconverge:sdk; world merge-stage { export reconverge:plugin/merge@0.1.0; }" as "export_merge";
}
