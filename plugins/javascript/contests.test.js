// A rule says the same of a contest whether it asks how the rows compare, reads their cells, or both.
import assert from "node:assert/strict";
import test from "node:test";

import * as reconverge from "./reconverge.js";

const Row = { epoch: reconverge.optional(reconverge.int), region: reconverge.text };
const { keepCurrent, takeIncoming } = reconverge;
const older = keepCurrent.because("older");
const epochs = [-(2n ** 63n), -1n, 0n, 1n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n - 1n];
const regions = ["", "a", "ab", "b", "\u{ffff}", "\u{10000}"];
const rows = epochs.flatMap((epoch) => regions.map((region) => ({ epoch, region })));

// Every row against every other.
const contests = (rows) => blockOf(rows.flatMap((a) => rows.map((b) => [a, b])));
// Pairs of rows as a block; where all cells are there it has no states.
function blockOf(contests) {
  const pairs = contests.map(([a, b]) => ({ a: a.epoch, b: a.region, c: b.epoch, d: b.region }));
  const fields = ["a", "b", "c", "d"].map((name, k) => [name, k % 2 ? reconverge.text : reconverge.int]);
  const block = reconverge.blockOf(pairs, fields, pairs.length);
  const words = reconverge.wordsOf(block);
  if (contests.flat().every((row) => row.epoch !== null)) for (let k = 0; k < 4; k++) words[2 + 4 * k + 1] = 0;
  return [pairs.length, block];
}

function said(decide, rows) {
  let calls = 0;
  const counted = (incoming, current) => { calls++; return decide(incoming, current); };
  const { lifecycle, merge } = reconverge.merge({ name: "test", row: Row }, counted);
  lifecycle.open("", ["t"]);
  const { verdict, reason, reasons } = merge.run(0, ...contests(rows));
  return { calls, words: Array.from(verdict, (code, i) => [code, reason[i] ? reasons[reason[i] - 1] : ""]) };
}

const byRows = (a, b) => (reconverge.compare(a, b) > 0 ? takeIncoming : older);
const backwards = (a, b) => (reconverge.compare(b, a) < 0 ? takeIncoming : older);
const byCells = (a, b) => {
  const order = reconverge.compare(a.epoch, b.epoch) || reconverge.compare(a.region, b.region);
  return order > 0 ? takeIncoming : older;
};
// Reads cells of one answer only, and hides that it cannot.
const sometimes = (a, b) => {
  if (reconverge.compare(a, b) > 0) return takeIncoming;
  try { return byCells(a, b); } catch { return keepCurrent; }
};

for (const [name, all] of [["whole rows", rows], ["rows with nulls", [...rows, { epoch: null, region: "a" }, { epoch: null, region: "b" }]]]) {
  test(`rules agree on ${name}`, () => {
    const wanted = said(byCells, all);
    assert.equal(wanted.words.filter(([code]) => code === 1).length, (all.length * (all.length - 1)) / 2);
    for (const rule of [byRows, backwards, sometimes]) assert.deepEqual(said(rule, all).words, wanted.words);
  });
}
test("a rule that only compares is not asked of each row", () => {
  assert.equal(said(byRows, rows).calls, 3);
  assert.ok(said(sometimes, rows).calls > rows.length ** 2);
});
test("a rule may say nothing of equal rows", () => {
  const { lifecycle, merge } = reconverge.merge({ name: "test", row: Row }, (a, b) => {
    const order = reconverge.compare(a, b);
    if (order !== 0) return order > 0 ? takeIncoming : older;
  });
  lifecycle.open("", ["t"]);
  const [one, two] = [1n, 2n].map((epoch) => ({ epoch, region: "x" }));
  assert.deepEqual([...merge.run(0, ...blockOf([[two, one], [one, two]])).verdict], [1, 0]);
});
test("a rule that is opened again is asked again", () => {
  let wins = takeIncoming;
  const about = { name: "test", row: Row, configure: (config) => { wins = config === "take" ? takeIncoming : keepCurrent; } };
  const { lifecycle, merge } = reconverge.merge(about, (a, b) => (reconverge.compare(a, b) > 0 ? wins : older));
  const codes = ["take", "keep"].map((config) => {
    lifecycle.open(config, ["t"]);
    return merge.run(0, ...contests(rows)).verdict.reduce((sum, code) => sum + code, 0);
  });
  assert.deepEqual(codes, [(rows.length * (rows.length - 1)) / 2, 0]);
});
