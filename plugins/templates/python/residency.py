"""Customers: rows of the EU may be here, those of the US may not; of all others the phone number is taken out."""

from typing import NamedTuple

import reconverge
from reconverge import KEEP, SUPPRESS, Verdict, write


class Customer(NamedTuple):
    """The contract: the host hands over this column, and takes those of Redacted back."""

    country: str


class Redacted(NamedTuple):
    phone: str | None


def decide(customer: Customer) -> Verdict:
    if customer.country == "eu":
        return KEEP
    return SUPPRESS if customer.country == "us" else write(Redacted(phone=None))


plugin = reconverge.residency(decide, Customer, name="NAME", writes=Redacted)
