//! `docs/plugins/abi.md` is what `wit/plugin.wit` says: this writes it, and fails where the page is another.
//! `UPDATE=1 cargo test -p reconverge --test plugins reference` writes it anew.

use std::{fmt::Write as _, fs, path::Path};

use wit_parser::{Function, Resolve, Type, TypeDef, TypeDefKind, WorldItem};

const HEAD: &str = "# The plugin interface, by its parts\n\nMade from `wit/plugin.wit`; how a block lies in memory, \
                    byte by byte, and how the package changes is in [wit/README.md](../../wit/README.md).\n";

fn page() -> String {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", reconverge::plugin::WIT).unwrap();
    let package = &resolve.packages[package];
    let mut page = format!("{HEAD}\nPackage `{}`.\n", package.name);
    for (name, id) in &package.interfaces {
        let interface = &resolve.interfaces[*id];
        write!(page, "\n## {name}\n").unwrap();
        paragraph(&mut page, interface.docs.contents.as_deref());
        for (name, id) in &interface.types {
            let of = &resolve.types[*id];
            // What an interface uses of another stands there.
            if !matches!(of.kind, TypeDefKind::Type(_)) {
                named_type(&mut page, &resolve, name, of);
            }
        }
        for function in interface.functions.values() {
            one_function(&mut page, &resolve, function);
        }
    }
    page.push_str("\n## Worlds\n\n| world | imports | exports |\n|---|---|---|\n");
    for (name, id) in &package.worlds {
        let world = &resolve.worlds[*id];
        let words = |items: &mut dyn Iterator<Item = &WorldItem>| {
            let name = |item: &WorldItem| match item {
                WorldItem::Interface { id, .. } => {
                    resolve.interfaces[*id].name.clone().map(|name| format!("`{name}`"))
                }
                _ => None,
            };
            items.filter_map(name).collect::<Vec<_>>().join(", ")
        };
        let (imports, exports) = (words(&mut world.imports.values()), words(&mut world.exports.values()));
        writeln!(page, "| `{name}` | {imports} | {exports} |").unwrap();
    }
    page
}

fn named_type(page: &mut String, resolve: &Resolve, name: &str, of: &TypeDef) {
    write!(page, "\n### {name}\n").unwrap();
    paragraph(page, of.docs.contents.as_deref());
    match &of.kind {
        TypeDefKind::Record(record) => {
            page.push_str("\n| field | type | |\n|---|---|---|\n");
            for field in &record.fields {
                let docs = cell(field.docs.contents.as_deref());
                writeln!(page, "| `{}` | `{}` | {docs} |", field.name, word(resolve, &field.ty)).unwrap();
            }
        }
        TypeDefKind::Enum(of) => {
            let cases: Vec<String> = of.cases.iter().map(|case| format!("`{}`", case.name)).collect();
            writeln!(page, "\nOne of {}.", cases.join(", ")).unwrap();
        }
        other => panic!("write down how {} is shown", other.as_str()),
    }
}

fn one_function(page: &mut String, resolve: &Resolve, function: &Function) {
    let parameters: Vec<String> =
        function.params.iter().map(|of| format!("{}: {}", of.name, word(resolve, &of.ty))).collect();
    let result = function.result.as_ref().map(|of| format!(" -> {}", word(resolve, of))).unwrap_or_default();
    write!(page, "\n`{}: func({}){result}`\n", function.name, parameters.join(", ")).unwrap();
    paragraph(page, function.docs.contents.as_deref());
}

fn word(resolve: &Resolve, of: &Type) -> String {
    let Type::Id(id) = of else {
        let plain = match of {
            Type::Bool => "bool",
            Type::U8 => "u8",
            Type::U32 => "u32",
            Type::String => "string",
            other => panic!("write down how {other:?} is called"),
        };
        return plain.into();
    };
    let of = &resolve.types[*id];
    if let Some(name) = &of.name {
        return name.clone();
    }
    match &of.kind {
        TypeDefKind::List(of) => format!("list<{}>", word(resolve, of)),
        TypeDefKind::Tuple(of) => {
            format!("tuple<{}>", of.types.iter().map(|of| word(resolve, of)).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Result(of) => {
            let side = |of: &Option<Type>| of.as_ref().map_or("_".to_owned(), |of| word(resolve, of));
            format!("result<{}, {}>", side(&of.ok), side(&of.err))
        }
        other => panic!("write down how {} is called", other.as_str()),
    }
}

fn paragraph(page: &mut String, docs: Option<&str>) {
    if let Some(docs) = docs.filter(|docs| !docs.is_empty()) {
        write!(page, "\n{}\n", docs.trim()).unwrap();
    }
}

fn cell(docs: Option<&str>) -> String {
    docs.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[test]
fn the_reference_page_is_what_the_interface_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/plugins/abi.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let stored = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        stored == page,
        "docs/plugins/abi.md is old\nhint: UPDATE=1 cargo test -p reconverge --test plugins reference"
    );
}
