// Shifts: the total of two columns, and a label for it.
import { Row, Written } from "./component";
import { KEEP_WRITTEN, Text, Verdict, fail } from "./reconverge";

export function decide(shift: Row, out: Written): Verdict {
  if (shift.minutes < 0) return fail("minutes are less than none");
  const total = shift.minutes + (shift.has_overtime ? shift.overtime : 0);
  out.put_total(total);
  out.put_label(Text.of(total > 480 ? "long" : "normal"));
  return KEEP_WRITTEN;
}
