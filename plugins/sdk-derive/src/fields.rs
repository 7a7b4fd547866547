//! `#[derive(Columns)]` and `#[derive(Writes)]`: a struct's fields as the columns of a contract.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{
    Data, DeriveInput, Error, Fields, Ident, Index, Lifetime, LitBool, LitStr, Result, Type, ext::IdentExt,
};

/// A field, and what its attributes say.
struct Column {
    field: Ident,
    ty: Type,
    name: String,
    logical: Option<LitStr>,
    required: bool,
    /// Of a field that is not of the row itself: `meta`, `before`, ...
    side: Option<String>,
}

pub fn columns(input: &DeriveInput) -> Result<TokenStream> {
    let (columns, block) = (read(input)?, lifetime(input)?);
    let declared = &block.declared;
    let life = &block.life;
    let name = &input.ident;
    let of_struct = &block.of_struct;
    let names = columns.iter().map(|c| &c.name);
    let has_own_sides = columns.iter().any(|c| c.side.is_some());
    let types = columns.iter().map(|c| &c.ty);
    let specs = columns.iter().map(|c| spec(c, life));
    let opens = columns.iter().enumerate().map(
        |(k, Column { ty, .. })| quote!(<#ty as ::reconverge_sdk::Field<#life>>::column(block, first + #k)?),
    );
    let cells = columns.iter().enumerate().map(|(k, c)| cell(k, c, life));
    let absent = columns.iter().enumerate().filter(|(_, c)| c.side.is_none()).map(|(k, _)| {
        let k = Index::from(k);
        quote!(::reconverge_sdk::block::Column::state(&reader.#k, i) == ::reconverge_sdk::block::State::NoRow)
    });
    let forms = columns.iter().filter(|c| c.side.is_none()).map(|Column { ty, name, .. }| {
        let field = quote!(<#ty as ::reconverge_sdk::Field<#life>>);
        quote!((#name, #field::MAY_BE_NULL, #field::MAY_BE_UNSENT))
    });
    Ok(quote! {
        #[automatically_derived]
        impl #declared ::reconverge_sdk::Columns<#life> for #name #of_struct {
            type Reader = (#(<#types as ::reconverge_sdk::Field<#life>>::Column,)*);
            const NAMES: &'static [&'static str] = &[#(#names),*];
            const HAS_OWN_SIDES: bool = #has_own_sides;
            const FORMS: &'static [(&'static str, bool, bool)] = &[#(#forms),*];
            fn specs(side: &str) -> ::std::vec::Vec<::reconverge_sdk::ColumnSpec> {
                let _ = side;
                ::std::vec![#(#specs),*]
            }
            #[inline]
            fn reader(
                block: &::reconverge_sdk::Block<#life>,
                first: usize,
            ) -> ::core::result::Result<Self::Reader, ::reconverge_sdk::BlockError> {
                Ok((#(#opens,)*))
            }
            #[inline]
            fn row(reader: &Self::Reader, i: usize) -> ::core::result::Result<Self, ::reconverge_sdk::Gap> {
                Ok(Self { #(#cells),* })
            }
            #[inline]
            fn is_absent(reader: &Self::Reader, i: usize) -> bool {
                let _ = (reader, i);
                false #(|| #absent)*
            }
        }
    })
}

/// The column's entry in the contract.
fn spec(column: &Column, life: &Lifetime) -> TokenStream {
    let Column { ty, name, logical, required, side, .. } = column;
    let field = quote!(<#ty as ::reconverge_sdk::Field<#life>>);
    let logical = logical.as_ref().map_or_else(|| quote!(#field::LOGICAL), |l| quote!(#l));
    let side = side.as_ref().map_or_else(|| quote!(side), |s| quote!(#s));
    let unsent = format!("column `{name}` is not required, so it may not have been sent: make it a Sent<..>");
    let check = (!required).then(|| quote!(const { assert!(#field::MAY_BE_UNSENT, #unsent) };));
    quote!({ #check ::reconverge_sdk::column(#side, #name, #logical, #required) })
}

/// How the field is read.
fn cell(k: usize, column: &Column, life: &Lifetime) -> TokenStream {
    let Column { field, ty, side, .. } = column;
    let at = Index::from(k);
    let read = quote!(<#ty as ::reconverge_sdk::Field<#life>>::read(&reader.#at, i));
    // A side of its own may lack a row while the row itself is there.
    let read = if side.is_none() {
        read
    } else {
        quote!(#read.or_else(|missing| match missing {
            ::reconverge_sdk::field::Missing::NoRow => {
                <#ty as ::reconverge_sdk::Field<#life>>::of_no_row().ok_or(missing)
            }
            missing => Err(missing),
        }))
    };
    quote!(#field: #read.map_err(|missing| ::reconverge_sdk::Gap { field: #k, missing })?)
}

pub fn writes(input: &DeriveInput) -> Result<TokenStream> {
    let columns = read(input)?;
    if let Some(c) = columns.iter().find(|c| c.side.is_some() || !c.required) {
        return Err(Error::new(c.field.span(), "a written column is of the row itself and always required"));
    }
    let name = &input.ident;
    let (declared, of_struct, bounds) = input.generics.split_for_impl();
    let specs = columns.iter().map(|Column { ty, name, logical, .. }| {
        let default = || quote!(<#ty as ::reconverge_sdk::Cell>::LOGICAL);
        let logical = logical.as_ref().map_or_else(default, |l| quote!(#l));
        quote!(::reconverge_sdk::column("after", #name, #logical, true))
    });
    let kinds = columns.iter().map(|Column { ty, .. }| quote!(<#ty as ::reconverge_sdk::Cell>::KIND));
    let puts = columns
        .iter()
        .enumerate()
        .map(|(k, Column { field, .. })| quote!(::reconverge_sdk::Cell::put(&self.#field, block, #k, row);));
    Ok(quote! {
        #[automatically_derived]
        impl #declared ::reconverge_sdk::Writes for #name #of_struct #bounds {
            fn specs() -> ::std::vec::Vec<::reconverge_sdk::ColumnSpec> {
                ::std::vec![#(#specs),*]
            }
            fn kinds() -> ::std::vec::Vec<::reconverge_sdk::Kind> {
                ::std::vec![#(#kinds),*]
            }
            #[inline]
            fn put(&self, block: &mut ::reconverge_sdk::BlockWriter, row: usize) {
                #(#puts)*
            }
        }
    })
}

/// The lifetime of the block that a row borrows from.
struct Borrow {
    declared: TokenStream,
    of_struct: TokenStream,
    life: Lifetime,
}

fn lifetime(input: &DeriveInput) -> Result<Borrow> {
    let generics = &input.generics;
    if let Some(other) = generics.params.iter().find(|p| !matches!(p, syn::GenericParam::Lifetime(_))) {
        return Err(Error::new_spanned(other, "a row has no type parameters: it is one contract"));
    }
    let mut lifetimes = generics.lifetimes();
    let life = lifetimes.next().map(|l| l.lifetime.clone());
    if let Some(second) = lifetimes.next() {
        return Err(Error::new_spanned(second, "a row borrows from one block: it has one lifetime"));
    }
    let of_struct = life.as_ref().map_or_else(TokenStream::new, |l| quote!(<#l>));
    let life = life.unwrap_or_else(|| Lifetime::new("'block", Span::mixed_site()));
    Ok(Borrow { declared: quote!(<#life>), of_struct, life })
}

fn read(input: &DeriveInput) -> Result<Vec<Column>> {
    let fields = match &input.data {
        Data::Struct(data) => &data.fields,
        _ => return Err(Error::new_spanned(input, "a contract is a struct: one field per column")),
    };
    let Fields::Named(named) = fields else {
        return Err(Error::new_spanned(input, "name the fields: a column is found by its name"));
    };
    if named.named.is_empty() {
        return Err(Error::new_spanned(input, "a contract has at least one column"));
    }
    named.named.iter().map(column).collect()
}

fn column(field: &syn::Field) -> Result<Column> {
    let ident = field.ident.clone().expect("the fields are named");
    let mut column = Column {
        name: ident.unraw().to_string(),
        field: ident,
        ty: field.ty.clone(),
        logical: None,
        required: true,
        side: None,
    };
    for attribute in &field.attrs {
        if attribute.path().is_ident("meta") {
            column.name = attribute.parse_args::<LitStr>()?.value();
            column.side = Some("meta".into());
        } else if attribute.path().is_ident("column") {
            attribute.parse_nested_meta(|meta| {
                let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
                match word.as_str() {
                    "name" => column.name = meta.value()?.parse::<LitStr>()?.value(),
                    "logical" => column.logical = Some(meta.value()?.parse()?),
                    "required" => column.required = meta.value()?.parse::<LitBool>()?.value,
                    "side" => column.side = Some(meta.value()?.parse::<LitStr>()?.value()),
                    _ => return Err(meta.error("a column has: name, logical, required, side")),
                }
                Ok(())
            })?;
        }
    }
    Ok(column)
}
