"""A rule says the same of a contest whether it asks how the rows compare, reads their cells, or both."""

import struct
import unittest
from typing import NamedTuple

import reconverge
from reconverge import KEEP_CURRENT, TAKE_INCOMING


class Row(NamedTuple):
    epoch: int | None
    region: str


OLDER = KEEP_CURRENT.because("older")
EPOCHS = [-(2**63), -1, 0, 1, 2**32, 2**53 + 1, 2**63 - 1]
REGIONS = ["", "a", "ab", "b", "\uffff", "\U00010000"]
ROWS = [(epoch, region) for epoch in EPOCHS for region in REGIONS]


def contests(rows, of=Row):
    """Every row against every other, as a block; where all cells are there it has no states."""
    pairs = [a + b for a in rows for b in rows]
    answer = reconverge.Answering(len(pairs))
    answer.written = pairs
    fields = reconverge.fields(of) * 2
    block = bytearray(answer.block(fields))
    if all(None not in row for row in rows):
        for k in range(len(fields)):
            struct.pack_into("<I", block, 8 + 16 * k + 4, 0)
    return len(pairs), memoryview(block)


def said(decide, rows):
    calls = []

    def counted(incoming, current):
        calls.append(1)
        return decide(incoming, current)

    answer = reconverge.merge(counted, Row, name="test").run(*contests(rows))
    words = ["", *answer.reasons]
    return len(calls), [(code, words[reason]) for code, reason in zip(answer.verdict, answer.reason)]


def differing(found, wanted):
    """The first places that differ: the difference of long lists takes unittest minutes."""
    return [(i, a, b) for i, (a, b) in enumerate(zip(found, wanted, strict=True)) if a != b][:3]


def by_rows(a, b):
    return TAKE_INCOMING if a > b else OLDER


def backwards(a, b):
    return OLDER if b >= a else TAKE_INCOMING


def by_cells(a, b):
    epoch, other = (-(2**64) if row.epoch is None else row.epoch for row in (a, b))
    return TAKE_INCOMING if (epoch, a.region) > (other, b.region) else OLDER


def sometimes(a, b):
    """Reads cells of one answer only, and hides that it cannot."""
    try:
        if b.epoch is not None and a.epoch is not None and a > b:
            return TAKE_INCOMING
        return by_cells(a, b)
    except Exception:
        return KEEP_CURRENT


class Contests(unittest.TestCase):
    def test_rules_agree_on_whole_rows(self):
        _, wanted = said(by_cells, ROWS)
        self.assertEqual(wanted.count((1, "")), len(ROWS) * (len(ROWS) - 1) / 2)
        for rule in by_rows, backwards, sometimes:
            self.assertEqual(differing(said(rule, ROWS)[1], wanted), [], rule.__name__)

    def test_rules_agree_on_rows_with_nulls(self):
        rows = [*ROWS, (None, "a"), (None, "b")]
        self.assertEqual(differing(said(sometimes, rows)[1], said(by_cells, rows)[1]), [])

    def test_rows_compare_as_tuples_do(self):
        class Odd(NamedTuple):
            weight: float
            flag: bool
            name: str

        values = [(w, f, n) for w in (-1.5, 0.0, float("nan"), 2.0) for f in (False, True) for n in ("", "b")]
        (count, block), fields = contests(values, Odd), reconverge.fields(Odd)
        sides = [reconverge.Side(block, first, count, Odd, fields, "") for first in (0, 3)]
        wanted = [1 if a > b else 2 if a < b else 0 for a, b in zip(*(side.rows() for side in sides))]
        self.assertEqual(differing(reconverge.orders(*sides), wanted), [])
        self.assertEqual({0, 1, 2}, set(wanted))

    def test_a_rule_that_only_compares_is_not_asked_of_each_row(self):
        self.assertEqual(said(by_rows, ROWS)[0], 3)
        self.assertGreaterEqual(said(sometimes, ROWS)[0], len(ROWS) ** 2)

    def test_a_rule_may_say_nothing_of_equal_rows(self):
        def rule(a, b):
            if a > b:
                return TAKE_INCOMING
            if a < b:
                return OLDER

        self.assertIsNone(reconverge.by_order(rule))

    def test_a_rule_that_is_opened_again_is_asked_again(self):
        wins = TAKE_INCOMING
        plugin = reconverge.merge(lambda a, b: wins if a > b else OLDER, Row, name="test")
        first = plugin.run(*contests(ROWS)).verdict
        wins = KEEP_CURRENT
        plugin.opened()
        self.assertEqual(sum(first), len(ROWS) * (len(ROWS) - 1) / 2)
        self.assertEqual(sum(plugin.run(*contests(ROWS)).verdict), 0)

    def test_what_is_asked_besides_the_order_is_a_read(self):
        asks = [
            lambda a, b: a.epoch,
            lambda a, b: tuple(a),
            lambda a, b: a[0],
            lambda a, b: isinstance(a, Row),
            lambda a, b: hash(a),
            lambda a, b: str(a),
            lambda a, b: a > Row(1, "a"),
            lambda a, b: len(a),
            lambda a, b: "a" in a,
        ]
        for at, ask in enumerate(asks):

            def rule(a, b, ask=ask):
                try:
                    ask(a, b)
                except TypeError:
                    pass
                return KEEP_CURRENT

            self.assertIsNone(reconverge.by_order(rule), at)


if __name__ == "__main__":
    unittest.main()
