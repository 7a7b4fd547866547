// Customers: rows of the EU may be here, those of the US may not; of all others the phone number is taken out.
import * as reconverge from "./reconverge.js";

// The contract: the host hands over the columns of Customer, and takes those of Redacted back.
const Customer = { country: reconverge.text };
const Redacted = { phone: reconverge.text };

export function decide(customer) {
  if (customer.country === "eu") return reconverge.keep;
  return customer.country === "us" ? reconverge.suppress : reconverge.write({ phone: null });
}

export const { lifecycle, residency } = reconverge.residency({ name: "NAME", row: Customer, writes: Redacted }, decide);
