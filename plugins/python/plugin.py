"""Workforce schedules: the greater modification_epoch wins, then the greater name of the region; what loses is archived
for audit. A planner's edit raises the epoch, a resend or a restored backup does not."""

from typing import NamedTuple

import reconverge
from reconverge import KEEP_CURRENT, TAKE_INCOMING, Verdict


class Shift(NamedTuple):
    """The contract: the host hands over these two columns of both rows, and no others. Declared order is the order of
    comparison."""

    modification_epoch: int
    region_source: str


def decide(incoming: Shift, current: Shift) -> Verdict:
    """Called for every change that meets a current row. Ties, first inserts and deletes are the host's."""
    if incoming > current:
        return TAKE_INCOMING.archive_loser()
    return KEEP_CURRENT.because("older modification_epoch").archive_loser()


plugin = reconverge.merge(decide, Shift, name="schedule-merge-python", extensions='{"laws":true}')
