"""Shifts: the total of two columns, and a label for it."""

from typing import NamedTuple

import reconverge
from reconverge import Verdict, fail, write


class Shift(NamedTuple):
    """The contract: the host hands over these columns, and takes those of Totals back."""

    minutes: int
    overtime: int | None


class Totals(NamedTuple):
    total: int
    label: str


def decide(shift: Shift) -> Verdict:
    if shift.minutes < 0:
        return fail("minutes are less than none")
    total = shift.minutes + (shift.overtime or 0)
    return write(Totals(total, "long" if total > 480 else "normal"))


plugin = reconverge.mapping(decide, Shift, name="NAME", writes=Totals)
