"""`twistd` with a store that does not sync: python -m tests.faults.unsynced -n jindimail --config node.ini

The power-cut tests must fail on this node, or they prove nothing. The switch is here and not in the node's
configuration, where somebody might find it.
"""

from __future__ import annotations

from typing import Any

import lmdb

_opened = lmdb.Environment


def withoutSync(*arguments: Any, **options: Any) -> Any:
    """lmdb.open, but nothing that is committed is on the disk until the kernel feels like it."""
    options["sync"] = False
    return _opened(*arguments, **options)


def main() -> None:
    """Replace the ways to open an environment, then be twistd."""
    lmdb.open = withoutSync  # type: ignore[assignment]
    lmdb.Environment = withoutSync  # type: ignore[misc,assignment]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main()
