/* Orders: drafts and empty orders do not belong here. */

/* The contract: the host hands over these columns, and no others. */
#define ROW(COLUMN, OPTIONAL) \
    COLUMN(text, status) \
    COLUMN(int, quantity)
#include "reconverge.h"

static verdict decide(const row *order, written *out) {
    (void)out;
    if (equal_text(order->status, TEXT("draft"))) return because(DROP, "a draft");
    return order->quantity > 0 ? KEEP : because(DROP, "nothing was ordered");
}

FILTER("NAME", "0.1.0", decide)
