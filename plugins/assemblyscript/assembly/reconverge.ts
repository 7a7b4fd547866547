// For plugins in AssemblyScript: [row] of plugin.toml is the contract, a function in plugin.ts decides about one row.
//
// A column that is null or was not sent fails its change; one with a `?` has `has_NAME` beside it. Types: bool, i64 (int,
// timestamp, date, time), f64 (float), Text (text, decimal, json, bytes, uuid). Text lies in the block of the call and is
// compared by its bytes. Of [writes] each column is `left`, `null` or a value: see Written in component.ts.
//
// An instance is used for many calls and regions use different ones: keep nothing between calls that a decision reads.

export const BITS: u32 = 1, INT64: u32 = 2, FLOAT64: u32 = 3, PACKED: u32 = 4;
export const NULL: u8 = 0, VALUE: u8 = 1, UNSENT: u8 = 2, NO_ROW: u8 = 3;

// Bytes in memory.
export class Text {
  constructor(public at: usize = 0, public length: u32 = 0) {}
  compare(other: Text): i32 {
    const order = memory.compare(this.at, other.at, min(this.length, other.length));
    return order ? order : <i32>(this.length > other.length) - <i32>(this.length < other.length);
  }
  is(words: string): bool {
    return this.toString() == words;
  }
  toString(): string {
    return String.UTF8.decodeUnsafe(this.at, this.length);
  }
  static of(words: string): Text {
    const bytes = String.UTF8.byteLength(words), at = keep(bytes);
    String.UTF8.encodeUnsafe(changetype<usize>(words), words.length, at);
    return new Text(at, bytes);
  }
}

export function compare<T extends number>(a: T, b: T): i32 {
  return <i32>(a > b) - <i32>(a < b);
}

// What becomes of a row. Reasons are fixed words: they hold no value of the row.
export class Verdict {
  constructor(public code: u8, public reason: string = "") {}
  because(why: string): Verdict {
    return new Verdict(this.code, why);
  }
  archiveLoser(): Verdict {
    return new Verdict(this.code | 128, this.reason);
  }
}
export const KEEP_CURRENT = new Verdict(0), TAKE_INCOMING = new Verdict(1), TAKE_WRITTEN = new Verdict(2), DELETE = new Verdict(3), REJECT = new Verdict(4);
export const DROP = new Verdict(0), SUPPRESS = new Verdict(0), KEEP = new Verdict(1), KEEP_WRITTEN = new Verdict(2);
export function fail(why: string): Verdict {
  return new Verdict(255, why);
}

// --- Memory. What the host hands over is freed when the call ends, the answer when the next one begins. ---

let given = new Array<usize>(), kept = new Array<usize>(), calls = 0;

export function cabi_realloc(old: usize, oldSize: usize, align: usize, size: usize): usize {
  const at = heap.alloc(size);
  if (old) memory.copy(at, old, min(oldSize, size));
  given.push(at);
  return at;
}
function keep(size: usize): usize {
  const at = heap.alloc(size);
  memory.fill(at, 0, size);
  kept.push(at);
  return at;
}
export function begin(): void {
  for (let k = 0; k < kept.length; k++) heap.free(kept[k]);
  kept.length = 0;
}
export function end(answer: usize): usize {
  for (let k = 0; k < given.length; k++) heap.free(given[k]);
  given.length = 0;
  if (++calls % 64 == 0) __collect();
  return answer;
}
// The configuration outlives the call of `open`.
export function keepGiven(): void {
  given.length = 0;
}

// --- A block, as wit/README.md lays it out. ---

export class Column {
  constructor(public states: usize, public cells: usize, public data: usize) {}
  state(i: u32): u8 {
    return this.states ? load<u8>(this.states + i) : VALUE;
  }
  bool(i: u32): bool {
    return load<u8>(this.cells + i) != 0;
  }
  int(i: u32): i64 {
    return load<i64>(this.cells + 8 * i);
  }
  float(i: u32): f64 {
    return load<f64>(this.cells + 8 * i);
  }
  text(i: u32, into: Text): void {
    const from = load<u32>(this.cells + 4 * i);
    into.at = this.data + from;
    into.length = load<u32>(this.cells + 4 * i, 4) - from;
  }
}
// Column `k` of a block; null where it is not of this kind or lies outside.
export function column(block: usize, length: u32, rows: u32, k: u32, kind: u32): Column | null {
  if (length < 8 || load<u32>(block, 4) < 16 || k >= load<u32>(block)) return null;
  const head = <u64>8 + <u64>k * load<u32>(block, 4);
  if (head + 16 > length) return null;
  const at = block + <usize>head;
  if (load<u32>(at) != kind) return null;
  const states = load<u32>(at, 4), cells = load<u32>(at, 8), data = load<u32>(at, 12);
  const width: u64 = kind == BITS ? 1 : kind == PACKED ? 4 : 8, count: u64 = kind == PACKED ? <u64>rows + 1 : rows;
  if (cells % width || cells + width * count > length || (states && <u64>states + rows > length)) return null;
  for (let i: u32 = 0; states && i < rows; i++) if (load<u8>(block + states + i) > NO_ROW) return null;
  if (kind == PACKED) {
    let last = load<u32>(block + cells);
    if (last) return null;
    for (let i: u32 = 1; i <= rows; i++) {
      const next = load<u32>(block + cells + 4 * i);
      if (next < last) return null;
      last = next;
    }
    if (<u64>data + last > length) return null;
  }
  return new Column(states ? block + states : 0, block + cells, block + data);
}
export function isNone(columns: StaticArray<Column>, i: u32): bool {
  for (let k = 0; k < columns.length; k++) if (columns[k].state(i) != NO_ROW) return false;
  return columns.length > 0;
}
export function why(side: string, name: string, state: u8): string {
  return side + "column " + name + (state == NULL ? " is null" : state == UNSENT ? " was not sent" : " has no row");
}

// --- Answers, as the component model lays them out. ---

export class Spec {
  constructor(public name: string, public logical: string) {}
}
function words(at: usize, line: string): void {
  const text = Text.of(line);
  store<u32>(at, text.at);
  store<u32>(at, text.length, 4);
}
function list(at: usize, place: usize, count: u32): void {
  store<u32>(at, place);
  store<u32>(at, count, 4);
}
export function describeAs(name: string, version: string, schema: string, extensions: string): usize {
  const at = keep(32);
  words(at, name); words(at + 8, version); words(at + 16, schema); words(at + 24, extensions);
  return at;
}
function specs(at: usize, sides: StaticArray<string>, columns: StaticArray<Spec>): void {
  const made = keep(28 * sides.length * columns.length);
  let next = made;
  for (let s = 0; s < sides.length; s++) {
    for (let k = 0; k < columns.length; k++, next += 28) {
      words(next, sides[s]); words(next + 8, columns[k].name); words(next + 16, columns[k].logical);
      store<u8>(next, 1, 24);
    }
  }
  list(at, made, sides.length * columns.length);
}
// `promises` is what the contract says beyond types: JSON text, by which `reconverge plugin laws` makes its rows.
export function openAs(tables: u32, sides: StaticArray<string>, reads: StaticArray<Spec>, writes: StaticArray<Spec>, promises: string): usize {
  const contracts = keep(28 * tables), at = keep(12);
  for (let t: u32 = 0; t < tables; t++) {
    const contract = contracts + 28 * t;
    store<u32>(contract, t);
    specs(contract + 4, sides, reads);
    specs(contract + 12, ["after"], writes);
    words(contract + 20, promises);
  }
  list(at + 4, contracts, tables);
  return at;
}
export function failed(why: string): usize {
  const at = keep(36);
  store<u8>(at, 1);
  words(at + 4, why);
  return at;
}

// An answer in the making.
export class Answer {
  verdict: usize;
  reason: usize;
  reasons: Array<string> = new Array<string>();
  constructor(public rows: u32) {
    this.verdict = keep(rows);
    this.reason = keep(rows);
  }
  say(i: u32, said: Verdict): void {
    store<u8>(this.verdict + i, said.code);
    if (said.reason.length == 0) return;
    let n = this.reasons.indexOf(said.reason);
    if (n < 0) {
      n = min(this.reasons.length, 254);
      if (n == this.reasons.length) this.reasons.push(n < 254 ? said.reason : "other");
    }
    store<u8>(this.reason + i, <u8>(n + 1));
  }
  finish(block: usize, length: u32): usize {
    const at = keep(36), count = this.reasons.length, reasons = keep(8 * count);
    for (let n = 0; n < count; n++) words(reasons + 8 * n, this.reasons[n]);
    list(at + 4, this.verdict, this.rows);
    list(at + 12, this.reason, count ? this.rows : 0);
    list(at + 20, reasons, count);
    list(at + 28, block, length);
    return at;
  }
}

// A written column: one cell a row, in a state.
export class Cells {
  states: usize;
  cells: usize;
  texts: Array<Text> = new Array<Text>();
  constructor(public kind: u32, public rows: u32) {
    this.states = keep(rows);
    memory.fill(this.states, UNSENT, rows);
    this.cells = keep(8 * rows);
    if (kind == PACKED) for (let i: u32 = 0; i < rows; i++) this.texts.push(new Text());
  }
  state(i: u32, state: u8): void {
    store<u8>(this.states + i, state);
  }
  int(i: u32, value: i64): void {
    store<i64>(this.cells + 8 * i, value);
  }
  float(i: u32, value: f64): void {
    store<f64>(this.cells + 8 * i, value);
  }
  bool(i: u32, value: bool): void {
    store<u8>(this.cells + i, value ? 1 : 0);
  }
  text(i: u32, value: Text): void {
    this.texts[i] = new Text(value.at, value.length);
  }
}
// The block of written columns; its length stands before it.
export function blockOf(columns: StaticArray<Cells>, rows: u32): usize {
  let room: u32 = 8 + 16 * columns.length;
  for (let k = 0; k < columns.length; k++) {
    room += 16 + 9 * rows + 8;
    for (let i = 0; i < columns[k].texts.length; i++) room += columns[k].texts[i].length;
  }
  const whole = keep(room + 8), block = whole + 8;
  let at: u32 = 8 + 16 * columns.length;
  store<u32>(block, columns.length);
  store<u32>(block, 16, 4);
  for (let k = 0; k < columns.length; k++) {
    const one = columns[k], head = block + 8 + 16 * k;
    store<u32>(head, one.kind);
    store<u32>(head, at, 4);
    memory.copy(block + at, one.states, rows);
    at = (at + rows + 7) & ~7;
    store<u32>(head, at, 8);
    if (one.kind != PACKED) {
      const size = one.kind == BITS ? rows : 8 * rows;
      memory.copy(block + at, one.cells, size);
      at += size;
      continue;
    }
    const offsets = block + at, data = at + 4 * (rows + 1);
    store<u32>(head, data, 12);
    let end: u32 = 0;
    for (let i: u32 = 0; i < rows; i++) {
      const text = one.texts[i];
      if (load<u8>(one.states + i) == VALUE) {
        memory.copy(block + data + end, text.at, text.length);
        end += text.length;
      }
      store<u32>(offsets + 4 * (i + 1), end);
    }
    at = data + end;
  }
  store<u32>(whole, at);
  return block;
}

// A line to the host's log: levels 0 debug, 1 info, 2 warn, 3 error. Lines are rate-limited; say nothing of a row.
@external("reconverge:plugin/log@0.1.0", "write")
declare function hostLog(level: i32, at: usize, length: u32): void;
export function log(level: i32, line: string): void {
  const text = Text.of(line);
  hostLog(level, text.at, text.length);
}
