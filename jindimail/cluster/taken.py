"""
No body takes the place of another.

Who makes an id sees to it that no other body ever has it. Should somebody fail to, the second body is refused: its octets would go into rows that
another message reads, at each of its keepers. The same octets may come as often as they like, and take the place of what is damaged.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from jindimail.errors import BodyTaken
from jindimail.interfaces import IReadRows
from jindimail.replication.repair import bodyref

_log = Logger()


def requireFree(rows: IReadRows, bucket: int, entry: Any) -> None:
    """
    Before an entry's body is kept: nobody has its id, as far as is known here, or that very body has.

    @raise BodyTaken: another body has.
    """
    known = bodyref(rows, bucket, entry.bodyId)
    if known is not None:
        requireSame(bucket, entry, known.digest)


def requireSame(bucket: int, entry: Any, digest: bytes) -> None:
    """
    A body is, or is about to be, kept under the id of an entry's.

    @raise BodyTaken: it is another one.
    """
    if digest != entry.digest:
        _log.critical(
            "bucket {bucket}: a second body came under the id {body}, and was refused",
            bucket=bucket,
            body=entry.bodyId.hex(),
        )
        raise BodyTaken
