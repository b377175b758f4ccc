"""What a SIGHUP changes: the keys that may change live are taken over, the others wait for a restart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jindimail.config import SECTIONS, Configuration, keys


def changedKeys(old: Configuration, new: Configuration, *, live: bool) -> list[str]:
    """The keys (`section.key`) that differ, of those that may change live or of those that may not."""
    return [
        f"{name}.{key}"
        for name, section in SECTIONS.items()
        for key, each in keys(section)
        if each.metadata["live"] is live
        and getattr(getattr(old, name), each.name) != getattr(getattr(new, name), each.name)
    ]


def reread(old: Configuration, new: Configuration) -> Configuration:
    """The old configuration with the new one's values of the keys that may change live."""
    changes: dict[str, Any] = {}
    for name, section in SECTIONS.items():
        live = [each.name for _, each in keys(section) if each.metadata["live"]]
        fresh = {attribute: getattr(getattr(new, name), attribute) for attribute in live}
        changes[name] = replace(getattr(old, name), **fresh)
    return replace(old, **changes)
