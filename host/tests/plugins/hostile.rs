//! Plugins that no SDK would make, written in the text of WebAssembly: each misbehaves in one way, at the start or on a
//! row. None harms the process, another plugin or the neighbours in the batch; each gives an error that says what it
//! did, or is refused before it runs.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use reconverge::{
    batch::Op,
    config::Stage,
    plugin::{CompileCache, Limits, PluginEngine, PluginSpec, componentize, inspect},
    stages::{Rulings, Stages, Verdict},
};
use reconverge_streams::{logical::Logical, table::TableId};
use serde_json::json;

use crate::fixture::{Cell, Pipeline, Row, call, contests, engine, spec, table, table_batch};

/// A merge plugin by hand. `parts` are more of the module, `run` is what it does before it takes every incoming row.
fn module(parts: &str, run: &str) -> Vec<u8> {
    module_of(2, parts, run)
}

/// The same with so many pages of memory from the start.
fn module_of(pages: u32, parts: &str, run: &str) -> Vec<u8> {
    componentize(core_module(pages, parts, run), Stage::Merge).unwrap()
}

/// The core module alone.
fn core_module(pages: u32, parts: &str, run: &str) -> Vec<u8> {
    // At 16: the descriptor. At 64: the answer of `open`, one contract at 80 with two columns at 112. At 256: texts.
    let text = format!(
        r#"(module
            (import "reconverge:plugin/log@0.1.0" "write" (func $log (param i32 i32 i32)))
            (memory (export "memory") {pages}) {parts}
            (data (i32.const 256) "hostile" "0.1.0" "after" "current" "note" "text")
            (func $list (param $at i32) (param $place i32) (param $count i32)
                (i32.store (local.get $at) (local.get $place))
                (i32.store offset=4 (local.get $at) (local.get $count)))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 4096))
            (func (export "describe") (result i32)
                (call $list (i32.const 16) (i32.const 256) (i32.const 7))
                (call $list (i32.const 24) (i32.const 263) (i32.const 5))
                (call $list (i32.const 32) (i32.const 256) (i32.const 0))
                (call $list (i32.const 40) (i32.const 256) (i32.const 0))
                (i32.const 16))
            (func (export "open") (param i32 i32 i32 i32) (result i32)
                (call $list (i32.const 68) (i32.const 80) (i32.const 1))
                (call $list (i32.const 84) (i32.const 112) (i32.const 2))
                (call $list (i32.const 92) (i32.const 112) (i32.const 0))
                (call $list (i32.const 100) (i32.const 256) (i32.const 0))
                (call $list (i32.const 112) (i32.const 268) (i32.const 5))
                (call $list (i32.const 120) (i32.const 280) (i32.const 4))
                (call $list (i32.const 128) (i32.const 284) (i32.const 4))
                (call $list (i32.const 140) (i32.const 273) (i32.const 7))
                (call $list (i32.const 148) (i32.const 280) (i32.const 4))
                (call $list (i32.const 156) (i32.const 284) (i32.const 4))
                (i32.store8 (i32.const 136) (i32.const 1))
                (i32.store8 (i32.const 164) (i32.const 1))
                (i32.const 64))
            (func (export "run") (param $table i32) (param $rows i32) (param $block i32) (param $length i32) (result i32)
                {run}
                (memory.fill (i32.const 2048) (i32.const 1) (local.get $rows))
                (call $list (i32.const 516) (i32.const 2048) (local.get $rows))
                (call $list (i32.const 524) (i32.const 2048) (i32.const 0))
                (call $list (i32.const 532) (i32.const 2048) (i32.const 0))
                (call $list (i32.const 540) (i32.const 2048) (i32.const 0))
                (i32.const 512)))"#
    );
    wat::parse_str(text).unwrap()
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PluginSpec {
    let path: PathBuf = folder.join(format!("{name}.wasm"));
    fs::write(&path, bytes).unwrap();
    PluginSpec { path, name: name.into(), ..spec("faulty", Stage::Merge, &[0], json!({})) }
}

/// Forty rows through a plugin; the fourth says `bad`, which is three letters, all others have four.
fn ruled(engine: &PluginEngine, parts: &str, run: &str) -> Rulings {
    let folder = tempfile::tempdir().unwrap();
    let notes = table(0, "notes", &[("id", Logical::Int), ("note", Logical::Text)]);
    let mut pipeline =
        Pipeline::new(engine, &[written(folder.path(), "hostile", &module(parts, run))], &[notes]);
    let cells: Vec<[Cell<'_>; 2]> =
        (0..40).map(|i| [Cell::Int(i), Cell::Text(if i == 3 { "bad" } else { "good" })]).collect();
    let rows: Vec<Row<'_>> =
        cells.iter().map(|cells| Row { op: Op::Update, schema: 0, after: &cells[..], before: &[] }).collect();
    let batch = table_batch(&pipeline.plan, 0, &rows);
    let met = contests(40, &pipeline.plan, |_| false);
    pipeline.chain.merge(&call(&pipeline.plan, &batch, &batch.after, &met))
}

/// Does `what` only where a row of the batch is the bad one: the block is then shorter than rows of four letters make it.
fn on_the_bad_row(what: &str) -> String {
    // Two columns of 8 + 2 * 16 bytes of heads, rows + 1 offsets each (and what alignment adds), and the letters.
    format!(
        "(if (i32.lt_u (local.get $length)
            (i32.add (i32.const 40) (i32.mul (i32.const 2) (i32.add (i32.mul (local.get $rows) (i32.const 8)) (i32.const 4)))))
            (then {what}))"
    )
}

fn guilty(rulings: &Rulings) -> Vec<(usize, &'static str, String)> {
    let refusal = |(i, ruling): (usize, &reconverge::stages::Ruling)| match &ruling.verdict {
        Verdict::Refuse(refusal) => Some((i, refusal.code, refusal.reason.clone())),
        _ => None,
    };
    rulings.rulings.iter().enumerate().filter_map(refusal).collect()
}

#[test]
fn each_way_to_misbehave_costs_the_guilty_row_alone() {
    let engine = engine(|_| ());
    let recursion = "(func $deep (param i32) (result i32) (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1)))";
    for (way, parts, what, code) in [
        ("nothing at all", "", "(nop)", ""),
        ("trap", "", "(unreachable)", "trap"),
        ("endless loop", "", "(loop $on (br $on))", "fuel"),
        ("recursion", recursion, "(drop (call $deep (i32.const 0)))", "trap"),
        ("division by zero", "", "(drop (i32.div_u (i32.const 1) (i32.const 0)))", "trap"),
        ("a read outside of memory", "", "(drop (i32.load (i32.const -4)))", "trap"),
        (
            "a level that the log does not have",
            "",
            "(call $log (i32.const 9) (i32.const 256) (i32.const 7))",
            "bad-answer",
        ),
        (
            "a log line outside of memory",
            "",
            "(call $log (i32.const 1) (i32.const -8) (i32.const 4))",
            "bad-answer",
        ),
        (
            "a log line that is no UTF-8",
            "(data (i32.const 900) \"\\ff\\fe\")",
            "(call $log (i32.const 1) (i32.const 900) (i32.const 2))",
            "bad-answer",
        ),
        ("an answer outside of memory", "", "(return (i32.const -16))", "bad-answer"),
        ("an answer that is not aligned", "", "(return (i32.const 513))", "bad-answer"),
        (
            "a result that is neither ok nor error",
            "(data (i32.const 700) \"\\07\")",
            "(return (i32.const 700))",
            "bad-answer",
        ),
        (
            "an error text outside of memory",
            "(data (i32.const 700) \"\\01\\00\\00\\00\\ff\\ff\\ff\\7f\\40\")",
            "(return (i32.const 700))",
            "bad-answer",
        ),
        (
            "a verdict list longer than memory",
            "(data (i32.const 700) \"\\00\\00\\00\\00\\00\\08\\00\\00\\ff\\ff\\ff\\7f\")",
            "(return (i32.const 700))",
            "bad-answer",
        ),
    ] {
        let found = guilty(&ruled(&engine, parts, &on_the_bad_row(what)));
        if code.is_empty() {
            assert!(found.is_empty(), "{way}: {found:?}");
            continue;
        }
        assert_eq!(found.iter().map(|g| (g.0, g.1)).collect::<Vec<_>>(), [(3, code)], "{way}: {found:?}");
        assert!(
            found[0].2.starts_with("plugin `hostile` ("),
            "{way}: it names plugin and generation: {}",
            found[0].2
        );
    }
}

#[test]
fn tables_and_memories_grow_up_to_their_limit() {
    let engine = engine(|_| ());
    // It traps where the host lets it grow, and takes every row where it does not.
    let tables = "(table $t 1 funcref)";
    let grows = "(if (i32.ge_s (table.grow $t (ref.null func) (i32.const 300000)) (i32.const 0)) (then (unreachable)))";
    assert!(guilty(&ruled(&engine, tables, grows)).is_empty(), "a table of 300,000 elements is refused");
    let grows = "(if (i32.ge_s (memory.grow (i32.const 1024)) (i32.const 0)) (then (unreachable)))";
    assert!(
        guilty(&ruled(&engine, "", grows)).is_empty(),
        "64 MiB of memory are refused where 32 may be had"
    );
    let grows = "(if (i32.lt_s (memory.grow (i32.const 64)) (i32.const 0)) (then (unreachable)))";
    assert!(guilty(&ruled(&engine, "", grows)).is_empty(), "4 MiB are not");
}

#[test]
fn a_plugin_that_never_starts_or_takes_too_much_to_start_is_refused() {
    let engine = engine(|limits| limits.deadline = Duration::from_secs(60));
    let folder = tempfile::tempdir().unwrap();
    for (name, pages, parts, told) in [
        (
            "slow",
            2,
            "(func $s (loop $on (br $on))) (start $s)",
            "it does not start: used up its fuel before it was done",
        ),
        ("trapping", 2, "(func $s (unreachable)) (start $s)", "it does not start: trapped"),
        ("large", 1000, "", "module memory does not fit"),
    ] {
        let path = folder.path().join(format!("{name}.wasm"));
        fs::write(&path, module_of(pages, parts, "")).unwrap();
        let began = Instant::now();
        let error = inspect(&engine, &path).unwrap_err();
        assert!(error.to_string().contains(told), "{name}: {error}");
        assert!(error.to_string().starts_with(&format!("plugin `{name}` cannot run")), "{error}");
        assert!(began.elapsed() < Duration::from_secs(50), "{name} was stopped by its fuel");
    }
}

#[test]
fn imports_are_refused_by_kind_whatever_they_are_called() {
    let engine = engine(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join("p.wasm");
        fs::write(&path, bytes).unwrap();
        let error = inspect(&engine, &path).unwrap_err();
        assert!(error.to_string().contains(name), "{name}: {error}");
        assert!(error.to_string().contains("imports what no plugin is given"), "{name}: {error}");
        error.hint()
    };
    for interface in [
        "wasi:filesystem/types@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:clocks/wall-clock@0.2.0",
        "wasi:clocks/monotonic-clock@0.2.6",
        "wasi:random/random@0.2.0",
        "wasi:cli/environment@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "team:private/anything@1.0.0",
    ] {
        let component = wat::parse_str(format!("(component (import \"{interface}\" (instance)))")).unwrap();
        let hint = refused(interface, &component);
        assert_eq!(hint.contains("without WASI"), interface.starts_with("wasi:"), "{hint}");
    }
    for function in ["path_open", "sock_accept", "clock_time_get", "environ_get", "random_get", "fd_write"] {
        let text = format!("(module (import \"wasi_snapshot_preview1\" \"{function}\" (func)))");
        let hint = refused(function, &wat::parse_str(text).unwrap());
        assert!(hint.contains("reconverge plugin build"), "{hint}");
    }
}

#[test]
fn a_file_with_any_bit_flipped_or_cut_anywhere_harms_nobody() {
    let engine =
        PluginEngine::start(Limits { memory_bytes: 32 << 20, ..Limits::default() }, CompileCache::off())
            .unwrap();
    let sound = module("", "");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.wasm");
    let mut refused = 0;
    let mut tried = 0;
    let mut inspected = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        tried += 1;
        // Some bits mean nothing, such as those of a name: then it runs.
        refused += usize::from(inspect(&engine, &path).is_err());
    };
    for at in (0..sound.len()).step_by(5) {
        let mut flipped = sound.clone();
        flipped[at] ^= 1 << (at % 8);
        inspected(&flipped);
        inspected(&sound[..at]);
    }
    assert!(refused > tried / 2, "{refused} of {tried} are refused");
    fs::write(&path, &sound).unwrap();
    assert!(inspect(&engine, &path).is_ok(), "the host goes on");
}

#[test]
fn a_core_module_that_is_no_component_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bare.wasm");
    fs::write(&path, core_module(2, "", "")).unwrap();
    let error = inspect(&engine(|_| ()), &path).unwrap_err();
    let told = "plugin `bare` cannot run: its file is a core module without the description of a component";
    assert_eq!(error.to_string(), told);
    assert!(error.hint().contains("build it with reconverge-sdk"), "{}", error.hint());
}

#[test]
fn one_name_for_two_things_is_refused() {
    let second = "(func (export \"describe\") (result i32) (i32.const 0))";
    let error = componentize(core_module(2, second, ""), Stage::Merge).unwrap_err();
    assert!(format!("{error:?}").contains("duplicate export name"), "{error:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("imports.wasm");
    let both = "(component (import \"a:b/c@1.0.0\" (instance)) (import \"a:b/c@1.0.0\" (instance)))";
    fs::write(&path, wat::parse_str(both).unwrap()).unwrap();
    let error = inspect(&engine(|_| ()), &path).unwrap_err().to_string();
    assert!(error.starts_with("plugin `imports` cannot run: "), "{error}");
}

#[test]
fn a_file_of_a_hundred_megabytes_is_not_read() {
    let engine = engine(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.wasm");
    File::create(&path).unwrap().set_len(100 << 20).unwrap();
    let error = inspect(&engine, &path).unwrap_err();
    assert!(error.to_string().contains("its file is larger than 67108864 bytes"), "{error}");
}

#[test]
fn a_hostile_plugin_does_not_keep_another_from_its_table() {
    let engine = engine(|_| ());
    let folder = tempfile::tempdir().unwrap();
    let tables = [(0, "notes"), (1, "calls")]
        .map(|(id, name)| table(id, name, &[("id", Logical::Int), ("note", Logical::Text)]));
    let hostile = written(folder.path(), "hostile", &module("", "(unreachable)"));
    let good = PluginSpec { tables: vec![TableId(1)], ..written(folder.path(), "good", &module("", "")) };
    let mut pipeline = Pipeline::new(&engine, &[hostile, good], &tables);
    for (id, faults) in [(0, 2), (1, 0)] {
        let cells = [[Cell::Int(1), Cell::Text("a")], [Cell::Int(2), Cell::Text("b")]];
        let rows =
            cells.each_ref().map(|cells| Row { op: Op::Update, schema: 0, after: &cells[..], before: &[] });
        let batch = table_batch(&pipeline.plan, id, &rows);
        let met = contests(2, &pipeline.plan, |_| false);
        let rulings = pipeline.chain.merge(&call(&pipeline.plan, &batch, &batch.after, &met));
        assert_eq!(guilty(&rulings).len(), faults, "table {id}");
    }
}
