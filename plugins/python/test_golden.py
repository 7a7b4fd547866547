"""The reader with the golden blocks of plugins/golden."""

import json
import unittest
from pathlib import Path

from reconverge import BITS, FLOAT64, INT64, KINDS, NO_ROW, NULL, PACKED, UNSENT, Column, Field

GOLDEN = Path(__file__).parent.parent / "golden"


def described(name):
    found = json.loads((GOLDEN / f"{name}.json").read_text())
    return {**described(found["base"]), **found} if "base" in found else found


def shown(column, logical, i):
    state = column.state(i)
    if state in (NULL, UNSENT, NO_ROW):
        return {NULL: None, UNSENT: {"state": "unavailable"}, NO_ROW: {"state": "no-row"}}[state]
    kind = KINDS.get(logical, PACKED)
    if kind == PACKED:
        cell = bytes(column.data[column.cells[i] : column.cells[i + 1]])
        return cell.hex() if logical in ("bytes", "uuid") else cell.decode()
    return {BITS: bool, INT64: str, FLOAT64: float}[kind](column.cells[i])


class Golden(unittest.TestCase):
    def test_blocks(self):
        files = sorted(GOLDEN.glob("*.bin"))
        self.assertGreater(len(files), 20)
        for file in files:
            block, about = memoryview(file.read_bytes()), described(file.stem)
            with self.subTest(file.stem):
                try:
                    columns = []
                    if len(block) >= 4 and block[0] != len(about["columns"]):
                        raise ValueError("another number of columns")
                    for k, of in enumerate(about["columns"]):
                        kind = KINDS.get(of["logical"], PACKED)
                        column = Column(block, k, kind, about["rows"])
                        column.values(Field("", of["logical"], kind, True, str if of["logical"] == "text" else bytes))
                        columns.append(column)
                except ValueError:
                    self.assertIs(about.get("readable"), False)
                    continue
                self.assertIsNot(about.get("readable"), False)
                for column, of in zip(columns, about["columns"]):
                    for i, wanted in enumerate(of["cells"]):
                        found = shown(column, of["logical"], i)
                        if isinstance(found, float):
                            self.assertEqual(repr(found), repr(float(wanted)))
                        else:
                            self.assertEqual(found, wanted)


if __name__ == "__main__":
    unittest.main()
