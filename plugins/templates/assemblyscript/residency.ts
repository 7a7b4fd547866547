// Customers: rows of the EU may be here, those of the US may not; of all others the phone number is taken out.
import { Row, Written } from "./component";
import { KEEP, KEEP_WRITTEN, SUPPRESS, Verdict } from "./reconverge";

export function decide(customer: Row, out: Written): Verdict {
  if (customer.country.is("eu")) return KEEP;
  if (customer.country.is("us")) return SUPPRESS;
  out.null_phone();
  return KEEP_WRITTEN;
}
