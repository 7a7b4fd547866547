"""Orders: drafts and empty orders do not belong here."""

from typing import NamedTuple

import reconverge
from reconverge import DROP, KEEP, Verdict


class Order(NamedTuple):
    """The contract: the host hands over these columns, and no others."""

    status: str
    quantity: int


def decide(order: Order) -> Verdict:
    if order.status == "draft":
        return DROP.because("a draft")
    return KEEP if order.quantity > 0 else DROP.because("nothing was ordered")


plugin = reconverge.filter(decide, Order, name="NAME")
