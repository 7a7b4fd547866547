//! The interface of `wit/`, as wasmtime makes it from the file: the world `base`, and one world per stage that
//! shares its types. They are only compared with a component and called through; nothing here decides.

/// `lifecycle` and `log`, and the records that all stages share.
pub(super) mod base {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "reconverge:plugin/base",
        additional_derives: [PartialEq],
    });
}

macro_rules! stage_world {
    ($($stage:ident = $world:literal;)+) => {$(
        pub(super) mod $stage {
            wasmtime::component::bindgen!({
                path: "../wit",
                world: $world,
                with: {
                    "reconverge:plugin/types": crate::plugin::bindings::base::reconverge::plugin::types,
                    "reconverge:plugin/log": crate::plugin::bindings::base::reconverge::plugin::log,
                },
            });
        }
    )+};
}

stage_world! {
    residency = "reconverge:plugin/residency-plugin";
    filter = "reconverge:plugin/filter-plugin";
    mapping = "reconverge:plugin/mapping-plugin";
    merge = "reconverge:plugin/merge-plugin";
}
