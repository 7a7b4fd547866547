//! `docs/configuration.md`: every key of `pipeline.toml`, made from its JSON Schema.

use std::fmt::Write;

use serde_json::Value;

/// What stands above the tables.
const HEAD: &str = "# Configuration reference

Every key of `pipeline.toml`. This page is made from the same source as
[`pipeline.schema.json`](pipeline.schema.json); for completion in an editor with a TOML language server, begin the file with

    #:schema ./pipeline.schema.json

(a path relative to the file, or a URL). `reconverge check` reports everything that is wrong with a file at once.
Sizes are written `\"8MiB\"` or as a number of bytes, spans of time `\"10s\"` or `\"24h\"`. Paths are relative to the file's folder.
";

/// The page, in Markdown.
pub fn markdown(schema: &Value) -> String {
    let mut page = HEAD.to_owned();
    let mut waiting: Vec<(String, Value)> = sections(schema, schema, "");
    waiting.reverse();
    while let Some((path, section)) = waiting.pop() {
        let mut inner = sections(schema, &section, &path);
        inner.reverse();
        write_section(&mut page, schema, &path, &section);
        waiting.extend(inner);
    }
    page
}

/// The properties of a table that are tables themselves: (path in the file, schema).
fn sections(root: &Value, table: &Value, path: &str) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (key, property) in table["properties"].as_object().into_iter().flatten() {
        if let Some((target, many)) = table_of(root, property) {
            let outer = path.trim_matches(['[', ']']);
            let dot = if outer.is_empty() { "" } else { "." };
            let any = if resolve(root, property)["additionalProperties"].is_object() { ".NAME" } else { "" };
            let name = format!("{outer}{dot}{key}{any}");
            found.push((if many { format!("[[{name}]]") } else { format!("[{name}]") }, target));
        }
    }
    found
}

/// The table that a property holds, if it holds one, and whether it is an array of them.
fn table_of(root: &Value, property: &Value) -> Option<(Value, bool)> {
    let property = resolve(root, property);
    if property["properties"].is_object() {
        return Some((property.clone(), false));
    }
    if let Some(inner) = property["additionalProperties"].as_object() {
        return table_of(root, &Value::Object(inner.clone()));
    }
    if property["items"].is_object() {
        return table_of(root, &property["items"]).map(|(table, _)| (table, true));
    }
    let variants = property["anyOf"].as_array()?;
    variants.iter().find_map(|variant| table_of(root, variant))
}

fn resolve<'v>(root: &'v Value, schema: &'v Value) -> &'v Value {
    let target =
        schema["$ref"].as_str().and_then(|reference| root.pointer(reference.trim_start_matches('#')));
    target.unwrap_or(schema)
}

fn write_section(page: &mut String, root: &Value, path: &str, section: &Value) {
    let description = section["description"].as_str().unwrap_or_default();
    let _ = write!(
        page,
        "\n## `{path}`\n\n{description}\n\n| key | type | default | meaning |\n|---|---|---|---|\n"
    );
    let required: Vec<&str> =
        section["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (key, property) in section["properties"].as_object().into_iter().flatten() {
        let default = match property.get("default") {
            _ if required.contains(&key.as_str()) => "**needed**".to_owned(),
            Some(Value::Object(_)) => "see its table".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(value) => format!("`{value}`"),
        };
        let target = resolve(root, property);
        let meaning = property["description"].as_str().or(target["description"].as_str()).unwrap_or_default();
        let cell = |text: &str| text.replace('|', "\\|").replace('\n', " ");
        let kind = kind(root, property);
        let _ = writeln!(page, "| `{key}` | {} | {} | {} |", cell(&kind), cell(&default), cell(meaning));
    }
}

/// A property's type in words.
fn kind(root: &Value, property: &Value) -> String {
    let property = resolve(root, property);
    if let Some(format) =
        property["format"].as_str().filter(|format| ["size", "span of time"].contains(format))
    {
        return format.to_owned();
    }
    if let Some(values) = property["enum"].as_array() {
        return values.iter().map(|value| format!("`{value}`")).collect::<Vec<_>>().join(", ");
    }
    let variants = property["oneOf"].as_array().or(property["anyOf"].as_array());
    if let Some(variants) = variants {
        let mut kinds: Vec<String> = variants
            .iter()
            .filter(|variant| variant["type"] != "null")
            .map(|variant| {
                variant.get("const").map_or_else(|| kind(root, variant), |word| format!("`{word}`"))
            })
            .collect();
        kinds.dedup();
        return kinds.join(", ");
    }
    let first = property["type"].as_array().and_then(|kinds| kinds.first()).unwrap_or(&property["type"]);
    match first.as_str() {
        Some("array") => match kind(root, &property["items"]).as_str() {
            "table" => "tables".to_owned(),
            items => format!("list of {items}"),
        },
        Some("object") => "table".to_owned(),
        Some("string") => "text".to_owned(),
        Some(other) => other.to_owned(),
        None => "any".to_owned(),
    }
}
