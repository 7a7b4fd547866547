"""For plugins in Python: a NamedTuple is the contract, a function decides about one row.

    class Shift(NamedTuple):
        modification_epoch: int
        region_source: str

The fields, by name and type, are the columns that the host hands over: bool, int, float, str (text), bytes; another logical
type is named by Annotated[int, "timestamp"]. A plain field that is null or was not sent fails its change; `int | None` is
None where the column is null. Strings compare by code points, which is the order of their UTF-8 bytes.

Written columns: a NamedTuple as well, whose fields may be LEFT (as it is) or None (null).

A merge that asks nothing of its two rows but which is greater is quickest: it is asked once a batch for each answer.

An instance is used for many calls and regions use different ones: keep nothing between calls that a decision reads.
"""

from __future__ import annotations

import struct
from functools import cache, partial
from operator import gt, lt
from types import NoneType
from typing import Annotated, Any, Callable, Iterable, NamedTuple, get_args, get_origin, get_type_hints

BITS, INT64, FLOAT64, PACKED = 1, 2, 3, 4
NULL, VALUE, UNSENT, NO_ROW = 0, 1, 2, 3
KINDS = {"bool": BITS, "int": INT64, "timestamp": INT64, "date": INT64, "time": INT64, "float": FLOAT64}
PLAIN = {bool: "bool", int: "int", float: "float", str: "text", bytes: "bytes"}
CODES = {BITS: ("B", 1), INT64: ("q", 8), FLOAT64: ("d", 8), PACKED: ("I", 4)}

# A written field that stays as it is.
LEFT = object()


class Verdict:
    """What becomes of a row. Reasons are fixed words: they hold no value of the row."""

    __slots__ = ("code", "reason", "columns", "explained", "archived")

    def __init__(self, code: int, reason: str = "", columns: tuple | None = None):
        self.code, self.reason, self.columns = code, reason, columns
        # One that is said of many rows is made once.
        self.explained: Verdict | None = None
        self.archived: Verdict | None = None

    def because(self, why: str) -> Verdict:
        made = self.explained
        if made is None or made.reason != why:
            made = self.explained = Verdict(self.code, why, self.columns)
        return made

    def archive_loser(self) -> Verdict:
        made = self.archived
        if made is None:
            made = self.archived = Verdict(self.code | 128, self.reason, self.columns)
        return made

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Verdict)
        return same and (self.code, self.reason, self.columns) == (other.code, other.reason, other.columns)

    def __repr__(self) -> str:
        return f"Verdict({self.code}, {self.reason!r}, {self.columns})"


KEEP_CURRENT, TAKE_INCOMING, DELETE, REJECT = Verdict(0), Verdict(1), Verdict(3), Verdict(4)
DROP, SUPPRESS, KEEP = Verdict(0), Verdict(0), Verdict(1)


def write(columns: tuple) -> Verdict:
    """Keeps or takes the row with these columns put in place."""
    return Verdict(2, "", columns)


def fail(why: str) -> Verdict:
    """Fails this change, and it alone."""
    return Verdict(255, why)


class Field(NamedTuple):
    name: str
    logical: str
    kind: int
    optional: bool
    python: type


def fields(row: type | None) -> list[Field]:
    """The columns of a NamedTuple, in its order."""
    made = []
    for name, hint in get_type_hints(row, include_extras=True).items() if row else ():
        logical, optional = None, False
        if get_origin(hint) is Annotated:
            hint, logical = get_args(hint)
        if NoneType in get_args(hint):
            hint, optional = next(arg for arg in get_args(hint) if arg is not NoneType), True
        logical = logical or PLAIN[hint]
        made.append(Field(name, logical, KINDS.get(logical, PACKED), optional, hint))
    return made


class Column:
    """A column of a block, read in place. ValueError where it is not of this kind or lies outside of the block; the ends of
    packed cells are looked at where cells are read."""

    __slots__ = ("states", "cells", "data")

    def __init__(self, block: memoryview, k: int, kind: int, rows: int):
        if len(block) < 8:
            raise ValueError("the block does not read")
        count, head_bytes = struct.unpack_from("<II", block)
        head = 8 + k * head_bytes
        if head_bytes < 16 or k >= count or head + 16 > len(block):
            raise ValueError("the block does not read")
        found, states, cells, data = struct.unpack_from("<IIII", block, head)
        code, width = CODES[kind]
        size = width * (rows + 1 if kind == PACKED else rows)
        if found != kind or cells % width or cells + size > len(block) or (states and states + rows > len(block)):
            raise ValueError("the block does not read")
        self.states = block[states : states + rows] if states else None
        if states and max(self.states, default=0) > NO_ROW:
            raise ValueError("the block does not read")
        self.cells = block[cells : cells + size].cast(code)
        self.data = block[data:]
        if kind == PACKED and (self.cells[0] != 0 or data + self.cells[rows] > len(block)):
            raise ValueError("the block does not read")

    def state(self, i: int) -> int:
        return self.states[i] if self.states else VALUE

    def reader(self, field: Field) -> Callable[[int], Any]:
        """Reads one cell, which is there; text as its bytes."""
        ends, data = self.cells, bytes(self.data) if field.kind == PACKED else b""

        def packed(i: int) -> bytes:
            start, end = ends[i], ends[i + 1]
            if start > end or end > len(data):
                raise ValueError("the block does not read")
            return data[start:end]

        return packed if field.kind == PACKED else ends.__getitem__

    def values(self, field: Field) -> list:
        """The cells of all rows; of a state that is no value None."""
        if field.kind == PACKED:
            cells = self.cells.tolist()
            if cells != sorted(cells):
                raise ValueError("the block does not read")
            data: Any = bytes(self.data[: cells[-1]])
            is_text = field.python is str
            if is_text and data.isascii():
                # A byte is a letter, so places in one are places in the other.
                data, is_text = data.decode("ascii"), False
            made: list[Any] = [data[a:b] for a, b in zip(cells, cells[1:])]
            if is_text:
                made = [cell.decode() for cell in made]
        elif field.kind == BITS:
            made = [bit != 0 for bit in self.cells]
        else:
            made = self.cells.tolist()
        if self.states:
            made = [cell if state == VALUE else None for cell, state in zip(made, self.states)]
        return made


class Side:
    """The rows of one side of a block."""

    def __init__(self, block: memoryview, first: int, rows: int, row: type, of: list[Field], word: str):
        self.columns = [Column(block, first + k, field.kind, rows) for k, field in enumerate(of)]
        self.fields, self.word = of, word
        self.count, self.row = rows, row
        self.odd = [column.states for column in self.columns if column.states]

    def rows(self) -> list:
        if not self.fields:
            return [self.row()] * self.count
        cells = [column.values(field) for column, field in zip(self.columns, self.fields)]
        return list(map(partial(tuple.__new__, self.row), zip(*cells)))

    def is_none(self, i: int) -> bool:
        return bool(self.columns) and all(column.state(i) == NO_ROW for column in self.columns)

    def gap(self, i: int) -> str | None:
        """Why the change of a row fails, where it has a cell that its field does not take."""
        for column, field in zip(self.columns, self.fields):
            state = column.state(i)
            if state == VALUE or (state == NULL and field.optional):
                continue
            what = {NULL: "is null", UNSENT: "was not sent", NO_ROW: "has no row"}[state]
            return f"{self.word}column {field.name} {what}"
        return None


def orders(after: Side, current: Side) -> bytes:
    """How the two rows of each contest compare, as tuples do: 0 equal, 1 greater, 2 lesser. All cells are there. Column by
    column, since few rows need more than the first one, and of text by its bytes, which is the order of code points."""
    rows, found = after.count, bytearray(after.count)
    open: Iterable[int] = range(rows)
    for k, (field, x, y) in enumerate(zip(after.fields, after.columns, current.columns)):
        if k == 0 and field.kind != PACKED:
            a, b = x.cells.tolist(), y.cells.tolist()
            # As two long numbers, whose bytes are the rows.
            greater, lesser = (int.from_bytes(bytes(map(by, a, b)), "little") for by in (gt, lt))
            found = bytearray((greater + 2 * lesser).to_bytes(rows, "little"))
        else:
            a, b = x.reader(field), y.reader(field)
            for i in open:
                p, q = a(i), b(i)
                found[i] = 1 if p > q else 2 if p < q else 0
        if 0 not in found:
            break
        open = [i for i in open if not found[i]]
        if field.kind == FLOAT64:
            # What is not a number is neither equal nor in any order: the columns behind it do not count.
            open = [i for i in open if x.cells[i] == y.cells[i]]
    return bytes(found)


class Answering:
    """An answer in the making."""

    def __init__(self, rows: int):
        self.verdict, self.reason, self.reasons = bytearray(rows), bytearray(rows), {}
        self.written: list[tuple | None] = [None] * rows

    def say(self, i: int, said: Verdict) -> None:
        self.verdict[i] = said.code
        self.written[i] = said.columns
        if said.reason:
            reason = said.reason if len(self.reasons) < 254 or said.reason in self.reasons else "other"
            self.reason[i] = self.reasons.setdefault(reason, len(self.reasons) + 1)

    def say_all(self, said: list[Verdict]) -> None:
        """Says one of each row."""
        self.verdict[:] = bytes([one.code for one in said])
        self.written = [one.columns for one in said]
        reasons = [one.reason for one in said]
        for reason in dict.fromkeys(reasons):
            if reason and len(self.reasons) < 254:
                self.reasons[reason] = len(self.reasons) + 1
        if self.reasons:
            numbers = {"": 0} | self.reasons
            other = 0
            if len(numbers) <= len(set(reasons) - {""}):
                other = self.reasons.setdefault("other", len(self.reasons) + 1)
            self.reason[:] = bytes([numbers.get(reason, other) for reason in reasons])

    def say_by_order(self, said: list[Verdict], found: bytes) -> None:
        """Says of each contest what is said of rows that compare so: as equal, greater, lesser."""
        numbers = [self.reasons.setdefault(one.reason, len(self.reasons) + 1) if one.reason else 0 for one in said]
        codes = [one.code for one in said]
        self.verdict[:], self.reason[:] = (found.translate(bytes([*of, *bytes(253)])) for of in (codes, numbers))

    def block(self, of: list[Field]) -> bytes:
        """The written columns; empty where nothing was written."""
        if not of or not any(cells is not None for cells in self.written):
            return b""
        rows, heads, body = len(self.written), b"", b""
        start = 8 + 16 * len(of)
        for k, field in enumerate(of):
            cells = [LEFT if cells is None else cells[k] for cells in self.written]
            states = bytes(UNSENT if cell is LEFT else NULL if cell is None else VALUE for cell in cells)
            at, body = start + len(body), body + states
            body += bytes(-(start + len(body)) % 8)
            place, data = start + len(body), 0
            plain = [cell if state == VALUE else None for cell, state in zip(cells, states)]
            if field.kind == PACKED:
                packed = [b"" if c is None else c.encode() if isinstance(c, str) else c for c in plain]
                ends = [0]
                for cell in packed:
                    ends.append(ends[-1] + len(cell))
                body += struct.pack(f"<{rows + 1}I", *ends)
                data, body = start + len(body), body + b"".join(packed)
            elif field.kind == BITS:
                body += bytes(1 if cell else 0 for cell in plain)
            else:
                code = CODES[field.kind][0]
                body += struct.pack(f"<{rows}{code}", *(cell or 0 for cell in plain))
            heads += struct.pack("<IIII", field.kind, at, place, data)
        return struct.pack("<II", len(of), 16) + heads + body


class Probe:
    """A row of which only is known how it compares with the other one. Whatever else is asked of it is a read."""

    def __init__(self, order: int, reads: list):
        object.__setattr__(self, "_is", (order, reads))

    def _read(self, *_: Any) -> Any:
        object.__getattribute__(self, "_is")[1].append(True)
        raise TypeError("asked without a row")

    def _order(self, other: object) -> int:
        if other is self:
            return 0
        if type(other) is not Probe:
            Probe._read(self)
        return object.__getattribute__(self, "_is")[0]

    def __lt__(self, other: object) -> bool:
        return Probe._order(self, other) < 0

    def __le__(self, other: object) -> bool:
        return Probe._order(self, other) <= 0

    def __gt__(self, other: object) -> bool:
        return Probe._order(self, other) > 0

    def __ge__(self, other: object) -> bool:
        return Probe._order(self, other) >= 0

    def __eq__(self, other: object) -> bool:
        return Probe._order(self, other) == 0

    def __ne__(self, other: object) -> bool:
        return Probe._order(self, other) != 0

    __getattribute__ = __getitem__ = __iter__ = __len__ = __contains__ = __bool__ = __hash__ = __repr__ = __str__ = _read


def by_order(decide: Callable) -> list[Verdict] | None:
    """What a rule says by how the two rows compare, where it asks nothing else of them: of equal, greater, lesser ones. Such
    a rule need not be asked of each contest."""
    said, reads = [], []
    for order in (0, 1, -1):
        try:
            verdict = decide(Probe(order, reads), Probe(-order, reads))
        except Exception:
            return None
        if reads or not isinstance(verdict, Verdict) or verdict.columns is not None:
            # What is no verdict may be said of rows that never get here, such as equal ones.
            return None
        said.append(verdict)
    return said


class Plugin:
    """What a stage answers: made by the functions below, wrapped into a component by `component`."""

    def __init__(self, about: dict, reads: list, writes: list[Field], run: Callable, opened: Callable = lambda: None):
        # `reads` are pairs of a side and a Field; `opened` is called where the rule may be another one from then on.
        self.about, self.reads, self.writes, self.run, self.opened = about, reads, writes, run, opened

    def promises(self) -> str:
        """What the contract says beyond types: columns that are never null where the rule is to decide, and those that are
        sent. `reconverge plugin laws` makes its rows by it."""
        of = list(dict.fromkeys(f for _, f in self.reads))
        plain, sent = [",".join(f'"{f.name}"' for f in some) for some in ([f for f in of if not f.optional], of)]
        return f'{{"not-null":[{plain}],"sent":[{sent}]}}'


def _about(name: str, version: str, config_schema: str, extensions: str, configure: Callable | None) -> dict:
    return dict(name=name, version=version, config_schema=config_schema, extensions=extensions, configure=configure)


def merge(decide, row, name, version="0.1.0", writes=None, config_schema="", extensions="", configure=None) -> Plugin:
    """`decide(incoming, current)` says which of two rows stands."""
    of, written = fields(row), fields(writes)
    known = cache(lambda: by_order(decide))

    def run(rows: int, block: memoryview) -> Answering:
        said = Answering(rows)
        after = Side(block, 0, rows, row, of, "incoming ")
        current = Side(block, len(of), rows, row, of, "current ")
        if not after.odd and not current.odd:
            if of and known():
                said.say_by_order(known(), orders(after, current))
            else:
                said.say_all(list(map(decide, after.rows(), current.rows())))
            return said
        for i, (incoming, standing) in enumerate(zip(after.rows(), current.rows())):
            if current.is_none(i):
                said.say(i, TAKE_INCOMING)
            elif after.is_none(i):
                said.say(i, DELETE.archive_loser())
            elif gap := after.gap(i) or current.gap(i):
                said.say(i, fail(gap))
            else:
                said.say(i, decide(incoming, standing))
        return said

    about = _about(name, version, config_schema, extensions, configure)
    return Plugin(about, [(side, f) for side in ("after", "current") for f in of], written, run, known.cache_clear)


def rows(decide, row, name, version="0.1.0", writes=None, config_schema="", extensions="", configure=None) -> Plugin:
    """`decide(row)` says what becomes of one row: a filter, a residency rule or a mapping."""
    of, written = fields(row), fields(writes)

    def run(count: int, block: memoryview) -> Answering:
        said = Answering(count)
        side = Side(block, 0, count, row, of, "")
        if not side.odd:
            said.say_all(list(map(decide, side.rows())))
            return said
        for i, one in enumerate(side.rows()):
            if side.is_none(i):
                said.say(i, KEEP)
            elif gap := side.gap(i):
                said.say(i, fail(gap))
            else:
                said.say(i, decide(one))
        return said

    about = _about(name, version, config_schema, extensions, configure)
    return Plugin(about, [("after", f) for f in of], written, run)


filter = residency = mapping = rows


def component(plugin: Plugin) -> tuple[type, type]:
    """The two classes that a component exports: `Lifecycle`, and that of the stage."""
    from componentize_py_types import Err
    from wit_world.imports.types import Answer, ColumnSpec, Contract, Descriptor

    about = plugin.about

    class Lifecycle:
        def describe(self) -> Any:
            return Descriptor(about["name"], about["version"], about["config_schema"], about["extensions"])

        def open(self, config: str, tables: list) -> Any:
            if about["configure"]:
                try:
                    about["configure"](config)
                except ValueError as error:
                    raise Err(str(error))
            plugin.opened()
            reads = [ColumnSpec(side, f.name, f.logical, True) for side, f in plugin.reads]
            writes = [ColumnSpec("after", f.name, f.logical, True) for f in plugin.writes]
            return [Contract(table, reads, writes, plugin.promises()) for table in range(len(tables))]

    class Stage:
        def run(self, table: int, rows: int, block: bytes) -> Any:
            try:
                said = plugin.run(rows, memoryview(block))
            except ValueError as error:
                raise Err(str(error))
            reason = bytes(said.reason) if said.reasons else b""
            return Answer(bytes(said.verdict), reason, list(said.reasons), said.block(plugin.writes))

    return Lifecycle, Stage
