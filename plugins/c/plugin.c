/* Workforce schedules: the greater modification_epoch wins, then the greater name of the region; what loses is archived
 * for audit. A planner's edit raises the epoch, a resend or a restored backup does not. */

/* The contract: the host hands over these two columns of both rows, and no others. */
#define ROW(COLUMN, OPTIONAL) \
    COLUMN(int, modification_epoch) \
    COLUMN(text, region_source)
#define EXTENSIONS "{\"laws\":true}"
#include "reconverge.h"

/* Called for every change that meets a current row. Ties, first inserts and deletes are the host's. */
static verdict decide(const row *incoming, const row *current, written *out) {
    (void)out;
    int order = compare_int(incoming->modification_epoch, current->modification_epoch);
    if (order == 0) order = compare_text(incoming->region_source, current->region_source);
    if (order > 0) return archive_loser(TAKE_INCOMING);
    return archive_loser(because(KEEP_CURRENT, "older modification_epoch"));
}

MERGE("schedule-merge-c", "0.1.0", decide)
