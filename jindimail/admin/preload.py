"""
What Python would load only when it is first needed, loaded at once: the user that a node becomes may not be able to read where Python is.
"""

from __future__ import annotations

import codecs
from contextlib import suppress
from importlib import import_module
from typing import Final

from jindimail.message.charsets import CODECS

_MODULES: Final = ("idna.uts46data", "lmdb._envid")
_ALSO: Final = ("idna", "punycode", "unicode_escape", "raw_unicode_escape")


def preload() -> None:
    """Load all character sets of mail, and what else waits for its first use; in about a fifth of a second and 5 MiB."""
    for codec in (*CODECS, *_ALSO):
        with suppress(LookupError):
            codecs.lookup(codec)
    for module in _MODULES:
        with suppress(ImportError):  # an inner module, which another version may not have
            import_module(module)
