/* Shifts: the total of two columns, and a label for it. */

/* The contract: the host hands over these columns of the row, and takes those of WRITES back. */
#define ROW(COLUMN, OPTIONAL) \
    COLUMN(int, minutes) \
    OPTIONAL(int, overtime)
#define WRITES(COLUMN) \
    COLUMN(int, total) \
    COLUMN(text, label)
#include "reconverge.h"

static verdict decide(const row *shift, written *out) {
    if (shift->minutes < 0) return fail("minutes are less than none");
    int64_t total = shift->minutes + (shift->has_overtime ? shift->overtime : 0);
    PUT(out, total, total);
    PUT(out, label, total > 480 ? TEXT("long") : TEXT("normal"));
    return KEEP_WRITTEN;
}

MAPPING("NAME", "0.1.0", decide)
