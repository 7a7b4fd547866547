//! `#[merge]`, `#[filter]`, `#[residency]`, `#[mapping]`: a function as a plugin of its stage.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::{
    Error, ItemFn, LitBool, LitStr, Result, Token,
    parse::{Parse, ParseStream},
};

use crate::signature::{Extra, Rows, Signature};

#[derive(Clone, Copy)]
pub enum Stage {
    Filter,
    Residency,
    Mapping,
    Merge,
}

/// `name = "..", version = "..", laws = true`.
pub struct Arguments {
    name: LitStr,
    version: Option<LitStr>,
    laws: bool,
}

impl Parse for Arguments {
    fn parse(input: ParseStream) -> Result<Self> {
        let (mut name, mut version, mut laws) = (None, None, false);
        while !input.is_empty() {
            let word: Ident = input.parse()?;
            input.parse::<Token![=]>()?;
            match word.to_string().as_str() {
                "name" => name = Some(input.parse()?),
                "version" => version = Some(input.parse()?),
                "laws" => laws = input.parse::<LitBool>()?.value,
                _ => return Err(Error::new(word.span(), "a plugin has: name, version, laws")),
            }
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        let name = name.ok_or_else(|| input.error("name the plugin: name = \"..\""))?;
        Ok(Arguments { name, version, laws })
    }
}

pub fn plugin(stage: Stage, arguments: &Arguments, function: &ItemFn) -> Result<TokenStream> {
    let signature = Signature::read(stage, function)?;
    let rule = &function.sig.ident;
    let visibility = &function.vis;
    let config = signature.config();
    let config_type = config.map_or_else(|| quote!(()), |c| quote!(#c));
    let read_config = config.map(|c| quote!(::reconverge_sdk::config::read::<#c>(config)?));
    let read_config = read_config.unwrap_or_else(|| {
        quote!({
            let _ = config;
        })
    });
    let schema = config.map(|c| quote!(::reconverge_sdk::config::schema::<#c>()));
    let schema = schema.unwrap_or_else(|| quote!(::std::string::String::new()));
    let Arguments { name, version, laws } = arguments;
    let version = version.as_ref().map_or_else(|| quote!(env!("CARGO_PKG_VERSION")), |v| quote!(#v));
    let extensions = if *laws { r#"{"laws":true}"# } else { "{}" };
    let returns = &signature.returns;
    let (reads, run) = (reads(&signature), run(rule, &signature));
    let row = match &signature.rows {
        Rows::One(row) | Rows::Two(row) | Rows::Contest(row, _) => row,
    };
    let marker = marker(stage);
    let world = format_ident!("{}", marker.to_string().to_lowercase());
    let documentation = format!("The plugin whose rule is the function `{rule}`.");
    Ok(quote! {
        #function

        #[doc = #documentation]
        #[allow(non_camel_case_types, dead_code, reason = "it has its rule's name, and only a component makes one")]
        #[derive(Debug)]
        #visibility struct #rule {
            config: #config_type,
            tables: ::std::vec::Vec<::reconverge_sdk::Table>,
        }

        impl ::reconverge_sdk::Plugin for #rule {
            fn describe() -> ::reconverge_sdk::Descriptor {
                ::reconverge_sdk::Descriptor {
                    name: #name.into(),
                    version: #version.into(),
                    config_schema: #schema,
                    extensions: #extensions.into(),
                }
            }
            fn open(
                config: &str,
                tables: &[::reconverge_sdk::Table],
            ) -> ::core::result::Result<(Self, ::std::vec::Vec<::reconverge_sdk::Contract>), ::std::string::String> {
                let config = #read_config;
                let writes = || <<#returns as ::reconverge_sdk::Outcome>::Writes as ::reconverge_sdk::Writes>::specs();
                let contracts = (0..tables.len()).map(|k| ::reconverge_sdk::Contract {
                    extensions: ::reconverge_sdk::columns::promises::<#row>(),
                    ..::reconverge_sdk::contract(k, #reads, writes())
                });
                let contracts = contracts.collect();
                Ok((#rule { config, tables: tables.to_vec() }, contracts))
            }
        }

        impl ::reconverge_sdk::Stage<::reconverge_sdk::stage::#marker> for #rule {
            fn run(
                &mut self,
                batch: &::reconverge_sdk::Batch<'_>,
            ) -> ::core::result::Result<::reconverge_sdk::Answer, ::std::string::String> {
                let _table = self.tables.get(batch.table).ok_or("there is no such table")?;
                let _config = &self.config;
                #run.map_err(|error| error.to_string())
            }
        }

        ::reconverge_sdk::export!(#rule: #world);
    })
}

/// The SDK's type for a stage.
fn marker(stage: Stage) -> Ident {
    match stage {
        Stage::Filter => format_ident!("Filter"),
        Stage::Residency => format_ident!("Residency"),
        Stage::Mapping => format_ident!("Mapping"),
        Stage::Merge => format_ident!("Merge"),
    }
}

/// The columns that the rule reads.
fn reads(signature: &Signature) -> TokenStream {
    match &signature.rows {
        Rows::One(row) => quote!(::reconverge_sdk::rows::reads_of_each::<#row>()),
        Rows::Two(row) => quote!(::reconverge_sdk::rows::reads_of_merge::<#row>()),
        Rows::Contest(row, asked) => {
            let asked = asked_of(asked.as_deref());
            quote!(::reconverge_sdk::rows::reads_of_contest::<#row, #asked>())
        }
    }
}

/// The call that asks the rule about each row of a batch.
fn run(rule: &Ident, signature: &Signature) -> TokenStream {
    let extras: Vec<TokenStream> = signature
        .extras
        .iter()
        .map(|extra| match extra {
            Extra::Table => quote!(_table),
            Extra::Config(_) => quote!(_config),
        })
        .collect();
    match &signature.rows {
        Rows::One(row) => quote! {
            ::reconverge_sdk::rows::each::<#row, _>(batch, |row| #rule(row #(, #extras)*))
        },
        Rows::Two(row) => quote! {
            ::reconverge_sdk::rows::merge::<#row, _>(batch, |incoming, current| #rule(incoming, current #(, #extras)*))
        },
        Rows::Contest(row, asked) => {
            let asked = asked_of(asked.as_deref());
            quote! {
                ::reconverge_sdk::rows::contest::<#row, #asked, _>(batch, |contest| #rule(contest #(, #extras)*))
            }
        }
    }
}

/// What a contest asks for where it does not say: everything.
fn asked_of(asked: Option<&syn::Type>) -> TokenStream {
    asked.map_or_else(
        || {
            quote!((
                ::reconverge_sdk::contest::Before,
                ::reconverge_sdk::contest::Versions,
                ::reconverge_sdk::contest::Deletes
            ))
        },
        |asked| quote!(#asked),
    )
}
