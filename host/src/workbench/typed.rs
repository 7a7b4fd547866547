//! The typed row of AssemblyScript, which has no derive: `assembly/component.ts`, made of [row] and [writes] of
//! `plugin.toml` at each build. It also holds the exports, which have to stand in the entry file.

use std::fmt::Write as _;

use reconverge_streams::logical::{Layout, Logical};

use super::{
    BuildError,
    manifest::{FILE, Language, Manifest},
};
use crate::config::Stage;

/// A column of the row.
struct Column {
    name: String,
    logical: Logical,
    optional: bool,
}

/// The file's place and text; none for other languages.
///
/// # Errors
/// [row] or [writes] is not as it must be.
pub(super) fn component(manifest: &Manifest) -> Result<Option<(&'static str, String)>, BuildError> {
    if manifest.language != Language::AssemblyScript {
        return Ok(None);
    }
    let (row, writes) = (columns(&manifest.row, "row")?, columns(&manifest.writes, "writes")?);
    let mut text =
        String::from("// Made of plugin.toml by `reconverge plugin build`: change that, not this.\n");
    text.push_str(IMPORTS);
    text.push_str(&row_class(&row));
    text.push_str(&written_class(&writes));
    text.push_str(&exports(manifest, &row, &writes));
    Ok(Some(("assembly/component.ts", text)))
}

const IMPORTS: &str = r#"import { decide } from "./plugin";
import {
  Answer, BITS, Cells, Column, FLOAT64, INT64, NO_ROW, NULL, PACKED, Spec, Text, UNSENT, VALUE, begin, blockOf, column, describeAs,
  end, fail, failed, isNone, keepGiven, openAs, why, DELETE, KEEP, TAKE_INCOMING,
} from "./reconverge";
export { cabi_realloc } from "./reconverge";

"#;

fn columns(table: &toml::Table, which: &str) -> Result<Vec<Column>, BuildError> {
    let wrong = |what: String| BuildError::Manifest { path: FILE.into(), what: format!("[{which}] {what}") };
    let mut made = Vec::new();
    for (name, value) in table {
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !plain || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(wrong(format!("`{name}` cannot be a field; rename the column in a mapping before")));
        }
        let word = value.as_str().ok_or_else(|| wrong(format!("`{name}`: a logical type, as text")))?;
        let logical: Logical =
            word.trim_end_matches('?').parse().map_err(|cause| wrong(format!("`{name}`: {cause}")))?;
        made.push(Column { name: name.clone(), logical, optional: word.ends_with('?') });
    }
    Ok(made)
}

fn script(logical: Logical) -> (&'static str, &'static str, &'static str, &'static str) {
    match logical.layout() {
        Layout::Bits => ("bool", "false", "BITS", "bool"),
        Layout::Int64 => ("i64", "0", "INT64", "int"),
        Layout::Float64 => ("f64", "0", "FLOAT64", "float"),
        Layout::Packed => ("Text", "new Text()", "PACKED", "text"),
    }
}

fn row_class(row: &[Column]) -> String {
    let mut text = String::from("// A row, as [row] says.\nexport class Row {\n");
    let mut read = String::new();
    for (k, Column { name, logical, optional }) in row.iter().enumerate() {
        let (kind, zero, _, reader) = script(*logical);
        write(&mut text, format_args!("  {name}: {kind} = {zero};\n"));
        if *optional {
            write(&mut text, format_args!("  has_{name}: bool = false;\n"));
        }
        let takes = if *optional { "state != VALUE && state != NULL" } else { "state != VALUE" };
        write(
            &mut read,
            format_args!(
                "    state = columns[{k}].state(i);\n    if ({takes}) return why(side, \"{name}\", state);\n"
            ),
        );
        if *optional {
            write(&mut read, format_args!("    this.has_{name} = state == VALUE;\n"));
        }
        if logical.layout() == Layout::Packed {
            write(&mut read, format_args!("    columns[{k}].text(i, this.{name});\n"));
        } else {
            write(&mut read, format_args!("    this.{name} = columns[{k}].{reader}(i);\n"));
        }
    }
    write(
        &mut text,
        format_args!(
            "  // Reads row `i`; null, or why its change fails.\n  read(columns: StaticArray<Column>, i: u32, side: string): string | null {{\n    let state: u8 = VALUE;\n{read}    return null;\n  }}\n}}\n\
             function rowColumns(block: usize, length: u32, rows: u32, first: u32): StaticArray<Column> | null {{\n  const made = new StaticArray<Column>({});\n",
            row.len()
        ),
    );
    for (k, of) in row.iter().enumerate() {
        let kind = script(of.logical).2;
        write(
            &mut text,
            format_args!(
                "  const c{k} = column(block, length, rows, first + {k}, {kind});\n  if (!c{k}) return null;\n  made[{k}] = c{k};\n"
            ),
        );
    }
    text.push_str("  return made;\n}\n\n");
    text
}

fn written_class(writes: &[Column]) -> String {
    let mut text = String::from(
        "// What a row writes, as [writes] says; what is not put stays as it is.\nexport class Written {\n  i: u32 = 0;\n  any: bool = false;\n  columns: StaticArray<Cells>;\n",
    );
    write(
        &mut text,
        format_args!(
            "  constructor(rows: u32) {{\n    this.columns = new StaticArray<Cells>({});\n",
            writes.len()
        ),
    );
    for (k, of) in writes.iter().enumerate() {
        write(
            &mut text,
            format_args!("    this.columns[{k}] = new Cells({}, rows);\n", script(of.logical).2),
        );
    }
    text.push_str("  }\n");
    for (k, Column { name, logical, .. }) in writes.iter().enumerate() {
        let (kind, _, _, put) = script(*logical);
        write(
            &mut text,
            format_args!(
                "  put_{name}(value: {kind}): void {{\n    this.any = true;\n    this.columns[{k}].state(this.i, VALUE);\n    this.columns[{k}].{put}(this.i, value);\n  }}\n  null_{name}(): void {{\n    this.any = true;\n    this.columns[{k}].state(this.i, NULL);\n  }}\n"
            ),
        );
    }
    text.push_str("}\n\n");
    text
}

fn exports(manifest: &Manifest, row: &[Column], writes: &[Column]) -> String {
    let specs = |of: &[Column]| {
        let spec = |of: &Column| format!("new Spec(\"{}\", \"{}\")", of.name, of.logical);
        of.iter().map(spec).collect::<Vec<_>>().join(", ")
    };
    let [name, version, schema, extensions] =
        [&manifest.name, &manifest.version, &manifest.config_schema, &manifest.extensions]
            .map(|words| serde_json::Value::from(words.as_str()).to_string());
    let named = |of: &dyn Fn(&Column) -> bool| {
        row.iter().filter(|column| of(column)).map(|column| column.name.as_str()).collect::<Vec<_>>()
    };
    let promises = serde_json::json!({ "not-null": named(&|c| !c.optional), "sent": named(&|_| true) });
    let promises = serde_json::Value::from(promises.to_string()).to_string();
    let is_merge = manifest.stage == Stage::Merge;
    let sides = if is_merge { "[\"after\", \"current\"]" } else { "[\"after\"]" };
    let out = if writes.is_empty() { "" } else { ", out" };
    let count = row.len();
    let body = if is_merge {
        format!(
            r#"  const after = rowColumns(block, length, rows, 0), current = rowColumns(block, length, rows, {count});
  if (!after || !current) return end(failed("the block does not read"));
  const incoming = new Row(), standing = new Row();
  for (let i: u32 = 0; i < rows; i++) {{
    out.i = i;
    if (isNone(current, i)) {{ answer.say(i, TAKE_INCOMING); continue; }}
    if (isNone(after, i)) {{ answer.say(i, DELETE.archiveLoser()); continue; }}
    let gap = incoming.read(after, i, "incoming ");
    if (!gap) gap = standing.read(current, i, "current ");
    answer.say(i, gap ? fail(gap) : decide(incoming, standing{out}));
  }}
"#
        )
    } else {
        format!(
            r#"  const columns = rowColumns(block, length, rows, 0);
  if (!columns) return end(failed("the block does not read"));
  const row = new Row();
  for (let i: u32 = 0; i < rows; i++) {{
    out.i = i;
    if (isNone(columns, i)) {{ answer.say(i, KEEP); continue; }}
    const gap = row.read(columns, i, "");
    answer.say(i, gap ? fail(gap) : decide(row{out}));
  }}
"#
        )
    };
    format!(
        r#"// The configuration, JSON text that has passed the schema of plugin.toml.
let configuration = "";
export function config(): string {{ return configuration; }}

export function describe(): usize {{
  begin();
  return end(describeAs({name}, {version}, {schema}, {extensions}));
}}
export function open(config: usize, length: u32, _tables: usize, tables: u32): usize {{
  begin();
  configuration = String.UTF8.decodeUnsafe(config, length);
  keepGiven();
  return end(openAs(tables, {sides}, [{}], [{}], {promises}));
}}
export function run(_table: u32, rows: u32, block: usize, length: u32): usize {{
  begin();
  const answer = new Answer(rows), out = new Written(rows);
{body}  if (!out.any) return end(answer.finish(0, 0));
  const written = blockOf(out.columns, rows);
  return end(answer.finish(written, load<u32>(written - 8)));
}}
"#,
        specs(row),
        specs(writes)
    )
}

fn write(text: &mut String, words: std::fmt::Arguments<'_>) {
    text.write_fmt(words).expect("writing to a string does not fail");
}
