//! `#[config]`: the derives of a configuration type.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Item;

pub fn config(item: &Item) -> TokenStream {
    quote! {
        #[derive(::reconverge_sdk::serde::Deserialize, ::reconverge_sdk::schemars::JsonSchema)]
        #[serde(crate = "::reconverge_sdk::serde", deny_unknown_fields)]
        #[schemars(crate = "::reconverge_sdk::schemars")]
        #item
    }
}
