/* Customers: rows of the EU may be here, those of the US may not; of all others the phone number is taken out. */

/* The contract: the host hands over this column, and takes that one back. */
#define ROW(COLUMN, OPTIONAL) COLUMN(text, country)
#define WRITES(COLUMN) COLUMN(text, phone)
#include "reconverge.h"

static verdict decide(const row *customer, written *out) {
    if (equal_text(customer->country, TEXT("eu"))) return KEEP;
    if (equal_text(customer->country, TEXT("us"))) return SUPPRESS;
    NULLED(out, phone);
    return KEEP_WRITTEN;
}

RESIDENCY("NAME", "0.1.0", decide)
