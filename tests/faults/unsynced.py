"""`twistd` with a store that does not sync: python -m tests.faults.unsynced sync|metasync -n jindimail --config node.ini

`sync`: nothing that is committed is on the disk until the kernel feels like it. `metasync`: the pages are, but the meta
page that makes them count is not. The power-cut tests must fail on either, or they prove nothing. The switch is here and
not in the node's configuration, where somebody might find it.
"""

from __future__ import annotations

import sys
from typing import Any

import lmdb

_opened = lmdb.Environment


def main() -> None:
    """Replace the ways to open an environment, then be twistd."""
    which = sys.argv.pop(1)
    assert which in ("sync", "metasync")

    def without(*arguments: Any, **options: Any) -> Any:
        return _opened(*arguments, **{**options, which: False})

    lmdb.open = without  # type: ignore[assignment]
    lmdb.Environment = without  # type: ignore[misc,assignment]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
