"""Damage to the store of a node that does not run."""

from __future__ import annotations

from pathlib import Path

from jindimail.store.environment import Environment
from jindimail.store.keys import ARRAY


def ruin(data: Path) -> None:
    """As if its last commit had failed, and a record were not what was written."""
    environment = Environment(data)
    try:
        environment.commit([(ARRAY, [(b"?", b"of no known form")], [])])
        environment.markSuspect()
    finally:
        environment.close()
