// For plugins in JavaScript: an object of columns is the contract, a function decides about one row.
//
//   const Shift = { modification_epoch: int, region_source: text };
//
// The columns, by name and type, are what the host hands over: bool, int and its like (BigInt), float, text (string),
// bytes and its like (Uint8Array). A plain column that is null or was not sent fails its change; optional(int) is null
// where the column is null. Written columns: an object of them; one that is left out stays as it is, null becomes null.
// A row reads its cells when they are asked for and is good for its own decision only: copy what is to last, `{ ...row }`.
//
// Strings are compared by `compare`, never by `<`: that compares UTF-16 units, and regions would differ. An instance is
// used for many calls and regions use different ones: keep nothing between calls that a decision reads.

// Where a row lies: the columns of its side, and its place in them.
const PLACE = Symbol("place");
const BITS = 1, INT64 = 2, FLOAT64 = 3, PACKED = 4;
const NULL = 0, VALUE = 1, UNSENT = 2, NO_ROW = 3;

const type = (logical, kind) => ({ logical, kind, optional: false });
export const bool = type("bool", BITS);
export const int = type("int", INT64);
export const timestamp = type("timestamp", INT64);
export const date = type("date", INT64);
export const time = type("time", INT64);
export const float = type("float", FLOAT64);
export const text = type("text", PACKED);
export const decimal = type("decimal", PACKED);
export const json = type("json", PACKED);
export const bytes = type("bytes", PACKED);
export const uuid = type("uuid", PACKED);
export const optional = (of) => ({ ...of, optional: true });

// Verdicts. Reasons are fixed words: they hold no value of the row.
class Verdict {
  constructor(code, reason = "", columns = null) {
    this.code = code;
    this.reason = reason;
    this.columns = columns;
    this.archived = this.explained = null;
  }
  // A verdict without columns is made once and said of many rows.
  because(why) {
    if (this.explained?.reason === why) return this.explained;
    return (this.explained = new Verdict(this.code, why, this.columns));
  }
  archiveLoser() { return (this.archived ??= new Verdict(this.code | 128, this.reason, this.columns)); }
}
export const keepCurrent = new Verdict(0), takeIncoming = new Verdict(1), remove = new Verdict(3), reject = new Verdict(4);
export const drop = new Verdict(0), suppress = new Verdict(0), keep = new Verdict(1);
export const write = (columns) => new Verdict(2, "", columns);
export const fail = (why) => new Verdict(255, why);

// Two values of a column, or two rows column by column in declared order: negative, 0 or positive. Text by its bytes.
export function compare(a, b) {
  if (typeof a === "string") return compareText(a, b);
  if (a !== null && typeof a === "object") {
    const place = a[PLACE], other = b?.[PLACE];
    if (place !== undefined && other !== undefined) return compareRows(place, other);
    if (a instanceof Uint8Array) return compareBytes(a, b);
    for (const name in a) {
      const order = compare(a[name], b[name]);
      if (order !== 0) return order;
    }
    return 0;
  }
  if (a === null || b === null) return (a !== null) - (b !== null);
  return a > b ? 1 : a < b ? -1 : 0;
}
// The order of code points, which is that of UTF-8: a surrogate stands for a letter above all single units.
function compareText(a, b) {
  if (b === null) return 1;
  for (let i = 0; i < a.length && i < b.length; i++) {
    const x = a.charCodeAt(i), y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}
const rank = (unit) => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit);
// Two rows of one contract, cell by cell as they lie in the block: neither text nor a BigInt is made for it.
function compareRows(a, b) {
  const i = a.i, j = b.i;
  for (let k = 0; k < a.kinds.length; k++) {
    const x = a.columns[k], y = b.columns[k], kind = a.kinds[k];
    const isNull = x.states !== null && x.states[i] !== VALUE, other = y.states !== null && y.states[j] !== VALUE;
    if (isNull || other) {
      if (isNull !== other) return other ? 1 : -1;
    } else if (kind === INT64) {
      const high = x.halves[2 * i + 1] - y.halves[2 * j + 1];
      if (high !== 0) return high;
      const low = (x.halves[2 * i] >>> 0) - (y.halves[2 * j] >>> 0);
      if (low !== 0) return low;
    } else if (kind === PACKED) {
      const from = x.cells[i], at = y.cells[j], end = x.cells[i + 1] - from, last = y.cells[j + 1] - at;
      const shorter = end < last ? end : last, left = x.data, right = y.data;
      for (let n = 0; n < shorter; n++) if (left[from + n] !== right[at + n]) return left[from + n] - right[at + n];
      if (end !== last) return end - last;
    } else {
      const p = x.cells[i], q = y.cells[j];
      if (p > q) return 1;
      if (p < q) return -1;
    }
  }
  return 0;
}
function compareBytes(a, b) {
  if (b === null) return 1;
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

// A column of a block, as views into it. Throws where it is not of this kind or lies outside of the block.
export function column(block, k, kind, rows) {
  const broken = () => { throw new Error("the block does not read"); };
  if (block.length < 8) broken();
  const words = new DataView(block.buffer, block.byteOffset, block.length);
  const word = (at) => words.getUint32(at, true);
  const head = 8 + k * word(4);
  if (word(4) < 16 || k >= word(0) || head + 16 > block.length || word(head) !== kind) broken();
  const states = word(head + 4), cells = word(head + 8), data = word(head + 12);
  const width = kind === BITS ? 1 : kind === PACKED ? 4 : 8, count = kind === PACKED ? rows + 1 : rows;
  if (cells % width || cells + width * count > block.length || (states && states + rows > block.length)) broken();
  const at = block.byteOffset + cells, View = [, Uint8Array, BigInt64Array, Float64Array, Uint32Array][kind];
  const made = {
    states: states ? block.subarray(states, states + rows) : null,
    cells: new View(block.buffer, at, count),
    // Of 8-byte integers: low and high word in turns.
    halves: kind === INT64 ? new Int32Array(block.buffer, at, 2 * count) : null,
    data: block.subarray(data),
  };
  if (states && made.states.some((state) => state > NO_ROW)) broken();
  if (kind === PACKED) {
    const ends = made.cells;
    for (let i = 1, last = 0; i <= rows; i++) {
      const end = ends[i];
      if (end < last) broken();
      last = end;
    }
    if (made.cells[0] !== 0 || data + made.cells[rows] > block.length) broken();
  }
  return made;
}
export const state = (c, i) => (c.states ? c.states[i] : VALUE);
export function cell(c, i, of) {
  if (of.kind === BITS) return c.cells[i] !== 0;
  if (of.kind !== PACKED) return c.cells[i];
  const of_bytes = of.logical === "bytes" || of.logical === "uuid";
  return (of_bytes ? slice : decode)(c.data, c.cells[i], c.cells[i + 1]);
}
const slice = (data, from, to) => data.slice(from, to);

// UTF-8 by hand: the engine that components run on has no TextDecoder. The host has checked it.
function decode(data, from, to) {
  let made = "";
  while (from < to) {
    const first = data[from++];
    if (first < 0x80) { made += String.fromCharCode(first); continue; }
    const more = first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    let point = first & (0x3f >> more);
    for (let k = 0; k < more; k++) point = (point << 6) | (data[from++] & 0x3f);
    made += String.fromCodePoint(point);
  }
  return made;
}
function encode(words, into) {
  for (const letter of words) {
    const point = letter.codePointAt(0);
    if (point < 0x80) into.push(point);
    else if (point < 0x800) into.push(0xc0 | (point >> 6), 0x80 | (point & 0x3f));
    else if (point < 0x10000) into.push(0xe0 | (point >> 12), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
    else into.push(0xf0 | (point >> 18), 0x80 | ((point >> 12) & 0x3f), 0x80 | ((point >> 6) & 0x3f), 0x80 | (point & 0x3f));
  }
}

// One side of a block. Its row is one object that is moved from place to place and reads its cells where it stands.
function side(block, first, rows, fields, word) {
  const columns = fields.map(([, of], k) => column(block, first + k, of.kind, rows));
  const place = { i: 0, columns, kinds: fields.map(([, of]) => of.kind) }, row = {};
  Object.defineProperty(row, PLACE, { value: place });
  fields.forEach(([name, of], k) => {
    const read = columns[k];
    const get = () => (state(read, place.i) === VALUE ? cell(read, place.i, of) : null);
    Object.defineProperty(row, name, { get, enumerable: true });
  });
  return {
    row,
    place,
    // Whether each cell of every row is there.
    whole: columns.every((c) => c.states === null),
    isNone: (i) => columns.length > 0 && columns.every((c) => state(c, i) === NO_ROW),
    // The words why the change of a row fails; nothing where it does not.
    gap(i) {
      for (let k = 0; k < fields.length; k++) {
        const [name, of] = fields[k], at = state(columns[k], i);
        if (at === VALUE || (at === NULL && of.optional)) continue;
        return `${word}column ${name} ${at === NULL ? "is null" : at === UNSENT ? "was not sent" : "has no row"}`;
      }
      return null;
    },
  };
}

// An answer in the making.
function answering(rows, writes) {
  const verdict = new Uint8Array(rows), reason = new Uint8Array(rows), numbers = new Map(), written = [];
  let before = null, number = 0;
  return {
    say(i, said) {
      verdict[i] = said.code;
      // A copy: what is written may be the row itself, which moves on.
      if (said.columns !== null) written[i] = { ...said.columns };
      if (said.reason === "") return;
      if (said.reason !== before) {
        before = said.reason;
        const words = numbers.size < 254 || numbers.has(before) ? before : "other";
        if (!numbers.has(words)) numbers.set(words, numbers.size + 1);
        number = numbers.get(words);
      }
      reason[i] = number;
    },
    finish: () => ({
      verdict,
      reason: numbers.size ? reason : new Uint8Array(0),
      reasons: [...numbers.keys()],
      block: written.length ? blockOf(written, writes, rows) : new Uint8Array(0),
    }),
  };
}

// The written columns as a block.
export function blockOf(written, fields, rows) {
  const made = [];
  const put = (value) => made.push(value & 255, (value >>> 8) & 255, (value >>> 16) & 255, (value >>> 24) & 255);
  const patch = (at, value) => [0, 8, 16, 24].forEach((shift, k) => { made[at + k] = (value >>> shift) & 255; });
  const eight = new DataView(new ArrayBuffer(8));
  const putEight = () => { for (let k = 0; k < 8; k++) made.push(eight.getUint8(k)); };
  put(fields.length);
  put(16);
  for (let k = 0; k < 4 * fields.length; k++) put(0);
  fields.forEach(([name, of], k) => {
    const cells = Array.from({ length: rows }, (_, i) => written[i]?.[name]);
    const head = 8 + 16 * k;
    patch(head, of.kind);
    patch(head + 4, made.length);
    for (const value of cells) made.push(value === undefined ? UNSENT : value === null ? NULL : VALUE);
    while (made.length % 8) made.push(0);
    patch(head + 8, made.length);
    const data = [];
    if (of.kind === PACKED) put(0);
    for (const value of cells) {
      if (of.kind === BITS) made.push(value ? 1 : 0);
      else if (of.kind === INT64) { eight.setBigInt64(0, BigInt(value ?? 0), true); putEight(); }
      else if (of.kind === FLOAT64) { eight.setFloat64(0, value ?? 0, true); putEight(); }
      else {
        if (typeof value === "string") encode(value, data);
        else if (value) data.push(...value);
        put(data.length);
      }
    }
    patch(head + 12, of.kind === PACKED ? made.length : 0);
    for (const byte of data) made.push(byte);
  });
  return new Uint8Array(made);
}

// Views of 8 bytes want a block that begins at a multiple of 8.
const aligned = (block) => (block.byteOffset % 8 ? block.slice() : block);
const specs = (side, fields) => fields.map(([name, of]) => ({ side, name, logical: of.logical, required: true }));

// What the contract says beyond types: columns that are never null where the rule is to decide, and those that are sent.
// `reconverge plugin laws` makes its rows by it.
const promises = (fields) => JSON.stringify({
  "not-null": fields.filter(([, of]) => !of.optional).map(([name]) => name),
  sent: fields.map(([name]) => name),
});

function plugin(about, sides, stage, run) {
  const fields = Object.entries(about.row), writes = Object.entries(about.writes ?? {});
  const lifecycle = {
    describe: () => ({
      name: about.name,
      version: about.version ?? "0.1.0",
      configSchema: about.configSchema ?? "",
      extensions: about.extensions ?? "",
    }),
    open(config, tables) {
      about.configure?.(config);
      const reads = sides.flatMap((side) => specs(side, fields));
      return tables.map((_, table) => ({ table, reads, writes: specs("after", writes), extensions: promises(fields) }));
    },
  };
  return { lifecycle, [stage]: { run: (_table, rows, block) => run(rows, aligned(block), fields, writes) } };
}

// A merge: `decide(incoming, current)` says which of two rows stands.
export const merge = (about, decide) =>
  plugin(about, ["after", "current"], "merge", (rows, block, fields, writes) => {
    const after = side(block, 0, rows, fields, "incoming "), current = side(block, fields.length, rows, fields, "current ");
    const answer = answering(rows, writes);
    const whole = after.whole && current.whole, incoming = after.place, standing = current.place;
    for (let i = 0; i < rows; i++) {
      if (!whole) {
        if (current.isNone(i)) { answer.say(i, takeIncoming); continue; }
        if (after.isNone(i)) { answer.say(i, remove.archiveLoser()); continue; }
        const gap = after.gap(i) ?? current.gap(i);
        if (gap !== null) { answer.say(i, fail(gap)); continue; }
      }
      incoming.i = standing.i = i;
      answer.say(i, decide(after.row, current.row));
    }
    return answer.finish();
  });

// A filter, a residency rule or a mapping: `decide(row)` says what becomes of one row.
const rowsOf = (stage) => (about, decide) =>
  plugin(about, ["after"], stage, (rows, block, fields, writes) => {
    const only = side(block, 0, rows, fields, "");
    const answer = answering(rows, writes);
    for (let i = 0; i < rows; i++) {
      if (!only.whole) {
        if (only.isNone(i)) { answer.say(i, keep); continue; }
        const gap = only.gap(i);
        if (gap !== null) { answer.say(i, fail(gap)); continue; }
      }
      only.place.i = i;
      answer.say(i, decide(only.row));
    }
    return answer.finish();
  });
export const filter = rowsOf("filter"), residency = rowsOf("residency"), mapping = rowsOf("mapping");
