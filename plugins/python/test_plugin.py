"""python3 -m unittest"""

import unittest

from plugin import Shift, decide
from reconverge import KEEP_CURRENT, TAKE_INCOMING


class Rule(unittest.TestCase):
    def test_the_newer_edit_wins(self):
        older, newer = Shift(41, "us-west"), Shift(42, "us-east")
        self.assertEqual(decide(newer, older), TAKE_INCOMING.archive_loser())
        self.assertEqual(
            decide(older, newer), KEEP_CURRENT.because("older modification_epoch").archive_loser()
        )


if __name__ == "__main__":
    unittest.main()
