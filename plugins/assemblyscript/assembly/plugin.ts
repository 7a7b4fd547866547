// Workforce schedules: the greater modification_epoch wins, then the greater name of the region; what loses is archived
// for audit. A planner's edit raises the epoch, a resend or a restored backup does not.
import { Row } from "./component";
import { KEEP_CURRENT, TAKE_INCOMING, Verdict, compare } from "./reconverge";

// Called for every change that meets a current row. Ties, first inserts and deletes are the host's.
export function decide(incoming: Row, current: Row): Verdict {
  let order = compare(incoming.modification_epoch, current.modification_epoch);
  if (order == 0) order = incoming.region_source.compare(current.region_source);
  if (order > 0) return TAKE_INCOMING.archiveLoser();
  return KEEP_CURRENT.because("older modification_epoch").archiveLoser();
}
