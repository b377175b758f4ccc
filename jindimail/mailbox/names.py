"""Names of mailboxes as this server takes them: Unicode, `/` between levels, INBOX in any case (RFC 9051 §5.1). Pure."""

from __future__ import annotations

import unicodedata

from jindimail.errors import NotAllowed
from jindimail.model import HIERARCHY_DELIMITER, INBOX

NAME_OCTETS_MAX = 400  # a name stands in a key of at most 511 octets


def canonical(name: str) -> str:
    """A name as it is stored: NFC, INBOX (and INBOX as first level) in upper case, no trailing delimiter."""
    name = unicodedata.normalize("NFC", name).removesuffix(HIERARCHY_DELIMITER)
    first, delimiter, rest = name.partition(HIERARCHY_DELIMITER)
    return INBOX + delimiter + rest if first.upper() == INBOX else name


def valid(name: str) -> str:
    """
    The canonical name, if a mailbox may be called so.

    @raise NotAllowed: empty levels, control characters, or too long.
    """
    name = canonical(name)
    if (
        not name
        or "" in name.split(HIERARCHY_DELIMITER)
        or len(name.encode("utf-8", "replace")) > NAME_OCTETS_MAX
    ):
        raise NotAllowed
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise NotAllowed
    return name
