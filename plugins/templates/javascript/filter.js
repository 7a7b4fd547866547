// Orders: drafts and empty orders do not belong here.
import * as reconverge from "./reconverge.js";

// The contract: the host hands over these columns, and no others.
const Order = { status: reconverge.text, quantity: reconverge.int };

export function decide(order) {
  if (order.status === "draft") return reconverge.drop.because("a draft");
  return order.quantity > 0n ? reconverge.keep : reconverge.drop.because("nothing was ordered");
}

export const { lifecycle, filter } = reconverge.filter({ name: "NAME", row: Order }, decide);
