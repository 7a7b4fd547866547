//! What a rule's signature asks for: its rows, then configuration and table, by the types of its parameters.

use quote::ToTokens;
use syn::{
    Error, FnArg, GenericArgument, ItemFn, Lifetime, PathArguments, Result, ReturnType, Type,
    visit_mut::{self, VisitMut},
};

use crate::rule::Stage;

/// A rule's parameters and what it returns, without the names of lifetimes.
pub struct Signature {
    pub rows: Rows,
    /// What follows the rows, in order.
    pub extras: Vec<Extra>,
    pub returns: Type,
}

/// The rows that a rule is asked about.
pub enum Rows {
    /// One row: filter, residency, mapping.
    One(Box<Type>),
    /// Incoming and current row.
    Two(Box<Type>),
    /// A contest of rows, and what it asks for beside them.
    Contest(Box<Type>, Option<Box<Type>>),
}

/// A parameter after the rows.
pub enum Extra {
    Table,
    Config(Box<Type>),
}

impl Signature {
    pub fn read(stage: Stage, function: &ItemFn) -> Result<Self> {
        let signature = &function.sig;
        let generic = signature.generics.type_params().next().map(ToTokens::to_token_stream);
        if let Some(what) = generic.or(signature.asyncness.map(ToTokens::into_token_stream)) {
            return Err(Error::new_spanned(what, "a rule is a plain function"));
        }
        let ReturnType::Type(_, returns) = &signature.output else {
            return Err(Error::new_spanned(signature, "a rule returns a verdict"));
        };
        let parameters = signature.inputs.iter().map(parameter).collect::<Result<Vec<_>>>()?;
        let (rows, used) = Rows::read(stage, function, &parameters)?;
        let extras: Vec<Extra> = parameters.into_iter().skip(used).map(Extra::read).collect();
        let configs = extras.iter().filter(|e| matches!(e, Extra::Config(_))).count();
        if configs > 1 || extras.len() > configs + 1 {
            return Err(Error::new_spanned(
                &signature.inputs,
                "after the rows: one configuration and one Table at most",
            ));
        }
        Ok(Signature { rows, extras, returns: anonymous((**returns).clone()) })
    }

    pub fn config(&self) -> Option<&Type> {
        self.extras.iter().find_map(|extra| match extra {
            Extra::Config(config) => Some(&**config),
            Extra::Table => None,
        })
    }
}

impl Rows {
    /// The rows, and how many parameters they are.
    fn read(stage: Stage, function: &ItemFn, parameters: &[Type]) -> Result<(Self, usize)> {
        let missing = |what| Err(Error::new_spanned(&function.sig, what));
        match (stage, parameters) {
            (Stage::Merge, [first, ..]) if is_named(first, "Contest") => {
                let (row, asked) = contest(first)?;
                Ok((Rows::Contest(row.into(), asked.map(Box::new)), 1))
            }
            (Stage::Merge, [incoming, current, ..]) => {
                if incoming.to_token_stream().to_string() != current.to_token_stream().to_string() {
                    return Err(Error::new_spanned(current, "incoming and current row are of one type"));
                }
                Ok((Rows::Two(Box::new(incoming.clone())), 2))
            }
            (Stage::Merge, _) => {
                missing("a merge takes `incoming: &Row, current: &Row` or `contest: &Contest<Row>`")
            }
            (_, [row, ..]) => Ok((Rows::One(Box::new(row.clone())), 1)),
            _ => missing("a rule takes `row: &Row`"),
        }
    }
}

impl Extra {
    fn read(parameter: Type) -> Self {
        if is_named(&parameter, "Table") { Extra::Table } else { Extra::Config(parameter.into()) }
    }
}

/// The type behind a parameter's reference.
fn parameter(argument: &FnArg) -> Result<Type> {
    match argument {
        FnArg::Typed(typed) => match &*typed.ty {
            Type::Reference(reference) if reference.mutability.is_none() => {
                Ok(anonymous((*reference.elem).clone()))
            }
            other => Err(Error::new_spanned(other, "a rule's parameters are references")),
        },
        FnArg::Receiver(receiver) => Err(Error::new_spanned(receiver, "a rule is a plain function")),
    }
}

fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if path.path.segments.last().is_some_and(|s| s.ident == name))
}

/// Row and asks of a `Contest<Row, Asks>`.
fn contest(ty: &Type) -> Result<(Type, Option<Type>)> {
    let Type::Path(path) = ty else { return Err(Error::new_spanned(ty, "a contest is a Contest<Row>")) };
    let mut types = path.path.segments.iter().filter_map(|segment| match &segment.arguments {
        PathArguments::AngleBracketed(arguments) => Some(arguments),
        _ => None,
    });
    let mut types =
        types.next().into_iter().flat_map(|arguments| &arguments.args).filter_map(
            |argument| match argument {
                GenericArgument::Type(ty) => Some(ty.clone()),
                _ => None,
            },
        );
    let row = types.next().ok_or_else(|| Error::new_spanned(ty, "a contest is a Contest<Row>"))?;
    Ok((row, types.next()))
}

/// The type with each lifetime as `'_`, as generated code, which does not know them, can name it.
fn anonymous(mut ty: Type) -> Type {
    struct Anonymous;
    impl VisitMut for Anonymous {
        fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
            if lifetime.ident != "static" {
                *lifetime = Lifetime::new("'_", lifetime.span());
            }
            visit_mut::visit_lifetime_mut(self, lifetime);
        }
    }
    Anonymous.visit_type_mut(&mut ty);
    ty
}
