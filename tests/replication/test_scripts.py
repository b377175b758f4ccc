"""The interaction scripts of testdata/ happen as they are written down."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from tests.replication.scripts import files, replayed


class Scripts(SynchronousTestCase):
    """One test for each file would hide none of the others' differences; all are compared."""

    maxDiff = None

    def test_scriptsHappenAsWritten(self) -> None:
        self.assertGreaterEqual(len(files()), 8)
        different = []
        for file in files():
            text = file.read_text()
            happened = replayed(text)
            if os.environ.get("REWRITE"):
                file.write_text(happened)
            elif happened != text:
                different.append((file.name, happened))
        self.assertEqual(different, [])
