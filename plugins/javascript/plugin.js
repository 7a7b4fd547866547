// Workforce schedules: the greater modification_epoch wins, then the greater name of the region; what loses is archived
// for audit. A planner's edit raises the epoch, a resend or a restored backup does not.
import * as reconverge from "./reconverge.js";

// The contract: the host hands over these two columns of both rows, and no others. Declared order is the order of
// comparison.
const Shift = { modification_epoch: reconverge.int, region_source: reconverge.text };

// Called for every change that meets a current row. Ties, first inserts and deletes are the host's.
export function decide(incoming, current) {
  if (reconverge.compare(incoming, current) > 0) return reconverge.takeIncoming.archiveLoser();
  return reconverge.keepCurrent.because("older modification_epoch").archiveLoser();
}

export const { lifecycle, merge } = reconverge.merge(
  { name: "schedule-merge-javascript", row: Shift, extensions: '{"laws":true}' },
  decide,
);
