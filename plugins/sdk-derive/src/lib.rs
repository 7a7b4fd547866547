//! The macros of `reconverge-sdk`: a struct becomes a contract, a function becomes a plugin.
//!
//! They write what an author could write by hand against the SDK's traits, and nothing more: no logic lives in
//! generated code. The SDK re-exports and documents them.

use proc_macro::TokenStream;
use syn::{DeriveInput, Item, ItemFn, parse_macro_input};

mod config;
mod fields;
mod rule;
mod signature;

/// Makes a struct the contract of a plugin: the host hands over its fields' columns, and no others.
///
/// Fields are `i64`, `f64`, `bool`, `&str`, `&[u8]`, or one of the SDK's `Timestamp`, `Date`, `Time`, `Uuid`,
/// `Decimal`, `Json`, `TextArray`; `Option<T>` of a column that may be null, `Sent<T>` of one that the source may
/// not have sent. A plain field that is null or was not sent fails its change, and no other.
///
/// - `#[column(name = "..")]` where the column is called otherwise than the field.
/// - `#[column(logical = "..")]` where the contract asks for another logical type of the same kind: `&str` as
///   `"json"`, `i64` as `"timestamp"`.
/// - `#[column(required = false)]` where a table may lack the column; it then arrives as not sent, so the field
///   is a `Sent<T>`.
/// - `#[column(side = "before")]` where the column is not of the row itself.
/// - `#[meta("schema-version")]` where the field is a fact about the change: `operation`, `origin`,
///   `committed-at`, `schema-version`, `position`, `event-id`, `published-at`.
#[proc_macro_derive(Columns, attributes(column, meta))]
pub fn columns(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    fields::columns(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the columns that a plugin may put in place.
///
/// Fields are those of `Columns`, and `String`. `Option<T>` writes null where it is `None`; `Sent<T>` leaves the
/// column as it is where it is `Sent::No`. `#[column(name = "..", logical = "..")]` as for `Columns`.
#[proc_macro_derive(Writes, attributes(column))]
pub fn writes(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    fields::writes(&input).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a function a merge plugin: `fn decide(incoming: &Row, current: &Row) -> Verdict`, or
/// `fn decide(contest: &Contest<Row>) -> Verdict`; then `config: &Config` and `table: &Table` where wanted.
///
/// `#[merge(name = "..")]` names the plugin; `version = ".."` is the crate's where it is left out; `laws = true`
/// claims that the rule converges. The function stays an ordinary function. Its name is also that of a type, the
/// plugin, for `testing::open`. A crate has one such function.
#[proc_macro_attribute]
pub fn merge(arguments: TokenStream, item: TokenStream) -> TokenStream {
    stage(rule::Stage::Merge, arguments, item)
}

/// Makes a function a filter plugin: `fn keep(row: &Row) -> Filtered`; then `config: &Config` and `table: &Table`
/// where wanted. Deletes pass without being asked. Arguments as those of `merge`.
#[proc_macro_attribute]
pub fn filter(arguments: TokenStream, item: TokenStream) -> TokenStream {
    stage(rule::Stage::Filter, arguments, item)
}

/// Makes a function a residency plugin: `fn place(row: &Row) -> Placed`, or `-> Placed<Redaction>` with a
/// `#[derive(Writes)]` struct; then `config: &Config` and `table: &Table` where wanted. Deletes pass without
/// being asked. Arguments as those of `merge`.
#[proc_macro_attribute]
pub fn residency(arguments: TokenStream, item: TokenStream) -> TokenStream {
    stage(rule::Stage::Residency, arguments, item)
}

/// Makes a function a mapping plugin: `fn map(row: &Row) -> Mapped<Changed>` with a `#[derive(Writes)]` struct;
/// then `config: &Config` and `table: &Table` where wanted. Deletes pass without being asked. Arguments as
/// those of `merge`.
#[proc_macro_attribute]
pub fn mapping(arguments: TokenStream, item: TokenStream) -> TokenStream {
    stage(rule::Stage::Mapping, arguments, item)
}

/// Makes a struct or enum part of a plugin's configuration: derives `Deserialize` and `JsonSchema` with the SDK's
/// own serde and schemars, and refuses unknown fields. Attributes of both work; doc comments become descriptions.
#[proc_macro_attribute]
pub fn config(_: TokenStream, item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as Item);
    config::config(&item).into()
}

fn stage(stage: rule::Stage, arguments: TokenStream, item: TokenStream) -> TokenStream {
    let arguments = parse_macro_input!(arguments as rule::Arguments);
    let function = parse_macro_input!(item as ItemFn);
    rule::plugin(stage, &arguments, &function).unwrap_or_else(syn::Error::into_compile_error).into()
}
