// Orders: drafts and empty orders do not belong here.
import { Row } from "./component";
import { DROP, KEEP, Verdict } from "./reconverge";

export function decide(order: Row): Verdict {
  if (order.status.is("draft")) return DROP.because("a draft");
  return order.quantity > 0 ? KEEP : DROP.because("nothing was ordered");
}
