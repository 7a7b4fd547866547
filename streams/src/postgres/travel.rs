//! What each PostgreSQL type is to us: the logical type of its cells, how they travel, and the casts that let
//! the server itself convert what we have no form for.
//!
//! A value never travels with a length, scale or precision: assigning it to the column applies those, and so
//! refuses what does not fit (an explicit cast to `varchar(3)` would cut it off in silence).

use crate::logical::{Element, Logical};

/// How the elements of a parameter array travel. Each is the binary form of a built-in type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// `bool`
    Bool,
    /// `"char"`
    Char,
    /// `int2`
    Int2,
    /// `int4`
    Int4,
    /// `int8`, also for smaller integers: assigning one that is out of range is then that row's error.
    Int8,
    /// `float8`
    Float8,
    /// `text`, and by a cast every type without a form of its own.
    Text,
    /// An array literal, as `text`.
    Literal(Element),
    /// `bytea`
    Bytea,
    /// `timestamptz`
    Timestamptz,
    /// `timestamp`
    Timestamp,
    /// `date`
    Date,
    /// `time`
    Time,
    /// `uuid`
    Uuid,
    /// `jsonb`
    Jsonb,
    /// `xid`
    Xid,
    /// `tid`
    Tid,
}

impl Wire {
    /// The name of the parameter's array type.
    pub(super) fn array_type(self) -> &'static str {
        match self {
            Wire::Bool => "bool[]",
            Wire::Char => "\"char\"[]",
            Wire::Int2 => "int2[]",
            Wire::Int4 => "int4[]",
            Wire::Int8 => "int8[]",
            Wire::Float8 => "float8[]",
            Wire::Text | Wire::Literal(_) => "text[]",
            Wire::Bytea => "bytea[]",
            Wire::Timestamptz => "timestamptz[]",
            Wire::Timestamp => "timestamp[]",
            Wire::Date => "date[]",
            Wire::Time => "time[]",
            Wire::Uuid => "uuid[]",
            Wire::Jsonb => "jsonb[]",
            Wire::Xid => "xid[]",
            Wire::Tid => "tid[]",
        }
    }

    /// The object id of one element's type, fixed for ever in PostgreSQL's `pg_type.dat`.
    pub(super) fn element_oid(self) -> u32 {
        match self {
            Wire::Bool => 16,
            Wire::Bytea => 17,
            Wire::Char => 18,
            Wire::Int8 => 20,
            Wire::Int2 => 21,
            Wire::Int4 => 23,
            Wire::Text | Wire::Literal(_) => 25,
            Wire::Tid => 27,
            Wire::Xid => 28,
            Wire::Float8 => 701,
            Wire::Date => 1082,
            Wire::Time => 1083,
            Wire::Timestamp => 1114,
            Wire::Timestamptz => 1184,
            Wire::Uuid => 2950,
            Wire::Jsonb => 3802,
        }
    }
}

/// A type as the catalog names it, domains resolved to what they stand on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CatalogType {
    /// `pg_type.typname`, where the type is one of PostgreSQL's own; empty for others (enums, extensions).
    pub own_name: String,
    /// The element type's `own_name` where this is an array; `Some("")` for an array of foreign elements.
    pub element: Option<String>,
    /// The type in SQL, schema-qualified where needed, without length, scale or precision.
    pub sql: String,
}

/// How a column travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Travel {
    /// What its cells mean.
    pub logical: Logical,
    /// The form of a parameter.
    pub wire: Wire,
    /// The cast that a parameter needs, without `::`.
    pub cast: Option<String>,
    /// The casts that a column needs to be read, with `::`.
    pub read: &'static str,
}

/// How columns of a type travel. Never fails: what we do not know travels as text, which every type has.
pub(super) fn travel(of: &CatalogType) -> Travel {
    if let Some(element) = &of.element {
        let Some(Logical::Array(element)) = scalar(element).0.array_of() else {
            return as_text(of);
        };
        let (logical, wire) = (Logical::Array(element), Wire::Literal(element));
        return Travel { logical, wire, cast: Some(of.sql.clone()), read: "::text[]" };
    }
    let (logical, wire) = scalar(&of.own_name);
    let Some(wire) = wire else { return as_text(of) };
    let cast = match of.own_name.as_str() {
        // Without the cast a comparison with the column would go by another type's rules.
        "float4" | "numeric" | "json" | "bpchar" | "name" => Some(of.sql.clone()),
        _ => None,
    };
    Travel { logical, wire, cast, read: if logical == Logical::Decimal { "::text" } else { "" } }
}

fn as_text(of: &CatalogType) -> Travel {
    let (cast, read) = match of.own_name.as_str() {
        // Through numeric, since money's own text depends on the server's locale.
        "money" => ("numeric::money".into(), "::numeric::text"),
        _ => (of.sql.clone(), "::text"),
    };
    Travel { logical: Logical::Text, wire: Wire::Text, cast: Some(cast), read }
}

/// The logical type of a scalar, and its form where it needs no text cast.
fn scalar(own_name: &str) -> (Logical, Option<Wire>) {
    match own_name {
        "bool" => (Logical::Bool, Some(Wire::Bool)),
        "int2" | "int4" | "int8" => (Logical::Int, Some(Wire::Int8)),
        "float4" | "float8" => (Logical::Float, Some(Wire::Float8)),
        "text" | "varchar" | "bpchar" | "name" => (Logical::Text, Some(Wire::Text)),
        "bytea" => (Logical::Bytes, Some(Wire::Bytea)),
        "numeric" => (Logical::Decimal, Some(Wire::Text)),
        "timestamptz" => (Logical::Timestamp, Some(Wire::Timestamptz)),
        "timestamp" => (Logical::Timestamp, Some(Wire::Timestamp)),
        "date" => (Logical::Date, Some(Wire::Date)),
        "time" => (Logical::Time, Some(Wire::Time)),
        "uuid" => (Logical::Uuid, Some(Wire::Uuid)),
        "jsonb" => (Logical::Json, Some(Wire::Jsonb)),
        "json" => (Logical::Json, Some(Wire::Text)),
        _ => (Logical::Text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_a_way_to_travel() {
        let own =
            |name: &str, sql: &str| CatalogType { own_name: name.into(), element: None, sql: sql.into() };
        for (of, logical, wire, cast, read) in [
            (own("int2", "smallint"), Logical::Int, Wire::Int8, None, ""),
            (own("float4", "real"), Logical::Float, Wire::Float8, Some("real"), ""),
            (own("varchar", "character varying"), Logical::Text, Wire::Text, None, ""),
            (own("numeric", "numeric"), Logical::Decimal, Wire::Text, Some("numeric"), "::text"),
            (own("money", "money"), Logical::Text, Wire::Text, Some("numeric::money"), "::numeric::text"),
            (own("bit", "\"bit\""), Logical::Text, Wire::Text, Some("\"bit\""), "::text"),
            (own("json", "json"), Logical::Json, Wire::Text, Some("json"), ""),
            (own("", "shop.mood"), Logical::Text, Wire::Text, Some("shop.mood"), "::text"),
        ] {
            let expected = Travel { logical, wire, cast: cast.map(Into::into), read };
            assert_eq!(travel(&of), expected, "{of:?}");
        }
        let array = CatalogType {
            own_name: "_numeric".into(),
            element: Some("numeric".into()),
            sql: "numeric[]".into(),
        };
        assert_eq!(travel(&array).logical, Logical::Array(Element::Decimal));
        let moods =
            CatalogType { own_name: String::new(), element: Some(String::new()), sql: "mood[]".into() };
        assert_eq!(travel(&moods).logical, Logical::Array(Element::Text));
    }
}
