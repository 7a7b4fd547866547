// The reader with the golden blocks of plugins/golden.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";

import * as reconverge from "./reconverge.js";

const golden = new URL("../golden/", import.meta.url);
function described(name) {
  const found = JSON.parse(readFileSync(new URL(`${name}.json`, golden), "utf8"));
  return found.base ? { ...described(found.base), ...found } : found;
}
function shown(c, i, of) {
  const state = reconverge.state(c, i);
  if (state !== 1) return [null, , { state: "unavailable" }, { state: "no-row" }][state];
  const value = reconverge.cell(c, i, of);
  if (value instanceof Uint8Array) return Buffer.from(value).toString("hex");
  return typeof value === "bigint" ? String(value) : value;
}

const names = readdirSync(golden).filter((name) => name.endsWith(".bin")).map((name) => name.slice(0, -4));
test("the golden blocks are there", () => assert.ok(names.length > 20));
for (const name of names) {
  test(`golden block ${name}`, () => {
    const about = described(name), bytes = new Uint8Array(readFileSync(new URL(`${name}.bin`, golden)));
    const whole = bytes.byteOffset % 8 ? bytes.slice() : bytes;
    const read = () => {
      const words = reconverge.wordsOf(whole);
      if (whole.length >= 4 && whole[0] !== about.columns.length) throw new Error("another number of columns");
      return about.columns.map((of, k) => {
        const type = reconverge[of.logical] ?? reconverge.text;
        const c = reconverge.column(whole, words, k, type.kind, about.rows);
        return Array.from({ length: about.rows }, (_, i) => shown(c, i, type));
      });
    };
    // Text is checked by the host before a plugin sees it.
    if (name === "bad-text") return;
    if (about.readable === false) return assert.throws(read);
    const found = read();
    about.columns.forEach((of, k) => {
      of.cells.forEach((wanted, i) => {
        if (of.logical === "float" && typeof wanted === "string") assert.ok(Object.is(found[k][i], floatOf(wanted)), `${k} ${i}`);
        else assert.deepEqual(found[k][i], wanted, `column ${k} row ${i}`);
      });
    });
  });
}
const floatOf = (words) => Number(words.replace(/inf(inity)?/i, "Infinity").replace(/nan/i, "NaN"));
