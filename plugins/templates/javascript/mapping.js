// Shifts: the total of two columns, and a label for it.
import * as reconverge from "./reconverge.js";

// The contract: the host hands over the columns of Shift, and takes those of Totals back.
const Shift = { minutes: reconverge.int, overtime: reconverge.optional(reconverge.int) };
const Totals = { total: reconverge.int, label: reconverge.text };

export function decide(shift) {
  if (shift.minutes < 0n) return reconverge.fail("minutes are less than none");
  const total = shift.minutes + (shift.overtime ?? 0n);
  return reconverge.write({ total, label: total > 480n ? "long" : "normal" });
}

export const { lifecycle, mapping } = reconverge.mapping({ name: "NAME", row: Shift, writes: Totals }, decide);
