//! The four kinds in which a block holds cells, closed for ever, and which logical type lies in which.

/// How the cells of a column lie in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// One byte per row, 0 or 1.
    Bits = 1,
    /// Eight bytes per row, signed.
    Int64 = 2,
    /// Eight bytes per row, IEEE 754.
    Float64 = 3,
    /// Offsets into bytes.
    Packed = 4,
}

impl Kind {
    /// The kind that holds a logical type, by its name in a contract; `None` for a name that this SDK does
    /// not know.
    #[must_use]
    pub fn of(logical: &str) -> Option<Kind> {
        Some(match logical {
            "bool" => Kind::Bits,
            "int" | "timestamp" | "date" | "time" => Kind::Int64,
            "float" => Kind::Float64,
            _ if Kind::is_text(logical) || matches!(logical, "bytes" | "uuid") => Kind::Packed,
            _ => return None,
        })
    }

    /// Whether cells of a logical type are UTF-8: text, json, decimals and arrays.
    #[must_use]
    pub fn is_text(logical: &str) -> bool {
        matches!(logical, "text" | "json" | "decimal") || logical.ends_with("[]")
    }
}

#[cfg(test)]
mod tests {
    use super::Kind;

    #[test]
    fn each_logical_type_has_its_kind() {
        for (logical, kind) in [
            ("bool", Some(Kind::Bits)),
            ("date", Some(Kind::Int64)),
            ("float", Some(Kind::Float64)),
            ("int[]", Some(Kind::Packed)),
            ("uuid", Some(Kind::Packed)),
            ("colour", None),
        ] {
            assert_eq!(Kind::of(logical), kind, "{logical}");
        }
        assert!(Kind::is_text("text[]") && !Kind::is_text("bytes"));
    }
}
