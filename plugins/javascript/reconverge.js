// For plugins in JavaScript: an object of columns is the contract, a function decides about one row.
//
//   const Shift = { modification_epoch: int, region_source: text };
//
// The columns, by name and type, are what the host hands over: bool, int and its like (BigInt), float, text (string),
// bytes and its like (Uint8Array). A plain column that is null or was not sent fails its change; optional(int) is null
// where the column is null. Written columns: an object of them; one that is left out stays as it is, null becomes null.
// A row reads its cells when they are asked for and is good for its own decision only: copy what is to last, `{ ...row }`.
// A merge that asks nothing of its two rows but how they `compare` is quickest: it is asked once for each answer.
//
// Strings are compared by `compare`, never by `<`: that compares UTF-16 units, and regions would differ. An instance is
// used for many calls and regions use different ones: keep nothing between calls that a decision reads.

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
  if (a === first && b === second) return (orders ?? allOrders())[at];
  if (typeof a === "string") return compareText(a, b);
  if (a !== null && typeof a === "object") {
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
function compareBytes(a, b) {
  if (b === null) return 1;
  for (let i = 0; i < a.length && i < b.length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}

// The batch in hand: its sides, whose rows are objects that read their cells where the batch stands, `at`; `orders` has how
// the two of each contest compare, once that was asked.
const NONE = {};
let at = 0, rows = 0, sides = [], first = NONE, second = NONE, orders = null;
// How the two rows of each contest compare, all of them at once and column by column: an engine that interprets has little
// left to do for each. As they lie in the block: neither text nor an object is made for it. `marks` says what goes into
// the two arrays for lesser, equal and greater ones.
function ordered(a, b, into, also, marks) {
  const [less, equal, greater] = marks;
  into.fill(less[0]);
  also.fill(less[1]);
  let open = null;
  for (let k = 0; k < a.kinds.length && open?.length !== 0; k++) {
    const x = a.columns[k], y = b.columns[k], kind = a.kinds[k];
    if (k === 0 && kind === INT64 && x.states === null && y.states === null) {
      open = orderInts(x.cells, y.cells, into, also, greater);
      continue;
    }
    const found = orderOpen(x, y, kind, open);
    for (const [i, order] of found) if (order > 0) (into[i] = greater[0]), (also[i] = greater[1]);
    open = found.filter(([, order]) => order === 0).map(([i]) => i);
  }
  for (const i of open ?? into.keys()) (into[i] = equal[0]), (also[i] = equal[1]);
}
const ORDERS = [[-1, -1], [0, 0], [1, 1]];
function allOrders() {
  orders = new Int8Array(rows);
  ordered(...sides, orders, orders, ORDERS);
  return orders;
}
// By the first column, of integers that are all there; returns the places of equal ones.
function orderInts(x, y, into, also, [mark, other]) {
  const open = [], count = rows;
  for (let i = 0; i < count; i++) {
    const p = x[i], q = y[i];
    if (p > q) (into[i] = mark), (also[i] = other);
    else if (p === q) open.push(i);
  }
  return open;
}
// By a column, of the rows whose columns before it are equal (none: of all rows): places, and how they compare. Nulls come
// before values.
function orderOpen(x, y, kind, open) {
  const made = [];
  for (let n = 0; n < (open?.length ?? rows); n++) {
    const i = open === null ? n : open[n], p = state(x, i) === VALUE, q = state(y, i) === VALUE;
    let order = p - q;
    if (p && q) order = kind === PACKED ? orderPacked(x, y, i) : x.cells[i] > y.cells[i] ? 1 : x.cells[i] < y.cells[i] ? -1 : 0;
    made.push([i, order]);
  }
  return made;
}
function orderPacked(x, y, i) {
  const a = x.data, b = y.data, end = x.cells[i + 1], last = y.cells[i + 1];
  let n = x.cells[i], m = y.cells[i];
  if (n > end || m > last || end > a.length || last > b.length) broken();
  while (n < end && m < last && a[n] === b[m]) n++, m++;
  return n < end && m < last ? (a[n] > b[m] ? 1 : -1) : (n < end) - (m < last);
}

const broken = () => { throw new Error("the block does not read"); };
// A column of a block, as views into it. Throws where it is not of this kind or lies outside of the block; the ends of
// packed cells are looked at where a cell is read. `words` is the block as words.
export function column(block, words, k, kind, rows) {
  const size = block.length, buffer = block.buffer, start = block.byteOffset;
  if (size < 8) broken();
  const head = 2 + k * (words[1] >>> 2);
  if (words[1] < 16 || words[1] % 4 || k >= words[0] || 4 * head + 16 > size || words[head] !== kind) broken();
  const states = words[head + 1], cells = words[head + 2], data = words[head + 3], from = start + cells;
  const width = kind === BITS ? 1 : kind === PACKED ? 4 : 8, count = kind === PACKED ? rows + 1 : rows;
  if (cells % width || cells + width * count > size || (states && states + rows > size)) broken();
  const made = {
    states: states ? block.subarray(states, states + rows) : null,
    cells: kind === INT64 ? new BigInt64Array(buffer, from, count)
      : kind === PACKED ? new Uint32Array(buffer, from, count)
      : kind === FLOAT64 ? new Float64Array(buffer, from, count)
      : new Uint8Array(buffer, from, count),
    data: kind === PACKED ? block.subarray(data) : null,
  };
  if (states && made.states.some((state) => state > NO_ROW)) broken();
  if (kind === PACKED && (made.cells[0] !== 0 || data + made.cells[rows] > size)) broken();
  return made;
}
export const wordsOf = (block) => new Uint32Array(block.buffer, block.byteOffset, block.length >>> 2);
export const state = (c, i) => (c.states ? c.states[i] : VALUE);
export function cell(c, i, of) {
  if (of.kind === BITS) return c.cells[i] !== 0;
  if (of.kind !== PACKED) return c.cells[i];
  const from = c.cells[i], to = c.cells[i + 1], of_bytes = of.logical === "bytes" || of.logical === "uuid";
  if (from > to || to > c.data.length) broken();
  return of_bytes ? c.data.slice(from, to) : decode(c.data, from, to);
}

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

// One side of a table's blocks: its row, and the columns of the block in hand.
class Side {
  constructor(from, fields, word) {
    this.from = from;
    this.fields = fields;
    this.word = word;
    this.kinds = fields.map(([, of]) => of.kind);
    this.columns = [];
    this.whole = true;
    this.row = {};
    fields.forEach(([name, of], k) => {
      const get = () => (state(this.columns[k], at) === VALUE ? cell(this.columns[k], at, of) : null);
      Object.defineProperty(this.row, name, { get, enumerable: true });
    });
  }
  read(block, words) {
    this.whole = true;
    for (let k = 0; k < this.kinds.length; k++) {
      const c = (this.columns[k] = column(block, words, this.from + k, this.kinds[k], rows));
      if (c.states !== null) this.whole = false;
    }
  }
  isNone(i) {
    return this.columns.length > 0 && this.columns.every((c) => state(c, i) === NO_ROW);
  }
  // The words why the change of a row fails; nothing where it does not.
  gap(i) {
    for (let k = 0; k < this.fields.length; k++) {
      const [name, of] = this.fields[k], found = state(this.columns[k], i);
      if (found === VALUE || (found === NULL && of.optional)) continue;
      return `${this.word}column ${name} ${found === NULL ? "is null" : found === UNSENT ? "was not sent" : "has no row"}`;
    }
    return null;
  }
}

// What a rule says by how the two rows compare, where it asks nothing else of them: verdicts for -1, 0 and 1. Such a rule
// need not be asked of each contest. Null where it reads a cell.
function byOrder(decide, fields) {
  let reads = false;
  const probe = () => fields.reduce((row, [name]) => {
    const get = () => { reads = true; throw new Error("asked without a row"); };
    return Object.defineProperty(row, name, { get, enumerable: true });
  }, {});
  (first = probe()), (second = probe()), (at = 0);
  return [-1, 0, 1].map((order) => {
    (orders = [order]), (reads = false);
    try {
      const said = decide(first, second);
      return reads || said.columns !== null ? null : said;
    } catch {
      return null;
    }
  });
}

// What is said of the rows of the batch in hand.
class Answer {
  constructor(writes, rows) {
    this.writes = writes;
    this.verdict = new Uint8Array(rows);
    this.reason = new Uint8Array(rows);
    this.reasons = [];
    this.written = [];
  }
  // Of each contest, by how its rows compare: the three verdicts.
  byOrder(said, sides) {
    ordered(...sides, this.verdict, this.reason, said.map((one) => [one.code, this.number(one.reason)]));
  }
  // Of each row by itself. `settled` says what becomes of one that is not to be decided; there is none where every row is
  // whole.
  byRow(settled, decide) {
    const { verdict, reason, written } = this, incoming = first, current = second, count = rows;
    // Most rows get the verdict of one before them.
    let before = null, code = 0, number = 0;
    for (let i = 0; i < count; i++) {
      at = i;
      const said = (settled !== null && settled(i)) || decide(incoming, current);
      if (said !== before) {
        (before = said), (code = said.code), (number = this.number(said.reason));
        if (said.columns !== null) {
          // A copy: what is written may be the row itself, which moves on.
          written[i] = { ...said.columns };
          before = null;
        }
      }
      verdict[i] = code;
      if (number !== 0) reason[i] = number;
    }
  }
  // The number of a reason, counted from 1; those that are too many share the last one.
  number(reason) {
    if (reason === "") return 0;
    const known = this.reasons.indexOf(reason);
    if (known >= 0) return known + 1;
    return this.reasons.length < 254 ? this.reasons.push(reason) : this.reasons[254] ? 255 : this.reasons.push("other");
  }
  finish() {
    const { verdict, reasons, written } = this;
    return {
      verdict,
      reason: reasons.length ? this.reason : new Uint8Array(0),
      reasons,
      block: written.length ? blockOf(written, this.writes, verdict.length) : new Uint8Array(0),
    };
  }
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

function plugin(about, named, stage, decide) {
  const fields = Object.entries(about.row), writes = Object.entries(about.writes ?? {});
  let known = null;
  const lifecycle = {
    describe: () => ({
      name: about.name,
      version: about.version ?? "0.1.0",
      configSchema: about.configSchema ?? "",
      extensions: about.extensions ?? "",
    }),
    open(config, tables) {
      about.configure?.(config);
      known = null;
      const reads = named.flatMap(([side]) => specs(side, fields));
      return tables.map((_, table) => ({ table, reads, writes: specs("after", writes), extensions: promises(fields) }));
    },
  };
  const own = named.map(([, word], n) => new Side(n * fields.length, fields, word)), isContest = own.length > 1;
  const settled = isContest ? settledContest(...own) : settledRow(...own);
  const run = (_table, count, block) => {
    const of = aligned(block), words = wordsOf(of), answer = new Answer(writes, count);
    if (isContest) known ??= byOrder(decide, fields);
    (sides = own), (rows = count), (orders = null), (first = own[0].row), (second = isContest ? own[1].row : NONE);
    for (const side of own) side.read(of, words);
    const isWhole = own.every((side) => side.whole);
    if (isWhole && known?.every((said) => said !== null)) answer.byOrder(known, own);
    else answer.byRow(isWhole ? null : settled, decide);
    return answer.finish();
  };
  return { lifecycle, [stage]: { run } };
}
const settledRow = (only) => (i) => {
  if (only.isNone(i)) return keep;
  const gap = only.gap(i);
  return gap === null ? null : fail(gap);
};
const settledContest = (after, current) => (i) => {
  if (current.isNone(i)) return takeIncoming;
  if (after.isNone(i)) return remove.archiveLoser();
  const gap = after.gap(i) ?? current.gap(i);
  return gap === null ? null : fail(gap);
};

// A merge: `decide(incoming, current)` says which of two rows stands.
export const merge = (about, decide) => plugin(about, [["after", "incoming "], ["current", "current "]], "merge", decide);
// A filter, a residency rule or a mapping: `decide(row)` says what becomes of one row.
const rowsOf = (stage) => (about, decide) => plugin(about, [["after", ""]], stage, (row) => decide(row));
export const filter = rowsOf("filter"), residency = rowsOf("residency"), mapping = rowsOf("mapping");
