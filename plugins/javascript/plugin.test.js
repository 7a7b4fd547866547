import assert from "node:assert/strict";
import test from "node:test";

import { decide } from "./plugin.js";
import { keepCurrent, takeIncoming } from "./reconverge.js";

test("the newer edit wins", () => {
  const older = { modification_epoch: 41n, region_source: "us-west" };
  const newer = { modification_epoch: 42n, region_source: "us-east" };
  assert.deepEqual(decide(newer, older), takeIncoming.archiveLoser());
  assert.deepEqual(decide(older, newer), keepCurrent.because("older modification_epoch").archiveLoser());
});
